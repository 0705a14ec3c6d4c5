"""The server over raw JSON lines, as a stdio harness without any SDK drives it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import Fault, SimulatorOptions, create_app, run_simulator

pytestmark = pytest.mark.anyio
FIRST = "openai/gpt-oss-20b"
SECOND = "openai/gpt-oss-120b"


class Lines:
    """A server process, spoken to line by line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.last = 0

    def send(self, method: str, params: dict[str, Any] | None = None, *, notify: bool = False) -> None:
        """One line out."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        if not notify:
            self.last += 1
            message["id"] = self.last
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """One line out, its answer in; every line on stdout must be JSON-RPC."""
        self.send(method, params)
        assert self.process.stdout is not None
        while True:
            line = self.process.stdout.readline()
            assert line, "the server closed its stdout"
            message = json.loads(line)
            assert message["jsonrpc"] == "2.0"
            if message.get("id") == self.last:
                assert "error" not in message, message
                return dict(message["result"])

    def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One tool call."""
        return self.ask("tools/call", {"name": tool, "arguments": arguments})

    def handshake(self) -> dict[str, Any]:
        """Initialize and initialized."""
        client = {"name": "raw", "version": "0"}
        result = self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client})
        self.send("notifications/initialized", notify=True)
        return result


@contextmanager
def server(tmp_path: Path, **environment: str) -> Iterator[Lines]:
    """The real server as a child, with an environment of its own."""
    clean = {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "GROQ_FALLBACK_CONFIG": str(tmp_path / "none.toml"),
        "GROQ_FALLBACK_LOCAL": "off",
        "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "groq_fallback_mcp"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean | environment,
        cwd=sample_path().parent,
    )
    try:
        yield Lines(process)
    finally:
        process.kill()
        process.communicate()


async def test_the_whole_way_over_raw_json_lines(tmp_path: Path) -> None:
    """All four tools; the first model answers 429, the second answers, and the first is not asked again before its time."""
    app = create_app(
        SimulatorOptions(latency_scale=0.0, faults={FIRST: (Fault(kind="429", seconds=60.0),)}),
        catalog=load_catalog(),
        clock=SystemClock(),
    )

    def drive(base_url: str) -> None:
        with server(tmp_path, GROQ_API_KEY="gsk_simulated", GROQ_BASE_URL=base_url) as lines:
            assert lines.handshake()["serverInfo"]["name"] == "groq-fallback-mcp"
            names = [tool["name"] for tool in lines.ask("tools/list")["tools"]]
            assert names == ["groq_chat", "list_models", "check_limits", "transcribe"]
            first = lines.call("groq_chat", {"prompt": "Say hello."})["structuredContent"]
            assert [(a["model"], a.get("status")) for a in first["attempts"]] == [(FIRST, 429), (SECOND, None)]
            assert (first["model"], first["simulated"]) == (SECOND, True)
            assert first["duration_s"] < 10
            again = lines.call("groq_chat", {"prompt": "Again."})["structuredContent"]
            assert [(a["model"], a["sent"]) for a in again["attempts"]] == [(FIRST, False), (SECOND, True)]
            assert len(lines.call("list_models", {"all": True})["structuredContent"]["models"]) >= 8
            limits = lines.call("check_limits", {"model": FIRST})["structuredContent"]["models"][0]
            assert 50 < limits["next_call_in_s"] <= 90
            heard = lines.call("transcribe", {"file": sample_path().name, "format": "vtt"})
            assert heard["structuredContent"]["output"].startswith("WEBVTT")
            assert "simulated" in heard["content"][0]["text"]

    async with run_simulator(app) as running:
        await anyio.to_thread.run_sync(drive, running.base_url)
        assert dict(app.state.world.calls[FIRST]) == {"429": 1}
        assert dict(app.state.world.calls[SECOND]) == {"200": 2}


def test_without_a_key_the_server_lists_its_tools_and_a_call_says_where_to_put_one(tmp_path: Path) -> None:
    """And nothing is sent."""
    with server(tmp_path) as lines:
        lines.handshake()
        assert len(lines.ask("tools/list")["tools"]) == 4
        result = lines.call("groq_chat", {"prompt": "hi"})
        assert result["isError"] is True
        assert "GROQ_API_KEY" in result["content"][0]["text"]


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("GROQ_API_KEY", "gsk_canary with space", "spaces or non-ASCII"),
        ("GROQ_BASE_URL", "http://api.groq.com", "use https"),
        ("GROQ_FALLBACK_CATALOG", "/nowhere/catalog.toml", "/nowhere/catalog.toml"),
    ],
)
def test_a_configuration_that_cannot_be_used_ends_the_server_with_one_clear_line(
    tmp_path: Path, variable: str, value: str, words: str
) -> None:
    """Exit status 2, nothing on stdout, no traceback, no key."""
    with server(tmp_path, **{variable: value}) as lines:
        out, err = lines.process.communicate(timeout=20)
    assert lines.process.returncode == 2
    assert out == b""
    assert words in err.decode()
    assert len(err.decode().splitlines()) == 1
    assert "canary" not in err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_although_its_stdin_stays_open(tmp_path: Path, number: signal.Signals) -> None:
    """Within two seconds and a little, also right after a call."""
    with server(tmp_path) as lines:
        lines.handshake()
        lines.process.send_signal(number)
        lines.process.wait(timeout=10)


def test_the_end_of_stdin_ends_the_server(tmp_path: Path) -> None:
    """As when the client goes away; stderr stays quiet."""
    with server(tmp_path) as lines:
        lines.handshake()
        out, err = lines.process.communicate(timeout=10)
    assert (lines.process.returncode, out, err) == (0, b"", b"")


async def test_the_key_is_in_no_output_whatever_happens(tmp_path: Path) -> None:
    """Replies, stderr at debug level, and everything written below the home folder."""
    canary = "gsk_canary9f8e7d6c5b4a"
    app = create_app(
        SimulatorOptions(latency_scale=0.0, refused_keys=frozenset({canary})), catalog=load_catalog(), clock=SystemClock()
    )

    def drive(base_url: str) -> str:
        with server(tmp_path, GROQ_API_KEY=canary, GROQ_BASE_URL=base_url, GROQ_FALLBACK_LOG_LEVEL="debug") as lines:
            replies = [
                lines.handshake(),
                lines.call("groq_chat", {"prompt": "hi"}),
                lines.call("groq_chat", {"prompt": "hi", "model": canary}),
                lines.call("list_models", {}),
                lines.call("check_limits", {"model": FIRST, "probe": True}),
                lines.call("transcribe", {"file": sample_path().name}),
            ]
            out, err = lines.process.communicate(timeout=20)
        written = [path.read_bytes().decode("utf-8", "replace") for path in tmp_path.rglob("*") if path.is_file()]
        return json.dumps(replies) + out.decode() + err.decode() + "".join(written)

    async with run_simulator(app) as running:
        everything = await anyio.to_thread.run_sync(drive, running.base_url)
    assert "Invalid API Key" in everything
    assert "canary" not in everything


async def test_secrets_that_look_like_nothing_known_are_in_no_output_either(tmp_path: Path) -> None:
    """Groq's key, an endpoint's, the password of a store: replies, a log of JSON lines, the state, and a mistake at the start."""
    mine, theirs, password = "Zanary1mine23456", "Zanary2theirs789", "Zanary3password"
    options = SimulatorOptions(latency_scale=0.0, refused_keys=frozenset({mine, theirs}))
    app = create_app(options, catalog=load_catalog(), clock=SystemClock())

    def drive(base_url: str) -> str:
        config = tmp_path / "config.toml"
        endpoint = f'name = "mine"\nbase_url = "{base_url}/openai/v1"\nkey_env = "THEIR_KEY"\nmodels = ["{SECOND}"]\n'
        config.write_text(f"[[providers]]\n{endpoint}", encoding="utf-8")
        environment = {
            "GROQ_API_KEY": mine,
            "THEIR_KEY": theirs,
            "GROQ_BASE_URL": base_url,
            "GROQ_FALLBACK_CONFIG": str(config),
            "GROQ_FALLBACK_LOG_LEVEL": "debug",
            "GROQ_FALLBACK_LOG_FORMAT": "json",
            "GROQ_FALLBACK_LOG_FILE": str(tmp_path / "log"),
        }
        outputs: list[str] = []
        for state in ("sqlite", f"redis://me:{password}@127.0.0.1:9/0"):
            with server(tmp_path, **environment, GROQ_FALLBACK_STATE=state) as lines:
                lines.handshake()
                outputs += [
                    json.dumps(lines.call("groq_chat", {"prompt": "hi"})),
                    json.dumps(lines.call("groq_chat", {"prompt": "hi", "model": mine})),
                    json.dumps(lines.call("groq_chat", {"prompt": "hi", "use_case": theirs})),
                    json.dumps(lines.call("check_limits", {})),
                ]
                out, err = lines.process.communicate(timeout=20)
                outputs += [out.decode(), err.decode()]
        with server(tmp_path, **environment, GROQ_FALLBACK_STATE=f"redis://me:{password}@:x") as lines:
            outputs += [text.decode() for text in lines.process.communicate(timeout=20)]
        outputs += [path.read_bytes().decode("utf-8", "replace") for path in tmp_path.rglob("*") if path.is_file()]
        return "\n".join(outputs)

    async with run_simulator(app) as running:
        everything = await anyio.to_thread.run_sync(drive, running.base_url)
    assert everything.count("Invalid API Key") >= 2
    assert '"level": "' in everything
    assert "GROQ_FALLBACK_STATE" in everything
    assert "anary" not in everything


async def test_two_servers_share_one_organization_s_limits_and_spending(tmp_path: Path) -> None:
    """What one has learnt and spent the other knows; a killed one loses nothing, and its open calls are counted."""
    options = SimulatorOptions(latency_scale=0.0, faults={FIRST: (Fault(kind="429", seconds=60.0),)})
    app = create_app(options, catalog=load_catalog(), clock=SystemClock())

    def drive(base_url: str) -> None:
        environment = {"GROQ_API_KEY": "gsk_simulated", "GROQ_BASE_URL": base_url, "GROQ_FALLBACK_STATE": "sqlite"}
        with server(tmp_path, **environment) as one, server(tmp_path, **environment) as two:
            one.handshake()
            two.handshake()
            first = one.call("groq_chat", {"prompt": "Say hello."})["structuredContent"]
            assert [(a["model"], a["sent"]) for a in first["attempts"]] == [(FIRST, True), (SECOND, True)]
            second = two.call("groq_chat", {"prompt": "Say hello."})["structuredContent"]
            assert [(a["model"], a["sent"]) for a in second["attempts"]] == [(FIRST, False), (SECOND, True)]
        with server(tmp_path, **environment) as three:
            three.handshake()
            limits = three.call("check_limits", {"all": True})["structuredContent"]
            assert (limits["store"], "degraded" in limits, limits["spent"]["calls"]) == ("sqlite", False, 2)
            assert float(limits["spent"]["usd"]) > 0
            assert next(model for model in limits["models"] if model["model"] == FIRST)["next_call_in_s"] > 30
            known = next(model for model in limits["models"] if model["model"] == SECOND)["limits"]
            assert {entry["limit"]: entry["knowledge"] for entry in known} == {
                "rpm": "documented",
                "tpd": "documented",
                "rpd": "observed",
                "tpm": "observed",
            }

    async with run_simulator(app) as running:
        await anyio.to_thread.run_sync(drive, running.base_url)
    folder = tmp_path / ".local" / "state" / "groq-fallback-mcp"
    assert {found.stat().st_mode & 0o777 for found in folder.iterdir()} == {0o600}
    assert not any(b"gsk_simulated" in found.read_bytes() for found in folder.iterdir())


async def test_a_store_that_cannot_be_used_costs_a_note_and_no_answer(tmp_path: Path) -> None:
    """Here its folder is a file; the budget of a user is not overspent even so."""
    (tmp_path / "state").write_text("in the way")
    app = create_app(SimulatorOptions(latency_scale=0.0), catalog=load_catalog(), clock=SystemClock())

    def drive(base_url: str) -> None:
        environment = {
            "GROQ_API_KEY": "gsk_simulated",
            "GROQ_BASE_URL": base_url,
            "GROQ_FALLBACK_STATE": f"sqlite://{tmp_path}/state/ledger.sqlite3",
        }
        with server(tmp_path, **environment) as lines:
            lines.handshake()
            assert not lines.call("groq_chat", {"prompt": "hi"})["isError"]
            limits = lines.call("check_limits", {})
            assert "DEGRADED" in limits["content"][0]["text"]
            assert str(tmp_path / "state") in limits["structuredContent"]["degraded"]
        with server(tmp_path, **environment, GROQ_FALLBACK_BUDGET_USD_PER_DAY="1") as lines:
            lines.handshake()
            refused = lines.call("groq_chat", {"prompt": "hi"})
            assert refused["isError"]
            assert refused["content"][0]["text"].startswith(
                "over_budget: Nothing was sent because the budget cannot be checked"
            )

    async with run_simulator(app) as running:
        await anyio.to_thread.run_sync(drive, running.base_url)
