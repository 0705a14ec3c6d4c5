"""MCP over HTTP: who may ask, from where, how much; and that all of it works as over stdio (fault row 50)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fakes import GROQ_CHAT_MODELS, World
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from servers import text_of
from starlette.applications import Starlette

from groq_fallback_mcp.application import allowed_folders
from groq_fallback_mcp.call import ChatRequest
from groq_fallback_mcp.cli.serve import serve_over_http
from groq_fallback_mcp.mcp_server.build import build_server
from groq_fallback_mcp.settings import Settings
from groq_fallback_mcp.simulator import run_simulator
from groq_fallback_mcp.tools.tool import Context
from groq_fallback_mcp.transport.http_server import HEALTH, PATH, Guard, listen
from groq_fallback_mcp.transport.mcp_http import http_app

pytestmark = pytest.mark.anyio
TOKEN = "a-token-of-many-characters"
HOSTS = ("127.0.0.1:*", "localhost:*")
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
HEADERS = {
    "authorization": f"Bearer {TOKEN}",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2025-11-25",
}


def app_of(world: World, *, token: str | None = TOKEN, body_bytes: int = 1_000_000) -> Guard:
    """The application around fake providers."""

    @asynccontextmanager
    async def open_context() -> AsyncIterator[Context]:
        yield Context(engine=world.engine, folders=())

    return http_app(build_server(open_context), hosts=HOSTS, token=token, body_bytes=body_bytes)


@asynccontextmanager
async def asked(app: Guard) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a port; the application's life around it."""
    inner: Any = app._app
    assert isinstance(inner, Starlette)
    async with inner.router.lifespan_context(inner):
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8765") as client:
            yield client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"host": "evil.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://localhost:3000"}, 200),
    ],
)
async def test_only_who_may_ask_is_answered(headers: dict[str, str], status: int) -> None:
    """Token, Host and Origin."""
    async with asked(app_of(World())) as client:
        reply = await client.post(PATH, json=LIST, headers={**HEADERS, **headers})
    assert reply.status_code == status, reply.text
    if status == 401:
        assert reply.headers["www-authenticate"] == "Bearer"
        assert "GROQ_FALLBACK_HTTP_TOKEN" in reply.json()["next_step"]
        assert TOKEN not in reply.text


async def test_health_is_told_to_anybody_and_nothing_else_is() -> None:
    """A load balancer has no token."""
    async with asked(app_of(World())) as client:
        assert (await client.get(HEALTH)).json() == {"status": "ok"}
        assert (await client.get("/")).status_code == 401
        assert (await client.get("/metrics", headers=HEADERS)).status_code == 404


async def test_a_body_above_the_bound_is_refused() -> None:
    """Before it is parsed."""
    async with asked(app_of(World(), body_bytes=10_000)) as client:
        reply = await client.post(PATH, json={**LIST, "params": {"x": "y" * 20_000}}, headers=HEADERS)
    assert reply.status_code == 413


async def test_more_at_once_than_can_be_served_are_told_to_come_back() -> None:
    """Here or at another replica."""
    began, go_on = anyio.Event(), anyio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        began.set()
        await go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guard = Guard(slow, identify=None, most=1)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=guard), base_url="http://x") as client:  # type: ignore[arg-type]
        async with anyio.create_task_group() as group:
            group.start_soon(client.get, "/a")
            await began.wait()
            refused = await client.get("/b")
            go_on.set()
        assert (await client.get("/c")).status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_sdk_s_client_lists_and_calls_over_a_real_connection(mode: str) -> None:
    """In both eras, with progress."""
    world = World()
    messages: list[str | None] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        messages.append(message)

    app: Any = app_of(world, token=None)
    async with asked(app), run_simulator(app) as running:  # noqa: SIM117 - too long for one line
        async with Client(streamable_http_client(f"{running.base_url}{PATH}"), mode=mode) as client:  # type: ignore[arg-type]
            tools = [tool.name for tool in (await client.list_tools()).tools]
            result = await client.call_tool("groq_chat", {"prompt": "hi"}, progress_callback=progress)
            local = await client.call_tool("transcribe", {"file": "/etc/hostname"})
    assert tools == ["groq_chat", "list_models", "check_limits", "transcribe"]
    assert result.structured_content is not None
    assert result.structured_content["model"] == GROQ_CHAT_MODELS[0]
    assert "no folder is allowed" in text_of(local)


async def test_a_client_that_goes_gives_its_quota_back() -> None:
    """Its call to Groq is closed."""
    world = World()
    began = anyio.Event()

    async def hold() -> None:
        began.set()
        await anyio.sleep_forever()

    world.groq.before = hold
    app: Any = app_of(world, token=None)
    call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "groq_chat", "arguments": {"prompt": "hi"}}}
    async with asked(app), run_simulator(app) as running:
        async with httpx.AsyncClient() as client, anyio.create_task_group() as group:
            group.start_soon(lambda: client.post(f"{running.base_url}{PATH}", json=call, headers=HEADERS, timeout=60))
            with anyio.fail_after(10):
                await began.wait()
            group.cancel_scope.cancel()
        plan = await world.engine.plan(ChatRequest(messages=({"role": "user", "content": "hi"},)))
        with anyio.fail_after(10):
            while True:
                (quota,) = await world.engine.ledger.peek([world.engine.claim(plan.candidates[0])])
                if quota.calls_in_flight == 0:
                    break
                await anyio.sleep(0.01)


def test_the_current_folder_is_nobody_s_from_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only folders that were named are open."""
    monkeypatch.chdir(tmp_path)
    assert allowed_folders(Settings()) == (tmp_path.resolve(),)
    assert allowed_folders(Settings(), remote=True) == ()
    assert allowed_folders(Settings(files=(tmp_path,)), remote=True) == (tmp_path.resolve(),)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("address", "token", "words"),
    [
        ("0.0.0.0:8765", None, "no token is set"),
        ("127.0.0.1:8765", "short", "fewer than 16 characters"),
        ("127.0.0.1", None, "Invalid address"),
        ("http://127.0.0.1:1/x", None, "Invalid address"),
        ("127.0.0.1:99999", None, "Invalid address"),
    ],
)
def test_what_would_be_open_to_anybody_is_not_served(
    address: str, token: str | None, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the cause and the next step; the token is not shown."""
    if token is not None:
        monkeypatch.setenv("GROQ_FALLBACK_HTTP_TOKEN", token)
    with pytest.raises(SystemExit) as end:
        serve_over_http(address)
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert words in told
    assert token is None or token not in told


async def test_a_body_does_not_wait_for_its_head_to_be_acknowledged() -> None:
    """Nagle's algorithm is off: with it each answer would take 40 ms longer."""
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    with listen("127.0.0.1", 0) as listener:
        server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), sock=listener)
        async with server:
            _, client = await asyncio.open_connection(*listener.getsockname())
            ours = await accepted
            assert ours.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            ours.close()
            client.close()


def test_nothing_of_http_is_loaded_for_stdio() -> None:
    """It would cost every start."""
    import subprocess
    import sys

    code = "import sys, groq_fallback_mcp.cli.serve; print([m for m in sys.modules if m.startswith('groq_fallback_mcp.transport.http')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
