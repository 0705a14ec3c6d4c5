"""`chat` without a prompt on a terminal: a conversation, line by line. Nothing of it is kept unless `--save` or `/save` says so."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.catalog import Kind
from groq_fallback_mcp.cli.chat import ChatOutput, ask, chat_settings
from groq_fallback_mcp.cli.console import as_options, echo_message, note
from groq_fallback_mcp.cli.conversation import Conversation
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.errors import GroqFallbackError
from groq_fallback_mcp.policy.model_choice import named_provider, resolve_model
from groq_fallback_mcp.render import counted
from groq_fallback_mcp.tools import Context

__all__ = ["chat_session"]

PROMPT = "> "
HELP = """\
/model NAME  try this model first from now on (/model alone: back to automatic)
/save FILE   save the conversation there, and after each answer
/clear       forget what was said (a saved file stays)
/quit        leave (or Ctrl-D)
Ctrl-C stops an answer. Paste several lines as they are."""


@dataclass(slots=True)
class _Session:
    arguments: dict[str, Any]
    conversation: Conversation
    output: ChatOutput


def chat_session(arguments: Mapping[str, Any], *, conversation: Conversation, local: bool, output: ChatOutput) -> int:
    """Converse until the user leaves. The event loop runs beside, so that a line can be edited while nothing is under way."""
    with suppress(ImportError):
        import readline  # noqa: F401 - gives input() editing and the arrow keys; nothing of it is stored
    session = _Session(dict(arguments), conversation, output)
    note("Chat with Groq. /help shows the commands, Ctrl-D leaves.")
    if conversation.messages:
        note(f"Continuing {conversation.file}: {counted(len(conversation.messages) // 2, 'answer')} so far.")
    settings = chat_settings(arguments, local=local)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_context(settings)) as context,
    ):
        while True:
            try:
                line = input(PROMPT).strip()
            except EOFError:
                note("")
                return 0
            except KeyboardInterrupt:
                note("\nCtrl-D or /quit leaves.")
                continue
            try:
                if line in {"/quit", "/exit"}:
                    return 0
                if line.startswith("/"):
                    _command(session, line, context)
                elif line:
                    _turn(session, line, portal, context)
            except GroqFallbackError as error:
                echo_message(as_options(str(error)), err=True)


def _turn(session: _Session, prompt: str, portal: BlockingPortal, context: Context) -> None:
    scopes: list[anyio.CancelScope] = []

    async def turn() -> bool:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            talk = session.conversation
            reply = await ask(prompt, session.arguments, conversation=talk, context=context, output=session.output)
            if not reply.is_error and reply.body:
                talk.add(prompt, reply.body)
            return True
        return False

    under_way = portal.start_task_soon(turn)
    try:
        under_way.result()
    except KeyboardInterrupt:
        for scope in scopes:
            portal.call(scope.cancel)
        # what it draws is over before the next prompt
        if not under_way.result():
            note("Stopped. The prompt and what was written are forgotten; the arrow keys bring the prompt back.")
    finally:
        # an image belongs to the prompt it came with
        session.arguments.pop("images", None)


def _command(session: _Session, line: str, context: Context) -> None:
    name, _, value = line.partition(" ")
    value = value.strip()
    match name:
        case "/model":
            session.arguments["model"] = _chat_model(value, context) if value else None
            note(f"Trying {value} first." if value else "Choosing the model automatically.")
        case "/save" if value:
            path, file = Path(value).expanduser(), session.conversation.file
            if file is not None and path.absolute() == file.absolute():
                # what could not be written before may be now
                session.conversation.write()
                note(f"Saving to {path}.")
                return
            kept = Conversation.opened(path, None)
            kept.messages = session.conversation.messages
            kept.write()
            session.conversation.close()
            session.conversation = kept
            note(f"Saving to {kept.file}.")
        case "/clear":
            file = session.conversation.file
            session.conversation.close()
            session.conversation = Conversation()
            note("Forgotten." if file is None else f"Forgotten. {file} stays as it is; /save starts another.")
        case "/help":
            note(HELP)
        case _:
            note(f"Unknown command {line[:80]!r}.\n{HELP}")


def _chat_model(name: str, context: Context) -> str:
    """The id of a chat model, with its provider where that was named. Raises InputRefused for a name that is unknown."""
    engine = context.engine
    providers = engine.registry.models()
    model = resolve_model(
        name, catalog=engine.catalog, providers=providers, kinds=(Kind.CHAT, Kind.SYSTEM), today=today(engine.clock)
    )
    provider = named_provider(name, catalog=engine.catalog, providers=providers)
    return model if provider is None else f"{provider}/{model}"
