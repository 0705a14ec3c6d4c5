"""The commands `log` and `top`: what was called, by whom, and how it ended, for people and for programs."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import command, simulated
from recorded_calls import call
from rich.console import Console, RenderableType
from terminal import Terminal

from groq_fallback_mcp.call import AttemptRecord, CallOrigin, CallRecord, CallUnderWay, Usage
from groq_fallback_mcp.cli.history_view import call_cells, call_line, calls_table, models_tried, under_way_table
from groq_fallback_mcp.cli.log import CallFilter, parse_since
from groq_fallback_mcp.cli.top import recent_calls, top_view
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.quota import open_ledger
from groq_fallback_mcp.simulator import run_simulator

pytestmark = pytest.mark.anyio
NOW = 1_795_939_300.0
LIMITS: dict[str, Any] = {
    "tokens": 1_500,
    "models": [
        {
            "model": f"m{number}",
            "provider": "groq",
            "next_call_in_s": 0.0,
            "limits": [{"limit": "rpm", "level": 30 - (number == 40), "capacity": 30}],
        }
        for number in range(50)
    ],
}


def drawn(view: RenderableType, width: int) -> list[str]:
    """A view as lines."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


async def recorded(folder: Path, *names: str, **fields: object) -> str:
    """The address of a ledger that has calls of these names."""
    state = f"sqlite://{folder}/state.sqlite3"
    ledger = open_ledger(state, SystemClock())
    assert await ledger.add_to_history([call(name, time.time(), **fields) for name in names], [], process="p")
    await ledger.aclose()
    return state


async def test_calls_are_lines_that_programs_can_cut(tmp_path: Path) -> None:
    state = await recorded(tmp_path, "a", "b")
    done = await command("log", cwd=tmp_path, GROQ_FALLBACK_STATE=state)
    assert done.returncode == 0
    first = done.stdout.splitlines()[0].split("\t")
    assert first[1:] == ["fallback", "m1 (429) > m2", "0.70 s", "", "100 + 20", "0.000123", "agent ann", "/v1/messages"]
    assert len(done.stdout.splitlines()) == 2


async def test_json_has_all_that_is_known_and_no_text_of_a_call(tmp_path: Path) -> None:
    state = await recorded(tmp_path, "a")
    done = await command("log", "--json", cwd=tmp_path, GROQ_FALLBACK_STATE=state)
    (found,) = json.loads(done.stdout)["calls"]
    assert (found["id"], found["client"], found["token"], found["model"]) == ("a", "agent", "ann", "m2")
    assert [(one["model"], one["outcome"], one["status"]) for one in found["attempts"]] == [
        ("m1", "rate_limited", 429),
        ("m2", "answered", None),
    ]
    assert not {"prompt", "messages", "text", "answer", "detail"} & set(found)


async def test_a_call_of_the_command_line_is_recorded_when_it_has_ended(tmp_path: Path) -> None:
    async with run_simulator(simulated()) as simulator:
        base_url = simulator.base_url
        await command("chat", "a secret question", base_url=base_url, cwd=tmp_path)
        done = await command("log", "--json", base_url=base_url, cwd=tmp_path)
    (found,) = json.loads(done.stdout)["calls"]
    assert (found["endpoint"], found["outcome"], found["simulated"]) == ("command line", "answered", True)
    assert "secret" not in done.stdout


async def test_nothing_is_recorded_where_the_history_is_off(tmp_path: Path) -> None:
    async with run_simulator(simulated()) as simulator:
        base_url = simulator.base_url
        await command("chat", "hello", base_url=base_url, cwd=tmp_path, GROQ_FALLBACK_HISTORY="off")
        done = await command("log", cwd=tmp_path, GROQ_FALLBACK_HISTORY="off")
        assert (done.stdout, "The history is off" in done.stderr) == ("", True)
        assert "No calls recorded yet" in (await command("log", cwd=tmp_path)).stderr


async def test_what_no_call_matches_is_said(tmp_path: Path) -> None:
    state = await recorded(tmp_path, "a")
    done = await command("log", "--client", "nothing", cwd=tmp_path, GROQ_FALLBACK_STATE=state)
    assert (done.returncode, done.stdout) == (0, "")
    assert "No recorded call matches" in done.stderr


async def test_a_ledger_that_cannot_be_read_is_said_and_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite3").mkdir()
    done = await command("log", cwd=tmp_path, GROQ_FALLBACK_STATE=f"sqlite://{tmp_path}/state.sqlite3")
    assert (done.returncode, done.stdout) == (1, "")
    assert "The ledger cannot be read" in done.stderr
    assert "No calls recorded yet" not in done.stderr


async def test_a_time_that_leaves_nothing_is_not_taken_for_an_empty_history(tmp_path: Path) -> None:
    state = await recorded(tmp_path, "a")
    done = await command("log", "--since", "2199-01-01", cwd=tmp_path, GROQ_FALLBACK_STATE=state)
    assert "No recorded call matches" in done.stderr


async def test_an_outcome_that_no_call_can_have_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    done = await command("log", "--outcome", "429", cwd=tmp_path)
    assert done.returncode == 2
    assert "Unknown outcome '429'" in done.stderr
    assert "rate_limited" in done.stderr


async def test_the_history_is_deleted_on_demand(tmp_path: Path) -> None:
    state = await recorded(tmp_path, "a")
    refused = await command("log", "--clear", "--since", "1h", cwd=tmp_path, GROQ_FALLBACK_STATE=state)
    assert refused.returncode == 2
    done = await command("log", "--clear", cwd=tmp_path, GROQ_FALLBACK_STATE=state)
    assert (done.returncode, "Deleted the history of calls" in done.stdout) == (0, True)
    assert "No calls recorded yet" in (await command("log", cwd=tmp_path, GROQ_FALLBACK_STATE=state)).stderr


async def test_lines_of_a_followed_log_stand_in_columns_on_a_terminal(tmp_path: Path) -> None:
    state = await recorded(tmp_path, "a")
    shown = Terminal("log", "-f", home=tmp_path, GROQ_FALLBACK_STATE=state)
    line = shown.wait_for("/v1/messages")
    assert "\t" not in line
    assert "m1 (429) > m2" in line
    shown.type("\x03")
    assert shown.ended() == 130


async def test_calls_are_followed_as_they_end(tmp_path: Path) -> None:
    state = await recorded(tmp_path, "before")
    shown = Terminal("log", "-f", "--json", home=tmp_path, GROQ_FALLBACK_STATE=state)
    shown.wait_for('"before"')
    await recorded(tmp_path, "after")
    shown.wait_for('"after"')
    shown.type("\x03")
    assert shown.ended() == 130


async def test_the_last_call_is_the_one_that_ended_last(tmp_path: Path) -> None:
    """Whoever wrote it into the ledger first, and whenever it began; the time that is shown is that of the end."""
    state = f"sqlite://{tmp_path}/state.sqlite3"
    ledger, now = open_ledger(state, SystemClock()), time.time() - 100
    for name, began, took in (("second", 0.0, 20.0), ("first", 10.0, 5.0), ("third", 5.0, 30.0), ("zeroth", 1.0, 1.0)):
        assert await ledger.add_to_history([call(name, now + began, duration_s=took)], [], process=name)
    await ledger.aclose()

    async def shown(*options: str) -> list[dict[str, Any]]:
        done = await command("log", "--json", *options, cwd=tmp_path, GROQ_FALLBACK_STATE=state)
        found: list[dict[str, Any]] = json.loads(done.stdout)["calls"]
        return found

    every = await shown()
    assert [one["id"] for one in every] == ["zeroth", "first", "second", "third"]
    assert [one["ended_at"] for one in every] == sorted(one["ended_at"] for one in every)
    assert [one["id"] for one in await shown("-n", "1")] == ["third"]
    assert [one["id"] for one in await shown("-n", "2", "--model", "m1")] == ["second", "third"]
    done = await command("log", cwd=tmp_path, GROQ_FALLBACK_STATE=state)
    times = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert times == sorted(times)
    assert len(set(times)) == 4


def test_the_columns_of_a_followed_log_stay_where_they_are() -> None:
    """Also under the longest words that an outcome has, and the name of any model."""
    plain = call_line(call_cells(call("a", NOW)))
    long = [AttemptRecord(provider="groq", model="m" * 80, outcome="rate_limited", status=429)]
    odd = call("b", NOW, simulated=True, attempts=tuple(long), usage=Usage(input_tokens=1_234_567, output_tokens=12_345))
    for line in (plain, call_line(call_cells(odd))):
        assert line.index("0.70 s") == plain.index("0.70 s")
        assert line.index("agent ann") == plain.index("agent ann")
        assert line.endswith("/v1/messages")
    assert "fallback (simulated)" in call_line(call_cells(odd))


async def test_top_shows_a_call_on_a_terminal_and_refuses_a_pipe(tmp_path: Path) -> None:
    state = await recorded(tmp_path, "a")
    shown = Terminal("top", home=tmp_path, GROQ_FALLBACK_STATE=state, COLUMNS="120", LINES="40")
    shown.wait_for("Last calls")
    shown.wait_for("agent ann")
    shown.type("\x03")
    assert shown.ended() == 130
    done = await command("top", cwd=tmp_path)
    assert (done.returncode, "needs a terminal" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (CallFilter(), True),
        (CallFilter(client="AGENT"), True),
        (CallFilter(client="ann"), True),
        (CallFilter(client="messages"), True),
        (CallFilter(client="ben"), False),
        (CallFilter(model="m1"), True),
        (CallFilter(model="GROQ/m1"), True),
        (CallFilter(model="other/m1"), False),
        (CallFilter(model="m9"), False),
        (CallFilter(outcome="answered"), True),
        (CallFilter(outcome="fallback"), True),
        (CallFilter(outcome="failed"), False),
        (CallFilter(outcome="rate_limited"), False),
        (CallFilter(model="m1", client="ben"), False),
    ],
)
def test_filters_find_names_anywhere_and_outcomes_by_name(wanted: CallFilter, shown: bool) -> None:
    assert wanted.shows(call("a", NOW)) is shown


def test_a_failed_call_is_found_by_its_code_in_words_too() -> None:
    failed = call("a", NOW, outcome="rate_limited", fallback=False)
    assert CallFilter(outcome="failed").shows(failed)
    assert CallFilter(outcome="rate limited").shows(failed)


@pytest.mark.parametrize(
    ("text", "moment"),
    [("30m", NOW - 1_800), ("2h", NOW - 7_200), ("7d", NOW - 604_800), ("2026-11-29T08:00+00:00", 1_795_939_200.0)],
)
def test_a_time_is_a_duration_ago_or_a_moment(text: str, moment: float) -> None:
    assert parse_since(text, now=NOW) == pytest.approx(moment)


@pytest.mark.parametrize("text", ["", "yesterday", "-5m", "5", "inf", "2026-13-01", "0001-01-01"])
def test_another_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InputRefused, match="--since 30m"):
        parse_since(text, now=NOW)


def test_the_models_tried_are_in_order_with_what_went_wrong() -> None:
    attempts = [
        AttemptRecord(provider="groq", model="openai/a", outcome="skipped", sent=False, reason="rate_limited"),
        AttemptRecord(provider="groq", model="b", outcome="server_error", status=503),
        AttemptRecord(provider="other", model="c", outcome="timed_out"),
        AttemptRecord(provider="other", model="d", outcome="answered"),
    ]
    assert models_tried(attempts) == "a (skipped: rate limited) > b (503) > other/c (timed out) > other/d"
    assert models_tried([]) == "none"


@pytest.mark.parametrize("width", [60, 90, 120, 200])
def test_tables_fit_the_terminal_and_name_the_models(width: int) -> None:
    lines = drawn(calls_table([call("a", NOW), call("b", NOW, usage=Usage(audio_s=61.0))], width), width)
    assert max(map(len, lines)) <= width
    assert "m1 (429) > m2" in " ".join(lines)


def test_names_of_others_are_shown_without_their_control_characters() -> None:
    origin = CallOrigin(client="\x1b[2Jagent\x07")
    lines = drawn(calls_table([call("a", NOW, origin=origin)], 200), 200)
    assert "\x1b" not in "".join(lines)
    assert "agent" in "".join(lines)


def test_calls_under_way_say_since_when_and_what_goes_on() -> None:
    going = CallUnderWay(id="u", started_at=NOW - 12, doing="trying m1", attempts=2, origin=CallOrigin(client="agent"))
    lines = drawn(under_way_table([going], NOW), 100)
    assert lines[-1].split() == ["12", "s", "trying", "m1", "2", "agent"]


@pytest.mark.parametrize("height", [24, 40, 80])
def test_the_screen_fits_its_height_and_keeps_what_is_in_use(height: int) -> None:
    """Of fifty models the one that something was taken of is shown, of many calls the newest."""
    recent = [call(number, NOW - 100 + number) for number in range(90)]
    going = [CallUnderWay(id=str(number), started_at=NOW, doing="trying") for number in range(60)]
    lines = drawn(top_view(LIMITS, going, recent, width=120, height=height, now=NOW), 120)
    assert len(lines) <= height
    assert any(line.startswith("m40 ") for line in lines)
    assert "In progress: 60" in "\n".join(lines)
    assert "In the last minute" in "\n".join(lines)


@pytest.mark.parametrize(("ended_ago_s", "counted"), [(59.0, 200), (61.0, 0)])
async def test_all_calls_of_the_last_minute_are_counted(ended_ago_s: float, counted: int) -> None:
    """However many they are; the rows of the screen need the newest alone."""
    calls = [call(str(number), NOW - ended_ago_s, duration_s=0.0) for number in range(200)]

    class Kept:
        async def calls(self, *, since: float, limit: int) -> Sequence[CallRecord]:
            return [one for one in calls if one.ended_at >= since][-limit:]

    recent = await recent_calls(Kept(), NOW)
    assert len(recent) >= 64
    text = "\n".join(drawn(top_view(LIMITS, [], recent, width=120, height=40, now=NOW), 120))
    assert (f"In the last minute {counted}:" if counted else "None in the last minute.") in text


def test_an_empty_screen_says_how_to_make_a_call() -> None:
    empty = {**LIMITS, "models": []}
    assert "No calls yet" in "\n".join(drawn(top_view(empty, [], [], width=100, height=30, now=NOW), 100))
    off = top_view(empty, [], [], width=100, height=30, now=NOW, recorded=False)
    assert "The history is off" in "\n".join(drawn(off, 100))
