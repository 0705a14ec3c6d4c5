"""The tools, called in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.cli.console import echo, echo_message, print_json, progress_bar
from groq_fallback_mcp.cli.piped import read_piped
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.quota.store import StoreUnusable
from groq_fallback_mcp.settings import Settings, load_settings
from groq_fallback_mcp.tools import ALL_TOOLS, Context, Reply
from groq_fallback_mcp.tools.arguments import parse

__all__ = ["call_any", "call_tool", "chat", "reopen_budget", "with_bar"]


async def call_tool(
    name: str, arguments: Mapping[str, Any], *, files: Sequence[str | None] = (), local: bool = False, as_json: bool
) -> int:
    """Call one tool and print its result; 1 when it is an error. A person may name any file: folders of `files` are open.

    `local` lets a local text model answer as a last resort.
    """
    settings = load_settings()
    if local and settings.local != "only":
        settings = settings.model_copy(update={"local": "on"})
    async with open_context(_with_folders_of(files, settings)) as context:
        return _print(await _call(name, arguments, context), as_json=as_json)


async def call_any(name: str, arguments: str, *, as_json: bool) -> int:
    """Call any tool with its arguments as a JSON object. Raises InputRefused for a tool or JSON that is none."""
    if name not in {tool.name for tool in ALL_TOOLS}:
        raise InputRefused(f"there is no tool {name!r}", next_step=f"give one of {', '.join(t.name for t in ALL_TOOLS)}")
    try:
        given: object = json.loads(read_piped() if arguments == "-" else arguments)
    except ValueError as error:
        raise InputRefused(f"the arguments are not JSON: {error}", next_step='write them as \'{"name": "value"}\'') from error
    if not isinstance(given, dict):
        raise InputRefused("the arguments are no JSON object", next_step='write them as \'{"name": "value"}\'')
    return await call_tool(name, given, as_json=as_json)


async def chat(
    arguments: Mapping[str, Any], *, schema: Path | None, images: Sequence[str], local: bool = False, as_json: bool
) -> int:
    """The tool groq_chat. Raises InputRefused for a schema file without JSON."""
    given = arguments if schema is None else {**arguments, "response_schema": _read_json(schema)}
    files = [image for image in images if "://" not in image]
    arguments = {**given, "images": list(images) or None}
    return await call_tool("groq_chat", arguments, files=files, local=local, as_json=as_json)


async def with_bar(name: str, arguments: Mapping[str, Any], *, files: Sequence[str | None], as_json: bool) -> int:
    """Call a tool that may take long, with a progress bar on a terminal. The folders of `files` are open to it."""
    async with open_context(_with_folders_of(files, load_settings())) as context:
        call = _call_with_bar if sys.stderr.isatty() else _call
        return _print(await call(name, arguments, context), as_json=as_json)


async def reopen_budget() -> int:
    """Let today's budget be spent though what was spent of it is not known; 1 where the store cannot be used."""
    async with open_context(load_settings()) as context:
        day = today(context.engine.clock).isoformat()
        try:
            found = await context.engine.ledger.reopen_budget(day)
        except StoreUnusable as error:
            echo_message(f"The quota store cannot be used: {error}", err=True)
            return 1
    echo(f"The budget of {day} is open again." if found else f"No spending of {day} was lost; the budget is unchanged.")
    return 0


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputRefused(f"{path} is not a JSON file: {error}", next_step="correct the file") from error


async def _call(name: str, arguments: Mapping[str, Any], context: Context) -> Reply:
    tool = next(tool for tool in ALL_TOOLS if tool.name == name)
    given = {key: value for key, value in arguments.items() if value is not None}
    return await tool.handle(parse(tool.arguments, given), context)


async def _call_with_bar(name: str, arguments: Mapping[str, Any], context: Context) -> Reply:
    with progress_bar(name) as progress:
        return await _call(name, arguments, replace(context, progress=progress))


def _with_folders_of(files: Sequence[str | None], settings: Settings) -> Settings:
    named = [file for file in files if file is not None]
    if not named:
        return settings
    folders = [*(settings.files or ()), Path.cwd()]
    for file in named:
        try:
            folders.append(Path(file).expanduser().resolve().parent)
        except RuntimeError as error:
            raise InputRefused(f"{file} cannot be expanded: {error}", next_step="give the path itself") from None
    # what is relative is relative to where the person is
    ordered = dict.fromkeys((Path.cwd(), *folders))
    return settings.model_copy(update={"files": tuple(ordered)})


def _print(reply: Reply, *, as_json: bool) -> int:
    if as_json:
        print_json(reply.structured)
    elif reply.body is not None:
        # what a person keeps goes to stdout alone, the account of the call beside it
        echo(reply.body)
        echo(reply.text.removeprefix(reply.body).strip(), err=True)
    elif reply.is_error:
        echo_message(reply.text, err=True)
    else:
        echo(reply.text)
    return 1 if reply.is_error else 0
