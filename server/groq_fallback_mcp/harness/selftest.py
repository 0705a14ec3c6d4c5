"""selftest: every tool, a fallback, a bad argument and a cancel, over real stdio in both protocol eras."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from mcp import Client
from mcp_types import CallToolResult, TextContent

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.harness.child import Era, Rig, open_rig, server_child
from groq_fallback_mcp.render import counted
from groq_fallback_mcp.simulator import Fault

__all__ = ["Check", "selftest"]

TOOLS = {"groq_chat", "list_models", "check_limits", "transcribe"}
LIMITED = "openai/gpt-oss-20b"
HANGING = "qwen/qwen3.8-27b"
STEP_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the report."""

    era: str
    name: str
    ok: bool
    detail: str
    took_s: float


class _Failed(Exception):
    pass


async def selftest(show: Callable[[Check], None]) -> None:
    """Run all checks, showing each as it ends. Nothing leaves the machine."""
    faults = {LIMITED: (Fault(kind="429", seconds=30.0),), HANGING: (Fault(kind="hang"),)}
    async with open_rig(faults=faults) as rig:
        for era in _ERAS:
            await _one_era(era, rig, show)


_ERAS: tuple[Era, ...] = ("legacy", "auto")
_Step = Callable[[Client], Awaitable[str]]


async def _one_era(era: Era, rig: Rig, show: Callable[[Check], None]) -> None:
    steps: dict[str, _Step] = {
        "connect": _connect,
        "tools/list": _list,
        "groq_chat falls back": _chat,
        "groq_chat skips the limited model": _chat_again,
        "list_models": _models,
        "check_limits": _limits,
        "transcribe": _transcribe,
        "a bad argument": _bad_argument,
        "an unknown tool": _unknown_tool,
        "a cancelled call": _cancel,
        "still serving": _models,
    }
    async with server_child(rig.environment, era=era) as client:
        for name, step in steps.items():
            show(await _check(era, name, step, client))


async def _check(era: Era, name: str, step: _Step, client: Client) -> Check:
    started = time.monotonic()
    ok, detail = False, f"no result within {STEP_S:g} s"
    try:
        with anyio.move_on_after(STEP_S):
            detail = await step(client)
            ok = True
    except _Failed as failure:
        detail = str(failure)
    except Exception as failure:  # noqa: BLE001 - whatever goes wrong is the check's result
        detail = f"{type(failure).__name__}: {failure}"
    words = "2025 handshake" if era == "legacy" else "2026 stateless"
    return Check(era=words, name=name, ok=ok, detail=detail, took_s=time.monotonic() - started)


async def _connect(client: Client) -> str:
    info = client.server_info
    return f"protocol {client.protocol_version}, {info.name if info else 'no server name'}"


async def _list(client: Client) -> str:
    names = {tool.name for tool in (await client.list_tools()).tools}
    _require(names == TOOLS, f"tools are {sorted(names)}")
    return ", ".join(sorted(names))


async def _chat(client: Client) -> str:
    answer = await _called(client, "groq_chat", {"prompt": "Say hello."})
    models = [attempt["model"] for attempt in answer["attempts"]]
    _require(answer["model"] != LIMITED and models[0] == LIMITED, f"no fallback: {models}")
    _require(answer["simulated"], "the answer is not labeled as simulated")
    return f"{models[0]} refused, {answer['model']} answered"


async def _chat_again(client: Client) -> str:
    answer = await _called(client, "groq_chat", {"prompt": "Say hello again."})
    first = answer["attempts"][0]
    _require(first["model"] == LIMITED and not first["sent"], "the limited model was tried again too early")
    return f"skipped, available in {first['retry_after_s']:g} s"


async def _models(client: Client) -> str:
    models = (await _called(client, "list_models", {}))["models"]
    _require(len(models) > 1, "too few models")
    return counted(len(models), "model")


async def _limits(client: Client) -> str:
    limits = await _called(client, "check_limits", {"tokens": 1500})
    return f"{counted(limits['calls_now_all_models'], 'call')} of 1,500 tokens now"


async def _transcribe(client: Client) -> str:
    heard = await _called(client, "transcribe", {"file": str(sample_path())})
    _require(bool(heard["text"]), "the transcript is empty")
    return str(heard["text"])


async def _bad_argument(client: Client) -> str:
    result = await client.call_tool("groq_chat", {"prompt": "x", "modell": "y"})
    text = _text(result)
    _require(bool(result.is_error) and "did you mean 'model'" in text, f"not refused: {text[:80]}")
    return text.splitlines()[0]


async def _unknown_tool(client: Client) -> str:
    result = await client.call_tool("no_such_tool", {})
    text = _text(result)
    _require(bool(result.is_error) and "groq_chat" in text, f"not refused: {text[:80]}")
    return text.splitlines()[0]


async def _cancel(client: Client) -> str:
    with anyio.move_on_after(0.5) as scope:
        await client.call_tool("groq_chat", {"prompt": "x", "model": HANGING})
    _require(scope.cancelled_caught, "the call ended before it could be cancelled")
    await _called(client, "groq_chat", {"prompt": "Say hello."})
    return "cancelled; next call answered"


async def _called(client: Client, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    result = await client.call_tool(name, dict(arguments))
    _require(not result.is_error, _text(result)[:200])
    _require(isinstance(result.structured_content, dict), "no structured content")
    return dict(result.structured_content or {})


def _text(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def _require(met: bool, otherwise: str) -> None:
    if not met:
        raise _Failed(otherwise)
