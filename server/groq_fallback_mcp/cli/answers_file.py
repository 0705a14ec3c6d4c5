"""The answers of `chat --prompts`, a JSON line each: appended as they come, read again to resume, locked while in use."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from groq_fallback_mcp.cli.console import print_json_line
from groq_fallback_mcp.cli.output_file import check_writable, locked, replace_file, unwritable
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.json_types import is_object
from groq_fallback_mcp.redaction import sanitize, sanitize_json

__all__ = ["AnswersFile", "opened_answers"]


class AnswersFile:
    """Where answers go; `answered` are the lines of the prompts that are answered in it already, `simulated` how many by a simulator.

    Lines wait until the first answer: where there is none at all, a file that would be replaced stays as it is.
    """

    def __init__(self, path: Path | None, *, answered: Mapping[int, bool], replaces: bool) -> None:
        self.path = path
        self.answered = frozenset(answered)
        self.simulated = sum(answered.values())
        self._replaces = replaces
        self._waiting: list[str] | None = []

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line. Raises InputRefused where it cannot be written."""
        if self.path is None:
            print_json_line(line)
            return
        text = json.dumps(sanitize_json(line), ensure_ascii=False)
        if self._waiting is None:
            self._append(text)
            return
        self._waiting.append(text)
        if "error" not in line:
            self._begin()

    def close(self) -> None:
        """Write what waits, unless all failed and an earlier file would be lost for it."""
        if self.path is not None and self._waiting and not self._replaces:
            self._begin()

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting or [], None
        if self._replaces and self.path is not None:
            try:
                self.path.write_bytes(b"")
            except OSError as error:
                raise unwritable(self.path, error) from None
        for text in waiting:
            self._append(text)

    def _append(self, text: str) -> None:
        if self.path is None:
            return
        try:
            with self.path.open("ab") as file:
                file.write(f"{text}\n".encode("utf-8", "replace"))
        except OSError as error:
            raise unwritable(self.path, error) from None


@contextmanager
def opened_answers(path: Path | None, prompts: Mapping[int, str], *, overwrite: bool) -> Generator[AnswersFile]:
    """The answers file of these prompts, by line. None writes to stdout.

    Raises InputRefused where it belongs to other prompts, cannot be written, or is in use by another run.
    """
    if path is None:
        yield AnswersFile(None, answered={}, replaces=False)
        return
    exists = check_writable(path, existing=None)
    with locked(path):
        answered = _resumed(path, prompts) if exists and not overwrite else {}
        file = AnswersFile(path, answered=answered, replaces=exists and overwrite)
        yield file
        file.close()


def _resumed(path: Path, prompts: Mapping[int, str]) -> Mapping[int, bool]:
    """The prompts with an answer, and whether it is simulated. Lines of failed ones, and a last line that was cut short, are taken out."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputRefused(f"Cannot read {path} ({error.strerror})", next_step="Check its permissions") from None
    lines = content.split(b"\n")
    # what follows the last line break is a line that was cut short, or nothing, or a whole line without its break
    kept: dict[int, bytes] = {}
    answered: dict[int, bool] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _row(line)
        if row is None and number == len(lines):
            continue
        at = None if row is None else row.get("line")
        if row is None or not isinstance(at, int) or at not in prompts or row.get("prompt") != sanitize(prompts[at]):
            raise InputRefused(
                f"The file {path} already exists and is not the answers to these prompts (line {number})",
                next_step="Choose another name, or add --overwrite",
            )
        if "error" not in row:
            kept[at], answered[at] = line, bool(row.get("simulated"))
    whole = b"".join(line + b"\n" for line in kept.values())
    if whole != content:
        try:
            replace_file(path, whole)
        except OSError as error:
            raise unwritable(path, error) from None
    return answered


def _row(line: bytes) -> Mapping[str, Any] | None:
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if is_object(value) else None
