"""Rows 1 to 6 and 10 to 12 of the table of faults: what a client can do to the server, over real stdio."""

from __future__ import annotations

import json
import os
import random
import resource
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from effort import EFFORT, times
from fault_server import fault_server
from server_process import PATIENCE_S, ServerProcess, running

pytestmark = [pytest.mark.torture]

MALFORMED = (
    b"{",
    b"\xff\xfe\xfd",
    b"\x00",
    b"nonsense",
    b"[" * 100_000,
    b'{"a":' * 5_000,
    b'{"a":NaN}',
    b'{"id":' + b"9" * 5_000 + b"}",
    b"[]",
    b"1",
    b"null",
    b"{}",
    b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
    b'{"jsonrpc":"1.0","id":4,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":4,"method":7}',
    b'{"jsonrpc":"2.0","id":4,"method":"ping","params":[1]}',
)


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """A server that has shaken hands."""
    with running(tmp_path) as process:
        yield process


def test_row_1_each_malformed_line_is_answered_and_the_next_ping_takes_under_a_second(server: ServerProcess) -> None:
    """With the codes of JSON-RPC."""
    for line in MALFORMED:
        before = len(server.seen)
        server.write(line + b"\n")
        server.until(lambda before=before: len(server.seen) > before)  # type: ignore[misc]
        assert server.replies[server.seen[-1]]["error"]["code"] in {-32700, -32600}
        assert server.ping() < 1


def test_row_2_twenty_thousand_fuzzed_lines(server: ServerProcess) -> None:
    """Alive, only JSON-RPC on stdout, under 60 MB more memory."""
    drawn = random.Random(4)
    good = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_models"}}).encode()
    before = server.peak_mib()
    for _ in range(EFFORT):
        for _ in range(20_000):
            line = bytearray(good)
            for _ in range(drawn.randint(1, 8)):
                place = drawn.randrange(len(line))
                match drawn.randrange(3):
                    case 0:
                        line[place] = drawn.randrange(256)
                    case 1:
                        del line[place:]
                        line += b"x"
                    case _:
                        line[place:place] = drawn.randbytes(drawn.randint(1, 20))
            server.write(bytes(line).replace(b"\n", b" ") + b"\n")
        assert server.ping() < PATIENCE_S
    grown = server.peak_mib() - before
    print(f"row 2: {grown:.1f} MiB")
    assert grown < 60


@pytest.mark.parametrize(
    ("head", "tail", "number"),
    [
        (b'{"jsonrpc":"2.0","id":77,"method":"tools/call","params":{"x":"', b'"}}', 77),
        (b'{"method":"tools/call","params":{"x":"', b'"},"jsonrpc":"2.0","id":"tail"}', "tail"),
        (b"", b"", None),
    ],
)
def test_row_3_a_line_of_100_mb_is_refused_by_its_id(
    server: ServerProcess, head: bytes, tail: bytes, number: int | str | None
) -> None:
    """Under 64 MB more memory."""
    before = server.peak_mib()
    server.write(head)
    for _ in range(100):
        server.write(b"a" * 1_000_000)
    server.write(tail + b"\n")
    refusal = server.wait(number)["error"]
    grown = server.peak_mib() - before
    print(f"row 3: {grown:.1f} MiB")
    assert refusal["code"] == -32600
    assert grown < 64
    assert server.ping() < 1


def test_row_3_a_line_without_end_grows_nothing_and_the_end_of_stdin_ends_the_server(server: ServerProcess) -> None:
    """300 MB without a newline."""
    before = server.peak_mib()
    for _ in range(300):
        server.write(b"a" * 1_000_000)
    grown = server.peak_mib() - before
    assert server.process.stdin is not None
    server.process.stdin.close()
    print(f"row 3, endless: {grown:.1f} MiB")
    assert grown < 64
    assert server.exit_within(2) == 0


def test_row_4_what_is_unknown_is_named_with_what_there_is(server: ServerProcess) -> None:
    """Methods by -32601, tools and arguments by an error result that the model can read."""
    server.send(id=1, method="nope")
    assert server.wait(1)["error"]["code"] == -32601
    unknown = server.ask("nope")
    assert unknown["isError"] is True
    assert "groq_chat, list_models, check_limits, transcribe" in unknown["content"][0]["text"]
    bad = server.ask("groq_chat", prompt="x", use_case="wrong", color="red")
    assert bad["isError"] is True
    assert "color" in bad["content"][0]["text"]
    worse = server.ask("groq_chat", prompt="x", use_case="wrong")
    assert "reasoning" in worse["content"][0]["text"]
    server.send(id=2, method="tools/call", params={"name": "groq_chat", "arguments": "text"})
    no_object = server.wait(2)["result"]
    assert no_object["isError"] is True
    assert "Unknown argument 'arguments'" in no_object["content"][0]["text"]


def test_row_5_a_call_before_initialize_is_refused_and_both_protocol_revisions_work(tmp_path: Path) -> None:
    """The newest has no handshake at all."""
    with running(tmp_path, handshake=False) as server:
        server.send(id=1, method="tools/list")
        assert server.wait(1)["error"]["code"] == -32602
        assert server.ping() < 1
        server.handshake()
        server.send(id=2, method="tools/list")
        assert len(server.wait(2)["result"]["tools"]) == 4
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "torture", "version": "0"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    with running(tmp_path, handshake=False) as server:
        server.send(id=1, method="server/discover", params={"_meta": meta})
        assert "2026-07-28" in server.wait(1)["result"]["supportedVersions"]
        server.send(id=2, method="tools/list", params={"_meta": meta})
        assert len(server.wait(2)["result"]["tools"]) == 4


def test_row_10_a_client_that_closes_our_stdout_ends_the_server_without_a_traceback(tmp_path: Path) -> None:
    """Though stdin stays open and nothing is written."""
    with running(tmp_path, reading=False, stderr=-1) as server:
        server.handshake_unread()
        assert server.process.stdout is not None
        assert server.process.stderr is not None
        server.process.stdout.readline()
        server.process.stdout.close()
        assert server.exit_within(2) == 0
        assert server.process.stderr.read() == b""


@pytest.mark.parametrize("files", [None, 128])
def test_row_11_a_thousand_calls_at_once_get_a_thousand_replies(tmp_path: Path, files: int | None) -> None:
    """Also with 128 descriptors, which all return."""

    def limit() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    plan = {"GROQ_FALLBACK_PLAN": "developer"}
    with (
        fault_server("ok") as upstream,
        running(tmp_path, environment=plan | {"GROQ_BASE_URL": upstream.url}, preexec=limit) as server,
    ):
        server.ask("groq_chat", prompt="x")
        before, open_before = server.peak_mib(), server.descriptors()
        count = times(1_000)
        for number in range(count):
            server.call(number, "groq_chat" if number % 2 else "list_models", **({"prompt": "x"} if number % 2 else {}))
        server.until(lambda: all(number in server.replies for number in range(count)), times(60))
        answered = sum("result" in reply and not reply["result"].get("isError") for reply in server.replies.values())
        print(f"row 11: {server.peak_mib() - before:.1f} MiB, {answered} answered")
        assert sorted(number for number in server.seen if isinstance(number, int) and number < count) == list(range(count))
        end = time.monotonic() + 5
        # eight connections are kept for the next calls
        while server.descriptors() > open_before + 8 and time.monotonic() < end:
            time.sleep(0.05)
        assert server.descriptors() <= open_before + 8


def test_row_12_a_slow_reader_gets_everything(tmp_path: Path) -> None:
    """Under 100 MB more memory."""
    with running(tmp_path, reading=False) as server:
        server.handshake_unread()
        assert server.process.stdout is not None
        server.process.stdout.readline()
        before = server.peak_mib()

        count = times(2_000)

        def ask() -> None:
            for number in range(count):
                server.send(id=number, method="tools/list")

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        received: list[int] = []
        while len(received) < count:
            received.append(json.loads(server.process.stdout.readline())["id"])
            if len(received) < 300:
                time.sleep(0.01)
        grown = server.peak_mib() - before
        print(f"row 12, slow: {grown:.1f} MiB")
        assert sorted(received) == list(range(count))
        assert grown < 100


@pytest.mark.nightly
def test_row_12_a_flood_of_a_client_that_reads_nothing_is_bounded_and_then_delivered(tmp_path: Path) -> None:
    """Under 200 MB more memory; what was taken is answered."""
    with running(tmp_path, reading=False) as server:
        server.handshake_unread()
        assert server.process.stdout is not None
        assert server.process.stdin is not None
        server.process.stdout.readline()
        before = server.peak_mib()
        descriptor = server.process.stdin.fileno()
        os.set_blocking(descriptor, False)
        sent, rest, stuck_since = 0, b"", None
        while stuck_since is None or time.monotonic() - stuck_since < 1:
            if not rest:
                rest = json.dumps({"jsonrpc": "2.0", "id": sent, "method": "tools/list"}).encode() + b"\n"
                sent += 1
            try:
                rest = rest[os.write(descriptor, rest) :]
                stuck_since = None
            except BlockingIOError:
                stuck_since = stuck_since or time.monotonic()
                time.sleep(0.01)
        grown = server.peak_mib() - before
        os.set_blocking(descriptor, True)
        server.read()
        server.write(rest)
        server.until(lambda: len(server.seen) == sent, 120)
        print(f"row 12, flood: {sent} requests, {grown:.1f} MiB")
        assert sorted(server.seen) == list(range(sent))
        assert grown < 200
