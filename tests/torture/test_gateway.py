"""The gateway between hostile models and hostile clients, over real sockets: time, memory, and who else is served meanwhile."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from fault_server import fault_server
from gateway_process import TOKEN, gateway_before
from server_process import peak_mib
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from groq_fallback_mcp.simulator import run_simulator

pytestmark = [pytest.mark.torture, pytest.mark.anyio]

FIRST = "openai/gpt-oss-20b"
GOOD = ("openai/gpt-oss-120b", "qwen/qwen3.8-27b")
DAILY = ("reset", "gzip_bomb", "stream_of_annotations")
NIGHTLY = (
    *("early_close", "short_body", "no_http", "truncated_json", "html", "empty", "null", "deep_json", "deep_content"),
    *("deep_error", "huge_integer", "bad_charset", "bad_gzip", "body_300_mb", "body_of_tiny_chunks"),
    *(
        "json_bomb",
        "header_1_mb",
        "many_headers",
        "sse_endless",
        "sse_cut",
        "sse_error",
        "sse_junk",
        "sse_giant_line",
        "redirect",
    ),
    *("stream_of_bytes", "stream_of_lines", "stream_of_comments", "stream_of_events", "stream_of_thoughts"),
    *("stream_of_tool_calls", "stream_of_tools_that_ran", "stream_of_data_lines"),
)
STREAMS = 64
SLOW = 8
# More than are served at a time, and fewer than the connections that may come before one of them has shown the token.
FLOOD = 200


def asking(*, stream: bool, content: str = "hi") -> dict[str, Any]:
    """A chat for the first model."""
    return {"model": FIRST, "stream": stream, "max_tokens": 8_192, "messages": [{"role": "user", "content": content}]}


async def slowest_health(client: httpx2.AsyncClient, until: anyio.Event) -> float:
    """Seconds of the slowest of many looks at whether it lives."""
    slowest_s = 0.0
    while not until.is_set():
        started = time.monotonic()
        assert (await client.get("/healthz")).status_code == 200
        slowest_s = max(slowest_s, time.monotonic() - started)
        await anyio.sleep(0.01)
    return slowest_s


@dataclass(slots=True)
class Met:
    """What came of a call, and what it cost meanwhile."""

    body: bytes = b""
    status: int = 0
    clean: bool = False
    took_s: float = 0.0
    slowest_health_s: float = 0.0
    grown_mib: float = 0.0

    @property
    def text(self) -> str:
        """What was said."""
        if not self.body.startswith(b"data:"):
            return str(json.loads(self.body)["choices"][0]["message"]["content"])
        events = [json.loads(line[6:]) for line in self.body.split(b"\n\n") if line.startswith(b"data: {")]
        return "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event.get("choices"))


def fresh_peak_mib(pid: int) -> float:
    """The memory it has resident now, from which its peak is counted."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    return peak_mib(pid)


async def meet(client: httpx2.AsyncClient, pid: int, *, stream: bool) -> Met:
    """Ask, and look meanwhile whether it lives."""
    met, over = Met(), anyio.Event()
    before, started = fresh_peak_mib(pid), time.monotonic()

    async def watch() -> None:
        met.slowest_health_s = await slowest_health(client, over)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        try:
            async with client.stream("POST", "/v1/chat/completions", json=asking(stream=stream), timeout=100) as response:
                met.status = response.status_code
                async for piece in response.aiter_bytes():
                    met.body += piece
                met.clean = True
        except httpx2.RemoteProtocolError:
            pass
        met.took_s = time.monotonic() - started
        over.set()
    met.grown_mib = peak_mib(pid) - before
    return met


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("mode", [*DAILY, *(pytest.param(mode, marks=pytest.mark.nightly) for mode in NIGHTLY)])
async def test_whatever_a_model_sends_the_next_one_answers_or_the_client_is_told(
    tmp_path: Path, mode: str, stream: bool
) -> None:
    """In time, small, and everybody else is served meanwhile. What has no end is read up to 4 MiB."""
    settings = {"GROQ_FALLBACK_PLAN": "developer", "GROQ_FALLBACK_STATE": "memory"}
    with fault_server(mode, good_models=GOOD) as upstream:
        async with gateway_before(upstream.url, tmp_path, **settings) as (client, process, _):
            met = await meet(client, process.pid, stream=stream)
        print(
            f"{mode}, {'streamed' if stream else 'whole'}: {met.took_s:.2f} s, "
            f"health {met.slowest_health_s * 1e3:.0f} ms, +{met.grown_mib:.1f} MiB"
        )
        assert upstream.chats[0] == FIRST
    assert met.status == 200
    if met.clean:
        assert met.text == "good answer"
    else:
        assert stream
        assert b'"error"' in met.body
        assert b"[DONE]" not in met.body
    assert met.took_s < 90
    assert met.slowest_health_s < 3
    assert met.grown_mib < 50


@dataclass(slots=True)
class Words:
    """An upstream whose models say `words` words, one every `pause_s`; it counts the streams that it has open."""

    words: int
    pause_s: float
    opened: int = 0
    open: int = 0

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Its address."""
        app = Starlette(routes=[Route("/openai/v1/chat/completions", self._complete, methods=["POST"])])
        async with run_simulator(app) as running:
            yield f"{running.base_url}"

    async def _complete(self, request: Request) -> StreamingResponse:
        asked = json.loads(await request.body())["messages"][-1]["content"]
        return StreamingResponse(self._say(asked), media_type="text/event-stream")

    async def _say(self, asked: str) -> AsyncIterator[bytes]:
        self.opened += 1
        self.open += 1
        try:
            for _ in range(self.words):
                yield _chunk({"content": f"{asked} "})
                await asyncio.sleep(self.pause_s)
            yield _chunk({}, "stop") + b"data: [DONE]\n\n"
        finally:
            self.open -= 1


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"


async def until(reached: Any, within_s: float = 10.0) -> float:
    """Seconds until it holds."""
    started = time.monotonic()
    with anyio.fail_after(within_s):
        while not reached():  # noqa: ASYNC110 - another process is looked at
            await anyio.sleep(0.01)
    return time.monotonic() - started


@asynccontextmanager
async def talking(folder: Path, upstream: Words) -> AsyncIterator[tuple[httpx2.AsyncClient, int, int]]:
    """A gateway before it, whose limits are not reached: the client, the process and the port."""
    settings = {"GROQ_FALLBACK_PLAN": "developer", "GROQ_FALLBACK_STATE": "memory"}
    async with upstream.serve() as url, gateway_before(url, folder, **settings) as (client, process, port):
        # what the first call imports is not memory that streams cost
        words, upstream.words = upstream.words, 1
        assert (await client.post("/v1/chat/completions", json=asking(stream=True))).status_code == 200
        upstream.words = words
        yield client, process.pid, port


async def test_streams_side_by_side_get_each_its_own_words_and_cost_little(tmp_path: Path) -> None:
    """As many as an office of agents has."""
    upstream = Words(words=100, pause_s=0.01)
    async with talking(tmp_path, upstream) as (client, pid, _):
        before = fresh_peak_mib(pid)
        texts: dict[int, str] = {}

        async def one(number: int) -> None:
            response = await client.post("/v1/chat/completions", json=asking(stream=True, content=f"n{number}"))
            texts[number] = Met(body=response.content).text

        async with anyio.create_task_group() as group:
            for number in range(STREAMS):
                group.start_soon(one, number)
        print(f"{STREAMS} streams: +{peak_mib(pid) - before:.1f} MiB")
        assert texts == {number: f"n{number} " * 100 for number in range(STREAMS)}
        assert peak_mib(pid) - before < 25


async def test_clients_that_leave_end_what_was_under_way_for_them(tmp_path: Path) -> None:
    """Soon, and nothing of them stays."""
    upstream = Words(words=100_000, pause_s=0.05)
    async with talking(tmp_path, upstream) as (client, pid, port):
        before = _descriptors(pid)
        lines = [_ask(port, asking(stream=True)) for _ in range(STREAMS)]
        await until(lambda: upstream.open == STREAMS)
        for line in lines:
            line.close()
        took_s = await until(lambda: upstream.open == 0)
        print(f"{STREAMS} clients left: {took_s:.2f} s until nothing is open")
        # within a second on a machine with nothing else to do
        assert took_s < 5
        await until(lambda: _descriptors(pid) <= before)
        assert (await client.get("/healthz")).status_code == 200


async def test_clients_that_do_not_read_hold_up_nobody(tmp_path: Path) -> None:
    """What they do not take is held in bounds, and others are served meanwhile."""
    upstream = Words(words=900, pause_s=0.001)
    async with talking(tmp_path, upstream) as (client, pid, port):
        before = fresh_peak_mib(pid)
        # 3.6 million characters each, more than any socket holds
        lines = [_ask(port, asking(stream=True, content="x" * 4_000)) for _ in range(SLOW)]
        await until(lambda: upstream.opened == SLOW + 1)
        over = anyio.Event()
        slowest_s = 0.0

        async def watch() -> None:
            nonlocal slowest_s
            slowest_s = await slowest_health(client, over)

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await until(lambda: upstream.open == 0, within_s=60)
            over.set()
        print(f"{SLOW} clients that do not read: +{peak_mib(pid) - before:.0f} MiB, health {slowest_s * 1e3:.0f} ms")
        assert slowest_s < 3
        assert peak_mib(pid) - before < 150
        for line in lines:
            line.close()


async def test_a_flood_of_requests_is_answered_or_refused_in_form(tmp_path: Path) -> None:
    """More at once than there are places: each gets a whole answer, or an error that says when to come back."""
    upstream = Words(words=5, pause_s=0.05)
    async with talking(tmp_path, upstream) as (_, pid, port):
        statuses: dict[int, int] = {}
        client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=60,
            limits=httpx2.Limits(max_connections=None),
        )

        async def one() -> None:
            response = await client.post("/v1/chat/completions", json=asking(stream=True) | {"max_tokens": 50})
            statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
            if response.status_code != 200:
                assert set(response.json()["error"]) == {"message", "type", "param", "code"}
                assert response.headers["retry-after"]
            else:
                assert Met(body=response.content).text == "hi " * 5

        async with client, anyio.create_task_group() as group:
            for _ in range(FLOOD):
                group.start_soon(one)
        print(f"{FLOOD} requests at once: {statuses}, {peak_mib(pid):.0f} MiB")
        assert sum(statuses.values()) == FLOOD
        assert set(statuses) <= {200, 429, 503}
        assert statuses[200] >= 128


def _ask(port: int, body: dict[str, Any]) -> socket.socket:
    """A connection with a small buffer, on which a request was sent and nothing is read."""
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    line.connect(("127.0.0.1", port))
    line.sendall(head.encode() + content)
    return line


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
