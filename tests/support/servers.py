"""The real MCP server around fake providers, connected in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fakes import World
from mcp import Client
from mcp_types import CallToolResult, TextContent

from groq_fallback_mcp.mcp_server.build import build_server
from groq_fallback_mcp.response_cache import ResponseCache
from groq_fallback_mcp.tools import TOOLS, Context, Tool


@asynccontextmanager
async def connected(
    world: World,
    *,
    folders: tuple[Path, ...] = (),
    mode: str = "auto",
    tools: Sequence[Tool] = TOOLS,
    cache: ResponseCache | None = None,
    state: Path | None = None,
    **client: Any,
) -> AsyncIterator[Client]:
    """A client of the server, without a process in between; `client` is what it says of itself."""

    @asynccontextmanager
    async def open_context() -> AsyncIterator[Context]:
        yield Context(engine=world.engine, folders=folders, cache=cache, **({} if state is None else {"state": state}))

    async with Client(build_server(open_context, tools=tools), mode=mode, raise_exceptions=True, **client) as found:  # type: ignore[arg-type]
        yield found


def text_of(result: CallToolResult) -> str:
    """All text of a result."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))
