"""The floor: MCP by hand, one JSON line in and one out, nothing checked. Run by itself it asks by raw httpx.

The other libraries that are no MCP servers are put behind the same loop, so that one client drives them all.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable

TOOLS = [{"name": name, "description": name, "inputSchema": {"type": "object"}} for name in ("noop", "ask")]
BASE_URL = os.environ.get("UPSTREAM", "http://127.0.0.1:1")
MODELS = ("openai/gpt-oss-20b", "openai/gpt-oss-120b")


async def serve(ask: Callable[[str], Awaitable[str]]) -> None:
    """Answer lines until there are no more; calls run side by side."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running: set[asyncio.Task[None]] = set()

    def reply(number: object, result: object) -> None:
        sys.stdout.buffer.write(json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode() + b"\n")
        sys.stdout.buffer.flush()

    async def call(number: object, prompt: str) -> None:
        try:
            reply(number, {"content": [{"type": "text", "text": await ask(prompt)}], "isError": False})
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            reply(number, {"content": [{"type": "text", "text": f"{type(error).__name__}: {error}"}], "isError": True})

    while line := await reader.readline():
        message = json.loads(line)
        number, method = message.get("id"), message.get("method")
        if method == "initialize":
            reply(
                number,
                {
                    "protocolVersion": message["params"]["protocolVersion"],
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "floor", "version": "1"},
                },
            )
        elif method == "tools/list":
            reply(number, {"tools": TOOLS})
        elif method == "tools/call" and message["params"]["name"] == "noop":
            reply(number, {"content": [{"type": "text", "text": "ok"}], "isError": False})
        elif method == "tools/call":
            task = loop.create_task(call(number, message["params"]["arguments"]["prompt"]))
            running.add(task)
            task.add_done_callback(running.discard)


async def main() -> None:
    """The floor with httpx as a user would write it."""
    import httpx

    async with httpx.AsyncClient(base_url=BASE_URL, timeout=60) as client:

        async def ask(prompt: str) -> str:
            response = await client.post(
                "/openai/v1/chat/completions",
                json={"model": MODELS[0], "messages": [{"role": "user", "content": prompt}]},
                headers={"authorization": "Bearer k"},
            )
            response.raise_for_status()
            text: str = response.json()["choices"][0]["message"]["content"]
            return text

        await serve(ask)


if __name__ == "__main__":
    asyncio.run(main())
