"""One guarded HTTP exchange: a total deadline, a cap on the body, no redirects, no proxies, failures as values.

httpx's own time-outs bound single reads, not the call: a server that trickles a byte a second never trips them.
Only the cancel scope around the whole exchange does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import httpx

from groq_fallback_mcp import __version__
from groq_fallback_mcp.call import Failure, FailureKind
from groq_fallback_mcp.redaction import redact

__all__ = ["Reply", "Wire"]

BODY_BYTES = 32 * 1024 * 1024
USER_AGENT = f"groq-fallback-mcp/{__version__}"
# An unlimited keep-alive pool probes every idle connection on each request; eight served five times the calls.
POOL = httpx.Limits(max_connections=64, max_keepalive_connections=8, keepalive_expiry=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A complete response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """A pooled client to one base URL. Cancelling a call closes its connection."""

    def __init__(self, base_url: str, *, key: str | None, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._key = key or ""
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._client = httpx.AsyncClient(
            base_url=base_url,
            headers=headers,
            # the gateway sends no more at once than the pool holds; what is bounded here is only the way there
            timeout=httpx.Timeout(None, connect=10.0),
            limits=POOL,
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float,
        json: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        files: Mapping[str, tuple[str | None, bytes, str]] | None = None,
    ) -> Reply | Failure:
        """Send one request and read its whole response within `timeout_s` seconds."""
        reply: Reply | Failure | None = None
        with anyio.move_on_after(timeout_s):
            reply = await self._attempt(method, path, json=json, data=data, files=files)
        if reply is None:
            return Failure(kind=FailureKind.TIMED_OUT, message=f"no complete answer within {timeout_s:.0f} s")
        return reply

    async def aclose(self) -> None:
        """Close the pooled connections."""
        await self._client.aclose()

    async def _attempt(self, method: str, path: str, **content: Any) -> Reply | Failure:  # noqa: ANN401 - httpx's own arguments
        arguments = {name: value for name, value in content.items() if value is not None}
        try:
            async with self._client.stream(method, path, **arguments) as response:
                return await self._read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            return self._failure(FailureKind.UNREACHABLE, error, sent=False)
        except (httpx.TransportError, httpx.StreamError, httpx.DecodingError) as error:
            return self._failure(FailureKind.CONNECTION_LOST, error)
        except (httpx.InvalidURL, httpx.HTTPError, ValueError) as error:
            return self._failure(FailureKind.BAD_RESPONSE, error)

    async def _read(self, response: httpx.Response) -> Reply | Failure:
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in {"identity", ""}:
            return Failure(
                kind=FailureKind.BAD_RESPONSE, message=f"an answer in {encoding[:20]} encoding, which was not asked for"
            )
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > BODY_BYTES:
                return Failure(kind=FailureKind.BAD_RESPONSE, message=f"an answer of more than {BODY_BYTES} bytes")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(status=response.status_code, headers=headers, body=bytes(body))

    def _failure(self, kind: FailureKind, error: Exception, *, sent: bool = True) -> Failure:
        text = redact(str(error), self._key) or type(error).__name__
        return Failure(kind=kind, message=text[:200], sent=sent)
