"""Rows 17 to 29 of the table of faults: what an upstream can do to the server, through the real server over real stdio.

A call meets the fault, pings go on meanwhile, and then comes a call with the upstream mended. A model that failed rests, so
a case has a server of its own where the fault is more than a bad answer.
"""

from __future__ import annotations

import re
import socket
import threading
import time
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer, fault_server
from server_process import ServerProcess, running

pytestmark = [pytest.mark.torture]

FIRST = "openai/gpt-oss-20b"
OTHERS = ("openai/gpt-oss-120b", "qwen/qwen3.8-27b")
DEADLINE_S = 3
# With two tests at a time, a disk that others keep busy has cost more than a second; what hangs takes far longer.
SLACK_S = 3
LONGEST_PING_S = 3
WITHIN_S = {"GROQ_FALLBACK_DEADLINE_S": str(DEADLINE_S), "GROQ_FALLBACK_STATE": "memory"}


@dataclass(frozen=True, slots=True)
class Met:
    """What a call met with, and what it cost."""

    result: Mapping[str, Any]
    took_s: float
    slowest_ping_s: float
    grown_mib: float

    @property
    def content(self) -> Mapping[str, Any]:
        """The structured content."""
        return dict(self.result["structuredContent"])

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """(model, outcome) of what was sent."""
        rows = self.content.get("attempts") or [{"model": self.content["model"], "outcome": "answered", "sent": True}]
        return [(row["model"], row["outcome"]) for row in rows if row["sent"]]

    @property
    def code(self) -> str:
        """Of the error, or "served"."""
        return str(self.content["error"]["code"]) if self.result["isError"] else "served"


def serving(folder: Path, upstream: FaultServer, **environment: str) -> Any:
    """A server with this upstream and a short deadline."""
    return running(folder, environment={"GROQ_BASE_URL": upstream.url, **WITHIN_S, **environment})


def meet(server: ServerProcess, number: int = 1, *, tool: str = "groq_chat", **arguments: Any) -> Met:
    """Call, and ping until the reply is there."""
    if tool == "groq_chat":
        arguments = {"prompt": "hi", "model": FIRST, "max_tokens": 64, **arguments}
    server.forget_peak()
    before, started, slowest_s = server.peak_mib(), time.monotonic(), 0.0
    server.call(number, tool, **arguments)
    while number not in server.replies:
        slowest_s = max(slowest_s, server.ping())
        time.sleep(0.01)
    return Met(server.wait(number)["result"], time.monotonic() - started, slowest_s, server.peak_mib() - before)


def no_socket_left(upstream: FaultServer, server: ServerProcess) -> None:
    """After the end of the server."""
    assert server.process.stdin is not None
    server.process.stdin.close()
    assert server.exit_within(2) == 0
    end = time.monotonic() + 2
    while upstream.open_connections():
        assert time.monotonic() < end
        time.sleep(0.01)


# (row, mode) whose outcome is a bad response
BAD_RESPONSES = (
    ("19", "truncated_json"),
    ("19", "html"),
    ("19", "empty"),
    ("19", "null"),
    ("19", "no_choices"),
    ("19", "null_choices"),
    ("19", "null_content"),
    ("19", "blank_content"),
    ("20", "deep_json"),
    ("20", "deep_content"),
    ("20", "huge_integer"),
    ("20", "bad_charset"),
    ("20", "bad_gzip"),
    ("21", "gzip"),
    ("21", "gzip_bomb"),
    ("21", "body_300_mb"),
    ("21", "body_300_mb_in_chunks"),
    ("21", "body_of_tiny_chunks"),
    ("21", "json_bomb"),
    ("21", "header_1_mb"),
    ("21", "many_headers"),
    ("22", "sse_endless"),
    ("22", "sse_keep_alive"),
    ("22", "sse_cut"),
    ("22", "sse_error"),
    ("22", "sse_junk"),
    ("22", "sse_split_utf8"),
    ("22", "sse_giant_line"),
    ("28", "redirect"),
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FaultServer, ServerProcess]]:
    """A server that a bad answer follows on another, with limits that so many calls do not reach."""
    folder = tmp_path_factory.mktemp("shared")
    with (
        fault_server("ok", good_models=OTHERS) as upstream,
        serving(folder, upstream, GROQ_FALLBACK_PLAN="developer") as server,
    ):
        yield upstream, server
        no_socket_left(upstream, server)


def check_fallback(row: str, mode: str, outcome: str, met: Met) -> None:
    """The first model failed so, the next one answered, and it cost neither time nor memory."""
    print(f"row {row}, {mode}: {met.took_s:.2f} s, ping {met.slowest_ping_s * 1e3:.0f} ms, {met.grown_mib:.1f} MiB")
    assert met.outcomes == [(FIRST, outcome), (OTHERS[0], "answered")]
    assert met.content["text"] == "good answer"
    assert met.took_s < DEADLINE_S + SLACK_S
    assert met.slowest_ping_s < LONGEST_PING_S
    assert met.grown_mib < 50


@pytest.mark.parametrize(("row", "mode"), BAD_RESPONSES, ids=[f"{row}-{mode}" for row, mode in BAD_RESPONSES])
def test_rows_19_to_22_and_28_a_bad_answer_of_one_model_is_a_bad_response_and_another_model_answers(
    shared: tuple[FaultServer, ServerProcess], row: str, mode: str
) -> None:
    """Small, in time, never an empty success; and the next good answer of the same model is taken."""
    upstream, server = shared
    del upstream.requests[:]
    upstream.mode = mode
    check_fallback(row, mode, "bad_response", meet(server, len(server.seen) + 1))
    assert upstream.chats == [FIRST, OTHERS[0]]
    assert upstream.redirected == 0
    upstream.recover()
    assert meet(server, len(server.seen) + 1).outcomes == [(FIRST, "answered")]


STREAMS = (
    "bytes",
    "lines",
    "comments",
    "fields",
    "events",
    "thoughts",
    "tool_calls",
    "annotations",
    "tools_that_ran",
    "data_lines",
    "long_text",
    "nothing",
)
# one of bytes, one of reasoning, one of calls, one of lists
STREAMS_BY_DAY = {"bytes", "thoughts", "tool_calls", "annotations"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.fault("A4", "A5")
@pytest.mark.parametrize(
    "pieces", [one if one in STREAMS_BY_DAY else pytest.param(one, marks=pytest.mark.nightly) for one in STREAMS]
)
def test_a_stream_without_end_costs_neither_time_nor_memory_however_it_is_cut(tmp_path: Path, pieces: str) -> None:
    """In bytes, lines, events, pieces of a tool call, lists: the next model answers, and pings are answered meanwhile."""
    mode = f"stream_of_{pieces}"
    with (
        fault_server(mode, good_models=OTHERS) as upstream,
        serving(tmp_path, upstream, GROQ_FALLBACK_PLAN="developer") as server,
    ):
        server.ask("check_limits")
        met = meet(server, max_tokens=8_192)
        print(f"{mode}: {met.took_s:.2f} s, ping {met.slowest_ping_s * 1e3:.0f} ms, {met.grown_mib:.1f} MiB, {met.outcomes}")
        assert met.slowest_ping_s < LONGEST_PING_S
        assert met.took_s < DEADLINE_S + SLACK_S
        assert met.grown_mib < 50
        assert met.outcomes[0][0] == FIRST
        assert met.outcomes[0][1] != "answered"
        assert met.code == "deadline" or met.outcomes[-1] == (OTHERS[0], "answered")
        assert "half an answer" not in str(met.content)


@pytest.mark.fault("A4")
def test_a_tool_call_of_forty_thousand_pieces_is_put_together_in_time(tmp_path: Path) -> None:
    """Joining them one by one would take time quadratic in their number."""
    with (
        fault_server("stream_of_tool_pieces") as upstream,
        serving(tmp_path, upstream, GROQ_FALLBACK_PLAN="developer") as server,
    ):
        server.ask("check_limits")
        met = meet(server, max_tokens=8_192, tools=[TOOL])
        print(
            f"40,000 pieces: {met.took_s:.2f} s, ping {met.slowest_ping_s * 1e3:.0f} ms, {met.grown_mib:.1f} MiB, {met.outcomes}"
        )
        assert met.slowest_ping_s < LONGEST_PING_S
        assert met.took_s < DEADLINE_S + SLACK_S
        assert met.grown_mib < 50
        assert met.code in {"served", "deadline"}


# (row, mode, outcome of the first attempt)
FALLEN_BACK = (
    ("17", "reset", "connection_lost"),
    ("17", "early_close", "connection_lost"),
    ("17", "short_body", "connection_lost"),
    ("17", "no_http", "connection_lost"),
    ("18", "hang", "timed_out"),
    ("18", "hang_in_body", "timed_out"),
    ("18", "slow_headers", "timed_out"),
    ("18", "trickle", "timed_out"),
    ("20", "deep_error", "server_error"),
    ("20", "deep_message", "server_error"),
    ("22", "error_in_200", "overloaded"),
    ("23", "429", "rate_limited"),
    ("23", "429_retry_after", "rate_limited"),
    ("23", "429_gzip", "rate_limited"),
    ("23", "429_endless", "rate_limited"),
    ("23", "429_hangs", "rate_limited"),
    ("24", "429_retry_after_1e9", "rate_limited"),
    ("24", "429_retry_after_negative", "rate_limited"),
    ("24", "429_retry_after_abc", "rate_limited"),
    ("24", "429_retry_after_nan", "rate_limited"),
    ("24", "429_retry_after_inf", "rate_limited"),
    ("24", "429_retry_after_2099", "rate_limited"),
    ("25", "500", "server_error"),
    ("25", "502", "server_error"),
    ("25", "503", "overloaded"),
    ("25", "498", "tier_full"),
    ("26", "404", "model_gone"),
    ("29", "lost_after_post", "connection_lost"),
)


@pytest.mark.parametrize(("row", "mode", "outcome"), FALLEN_BACK, ids=[f"{row}-{mode}" for row, mode, _ in FALLEN_BACK])
def test_rows_17_to_29_a_fault_of_one_model_is_an_outcome_and_another_model_answers(
    tmp_path: Path, row: str, mode: str, outcome: str
) -> None:
    """Within the deadline, with the server responsive and small; the model that failed was asked once."""
    with fault_server(mode, good_models=OTHERS) as upstream, serving(tmp_path, upstream) as server:
        server.ask("check_limits")
        check_fallback(row, mode, outcome, meet(server))
        assert upstream.chats == [FIRST, OTHERS[0]]
        upstream.recover()
        assert meet(server, 2).code == "served"
        no_socket_left(upstream, server)


# (row, mode, code of the error, how often a model is asked at most, whether a call at once then succeeds)
ALONE = (
    ("17", "refused", "unreachable", 0, True),
    ("17", "reset_at_once", "unreachable", 0, True),
    ("17", "tls", "unreachable", 0, False),
    ("17", "reset", "unreachable", 1, True),
    ("18", "hang", "unreachable|deadline", 1, True),
    ("19", "empty", "all_failed", 1, True),
    ("22", "sse_endless", "all_failed", 1, True),
    ("23", "429", "rate_limited", 1, False),
    ("23", "429_retry_after", "rate_limited", 2, True),
    ("24", "429_retry_after_1e9", "rate_limited", 1, False),
    ("24", "429_retry_after_2099", "rate_limited", 1, False),
    ("25", "500", "all_failed|deadline", 3, False),
    ("25", "503", "all_failed|deadline", 3, False),
    ("25", "498", "all_failed|deadline", 3, False),
    ("26", "400", "bad_request", 1, True),
    ("26", "401", "authentication", 1, True),
    ("26", "403", "account_refused", 1, True),
    ("26", "403_html", "unreachable", 1, True),
    ("26", "404", "all_failed", 1, True),
    ("26", "413", "too_large", 1, True),
    ("28", "redirect", "all_failed", 1, True),
    ("29", "lost_after_post", "unreachable", 1, True),
)
# what a wait may be called without having been told one: our own pause
LONGEST_PAUSE_S = 60


@pytest.mark.parametrize(("row", "mode", "codes", "most", "mends"), ALONE, ids=[f"{case[0]}-{case[1]}" for case in ALONE])
def test_rows_17_to_29_a_fault_of_every_model_is_one_error_within_the_deadline(
    tmp_path: Path, row: str, mode: str, codes: str, most: int, mends: bool
) -> None:
    """No model is asked more often than the fault warrants, and no absurd wait is believed."""
    with fault_server(mode) as upstream, serving(tmp_path, upstream) as server:
        server.ask("check_limits")
        met = meet(server)
        asked = {model: upstream.chats.count(model) for model in upstream.chats}
        print(f"row {row}, {mode}: {met.code} after {met.took_s:.2f} s, asked {asked}, {met.grown_mib:.1f} MiB")
        assert met.code in codes.split("|")
        assert met.took_s < DEADLINE_S + SLACK_S
        assert met.slowest_ping_s < LONGEST_PING_S
        assert max(asked.values(), default=0) <= most
        assert upstream.redirected == 0
        if row in {"23", "24", "25"}:
            assert met.content["error"].get("retry_after_s", 0) <= LONGEST_PAUSE_S
        upstream.recover()
        if mends:
            assert meet(server, 2).code == "served"
        no_socket_left(upstream, server)


def test_row_17_after_an_upstream_that_refused_connections_the_next_call_waits_its_rest_out(tmp_path: Path) -> None:
    """Five seconds, when the deadline allows them."""
    with fault_server("refused") as upstream, serving(tmp_path, upstream, GROQ_FALLBACK_DEADLINE_S="8") as server:
        assert meet(server).code == "unreachable"
        upstream.recover()
        assert meet(server, 2).code == "served"


def test_row_17_a_host_that_does_not_exist_is_unreachable_and_keeps_nobody_from_ending(tmp_path: Path) -> None:
    """Though a look-up cannot be cancelled."""
    with running(tmp_path, environment={"GROQ_BASE_URL": "https://groq.invalid", **WITHIN_S}) as server:
        met = meet(server)
        assert met.code in {"unreachable", "deadline"}
        assert met.took_s < DEADLINE_S + SLACK_S
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.exit_within(2) == 0


@pytest.mark.parametrize(
    "mode", ["hang", "trickle", "html", "null", "deep_json", "gzip_bomb", "body_300_mb", "json_bomb", "500", "401"]
)
def test_a_fault_of_the_live_list_costs_the_list_only(shared: tuple[FaultServer, ServerProcess], mode: str) -> None:
    """The catalog is listed in time, with a word on why it is alone; calls go on."""
    upstream, server = shared
    upstream.mode = f"models:{mode}"
    met = meet(server, len(server.seen) + 1, tool="list_models")
    print(f"models, {mode}: {met.took_s:.2f} s, {met.grown_mib:.1f} MiB: {met.content['live_list'][:80]}")
    assert met.result["isError"] is False
    assert met.content["live_list"].startswith("could not be read")
    assert met.took_s < DEADLINE_S + SLACK_S
    assert met.slowest_ping_s < LONGEST_PING_S
    assert met.grown_mib < 50
    assert meet(server, len(server.seen) + 1).code == "served"


@pytest.mark.parametrize("mode", ["reset", "empty", "429", "500"])
def test_an_upstream_that_fails_once_costs_one_request_more(tmp_path: Path, mode: str) -> None:
    """Whichever model is asked next gets the good answer."""
    with fault_server(mode, faults=1) as upstream, serving(tmp_path, upstream) as server:
        assert [outcome for _, outcome in meet(server).outcomes][1:] == ["answered"]
        assert len(upstream.chats) == 2


@pytest.mark.nightly
def test_row_25_a_storm_of_500_is_not_amplified(tmp_path: Path) -> None:
    """Thirty calls at once, then thirty in turn, send at most 1.2 requests a call."""
    with fault_server("500") as upstream, serving(tmp_path, upstream, GROQ_FALLBACK_PLAN="developer") as server:
        server.ask("check_limits")
        for number in range(30):
            server.call(number, "groq_chat", prompt="hi", model=FIRST, max_tokens=16)
        server.until(lambda: all(number in server.replies for number in range(30)))
        for number in range(30, 60):
            server.call(number, "groq_chat", prompt="hi", model=FIRST, max_tokens=16)
            server.wait(number)
        print(f"row 25: {len(upstream.chats)} requests for 60 calls")
        assert len(upstream.chats) <= 1.2 * 60


def recording(path: Path, seconds: int) -> Path:
    """Silence, 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(32_000 * seconds))
    return path


@pytest.mark.parametrize("seconds", [30, 600])
def test_row_27_an_upload_that_is_cut_off_by_an_early_413_is_sent_once(tmp_path: Path, seconds: int) -> None:
    """Whether the 413 can still be read or the reset came first."""
    path = recording(tmp_path / "long.wav", seconds)
    with fault_server("early_413") as upstream, serving(tmp_path, upstream) as server:
        met = meet(server, tool="transcribe", file=str(path))
        print(f"row 27, {seconds} s: {met.content['attempts'][0]['detail']}")
        assert met.outcomes == [("whisper-large-v3-turbo", "payload_too_large")]
        assert met.code == "too_large"
        assert len(upstream.requests) == 1
        upstream.recover()
        assert meet(server, 2, tool="transcribe", file=str(path)).content["text"] == "good words"


def test_row_29_a_request_that_was_lost_after_it_was_sent_is_charged_and_counted(tmp_path: Path) -> None:
    """The provider may have done the work."""

    def left(server: ServerProcess) -> Mapping[str, float]:
        rows = server.ask("check_limits", model=FIRST)["structuredContent"]["models"][0]["limits"]
        return {row["limit"]: row["level"] for row in rows}

    with fault_server("lost_after_post", good_models=OTHERS) as upstream, serving(tmp_path, upstream) as server:
        before = left(server)
        met = meet(server, max_tokens=2_000)
        after = left(server)
        assert met.outcomes[0] == (FIRST, "connection_lost")
        assert before["tpm"] - after["tpm"] > 1_900
        assert before["rpd"] - after["rpd"] == pytest.approx(1, abs=0.1)


@contextmanager
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that refuses everything and keeps what it was asked."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(65_536))
                    connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", heard
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_row_45_a_proxy_of_the_environment_is_not_used(tmp_path: Path) -> None:
    """Neither to a loopback upstream nor to the outside."""
    with proxy() as (address, heard), fault_server("ok") as upstream:
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
        environment = dict.fromkeys(names, f"http://{address}")
        with serving(tmp_path, upstream, **environment) as server:
            assert meet(server).code == "served"
        elsewhere = {**environment, **WITHIN_S, "GROQ_BASE_URL": "https://groq.invalid"}
        with running(tmp_path, environment=elsewhere) as server:
            assert meet(server).code in {"unreachable", "deadline"}
        assert heard == []


def test_row_45_a_proxy_of_the_setting_is_used_to_the_outside_and_is_not_shown_the_key(tmp_path: Path) -> None:
    """A loopback upstream is asked directly; a refusal of the proxy is told without its password."""
    with proxy() as (address, heard), fault_server("ok") as upstream:
        environment = {"GROQ_FALLBACK_PROXY": f"http://user:s3cret-word@{address}"}
        with serving(tmp_path, upstream, **environment) as server:
            assert meet(server).code == "served"
        assert heard == []
        with running(tmp_path, environment={**environment, **WITHIN_S, "GROQ_BASE_URL": "https://groq.invalid"}) as server:
            met = meet(server)
        assert met.code == "unreachable"
        assert "407" in str(met.content)
        assert "s3cret" not in str(met.result)
    assert re.match(rb"CONNECT groq\.invalid:443 HTTP/1\.1\r\n", heard[0])
    assert b"proxy-authorization: basic " in heard[0].lower()
    assert b"gsk_tortured" not in b"".join(heard)
