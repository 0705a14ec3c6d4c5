"""demo: the whole way of an agent's call, shown step by step, against the simulator with real local models as its words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from mcp import Client
from mcp_types import TextContent

from groq_fallback_mcp.audio.samples import SAMPLE_TEXT, sample_path
from groq_fallback_mcp.harness.child import open_rig, server_child
from groq_fallback_mcp.simulator import Fault, SpeechEngine, TextEngine

__all__ = ["Step", "demo"]

LIMITED = "openai/gpt-oss-20b"
QUESTION = "Name the three primary colors in one short sentence."


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing shown: what the client did, and what came back as an agent sees it."""

    title: str
    call: str
    text: str
    structured: Mapping[str, Any]


async def demo(*, text: TextEngine | None, speech: SpeechEngine | None) -> AsyncIterator[Step]:
    """Show tools, a fallback, limits before and after, a transcript, and what happens with no provider left."""
    limited = {LIMITED: (Fault(kind="429", seconds=30.0),)}
    async with open_rig(faults=limited, text=text, speech=speech) as rig, server_child(rig.environment) as client:
        yield await _tools(client)
        yield await _call(client, "Limits before", "check_limits", {"tokens": 1500})
        yield await _call(
            client, f"A question while its first model, {LIMITED}, is rate limited", "groq_chat", {"prompt": QUESTION}
        )
        yield await _call(client, "The next question skips that model", "groq_chat", {"prompt": QUESTION})
        yield await _call(client, "Limits after", "check_limits", {"tokens": 1500})
        spoken = f"A recording that says: {SAMPLE_TEXT}"
        yield await _call(client, spoken, "transcribe", {"file": sample_path().name, "format": "srt"})
        yield await _call(client, "A typo in the arguments", "groq_chat", {"promt": QUESTION})
    everywhere = {"*": (Fault(kind="429", seconds=120.0),)}
    async with open_rig(faults=everywhere, text=text, speech=speech) as rig:
        async with server_child(rig.environment) as client:
            yield await _call(client, "All models are rate limited for two minutes", "groq_chat", {"prompt": QUESTION})
        no_key = {**rig.environment, "GROQ_API_KEY": ""}
        async with server_child(no_key) as client:
            yield await _call(client, "No key, and local models off", "groq_chat", {"prompt": QUESTION})
        async with server_child({**no_key, "GROQ_FALLBACK_LOCAL": "on"}) as client:
            yield await _call(client, "No key, local models as a last resort", "groq_chat", {"prompt": QUESTION})


async def _tools(client: Client) -> Step:
    tools = (await client.list_tools()).tools
    lines = [f"{tool.name}: {tool.description}" for tool in tools]
    return Step(
        title="The tools", call="tools/list", text="\n".join(lines), structured={"tools": [tool.name for tool in tools]}
    )


async def _call(client: Client, title: str, name: str, arguments: Mapping[str, Any]) -> Step:
    result = await client.call_tool(name, dict(arguments))
    text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
    marked = f"[isError]\n{text}" if result.is_error else text
    return Step(title=title, call=f"{name} {dict(arguments)}", text=marked, structured=dict(result.structured_content or {}))
