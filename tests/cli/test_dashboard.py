"""The command `dashboard` and the page that it opens, with real processes."""

from __future__ import annotations

import json
import signal
import webbrowser
from pathlib import Path

import anyio
import httpx2
import pytest
from command_line import command
from gateway_process import TOKEN, environment_of, free_port, gateway, started

from groq_fallback_mcp.cli import dashboard

pytestmark = pytest.mark.anyio
HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Say hello"}]}


async def link_to(port: int, folder: Path) -> str:
    """The link that the command prints, alone on stdout."""
    url = f"http://127.0.0.1:{port}"
    done = await command("dashboard", "--no-open", "--url", url, cwd=folder, GROQ_FALLBACK_HTTP_TOKEN=TOKEN)
    assert (done.returncode, done.stderr.strip()) == (0, "The link works once, within 60 seconds.")
    assert TOKEN not in done.stdout
    return done.stdout.strip()


async def test_a_call_shows_in_the_browser_while_it_looks(tmp_path: Path) -> None:
    """The link opens the page; a call through the gateway comes as an event; a signal ends both at once."""
    async with gateway(tmp_path) as (client, process, port):
        link = await link_to(port, tmp_path)
        async with httpx2.AsyncClient(timeout=30, follow_redirects=True) as browser:
            page = await browser.get(link)
            assert (page.status_code, page.url.path, "<title>groq-fallback-mcp</title>" in page.text) == (200, "/", True)
            data = (await browser.get(page.url.join("/dashboard/data"))).json()
            assert data["calls"] == {"calls": [], "more": False, "kept": True}
            async with browser.stream("GET", page.url.join("/dashboard/events")) as events:
                lines = events.aiter_lines()
                assert (await client.post("/v1/chat/completions", json=HELLO)).status_code == 200
                with anyio.fail_after(20):
                    async for line in lines:
                        if line.startswith("data: ") and "duration_s" in line and '"calls":[{' in line:
                            break
                shown = json.loads(line.removeprefix("data: "))["calls"][0]
                assert (shown["endpoint"], shown["outcome"]) == ("/v1/chat/completions", "answered")
                process.send_signal(signal.SIGTERM)
                with anyio.fail_after(10):
                    status = await anyio.to_thread.run_sync(process.wait)
                assert status in {0, -signal.SIGTERM}
                assert process.stderr is not None
                assert b"Traceback" not in process.stderr.read()


async def test_mcp_over_http_has_it_too(tmp_path: Path) -> None:
    """`serve --http`, with its own token."""
    port = free_port()
    known = environment_of(tmp_path, "http://127.0.0.1:9/v1")
    async with started("serve", "--http", f"127.0.0.1:{port}", environment=known, port=port):
        link = await link_to(port, tmp_path)
        async with httpx2.AsyncClient(timeout=30, follow_redirects=True) as browser:
            page = await browser.get(link)
            assert page.status_code == 200
            assert (await browser.get(page.url.join("/dashboard/data"))).json()["now"]["models"]
            assert (await browser.post(page.url.join("/mcp"), json={})).status_code == 401


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Start it: groq-fallback-mcp gateway"),
        (("--url", "http://127.0.0.1:{port}"), "Start it: groq-fallback-mcp gateway"),
        (("--url", "https://127.0.0.1.invalid:{port}"), "Check the address"),
        (("--url", "gateway"), "Use --url"),
    ],
)
async def test_without_a_server_it_says_so_and_what_to_do(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    """With the address, and without making a token for nobody."""
    port = free_port()
    given = [argument.format(port=port) for argument in arguments]
    environment = {"GROQ_FALLBACK_GATEWAY_PORT": str(port), "XDG_STATE_HOME": str(tmp_path)}
    done = await command("dashboard", "--no-open", *given, cwd=tmp_path, **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert str(port) in done.stderr or "--url" in words
    assert not list(tmp_path.rglob("gateway-token"))


async def test_a_wrong_token_is_refused_with_the_address(tmp_path: Path) -> None:
    """It is not shown."""
    async with gateway(tmp_path) as (_, _, port):
        url = f"http://127.0.0.1:{port}"
        wrong = "another-token-0123456789"
        done = await command("dashboard", "--no-open", "--url", url, cwd=tmp_path, GROQ_FALLBACK_HTTP_TOKEN=wrong)
        assert (done.returncode, f"The server at {url} refused the token" in done.stderr) == (2, True)
        assert wrong not in done.stderr


@pytest.mark.parametrize(
    ("kind", "variable", "opens"),
    [
        (webbrowser.GenericBrowser, None, False),
        (webbrowser.GenericBrowser, "lynx", True),
        (webbrowser.BackgroundBrowser, None, True),
    ],
)
def test_a_browser_that_would_take_the_terminal_is_only_started_where_it_was_chosen(
    kind: type[webbrowser.GenericBrowser], variable: str | None, opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over SSH the link is all that one can use."""
    opened: list[str] = []
    monkeypatch.setattr(kind, "open", lambda _, url: opened.append(url) or True)
    monkeypatch.setattr(webbrowser, "get", lambda: kind("browser"))
    monkeypatch.delenv("BROWSER", raising=False)
    if variable is not None:
        monkeypatch.setenv("BROWSER", variable)
    assert dashboard._opened("http://127.0.0.1/") is opens
    assert opened == (["http://127.0.0.1/"] if opens else [])
