"""Whether a command is an MCP server that answers: started, greeted, asked for its tools, and ended."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from groq_fallback_mcp.command import SCRIPT

__all__ = ["Fault", "answers"]

PATIENCE_S = 10.0
EXPECTED = "groq_chat"
MOST_LOG_CHARS = 4_096
MOST_LINE_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a command is not our server. `responds`: it is an MCP server, but another one."""

    text: str
    responds: bool = False


async def answers(
    command: Sequence[str], *, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Fault | None:
    """Why the command does not answer as our server does; None when it does.

    It is started in `folder`, or in an empty one, so that a relative path leads nowhere. `environment` is added to the few
    variables that every client passes on.
    """
    first, *rest = command
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log,
        tempfile.TemporaryDirectory(prefix="groq-fallback-mcp-") as empty,
    ):
        parameters = StdioServerParameters(
            command=first, args=rest, cwd=folder or empty, env=None if environment is None else dict(environment)
        )
        try:
            with anyio.fail_after(PATIENCE_S):
                async with Client(stdio_client(parameters, errlog=log)) as client:
                    tools = [tool.name for tool in (await client.list_tools()).tools]
        except TimeoutError:
            return Fault(text=f"{first} did not answer within {PATIENCE_S:g} s{_reported(log, first)}")
        except Exception as error:  # noqa: BLE001 - whatever that command is, it is no reason for doctor to fail
            reported = _reported(log, first) or f" ({_cause(error)})"
            return Fault(text=f"{first} does not start or does not respond{reported}")
    return None if EXPECTED in tools else Fault(text=f"{first} is an MCP server without {EXPECTED}", responds=True)


def _cause(error: BaseException) -> str:
    """Why a server that wrote nothing to stderr cannot be reached."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error.strerror if isinstance(error, OSError) and error.strerror else "it ended without an answer"


def _reported(log: IO[str], program: str) -> str:
    """The last line that the server wrote to stderr, without the program's name before it; empty where it wrote none."""
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - MOST_LOG_CHARS))
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]
    if not lines:
        return ""
    line = lines[-1].removeprefix(f"{program}: ").removeprefix(f"{SCRIPT}: ")
    return f". It reports: {line[:MOST_LINE_CHARS]}"
