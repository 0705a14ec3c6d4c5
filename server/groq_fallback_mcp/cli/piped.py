"""Text of a person's own for a prompt: what is piped in, as in `git diff | groq-fallback-mcp chat "Review this"`, and files.

Standard input is read to its end where no prompt is given, where the prompt is `-`, or where it is a file or a pipe that
holds something. A pipe that stays silent, as agents' shells and CI leave open, is given up after SILENT_S, and that is said.
"""

from __future__ import annotations

import codecs
import os
import stat
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from groq_fallback_mcp.cli.console import echo
from groq_fallback_mcp.errors import InputRefused

__all__ = ["MOST_BYTES", "is_interactive", "read_piped", "read_text", "with_files", "with_piped"]

MOST_BYTES = 4 * 1024 * 1024
SILENT_S = 5.0
STDIN = 0
_CHUNK = 64 * 1024
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def with_piped(prompt: str | None, *, what: str = "prompt", silent_s: float = SILENT_S) -> str:
    """The prompt, followed by what is piped in; either alone where the other is missing, `-` stands for what is piped in.

    A terminal is never waited for where a prompt is given. Raises InputRefused for a text that is too large or not UTF-8, and
    where there is neither.
    """
    if prompt == "-":
        return read_piped()
    if prompt is None:
        if _kind() in {"terminal", "none"}:
            raise InputRefused(
                f"No {what} was given", next_step=f"Give it as an argument, or pipe it in: cat notes.txt | {_command()}"
            )
        text = read_piped()
        if not text.strip():
            raise InputRefused(
                f"No {what} was given, and standard input is empty", next_step="Give it as an argument, or pipe it in"
            )
        return text
    if _kind() != "stream":
        return prompt
    text = _text(_all_of_it(silent_s))
    return f"{prompt}\n\n{text}" if text.strip() else prompt


def with_files(prompt: str | None, files: Sequence[Path]) -> str | None:
    """The prompt, followed by the text of each file under its name. Raises InputRefused for a file that isn't text."""
    parts = [f"File {path.name}:\n\n{read_text(path)}" for path in files]
    return "\n\n".join([*([] if prompt is None else [prompt]), *parts]) or None


def read_text(path: Path) -> str:
    """A text file. Raises InputRefused where it cannot be read, is too large or isn't text."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputRefused(f"Cannot read {path} ({error.strerror})", next_step="Check its name and permissions") from None
    if len(content) > MOST_BYTES:
        raise InputRefused(f"The file {path} is larger than {MOST_BYTES // 1024**2} MB", next_step="Give the part in question")
    return _text(content, f"The file {path}")


def is_interactive() -> bool:
    """Whether a person can type here: nothing is piped in."""
    return _kind() == "terminal"


def read_piped() -> str:
    """All of standard input, however long it takes to come. Raises InputRefused for a text that is too large or not UTF-8."""
    return "" if _kind() == "none" else _text(_all_of_it(None))


@dataclass(slots=True)
class _Reading:
    begun: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    content: bytearray = field(default_factory=bytearray)


def _kind() -> str:
    """What standard input is: a `terminal`, a `stream` (a file, a pipe, a socket), or `none`, which includes /dev/null."""
    try:
        mode = os.fstat(STDIN).st_mode
        if stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            return "stream"
        return "terminal" if os.isatty(STDIN) else "none"
    except OSError:  # it is closed
        return "none"


def _all_of_it(silent_s: float | None) -> bytes:
    """What can be read; nothing where it has not begun after `silent_s` seconds.

    In a thread, as no system call waits for the first byte of every kind of stream on every system.
    """
    reading = _Reading()
    threading.Thread(target=_read, args=(reading,), name="standard input", daemon=True).start()
    if silent_s is not None and not reading.begun.wait(silent_s):
        echo(f"Nothing was piped in within {silent_s:g} s; continuing without it. Use - to wait for it.", err=True)
        return b""
    reading.done.wait()
    if len(reading.content) > MOST_BYTES:
        raise InputRefused(
            f"More than {MOST_BYTES // 1024**2} MB were piped in", next_step="Pipe in the part in question, or split it"
        )
    return bytes(reading.content)


def _read(reading: _Reading) -> None:
    try:
        while len(reading.content) <= MOST_BYTES and (chunk := os.read(STDIN, _CHUNK)):
            reading.content += chunk
            reading.begun.set()
    except OSError:
        pass  # what was read until then is all there is
    finally:
        reading.begun.set()
        reading.done.set()


def _text(content: bytes, what: str = "The piped input") -> str:
    """Without the line break that ends most files."""
    try:
        # PowerShell redirects in UTF-16
        text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputRefused(
            f"{what} is not UTF-8 text (byte {error.start})",
            next_step="Convert it with iconv -t UTF-8; images go with -i, recordings to transcribe",
        ) from None
    if "\0" in text:
        raise InputRefused(
            f"{what} is not text (it contains NUL bytes)", next_step="Images go with -i, recordings to transcribe"
        )
    return text.removesuffix("\n").removesuffix("\r")


def _command() -> str:
    return f"groq-fallback-mcp {sys.argv[1] if len(sys.argv) > 1 else 'chat'}"
