"""The stand-in of the speed benchmark answers however a request arrives."""

from __future__ import annotations

import asyncio

import pytest
from benchmarks.speed.upstream import State, stand_in

pytestmark = pytest.mark.anyio

UPLOAD = b"POST /openai/v1/audio/transcriptions HTTP/1.1\r\ncontent-length: 9\r\n\r\nsome body"
CHAT = b'POST /openai/v1/chat/completions HTTP/1.1\r\ncontent-length: 27\r\n\r\n{"model":"m","messages":[]}'


@pytest.mark.parametrize("cut", range(0, len(UPLOAD + CHAT), 7))
async def test_a_request_is_answered_wherever_it_is_cut(cut: int) -> None:
    """An upload that came whole, in one piece with its head, was never answered."""
    server = await asyncio.get_running_loop().create_server(lambda: stand_in(State()), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for piece in ((UPLOAD + CHAT)[:cut], (UPLOAD + CHAT)[cut:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            for _ in range(2):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.split(b":")[1]))
        writer.close()
