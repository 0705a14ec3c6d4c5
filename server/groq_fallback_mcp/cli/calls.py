"""chat, models, limits, transcribe: the four tools, called in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.cli.console import print_json
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.render import clean, clean_text
from groq_fallback_mcp.settings import Settings, load_settings
from groq_fallback_mcp.tools import ALL_TOOLS, Context, Reply
from groq_fallback_mcp.tools.arguments import parse

__all__ = ["call_tool", "chat", "transcribe"]


async def call_tool(name: str, arguments: Mapping[str, Any], *, as_json: bool) -> int:
    """Call one tool and print its result; 1 when it is an error."""
    async with open_context(load_settings()) as context:
        return _print(await _call(name, arguments, context), as_json=as_json)


async def chat(arguments: Mapping[str, Any], *, schema: Path | None, as_json: bool) -> int:
    """The tool groq_chat. Raises InputRefused for a schema file without JSON."""
    given = arguments if schema is None else {**arguments, "response_schema": _read_json(schema)}
    return await call_tool("groq_chat", given, as_json=as_json)


async def transcribe(arguments: Mapping[str, Any], *, as_json: bool) -> int:
    """The tool transcribe, with a progress bar on a terminal. A person may name any file, so its folder is allowed."""
    settings = load_settings()
    async with open_context(_with_folder_of(arguments.get("file"), settings)) as context:
        if not sys.stderr.isatty():
            return _print(await _call("transcribe", arguments, context), as_json=as_json)
        return _print(await _call_with_bar("transcribe", arguments, context), as_json=as_json)


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
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("transcribing", total=None)

        async def progress(done: float, total: float, message: str) -> None:
            bar.update(task, description=message, completed=done, total=total)

        return await _call(name, arguments, replace(context, progress=progress))


def _with_folder_of(file: object, settings: Settings) -> Settings:
    if not isinstance(file, str):
        return settings
    try:
        folder = Path(file).expanduser().resolve().parent
    except RuntimeError as error:
        raise InputRefused(f"{file} cannot be expanded: {error}", next_step="give the path itself") from None
    folders = dict.fromkeys((*(settings.files or ()), Path.cwd(), folder))
    return settings.model_copy(update={"files": tuple(folders)})


def _print(reply: Reply, *, as_json: bool) -> int:
    if as_json:
        print_json(clean(reply.structured))
    elif reply.body is not None:
        # what a person keeps goes to stdout alone, the account of the call beside it
        typer.echo(clean_text(reply.body))
        typer.echo(clean_text(reply.text.removeprefix(reply.body).strip()), err=True)
    else:
        typer.echo(clean_text(reply.text), err=reply.is_error)
    return 1 if reply.is_error else 0
