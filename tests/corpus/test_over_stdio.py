"""Some rows of the corpus against the real server as a process, over raw JSON lines and a real connection upstream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from corpus.test_arguments import ROWS as ARGUMENTS
from corpus.test_arguments import written_out
from corpus.test_upstream import ROWS as UPSTREAM
from corpus.test_upstream import Upstream, arguments, check_answer, check_error
from fake_clock import FakeClock
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from transport.test_stdio import server

from groq_fallback_mcp.simulator import run_simulator

pytestmark = pytest.mark.anyio
MODELS = ("openai/gpt-oss-20b", "openai/gpt-oss-120b")
REPLIES = [
    row
    for row in UPSTREAM
    if row["id"] in {"half-answer-streamed", "schema-refused", "organization-restricted", "harmony-final"}
]
READ = {"arguments-as-json", "messages-encoded-twice", "nulls-of-chat", "a-long-image", "stop-one-text", "a-long-name"}
CALLS = [row for row in ARGUMENTS if row["id"] in READ]


def app_of(upstream: Upstream) -> Starlette:
    """The upstream of a row behind a real connection."""

    async def reply(request: Request) -> StreamingResponse:
        found = upstream.reply(httpx2.Request("POST", "http://x.test", content=await request.body()))
        assert isinstance(found.stream, httpx2.AsyncByteStream)

        async def body() -> AsyncIterator[bytes]:
            async for chunk in found.stream:  # type: ignore[union-attr]
                yield chunk

        headers = {name: value for name, value in found.headers.items() if name not in {"content-length", "transfer-encoding"}}
        return StreamingResponse(body(), status_code=found.status_code, headers=headers)

    return Starlette(routes=[Route("/openai/v1/chat/completions", reply, methods=["POST"])])


@pytest.mark.parametrize("row", REPLIES, ids=[row["id"] for row in REPLIES])
async def test_a_reply_comes_to_its_right_end_over_stdio_too(tmp_path: Path, row: dict[str, Any]) -> None:
    """As in memory."""
    upstream = Upstream({**row, "provider": "groq"}, FakeClock(), MODELS)

    def drive(base_url: str) -> dict[str, Any]:
        with server(tmp_path, GROQ_API_KEY="gsk_x", GROQ_BASE_URL=base_url, GROQ_FALLBACK_PLAN="developer") as lines:
            lines.handshake()
            return lines.call("groq_chat", arguments(row, MODELS[0]))

    async with run_simulator(app_of(upstream)) as running:
        result = await anyio.to_thread.run_sync(drive, running.base_url)
    text, found = result["content"][0]["text"], result["structuredContent"]
    if "error" in row["expect"]:
        check_error(row["expect"], text, found)
    else:
        check_answer(row["expect"], found, MODELS)
    assert "first you" not in text


@pytest.mark.parametrize("row", CALLS, ids=[row["id"] for row in CALLS])
async def test_arguments_are_read_over_stdio_too(tmp_path: Path, row: dict[str, Any]) -> None:
    """Without a key the call gets as far as the key, or is refused before."""
    with server(tmp_path) as lines:
        lines.handshake()
        result = lines.call(row["tool"], written_out(row["arguments"]))
    text = result["content"][0]["text"]
    assert len(json.dumps(result)) < 5_000
    assert all(words in text for words in row.get("refused", ["GROQ_API_KEY"])), text
