"""demo: what an agent's calls look like through the real server, against the simulator with local models as its words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp import Client
from mcp_types import TextContent

from groq_fallback_mcp.audio.samples import SAMPLE_TEXT, sample_path
from groq_fallback_mcp.harness.child import open_rig, server_child
from groq_fallback_mcp.simulator import Fault, SpeechEngine, TextEngine

__all__ = ["Scene", "Show", "full_demo", "short_demo"]

LIMITED = "openai/gpt-oss-20b"
QUESTION = "Give one tip for writing clear code, in one sentence."
NEXT_QUESTION = "Name the three primary colors in one short sentence."
# Questions are answered the same way each time.
EXACT = {"temperature": 0}
LIMITED_S = 30.0
ALL_LIMITED_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One thing shown: what the client called, and what came back as an agent sees it."""

    title: str
    tool: str
    arguments: Mapping[str, Any]
    text: str
    structured: Mapping[str, Any]
    is_error: bool = False


Show = Callable[[Scene], Awaitable[None]]


async def short_demo(show: Show, *, text: TextEngine | None, speech: SpeechEngine | None) -> None:
    """A fallback, the next call that skips the limited model, a transcript, and the error when nothing can answer."""
    limited = {LIMITED: (Fault(kind="429", seconds=LIMITED_S),)}
    async with open_rig(faults=limited, text=text, speech=speech) as rig, server_child(rig.environment) as client:
        title = "A question. The first model is rate limited, so the next one answers."
        await show(await _call(client, title, "groq_chat", {"prompt": QUESTION, **EXACT}))
        title = "Another question. Nothing is sent to the limited model."
        await show(await _call(client, title, "groq_chat", {"prompt": NEXT_QUESTION, **EXACT}))
        await show(await _call(client, "A recording.", "transcribe", {"file": sample_path().name}))
    everywhere = {"*": (Fault(kind="429", seconds=ALL_LIMITED_S),)}
    async with open_rig(faults=everywhere, text=text, speech=speech) as rig, server_child(rig.environment) as client:
        title = "Every model is rate limited. The agent gets one error that says what to do."
        await show(await _call(client, title, "groq_chat", {"prompt": QUESTION}))


async def full_demo(show: Show, *, text: TextEngine | None, speech: SpeechEngine | None) -> None:
    """The tools, a fallback, limits before and after, subtitles, a mistake, and three ways to be without Groq."""
    limited = {LIMITED: (Fault(kind="429", seconds=LIMITED_S),)}
    async with open_rig(faults=limited, text=text, speech=speech) as rig, server_child(rig.environment) as client:
        await show(await _tools(client))
        await show(await _call(client, "The limits before", "check_limits", {}))
        await show(
            await _call(client, f"A question while {LIMITED} is rate limited", "groq_chat", {"prompt": QUESTION, **EXACT})
        )
        await show(await _call(client, "The next question skips that model", "groq_chat", {"prompt": NEXT_QUESTION, **EXACT}))
        await show(await _call(client, "The limits after", "check_limits", {}))
        spoken = f'Subtitles of a recording of "{SAMPLE_TEXT}"'
        await show(await _call(client, spoken, "transcribe", {"file": sample_path().name, "format": "srt"}))
        await show(await _call(client, "A mistake in the arguments", "groq_chat", {"promt": QUESTION}))
    everywhere = {"*": (Fault(kind="429", seconds=ALL_LIMITED_S),)}
    async with open_rig(faults=everywhere, text=text, speech=speech) as rig:
        async with server_child(rig.environment) as client:
            await show(await _call(client, "Every model is rate limited for two minutes", "groq_chat", {"prompt": QUESTION}))
        no_key = {**rig.environment, "GROQ_API_KEY": ""}
        async with server_child(no_key) as client:
            await show(await _call(client, "No key, and local models are off", "groq_chat", {"prompt": QUESTION}))
        async with server_child({**no_key, "GROQ_FALLBACK_LOCAL": "on"}) as client:
            await show(await _call(client, "No key, with local models as the last resort", "groq_chat", {"prompt": QUESTION}))


async def _tools(client: Client) -> Scene:
    tools = (await client.list_tools()).tools
    lines = [f"{tool.name}: {tool.description}" for tool in tools]
    names = [tool.name for tool in tools]
    return Scene(title="The tools", tool="tools/list", arguments={}, text="\n".join(lines), structured={"tools": names})


async def _call(client: Client, title: str, name: str, arguments: Mapping[str, Any]) -> Scene:
    result = await client.call_tool(name, dict(arguments))
    return Scene(
        title=title,
        tool=name,
        arguments=arguments,
        text="\n".join(block.text for block in result.content if isinstance(block, TextContent)),
        structured=dict(result.structured_content or {}),
        is_error=bool(result.is_error),
    )
