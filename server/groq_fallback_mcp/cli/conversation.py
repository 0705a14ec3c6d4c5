"""A conversation with its history, kept in a file only where the user names one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from groq_fallback_mcp.cli.output_file import check_writable, locked, replace_file, unwritable
from groq_fallback_mcp.cli.piped import read_text
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.json_types import is_list, is_object
from groq_fallback_mcp.redaction import sanitize_json

__all__ = ["Conversation"]

SCHEMA_VERSION = 1


@dataclass(slots=True)
class Conversation:
    """What was said, as OpenAI's messages with text only. `file` is rewritten after each answer; None keeps nothing.

    `lock` keeps other runs from the file, as they would write what they read before this one's turns.
    """

    file: Path | None = None
    messages: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    lock: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def opened(cls, save: Path | None, resume: Path | None) -> Conversation:
        """A new conversation, kept in `save` if given, or the one of `resume`. Raises InputRefused for a file that cannot be used."""
        if resume is not None:
            opened = cls(file=resume)
            opened.lock.enter_context(locked(resume))
            try:
                opened.messages = _read(resume)
                check_writable(resume, existing=None)
            except InputRefused:
                opened.close()
                raise
            return opened
        if save is None:
            return cls()
        taken = f"Use --continue {save}, or choose another name"
        check_writable(save, existing=taken)
        opened = cls(file=save)
        opened.lock.enter_context(locked(save))
        try:
            # another run may have written it meanwhile
            check_writable(save, existing=taken)
        except InputRefused:
            opened.close()
            raise
        return opened

    def close(self) -> None:
        """Let other runs have the file."""
        self.lock.close()

    def asking(self, prompt: str) -> list[dict[str, str]]:
        """All messages of a call with a new prompt."""
        return [*self.messages, {"role": "user", "content": prompt}]

    def add(self, prompt: str, answer: str) -> None:
        """Keep a prompt and its answer. Raises InputRefused where the file cannot be written; they stay in memory."""
        self.messages += [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        self.write()

    def write(self) -> None:
        """Write the file, if there is one. Raises InputRefused."""
        if self.file is None:
            return
        kept = {"schema_version": SCHEMA_VERSION, "messages": sanitize_json(self.messages)}
        content = json.dumps(kept, indent=2, ensure_ascii=False)
        try:
            replace_file(self.file, f"{content}\n".encode("utf-8", "replace"))
        except OSError as error:
            raise unwritable(self.file, error) from None


def _read(path: Path) -> list[dict[str, str]]:
    try:
        value: object = json.loads(read_text(path))
    except (ValueError, RecursionError):
        value = None
    messages = value.get("messages") if is_object(value) else None
    if not is_list(messages) or not all(map(_is_message, messages)):
        raise InputRefused(f"The file {path} is not a saved conversation", next_step="Name a file written by chat --save")
    return _checked(messages)


def _is_message(value: object) -> bool:
    return is_object(value) and value.get("role") in ("user", "assistant") and isinstance(value.get("content"), str)


def _checked(messages: Sequence[object]) -> list[dict[str, str]]:
    return [{name: str(text) for name, text in message.items()} for message in messages if is_object(message)]
