"""The command `gateway` in a process of its own, asked by httpx2 and by OpenAI's own client over a real socket."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx2
import openai
import pytest
from command_line import command, simulated
from gateway_process import TOKEN, answering, environment_of, free_port, gateway

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.simulator import SimulatorOptions, run_simulator

pytestmark = pytest.mark.anyio

LONG = {"model": "auto", "messages": [{"role": "user", "content": "Repeat: " + "one two three " * 40}]}
HELLO = {"model": "auto", "messages": [{"role": "user", "content": "Say hello"}]}


async def test_openais_own_client_lists_chats_and_streams(tmp_path: Path) -> None:
    """With nothing but a base URL and the token; MCP is beside it where that is wanted."""
    async with gateway(tmp_path, "--mcp") as (client, _, port):
        sdk = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=TOKEN, max_retries=0)
        models = [model.id async for model in sdk.models.list()]
        assert models[0] == "auto"
        messages: Any = HELLO["messages"]
        answer = await sdk.chat.completions.create(model="auto", messages=messages)
        assert answer.choices[0].message.content
        stream = await sdk.chat.completions.create(
            model="gpt-oss-120b", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert chunks[-1].usage is not None
        with pytest.raises(openai.NotFoundError, match="Unknown model"):
            await sdk.chat.completions.create(model="gpt-9", messages=messages)
        listed = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        both = {"accept": "application/json, text/event-stream"}
        assert "groq_chat" in (await client.post("/mcp", json=listed, headers=both)).text
        await sdk.close()


async def test_openais_own_client_transcribes_and_speaks(tmp_path: Path) -> None:
    """A recording may be larger than any other body, and is answered after it was read piece by piece."""
    async with gateway(tmp_path) as (_, _, port):
        sdk = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=TOKEN, max_retries=0)
        heard = await sdk.audio.transcriptions.create(model="whisper-large-v3-turbo", file=sample_path())
        assert heard.text
        with pytest.raises(openai.BadRequestError, match="not a supported audio file"):
            await sdk.audio.transcriptions.create(model="auto", file=("big.wav", bytes(20_000_000)))
        said = await sdk.audio.speech.create(model="auto", voice="troy", input="Hello", response_format="wav")
        assert said.content.startswith(b"RIFF")
        await sdk.close()


async def test_a_client_that_sends_too_much_reads_why(tmp_path: Path) -> None:
    """Most read an answer only when they have sent all: a connection closed before would look broken, and be tried again."""
    async with gateway(tmp_path) as (client, _, port):
        sdk = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=TOKEN, max_retries=0)
        with pytest.raises(openai.APIStatusError, match="The body is larger than 16,777,216 bytes") as refused:
            await sdk.chat.completions.create(model="auto", messages=[{"role": "user", "content": "x" * 40_000_000}])
        assert refused.value.status_code == 413
        got = await client.post("/v1/audio/transcriptions", content=bytes(40_000_000), headers={"content-type": "audio/flac"})
        assert (got.status_code, got.json()["error"]["type"]) == (400, "invalid_request_error")
        assert (await client.get("/v1/models")).status_code == 200
        await sdk.close()


async def test_nobody_gets_in_without_the_token_or_by_another_name(tmp_path: Path) -> None:
    """Any web page can send to a port of this machine. What is refused is said in the API's form, and shows no token."""
    async with gateway(tmp_path) as (client, _, _):
        for headers, status in (
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Host": "gateway.evil.example"}, 421),
            ({"Origin": "http://evil.example"}, 403),
        ):
            got = await client.post("/v1/chat/completions", json=HELLO, headers=headers)
            assert (got.status_code, set(got.json()["error"])) == (status, {"message", "type", "param", "code"})
            assert TOKEN not in got.text
        assert (await client.get("/healthz", headers={"Authorization": ""})).json() == {"status": "ok"}


async def test_a_signal_ends_a_stream_with_an_error_and_the_process_soon(tmp_path: Path) -> None:
    """No client takes what it has for the whole answer."""
    async with gateway(tmp_path, options=SimulatorOptions(latency_scale=40.0)) as (client, process, _):
        events = b""
        with pytest.raises(httpx2.RemoteProtocolError):  # noqa: PT012 - the end of the loop raises
            async with client.stream("POST", "/v1/chat/completions", json={**LONG, "stream": True}) as response:
                async for chunk in response.aiter_raw():
                    if not events:
                        process.send_signal(signal.SIGTERM)
                    events += chunk
        assert b"The gateway is stopping" in events
        assert b"[DONE]" not in events
        with anyio.fail_after(5):
            _, log = await anyio.to_thread.run_sync(process.communicate)
        # it is no fault of the program
        assert b"ERROR" not in log


async def test_what_was_called_last_is_kept_when_a_signal_ends_the_process(tmp_path: Path) -> None:
    """As a service manager ends it."""
    async with gateway(tmp_path) as (client, process, _):
        assert (await client.post("/v1/chat/completions", json=HELLO)).status_code == 200
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(10):
            await anyio.to_thread.run_sync(process.communicate)
        assert process.returncode == 0
    log = await command("log", "--json", cwd=tmp_path, XDG_STATE_HOME=str(tmp_path / "state"))
    assert [one["outcome"] for one in json.loads(log.stdout)["calls"]] == ["answered"]


async def test_a_server_that_cannot_listen_does_not_say_where_it_listens(tmp_path: Path) -> None:
    """A port in use is no address of its own."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = await command("serve", "--http", f"127.0.0.1:{port}", cwd=tmp_path)
    assert done.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "http://" not in done.stderr


async def test_a_second_gateway_says_who_has_the_port(tmp_path: Path) -> None:
    """And what to do."""
    async with gateway(tmp_path) as (_, _, port):
        done = await command("gateway", "--port", str(port), cwd=tmp_path, GROQ_FALLBACK_HTTP_TOKEN=TOKEN)
    assert done.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "choose another port" in done.stderr
    assert "Traceback" not in done.stderr


async def test_serve_holds_the_port_and_another_takes_over_when_it_ends(tmp_path: Path) -> None:
    """So an agent needs no second program, and two of its servers do not fight."""
    port = free_port()
    async with run_simulator(simulated()) as simulator:  # type: ignore[arg-type]
        environment = environment_of(tmp_path, simulator.base_url, GROQ_FALLBACK_GATEWAY_PORT=str(port))
        initialize = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}\n'

        async def serving(process: subprocess.Popen[bytes]) -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(initialize)
            process.stdin.flush()
            await anyio.to_thread.run_sync(process.stdout.readline)

        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            first, second = (
                subprocess.Popen(  # noqa: ASYNC220 - it is not waited for
                    [sys.executable, "-m", "groq_fallback_mcp"],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
                for _ in range(2)
            )
            try:
                await serving(first)
                await answering(port)
                await serving(second)
                assert (await client.post("/v1/chat/completions", json=HELLO)).status_code == 200
                first.communicate()
                await answering(port)
                assert (await client.post("/v1/chat/completions", json=HELLO)).status_code == 200
                second.communicate()
            finally:
                for process in (first, second):
                    process.kill()
                    process.communicate()


async def test_an_address_of_ipv6_is_shown_with_brackets(tmp_path: Path) -> None:
    """Here that of a port that is taken."""
    try:
        taken = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with taken:
        port = taken.getsockname()[1]
        done = await command("gateway", "--host", "::1", "--port", str(port), cwd=tmp_path, GROQ_FALLBACK_HTTP_TOKEN=TOKEN)
    assert done.returncode == 2
    assert f"Cannot listen on [::1]:{port} (" in done.stderr


async def test_the_token_is_made_once_and_shown_on_request(tmp_path: Path) -> None:
    """Alone on its line, for a shell; in a file for its owner alone."""
    first, again = [await command("gateway", "--show-token", cwd=tmp_path) for _ in range(2)]
    assert first.stdout == again.stdout
    assert len(first.stdout.strip()) > 30
    stated = await command("gateway", "--show-token", cwd=tmp_path, GROQ_FALLBACK_HTTP_TOKEN=TOKEN)
    assert stated.stdout == TOKEN + "\n"
    files = [path for path in tmp_path.rglob("gateway-token") if path.is_file()]
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600]
