"""The tools, called in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from groq_fallback_mcp.application import open_context, tokens_path
from groq_fallback_mcp.cli.console import USAGE_ERROR, as_options, echo, echo_message, note, print_json, progress_bar
from groq_fallback_mcp.cli.piped import read_piped
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.gateway_tokens import read_tokens
from groq_fallback_mcp.json_types import is_object
from groq_fallback_mcp.quota import caller_day
from groq_fallback_mcp.quota.store import StoreUnusable
from groq_fallback_mcp.settings import Settings, load_settings
from groq_fallback_mcp.tools import ALL_TOOLS, Context, Reply
from groq_fallback_mcp.tools.arguments import parse

__all__ = [
    "FLAGGED",
    "call",
    "call_any",
    "call_tool",
    "print_reply",
    "reopen_budget",
    "show_reply",
    "with_bar",
    "with_folders_of",
]

# The exit code of `screen` for a text that is flagged.
FLAGGED = 3


async def call_tool(name: str, arguments: Mapping[str, Any], *, files: Sequence[str | None] = (), as_json: bool) -> int:
    """Call one tool and print its result; 1 when it is an error. A person may name any file: folders of `files` are open."""
    async with open_context(with_folders_of(files, load_settings())) as context:
        return show_reply(await call(name, arguments, context), as_json=as_json)


async def screen(arguments: Mapping[str, Any], *, as_json: bool) -> int:
    """The tool screen; FLAGGED where the text is, so that a script can tell by the exit code."""
    async with open_context(load_settings()) as context:
        reply = await call("screen", arguments, context)
    status = show_reply(reply, as_json=as_json)
    return FLAGGED if reply.structured.get("flagged") else status


async def call_any(name: str, arguments: str, *, as_json: bool) -> int:
    """Call any tool with its arguments as a JSON object. Who calls one by its name knows its arguments by theirs."""
    try:
        given = _arguments_of(name, arguments)
        tool = next(tool for tool in ALL_TOOLS if tool.name == name)
        async with open_context(load_settings()) as context:
            read = parse(tool.arguments, given)
            return show_reply(await tool.handle(read, replace(context, takes_all=True)), as_json=as_json)
    except InputRefused as error:
        echo_message(f"groq-fallback-mcp: {error}", err=True)
        return USAGE_ERROR


def _arguments_of(name: str, text: str) -> Mapping[str, Any]:
    if name not in {tool.name for tool in ALL_TOOLS}:
        raise InputRefused(f"Unknown tool {name[:80]!r}", next_step=f"Use one of {', '.join(t.name for t in ALL_TOOLS)}")
    try:
        given: object = json.loads(read_piped() if text == "-" else text)
    except ValueError as error:
        raise InputRefused(
            f"The arguments are not valid JSON ({error})", next_step='Write them as \'{"name": "value"}\''
        ) from error
    if not is_object(given):
        raise InputRefused("The arguments are not a JSON object", next_step='Write them as \'{"name": "value"}\'')
    return given


async def with_bar(name: str, arguments: Mapping[str, Any], *, files: Sequence[str | None], as_json: bool) -> int:
    """Call a tool that may take long, with a progress bar on a terminal. The folders of `files` are open to it."""
    async with open_context(with_folders_of(files, load_settings())) as context:
        with progress_bar("reading", shown=True, is_audio=name == "transcribe") as progress:
            reply = await call(name, arguments, replace(context, progress=progress))
    # what is saved in a file need not scroll by
    return show_reply(reply, as_json=as_json, body=name != "transcribe" or arguments.get("save_to") is None)


async def reopen_budget() -> int:
    """Let today's budgets be spent though what was spent of them is not known; 1 where the store cannot be used."""
    settings = load_settings()
    tokens = read_tokens(tokens_path(settings))
    async with open_context(settings) as context:
        day = today(context.engine.clock).isoformat()
        days = [day, *(caller_day(day, token.name) for token in tokens)]
        try:
            found = any([await context.engine.ledger.reopen_budget(one) for one in days])
        except StoreUnusable as error:
            echo_message(f"The quota store cannot be used: {error}", err=True)
            return 1
    echo(f"The budget of {day} is open again." if found else f"No spending of {day} was lost; the budget is unchanged.")
    return 0


async def call(name: str, arguments: Mapping[str, Any], context: Context) -> Reply:
    """The reply of a tool. None among the arguments is an option that was not given. Raises InputRefused."""
    tool = next(tool for tool in ALL_TOOLS if tool.name == name)
    given = {key: value for key, value in arguments.items() if value is not None}
    try:
        read = parse(tool.arguments, given)
    except InputRefused as error:
        # the arguments of a tool are not what a person gives
        raise InputRefused(error.cause, next_step="See groq-fallback-mcp --help") from None
    return await tool.handle(read, replace(context, takes_all=True))


def with_folders_of(files: Sequence[str | None], settings: Settings) -> Settings:
    """The settings with the current folder and those of `files` open: a person may name any file."""
    named = [file for file in files if file is not None]
    if not named:
        return settings
    folders = [*(settings.files or ()), Path.cwd()]
    for file in named:
        try:
            folders.append(Path(file).expanduser().resolve().parent)
        except RuntimeError as error:
            raise InputRefused(f"{file} cannot be expanded ({error})", next_step="Give the full path") from None
    # what is relative is relative to where the person is
    ordered = dict.fromkeys((Path.cwd(), *folders))
    return settings.model_copy(update={"files": tuple(ordered)})


def show_reply(reply: Reply, *, as_json: bool, body: bool = True) -> int:
    """Print a result, for people or as JSON; 1 when it is an error. `body`: what they would keep, too."""
    if as_json:
        print_json(reply.structured)
    else:
        print_reply(reply, body=body)
    return 1 if reply.is_error else 0


def print_reply(reply: Reply, *, quiet: bool = False, body: bool = True) -> None:
    """Print a result for people: what they would keep on stdout, the account of the call on stderr, not at all where `quiet`.

    Without `body` what they would keep is elsewhere already. That an answer is simulated is always said.
    """
    if reply.is_error:
        echo_message(as_options(reply.text), err=True)
        return
    if reply.body is None:
        echo(reply.text)
        return
    if body:
        echo(reply.body)
    account = reply.text.removeprefix(reply.body).strip()
    if quiet:
        account = "\n".join(line for line in account.splitlines() if "SIMULATED" in line)
    if account:
        note(as_options(account))
