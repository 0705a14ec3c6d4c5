"""fastmcp with the same two tools."""

from __future__ import annotations

import os

import httpx
from fastmcp import FastMCP

MODEL = "openai/gpt-oss-20b"
server = FastMCP("bare")
client = httpx.AsyncClient(base_url=os.environ.get("UPSTREAM", "http://127.0.0.1:1"), timeout=60)


@server.tool()
async def noop() -> str:
    """Do nothing."""
    return "ok"


@server.tool()
async def ask(prompt: str) -> str:
    """Ask the upstream."""
    response = await client.post(
        "/openai/v1/chat/completions",
        json={"model": MODEL, "messages": [{"role": "user", "content": prompt}]},
        headers={"authorization": "Bearer k"},
    )
    response.raise_for_status()
    text: str = response.json()["choices"][0]["message"]["content"]
    return text


if __name__ == "__main__":
    server.run("stdio", show_banner=False)
