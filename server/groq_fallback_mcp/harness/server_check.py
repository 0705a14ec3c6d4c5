"""Whether a command is an MCP server that answers: started, greeted, asked for its tools, and ended."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

__all__ = ["answers"]

PATIENCE_S = 10.0
EXPECTED = "groq_chat"


async def answers(command: Sequence[str], *, folder: Path | None = None) -> str | None:
    """Why the command does not answer as our server does; None when it does.

    It is started in `folder`, or in an empty one, so that a relative path leads nowhere.
    """
    first, *rest = command
    tools: list[str] = []
    try:
        with (
            anyio.fail_after(PATIENCE_S),
            tempfile.TemporaryFile("w") as silence,
            tempfile.TemporaryDirectory(prefix="groq-fallback-mcp-") as empty,
        ):
            parameters = StdioServerParameters(command=first, args=rest, cwd=folder or empty)
            transport = stdio_client(parameters, errlog=silence)
            async with Client(transport) as client:
                tools = [tool.name for tool in (await client.list_tools()).tools]
    except TimeoutError:
        return f"{first} did not answer within {PATIENCE_S:g} s"
    except Exception as error:  # noqa: BLE001 - whatever that command is, it is no reason for doctor to fail
        return f"{first} does not start or does not respond: {type(error).__name__}"
    return None if EXPECTED in tools else f"{first} is an MCP server without {EXPECTED}"
