"""A key goes to nobody who cannot show a certificate of the address it is for."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from anyio.abc import AnyByteStream, SocketAttribute
from anyio.streams.tls import TLSListener
from certificates import own_certificate
from pydantic import SecretStr

from groq_fallback_mcp.addresses import check_base_url
from groq_fallback_mcp.call import Failure, FailureKind
from groq_fallback_mcp.providers.http import Wire
from groq_fallback_mcp.settings import Settings

pytestmark = pytest.mark.anyio
KEY = "gsk_canary_0123456789"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for this machine that nobody vouches for, with its key."""
    return own_certificate(tmp_path)


@asynccontextmanager
async def impostor(certificate: Path, heard: bytearray) -> AsyncGenerator[int]:
    """A server of TLS that answers anything with an empty list; what it is told goes to `heard`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def answer(stream: AnyByteStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
                heard.extend(await stream.receive())
                await stream.send(b'HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{"data": []}')

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as plain, anyio.create_task_group() as group:
        listener = TLSListener(plain, context, standard_compatible=False)
        group.start_soon(listener.serve, answer)
        yield plain.extra(SocketAttribute.local_port)
        group.cancel_scope.cancel()


@pytest.mark.parametrize("scheme", ["https", "HTTPS", "Https"])
async def test_a_certificate_that_nobody_vouches_for_is_refused_however_the_address_is_written(
    certificate: Path, scheme: str
) -> None:
    """The key is not sent. A scheme may be written in capitals."""
    heard = bytearray()
    async with impostor(certificate, heard) as port:
        wire = Wire(f"{scheme}://127.0.0.1:{port}", key=KEY)
        reply = await wire.exchange("GET", "/v1/models", timeout_s=10.0)
        await wire.aclose()
    assert isinstance(reply, Failure)
    assert (reply.kind, bytes(heard)) == (FailureKind.UNREACHABLE, b"")


def test_a_scheme_in_capitals_is_kept_as_everybody_else_reads_it() -> None:
    """Whatever looks at how an address begins finds it."""
    assert check_base_url("HTTPS://Gate.example:8443/Path/") == "https://Gate.example:8443/Path"
    assert check_base_url("HTTP://127.0.0.1:8788") == "http://127.0.0.1:8788"


def test_the_scheme_of_a_redis_server_too() -> None:
    """The client for it knows no other form."""
    assert Settings(state=SecretStr("REDISS://a.test:6380/1")).state.get_secret_value() == "rediss://a.test:6380/1"
