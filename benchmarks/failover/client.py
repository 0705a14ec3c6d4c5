"""A client that keeps all bytes that it gets, and how the response ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["End", "Received", "send"]

End = Literal["clean", "cut", "silent"]
"""As its framing says; the connection was lost before; still open when the time was over."""


@dataclass(slots=True)
class Received:
    """A response. `status` is 0 where there was none."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    end: End = "cut"
    took_s: float = 0.0


async def send(address: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str], *, within_s: float) -> Received:
    """POST a request on a connection of its own, and read until the response ends or the time is over."""
    received = Received()
    begun = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(within_s):
            await _exchange(address, path, body, headers, received)
    except TimeoutError:
        received.end = "silent"
    except (OSError, asyncio.IncompleteReadError, ValueError):
        received.end = "cut"
    received.took_s = asyncio.get_running_loop().time() - begun
    return received


async def _exchange(address: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str], received: Received) -> None:
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        content = json.dumps(body).encode()
        stated = {"host": f"{host}:{port}", "content-type": "application/json", "content-length": str(len(content)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in stated.items())
        writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
        await _read(reader, received)
    finally:
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader, received: Received) -> None:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    received.status = int(first.split(" ")[1])
    received.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "chunked" in received.headers.get("transfer-encoding", ""):
        while length := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            await _take(reader, length, received)
            await reader.readexactly(2)
        received.end = "clean"
    elif (stated := received.headers.get("content-length")) is not None:
        await _take(reader, int(stated), received)
        received.end = "clean"
    else:
        while piece := await reader.read(65_536):
            received.body += piece
        # without framing, its end and a lost connection look the same
        received.end = "clean"


async def _take(reader: asyncio.StreamReader, length: int, received: Received) -> None:
    """Keep what comes also where the rest does not."""
    while length:
        piece = await reader.read(length)
        if not piece:
            raise asyncio.IncompleteReadError(b"", length)
        received.body += piece
        length -= len(piece)
