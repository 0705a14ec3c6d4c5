"""The two tools of the peers that are frameworks: one does nothing, one asks by httpx."""

from __future__ import annotations

import os

import httpx

MODEL = "openai/gpt-oss-20b"
client = httpx.AsyncClient(base_url=os.environ.get("UPSTREAM", "http://127.0.0.1:1"), timeout=60)


async def noop() -> str:
    """Do nothing."""
    return "ok"


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
