"""The bare SDK: its low-level Server over its own stdio, one tool that does nothing and one that asks by httpx."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import httpx
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp_types import CallToolResult, ListToolsResult, TextContent, Tool

MODEL = "openai/gpt-oss-20b"
TOOLS = [Tool(name=name, description=name, input_schema={"type": "object"}) for name in ("noop", "ask")]


async def main() -> None:
    """Serve until the client ends."""
    async with httpx.AsyncClient(base_url=os.environ.get("UPSTREAM", "http://127.0.0.1:1"), timeout=60) as client:

        async def list_tools(context: Any, params: Any) -> ListToolsResult:
            del context, params
            return ListToolsResult(tools=TOOLS)

        async def call_tool(context: Any, params: Any) -> CallToolResult:
            del context
            if params.name == "noop":
                return CallToolResult(content=[TextContent(text="ok")])
            response = await client.post(
                "/openai/v1/chat/completions",
                json={"model": MODEL, "messages": [{"role": "user", "content": params.arguments["prompt"]}]},
                headers={"authorization": "Bearer k"},
            )
            response.raise_for_status()
            return CallToolResult(content=[TextContent(text=response.json()["choices"][0]["message"]["content"])])

        server: Server[Any] = Server("bare", on_list_tools=list_tools, on_call_tool=call_tool)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(main())
