"""The options of `setup --gateway` at the command line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from command_line import command

pytestmark = pytest.mark.anyio
TOKEN = "token-of-a-gateway-elsewhere-0123"


@pytest.mark.parametrize("option", [("--scope", "project"), ("--key",), ("--toolsets", "speech")])
async def test_options_of_the_server_s_entry_are_refused_with_the_gateway(tmp_path: Path, option: tuple[str, ...]) -> None:
    """Its token is never written into a project's file. Nothing is written."""
    done = await command("setup", "kilo", "--gateway", *option, cwd=tmp_path)
    assert (done.returncode, "cannot be combined with --gateway" in done.stderr) == (2, True), done
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [("--port", "9000"), ("--measure",), ("--url", "https://a.test")])
async def test_options_of_the_gateway_are_refused_without_it(tmp_path: Path, option: tuple[str, ...]) -> None:
    """The server's entry has neither."""
    done = await command("setup", "kilo", *option, cwd=tmp_path)
    assert (done.returncode, "needs --gateway" in done.stderr) == (2, True), done
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [("--port", "9000"), ("--measure",), ("--remove",)])
async def test_options_of_a_gateway_here_are_refused_for_one_elsewhere(tmp_path: Path, option: tuple[str, ...]) -> None:
    """They would do nothing."""
    done = await command("setup", "kilo", "--gateway", "--url", "https://a.test", *option, cwd=tmp_path)
    assert (done.returncode, "--url" in done.stderr) == (2, True), done


async def test_an_agent_is_set_up_for_a_gateway_elsewhere_with_what_it_states(tmp_path: Path) -> None:
    """Its address and token; the windows are those of its list, not of this machine's plan. `doctor` asks there."""
    async with serving_list() as url:
        home = {"HOME": str(tmp_path), "GROQ_FALLBACK_HTTP_TOKEN": TOKEN, "GROQ_FALLBACK_PLAN": "free"}
        done = await command("setup", "kilo", "--gateway", "--url", f"{url}/v1/", cwd=tmp_path, **home)
        assert done.returncode == 0, done
        checked = await command("doctor", "--json", cwd=tmp_path, **home)
        file = tmp_path / ".config/kilo/kilo.json"
        set_up = file.read_text()
        file.write_text(set_up.replace(TOKEN, "removed-token-0123456789"))
        refused = await command("doctor", "--json", cwd=tmp_path, **home)
        file.write_text(set_up)
    assert "that gateway takes 131,072, so it fits" in done.stdout
    assert "Next step" not in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    provider = json.loads((tmp_path / ".config/kilo/kilo.json").read_text())["provider"]["groq-fallback"]
    assert (provider["options"]["baseURL"], provider["options"]["apiKey"]) == (f"{url}/v1", TOKEN)
    assert set(provider["models"]) == {"auto", "openai/gpt-oss-20b"}
    assert provider["models"]["openai/gpt-oss-20b"]["limit"]["context"] == 100_000
    found = [row for row in json.loads(checked.stdout)["findings"] if row["what"] == "gateway of kilo"]
    assert [(row["state"], row["detail"]) for row in found] == [("ok", f"answers at {url}")]
    (row,) = [row for row in json.loads(refused.stdout)["findings"] if row["what"] == "gateway of kilo"]
    assert (row["state"], f"the gateway at {url} refuses the token of Kilo Code" in row["detail"]) == ("fail", True)
    assert "removed-token" not in refused.stdout + refused.stderr


@pytest.mark.parametrize(
    ("url", "token", "words"),
    [
        ("http://gateway.test", TOKEN, "in clear text"),
        ("gateway.test", TOKEN, "not an http(s) address"),
        ("{there}", "wrong-token-0123456789", "Use the token that you were given"),
        ("http://127.0.0.1:9", TOKEN, "Check the address"),
        ("{there}", None, "No token is given"),
    ],
)
async def test_a_gateway_elsewhere_that_cannot_be_used_is_said_and_nothing_is_written(
    tmp_path: Path, url: str, token: str | None, words: str
) -> None:
    """With the next step."""
    async with serving_list() as there:
        home = {"HOME": str(tmp_path), **({"GROQ_FALLBACK_HTTP_TOKEN": token} if token else {})}
        done = await command("setup", "codex", "--gateway", "--url", url.format(there=there), cwd=tmp_path, **home)
    assert (done.returncode, words in done.stderr) == (2, True), done
    assert not (tmp_path / ".codex").exists()


@asynccontextmanager
async def serving_list() -> AsyncIterator[str]:
    """A gateway's list and its health, for one token."""

    def answer(head: str) -> bytes:
        rows = [
            {"id": "auto", "type": "chat", "context_window": 131_072},
            {"id": "openai/gpt-oss-20b", "type": "chat", "context_window": 100_000},
        ]
        known = f"authorization: bearer {TOKEN}".lower() in head.lower()
        health = head.startswith("GET /healthz ")
        body = json.dumps(
            {"status": "ok"} if health else {"object": "list", "data": rows} if known else {"error": {"message": "no"}}
        )
        status = "200 OK" if health or known else "401 Unauthorized"
        return f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()

    async def handle(stream: SocketStream) -> None:
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                head += await stream.receive()
            await stream.send(answer(head.decode()))

    server = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with server, anyio.create_task_group() as group:
        group.start_soon(server.serve, handle)
        yield f"http://127.0.0.1:{server.extra(SocketAttribute.local_port)}"
        group.cancel_scope.cancel()
