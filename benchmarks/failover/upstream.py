"""Two models as a process: `python -m benchmarks.failover.upstream`. It prints its port.

What is asked under /faulty has the fault that the prompt names, in bytes under our control; what is asked under /good answers well. POST /asked
shows how often each was asked, by the number in the prompt.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections import Counter
from collections.abc import Sequence

from benchmarks.failover.faults import (
    HANG,
    KEEP_ALIVE,
    RESET,
    begun_by_assistant,
    fault_of,
    good,
    number_of,
    request_of,
)
from benchmarks.failover.wire import ChatWire, ResponsesWire, error_body, response

__all__ = ["main"]

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
PAUSE_S = 0.02
BEFORE_RESET_S = 0.2
KEEP_ALIVE_S = 0.5


async def _serve(asked: Counter[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The requests of a connection."""
    try:
        while await _exchange(asked, reader, writer):
            pass
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _exchange(asked: Counter[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answer one request; whether the connection goes on."""
    head = await reader.readuntil(b"\r\n\r\n")
    body = await _body(head, reader)
    path = head.split(b" ", 2)[1].decode()
    if path == "/asked":
        writer.write(response(200, json.dumps(asked).encode()))
        return True
    if not path.endswith(("/chat/completions", "/responses")):
        listed = json.dumps({"object": "list", "data": []}).encode()
        is_list = path.endswith("/models")
        writer.write(response(200, listed) if is_list else response(404, error_body("Unknown path.", code="unknown_url")))
        return True
    request, fault = request_of(body), fault_of(body)
    stream = bool(request.get("stream"))
    wire = ResponsesWire(request["model"]) if path.endswith("/responses") else ChatWire(request["model"])
    is_faulty = path.startswith("/faulty")
    asked[f"{'faulty' if is_faulty else 'good'} {number_of(body)}"] += 1
    if fault is not None and (is_faulty or fault.is_everywhere):
        pieces = fault.play(wire, stream)
        await _play(pieces, reader, writer, stream=stream)
        return not {HANG, RESET, KEEP_ALIVE} & set(pieces)
    uses_tool = fault is not None and fault.uses_tool
    for piece in good(wire, stream=stream, uses_tool=uses_tool, begun=begun_by_assistant(request)):
        writer.write(piece)
    await writer.drain()
    return True


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    if _CHUNKED.search(head):
        body = b""
        while length := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(length + 2))[:-2]
        await reader.readuntil(b"\r\n")
        return body
    found = _LENGTH.search(head)
    return await reader.readexactly(int(found[1])) if found else b""


async def _play(pieces: Sequence[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, stream: bool) -> None:
    """Send the pieces, each at a time of its own."""
    for piece in pieces:
        if piece == HANG:
            await reader.read()
        elif piece == RESET:
            # what was sent should have been read by then
            await asyncio.sleep(BEFORE_RESET_S)
            _reset(writer)
        elif piece == KEEP_ALIVE:
            while True:
                writer.write(b"8\r\n: ping\n\n\r\n" if stream else b" ")
                await writer.drain()
                await asyncio.sleep(KEEP_ALIVE_S)
        else:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(PAUSE_S)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def main() -> None:
    """Serve until stdin ends."""
    asked = Counter[str]()
    server = await asyncio.start_server(lambda reader, writer: _serve(asked, reader, writer), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), open(0, "rb", buffering=0))  # noqa: ASYNC230, SIM115
    await stdin.read()


if __name__ == "__main__":
    asyncio.run(main())
