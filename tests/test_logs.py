"""Logging: redacted, bounded, never in anybody's way."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.logs import HELD_LINES, MOST_KINDS, Repeats, _BackgroundHandler, start_logging
from groq_fallback_mcp.redaction import register_secrets

SECRET = "canary-without-a-known-form"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Hooks and handlers are the process's."""
    hooks, root = (sys.excepthook, threading.excepthook), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(capture=False)
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    (sys.excepthook, threading.excepthook), root.handlers[:] = hooks, handlers
    root.setLevel(level)


def written(file: Path) -> str:
    """What is in the log once it is closed."""
    for handler in logging.getLogger().handlers:
        handler.close()
    return file.read_text(encoding="utf-8")


@pytest.mark.parametrize("as_json", [False, True])
def test_keys_and_organizations_are_in_no_record_and_no_traceback(tmp_path: Path, as_json: bool) -> None:
    """Whether they look like keys or not."""
    file = tmp_path / "log"
    register_secrets(SECRET)
    start_logging("info", file=file, as_json=as_json)
    log = logging.getLogger("x")
    log.info("plain %s, %s", SECRET, "Bearer abcdefghijk")
    try:
        int(f"{SECRET} and gsk_0123456789abc of org_01abc")
    except ValueError:
        log.exception("failed with %r", SECRET)
    text = written(file)
    assert "Traceback" in text
    for secret in (SECRET, "abcdefghijk", "gsk_0123456789abc", "org_01abc"):
        assert secret not in text
    assert text.count("[redacted]") >= 5


def test_json_lines_hold_time_level_logger_and_message(tmp_path: Path) -> None:
    """One object a line, whatever the message holds."""
    start_logging("debug", file=tmp_path / "log", as_json=True)
    logging.getLogger("a.b").debug("two\nlines \ud83d")
    (line,) = [row for row in map(json.loads, written(tmp_path / "log").splitlines()) if row["logger"] == "a.b"]
    assert (line["level"], line["logger"], line["message"]) == ("debug", "a.b", "two\nlines \ufffd")
    assert line["time"].endswith("+00:00")


def test_below_the_level_nothing_is_written(tmp_path: Path) -> None:
    """Quiet by default."""
    start_logging("warning", file=tmp_path / "log")
    logging.getLogger("x").info("chatter")
    assert written(tmp_path / "log") == ""


def test_a_log_file_is_private_and_appended_to(tmp_path: Path) -> None:
    """Other processes of the user write to it too."""
    file = tmp_path / "log"
    file.write_text("before\n", encoding="utf-8")
    start_logging("info", file=file)
    logging.getLogger("x").info("after")
    assert written(file).splitlines() == ["before", "INFO x: after"]
    start_logging("info", file=tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_a_log_file_that_cannot_be_opened_is_named_with_its_setting(tmp_path: Path) -> None:
    """Before anything is served."""
    with pytest.raises(ConfigurationError, match="GROQ_FALLBACK_LOG_FILE"):
        start_logging("info", file=tmp_path / "no" / "folder")


def test_a_reader_that_stands_still_holds_nobody_up_and_hears_later_how_much_it_missed() -> None:
    """A full pipe, as of a client that never reads our stderr."""
    reading, writing = os.pipe()
    handler = _BackgroundHandler(os.fdopen(writing, "w"))
    handler.setFormatter(logging.Formatter())
    # a pipe holds some lines itself, and the writer is as fast as the machine lets it be
    for number in range(HELD_LINES * 3):
        handler.handle(logging.LogRecord("x", logging.INFO, "", 0, f"{number} " + "x" * 1_000, None, None))
    text = b""
    for _ in range(HELD_LINES):
        if b"records dropped" in text:
            break
        text += os.read(reading, 65_536)
        handler.handle(logging.LogRecord("x", logging.INFO, "", 0, "later", None, None))
    assert b"records dropped" in text
    os.close(reading)
    handler.close()


def test_what_nobody_caught_and_warnings_become_records(tmp_path: Path) -> None:
    """In threads too, so that a traceback on stderr is redacted like all else."""
    register_secrets(SECRET)
    start_logging("warning", file=tmp_path / "log")

    def fail() -> None:
        raise ValueError(SECRET)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"about {SECRET}", stacklevel=1)
    sys.excepthook(KeyError, KeyError(SECRET), None)
    text = written(tmp_path / "log")
    assert "ValueError: [redacted]" in text
    assert "about [redacted]" in text
    assert "KeyError: '[redacted]'" in text
    assert SECRET not in text


def test_a_record_that_cannot_be_formatted_costs_nothing_else(tmp_path: Path) -> None:
    """The next one is written."""
    start_logging("info", file=tmp_path / "log")
    logging.getLogger("x").info("%d", "no number")
    logging.getLogger("x").info("next")
    text = written(tmp_path / "log")
    assert "a record could not be written (TypeError)" in text
    assert "INFO x: next" in text


@pytest.mark.fault("B1")
def test_the_same_message_is_written_a_few_times_and_then_counted(tmp_path: Path) -> None:
    """Ten thousand tracebacks with other numbers in them are one message; other messages and quieter levels are not held back."""
    start_logging("info", file=tmp_path / "log")
    log = logging.getLogger("asyncio")
    for number in range(10_000):
        try:
            raise OSError(24, "Too many open files")  # noqa: TRY301 - it is what the loop raises
        except OSError:
            log.exception(f"socket.accept() out of system resource\nsocket: <fd={number}, {number * 7:#x}>")  # noqa: G004 - as asyncio does
        if number % 200 == 0:
            # no reader is that slow, but the test must not depend on it
            log.info("chatter %d", number)
    log.error("something else")
    text = written(tmp_path / "log")
    assert text.count("Traceback") == 20
    assert "9980 more like this were not logged: asyncio: socket.accept() out of system resource" in text
    assert text.count("chatter") == 50
    assert "ERROR asyncio: something else" in text
    assert len(text) < 100_000


@pytest.mark.fault("B1")
def test_what_was_left_out_is_told_when_its_minute_is_over() -> None:
    """Then as many are written again; and no number of kinds fills the memory or the log."""
    now = [0.0]
    repeats = Repeats(now=lambda: now[0])
    assert [repeats.admits("a") for _ in range(30)] == [True] * 20 + [False] * 10
    assert repeats.admits("b")
    assert list(repeats.left_out()) == []
    now[0] = 61.0
    assert list(repeats.left_out()) == ["10 more like this were not logged: a"]
    assert list(repeats.left_out(at_end=True)) == []
    assert repeats.admits("a")
    assert sum(repeats.admits(f"kind {number}") for number in range(10_000)) < 500
    assert len(repeats._seen) <= MOST_KINDS + 1
