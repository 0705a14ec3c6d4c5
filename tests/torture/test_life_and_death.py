"""Rows 7 to 9 and 13 to 16 of the table of faults: calls under way, ends of every kind, and what happens inside meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import wave
from pathlib import Path

import pytest
from effort import times
from fault_server import fault_server
from server_process import PATIENCE_S, ServerProcess, running

pytestmark = [pytest.mark.torture]

GROQ = "GROQ_BASE_URL"


def start_hanging(server: ServerProcess, count: int, first: int = 0) -> None:
    """Calls that get no answer from upstream."""
    for number in range(first, first + count):
        server.call(number, "groq_chat", prompt="hello", model="openai/gpt-oss-20b", max_tokens=16)


def until(reached: object, seconds: float) -> None:
    """Poll a condition of the outside world."""
    end = time.monotonic() + seconds
    while not reached():  # type: ignore[operator]
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


def tokens_left(server: ServerProcess) -> float:
    """Of the model that is asked."""
    limits = server.ask("check_limits", model="openai/gpt-oss-20b")["structuredContent"]["models"][0]["limits"]
    return float(next(row["level"] for row in limits if row["limit"] == "tpm"))


def test_row_7_cancelled_calls_close_their_connections_get_no_reply_and_give_their_quota_back(tmp_path: Path) -> None:
    """Two hundred, in batches that fit into the requests of a minute."""
    with fault_server("hang") as upstream, running(tmp_path, environment={GROQ: upstream.url}) as server:
        full = tokens_left(server)
        for first in range(0, 200, 20):
            start_hanging(server, 20, first)
            until(lambda: upstream.open_connections() > 0, 5)
            for number in range(first, first + 20):
                server.send(method="notifications/cancelled", params={"requestId": number})
            until(lambda: upstream.open_connections() == 0, 2)
        assert server.ping() < 1
        assert not [number for number in server.seen if number in range(200)]
        assert tokens_left(server) == pytest.approx(full, rel=0.01)


def test_row_8_the_end_of_stdin_in_the_middle_of_a_call_ends_the_server_and_its_connection(tmp_path: Path) -> None:
    """Within two seconds."""
    with fault_server("hang") as upstream, running(tmp_path, environment={GROQ: upstream.url}) as server:
        start_hanging(server, 3)
        until(lambda: upstream.open_connections() > 0, 5)
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.exit_within(2) == 0
        until(lambda: upstream.open_connections() == 0, 2)


def test_row_8_a_client_that_is_killed_in_the_middle_of_a_call_leaves_no_orphan(tmp_path: Path) -> None:
    """The server's parent gets a SIGKILL."""
    parent = textwrap.dedent(
        """
        import json, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-m", "groq_fallback_mcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        def send(**message):
            child.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\\n"); child.stdin.flush()
        send(id=0, method="initialize", params={"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "0"}})
        send(method="notifications/initialized")
        send(id=1, method="tools/call", params={"name": "groq_chat", "arguments": {"prompt": "hi"}})
        print(child.pid, flush=True)
        time.sleep(60)
        """
    )
    with fault_server("hang") as upstream:
        environment = {
            "HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "GROQ_API_KEY": "gsk_tortured0000",
            GROQ: upstream.url,
            "GROQ_FALLBACK_LOCAL": "off",
            "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
            "GROQ_FALLBACK_STATE": f"sqlite://{tmp_path}/ledger.sqlite3",
        }
        process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, env=environment)
        assert process.stdout is not None
        child = int(process.stdout.readline())
        until(lambda: upstream.open_connections() > 0, 10)
        process.kill()
        process.communicate()
        until(lambda: not alive(child), 2)
        until(lambda: upstream.open_connections() == 0, 1)


def alive(pid: int) -> bool:
    """Whether it runs; a zombie that nobody waits for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_row_9_a_signal_in_the_middle_of_a_call_ends_the_server_with_its_state_committed(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The next process finds the quota given back; stdin stays open."""
    with fault_server("hang") as upstream:
        environment = {GROQ: upstream.url}
        with running(tmp_path, environment=environment, stderr=subprocess.PIPE) as server:
            full = tokens_left(server)
            start_hanging(server, 5)
            until(lambda: upstream.open_connections() > 0, 5)
            server.process.send_signal(number)
            assert server.exit_within(2) == 128 + number
            assert server.process.stderr is not None
            assert b"Traceback" not in server.process.stderr.read()
        with running(tmp_path, environment=environment) as server:
            assert tokens_left(server) == pytest.approx(full, rel=0.01)


def test_a_second_signal_ends_the_server_at_once(tmp_path: Path) -> None:
    """As people expect of a second Ctrl+C."""
    with running(tmp_path) as server:
        server.process.send_signal(signal.SIGINT)
        server.process.send_signal(signal.SIGINT)
        assert server.exit_within(2) in {130, -2}


def test_row_13_a_client_that_never_reads_our_stderr_hangs_nothing(tmp_path: Path) -> None:
    """With everything logged, and many calls."""
    environment = {"GROQ_FALLBACK_LOG_LEVEL": "debug"}
    with fault_server("ok") as upstream:
        environment[GROQ] = upstream.url
        with running(tmp_path, environment=environment, stderr=subprocess.PIPE) as server:
            count = times(2_000)
            for number in range(count):
                server.send(id=number, method="tools/call", params={"name": "nope", "arguments": {"x": "y" * 200}})
            server.until(lambda: count - 1 in server.replies, times(PATIENCE_S))
            assert server.ask("groq_chat", prompt="hi")["isError"] is False
            assert server.ping() < 1
            assert server.process.stdin is not None
            server.process.stdin.close()
            assert server.exit_within(2) == 0


def test_row_14_stray_output_of_code_of_children_and_of_c_never_reaches_stdout(tmp_path: Path) -> None:
    """It goes to stderr."""
    program = textwrap.dedent(
        """
        import os, subprocess, sys
        from groq_fallback_mcp.fallback import FallbackEngine
        real = FallbackEngine.serve
        async def noisy(self, request, **options):
            print("STRAY print", flush=True)
            sys.stdout.write("STRAY write\\n")
            sys.__stdout__.flush()
            os.write(1, b"STRAY descriptor\\n")
            subprocess.run([sys.executable, "-c", "print('STRAY child'); import sys; sys.stdin.read()"], check=True)
            return await real(self, request, **options)
        FallbackEngine.serve = noisy
        sys.argv = ["groq-fallback-mcp"]
        from groq_fallback_mcp.cli.app import main
        main()
        """
    )
    with fault_server("ok") as upstream:
        command = (sys.executable, "-c", program)
        with running(tmp_path, environment={GROQ: upstream.url}, command=command, stderr=subprocess.PIPE) as server:
            assert server.ask("groq_chat", prompt="hi")["isError"] is False
            assert server.process.stdin is not None
            server.process.stdin.close()
            assert server.exit_within(2) == 0
            assert server.process.stderr is not None
            assert server.process.stderr.read().count(b"STRAY") == 4


@pytest.mark.parametrize("mode", ["surrogate", "nan"])
def test_row_15_a_lone_surrogate_or_nan_in_an_answer_is_replaced_and_the_server_lives(tmp_path: Path, mode: str) -> None:
    """The SDK's own transport dies of the first."""
    with fault_server(mode) as upstream, running(tmp_path, environment={GROQ: upstream.url}) as server:
        result = server.ask("groq_chat", prompt="hi", model="openai/gpt-oss-20b")
        json.dumps(result, allow_nan=False).encode()
        if mode == "surrogate":
            assert "\ufffd" in result["content"][0]["text"]
        assert server.ping() < 1


def test_row_16_probing_a_large_recording_keeps_no_ping_waiting(tmp_path: Path) -> None:
    """Half an hour of audio whose length must be found before it is sent."""
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(6_000)
        recording.writeframes(os.urandom(6_000 * 2 * 1_800))
    with fault_server("ok") as upstream, running(tmp_path, environment={GROQ: upstream.url}) as server:
        for number in range(4):
            server.call(number, "transcribe", file=str(path))
        slowest = max(server.ping() for _ in range(50))
        print(f"row 16: slowest ping {slowest * 1e3:.0f} ms")
        assert slowest < 1
        for number in range(4):
            server.wait(number)


@pytest.mark.parametrize(
    ("redirection", "missing"), [("<&-", "stdin is"), (">&-", "stdout is"), ("<&- >&-", "stdin and stdout are")]
)
def test_a_server_started_without_stdin_or_stdout_says_so_and_ends(tmp_path: Path, redirection: str, missing: str) -> None:
    """What it opens next would get their numbers."""
    command = f"exec {sys.executable} -m groq_fallback_mcp {redirection}"
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(["/bin/sh", "-c", command], stderr=subprocess.PIPE, env=environment, timeout=10, check=False)
    assert ended.returncode == 2
    assert f"{missing} closed." in ended.stderr.decode()


def test_a_server_started_without_stderr_serves(tmp_path: Path) -> None:
    """Stray output and the log go nowhere."""
    command = ("/bin/sh", "-c", f"exec {sys.executable} -m groq_fallback_mcp 2>&-")
    with running(tmp_path, command=command, environment={"GROQ_FALLBACK_LOG_LEVEL": "debug"}) as server:
        assert server.ask("list_models")["isError"] is False
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.exit_within(2) == 0


def test_a_thousand_replies_leave_no_thread_or_descriptor_behind(tmp_path: Path) -> None:
    """Over a life of several clients' worth of calls."""
    with running(tmp_path) as server:
        server.ask("list_models")
        threads, descriptors = len(list(Path(f"/proc/{server.pid}/task").iterdir())), server.descriptors()
        count = times(1_000)
        for number in range(count):
            server.call(number, "check_limits")
        server.until(lambda: all(number in server.replies for number in range(count)), times(60))
        assert len(list(Path(f"/proc/{server.pid}/task").iterdir())) <= threads + 1
        assert server.descriptors() <= descriptors + 1
