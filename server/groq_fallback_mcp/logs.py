"""Logging to stderr or a file: quiet unless asked, bounded, redacted with tracebacks and all, and never in anybody's way.

A client that does not read our stderr fills its pipe after some 64 KiB, and whoever writes then stands still for ever.
So records are handed to a thread of their own; what it cannot write in time is dropped and counted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TextIO

from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.redaction import sanitize_message

__all__ = ["Repeats", "kind_of", "sanitize_unhandled", "start_logging"]

HELD_LINES = 1_000
LONGEST_LINE = 16_384
LAST_WORDS_S = 0.3

_log = logging.getLogger(__name__)
MOST_A_WINDOW = 20
MOST_IN_ALL = 500
WINDOW_S = 60.0
MOST_KINDS = 200
_KIND_CHARS = 200
# Numbers, addresses and file descriptors differ in what is the same message.
_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+")


def start_logging(level: str, *, file: Path | None = None, as_json: bool = False) -> None:
    """Send all records of `level` and above to stderr, or append them to `file`, which only the user may read.

    Uncaught exceptions and warnings become records too. Raises ConfigurationError when the file cannot be opened.
    """
    handler = _BackgroundHandler(sys.stderr if file is None else _opened(file))
    handler.setFormatter(_Json() if as_json else _Plain())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_exception
    threading.excepthook = lambda what: _log_exception(what.exc_type, what.exc_value, what.exc_traceback)


def sanitize_unhandled() -> None:
    """Let what Python writes to stderr where no logging was started, as under a command, pass the exit too."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Remark())


class _Remark(logging.Formatter):
    """For a person at a terminal, who does not care which module it is."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        level, _, text = super().format(record).partition(":")
        return _shown(f"{level.lower()}:{text}")


class _Plain(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return _shown(super().format(record))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _shown(record.getMessage()),
        }
        if record.exc_info:
            fields["exception"] = _shown(self.formatException(record.exc_info))
        return json.dumps(fields)


def _shown(text: str) -> str:
    # cut twice: what is beyond need not be looked at, and a substitute may be longer than what it stands for
    return sanitize_message(text[: 2 * LONGEST_LINE])[:LONGEST_LINE]


class _BackgroundHandler(logging.Handler):
    """Writes in a thread of its own, warnings and errors of one kind only so often.

    Not the standard library's QueueHandler and QueueListener: they report a full queue on the very stderr that is stuck, wait
    for their thread without end, and cost 4 ms more at start-up.
    """

    def __init__(self, target: TextIO) -> None:
        super().__init__()
        self._target = target
        self._lines: queue.Queue[str | None] = queue.Queue(HELD_LINES)
        self._dropped = 0
        self._repeats = Repeats()
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        for text in self._repeats.left_out():
            self._hand_over(self._of_our_own(text))
        try:
            if record.levelno >= logging.WARNING and not self._repeats.admits(kind_of(record.name, str(record.msg))):
                return
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - a log line must not cost a call
            line = f"ERROR {record.name}: a record could not be written ({type(error).__name__})"
        self._hand_over(line)

    def _hand_over(self, line: str) -> None:
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def _of_our_own(self, text: str) -> str:
        return self.format(logging.LogRecord(__name__, logging.WARNING, "", 0, text, None, None))

    def close(self) -> None:
        """Wait a moment for what is still to be written."""
        for text in self._repeats.left_out(at_end=True):
            self._hand_over(self._of_our_own(text))
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            pass
        else:
            self._thread.join(LAST_WORDS_S)
        super().close()

    def _write(self) -> None:
        try:
            self._write_all()
        except (OSError, ValueError):
            # nobody will ever read it
            return
        finally:
            if self._target is not sys.stderr:
                with contextlib.suppress(OSError):
                    self._target.close()

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            dropped, self._dropped = self._dropped, 0
            if dropped:
                line = f"WARNING {__name__}: {dropped} records dropped because the log was not read\n{line}"
            self._target.write(line.encode("utf-8", "replace").decode() + "\n")
            self._target.flush()


def _opened(path: Path) -> TextIO:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the log file {path} cannot be opened: {error.strerror}",
            next_step="set GROQ_FALLBACK_LOG_FILE to a file in a writable folder",
        ) from error
    return os.fdopen(descriptor, "a", encoding="utf-8")


def _log_exception(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if not issubclass(kind, Exception):
        return
    _log.critical("uncaught", exc_info=(kind, error or kind(), traceback))


def kind_of(name: str, message: str) -> str:
    """What makes messages of one logger the same."""
    return f"{name}: {_VARYING.sub('#', message[:_KIND_CHARS])}"


class Repeats:
    """Counts messages by their kind, in windows of `window_s` seconds. `now` gives seconds that never run back."""

    def __init__(self, *, window_s: float = WINDOW_S, now: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._now = now
        self._seen: dict[str, int] = {}
        self._written = 0
        self._since = now()

    def admits(self, kind: str) -> bool:
        """Whether one more of this kind is written; it is counted either way."""
        if kind not in self._seen and len(self._seen) >= MOST_KINDS:
            kind = "other messages"
        count = self._seen[kind] = self._seen.get(kind, 0) + 1
        if count > MOST_A_WINDOW or self._written >= MOST_IN_ALL:
            return False
        self._written += 1
        return True

    def left_out(self, *, at_end: bool = False) -> Iterator[str]:
        """A line for each kind of which some were not written, once its window is over or `at_end`; then a new one begins."""
        if not at_end and self._now() - self._since < self._window_s:
            return
        seen, self._seen, self._written, self._since = self._seen, {}, 0, self._now()
        yield from (
            f"{count - MOST_A_WINDOW} more like this were not logged: {kind}"
            for kind, count in seen.items()
            if count > MOST_A_WINDOW
        )
