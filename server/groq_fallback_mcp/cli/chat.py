"""`chat`: one prompt, its answer on stdout as it comes, and how the call went on stderr."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.cli.answer_view import AnswerView
from groq_fallback_mcp.cli.calls import call, print_reply, with_folders_of
from groq_fallback_mcp.cli.console import echo, note, print_json, terminal
from groq_fallback_mcp.cli.conversation import Conversation
from groq_fallback_mcp.cli.output_file import check_writable, refuse_same_file, unwritable
from groq_fallback_mcp.cli.piped import read_text
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.redaction import sanitize
from groq_fallback_mcp.settings import Settings, load_settings
from groq_fallback_mcp.tools import Context, Reply

__all__ = ["ChatOutput", "ask", "chat", "chat_settings", "read_schema"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOutput:
    """Where an answer goes and how. `file` is a new file for the answer; `quiet` omits the account of the call."""

    file: Path | None = None
    overwrite: bool = False
    as_json: bool = False
    quiet: bool = False

    def check(self, conversation: Conversation) -> None:
        """Raises InputRefused, before anything is sent, where the file cannot be written."""
        if self.file is not None:
            refuse_same_file([("--save or --continue", conversation.file), ("--output", self.file)])
            check_writable(self.file, existing=None if self.overwrite else "Add --overwrite, or choose another name")


async def chat(
    prompt: str, arguments: Mapping[str, Any], *, conversation: Conversation, local: bool, output: ChatOutput
) -> int:
    """Answer one prompt; 1 where no model could. `local` lets a local text model answer as a last resort."""
    output.check(conversation)
    async with open_context(chat_settings(arguments, local=local)) as context:
        reply = await ask(prompt, arguments, conversation=conversation, context=context, output=output)
    if reply.is_error or reply.body is None:
        return 1 if reply.is_error else 0
    if output.file is not None:
        try:
            output.file.write_text(f"{sanitize(reply.body)}\n", encoding="utf-8", errors="replace", newline="\n")
        except OSError as error:
            # it was paid for
            echo(reply.body)
            raise unwritable(output.file, error) from None
        note(f"Wrote {output.file}")
    conversation.add(prompt, reply.body)
    return 0


async def ask(
    prompt: str, arguments: Mapping[str, Any], *, conversation: Conversation, context: Context, output: ChatOutput
) -> Reply:
    """The reply of groq_chat to the conversation and a prompt, streamed to a terminal and printed."""
    asked = {"messages": conversation.asking(prompt)} if conversation.messages else {"prompt": prompt}
    plain = output.as_json or output.file is not None
    out = None if plain else terminal(sys.stdout)
    status = None if output.quiet else terminal(sys.stderr)
    with AnswerView(out=out, status=status) as view:
        # an answer that nobody watches is not streamed
        watched = out is not None or status is not None
        reply = await call("groq_chat", {**arguments, **asked}, replace(context, observer=view if watched else None))
        if out is not None and not reply.is_error:
            view.finish(reply.body or "")
    if output.as_json:
        print_json(reply.structured)
    else:
        print_reply(reply, quiet=output.quiet, body=out is None and output.file is None)
    return reply


def chat_settings(arguments: Mapping[str, Any], *, local: bool) -> Settings:
    """The settings for a chat of this command line: files that the user names may be read."""
    settings = load_settings()
    if local and settings.local != "only":
        settings = settings.model_copy(update={"local": "on"})
    images: Sequence[str] = arguments.get("images") or ()
    return with_folders_of([image for image in images if "://" not in image], settings)


def read_schema(path: Path) -> object:
    """A JSON schema from a file. Raises InputRefused where there is none."""
    import json

    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputRefused(
            f"The file {path} is not a JSON file ({error})", next_step="Correct it, or check it with a JSON linter"
        ) from None
