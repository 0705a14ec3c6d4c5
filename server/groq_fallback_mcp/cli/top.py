"""The command `top`: limits, calls in progress and the last calls on one screen, redrawn every second."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import anyio
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.call import ANSWERED, CallRecord, CallUnderWay
from groq_fallback_mcp.cli.calls import call
from groq_fallback_mcp.cli.console import terminal
from groq_fallback_mcp.cli.history_view import calls_table, under_way_table
from groq_fallback_mcp.cli.tables import WATCH_S, limits_view
from groq_fallback_mcp.durations import DAY_S
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.settings import Settings, load_settings
from groq_fallback_mcp.tools.tool import Context

__all__ = ["recent_calls", "show_top", "top_view"]

RECENT_S = 60.0
MOST_CALLS = 64
ALL_CALLS = 1_000_000
# What the frame of the screen takes: titles, empty lines, the last line.
FRAME_LINES = 11
LEAST_ROWS = 3


class _Calls(Protocol):
    async def calls(self, *, since: float, limit: int) -> Sequence[CallRecord]: ...


async def show_top() -> int:
    """Redraw until interrupted. Raises InputRefused where stdout is not a terminal."""
    console = terminal(sys.stdout)
    if console is None:
        raise InputRefused(
            "the command top needs a terminal", next_step="Use groq-fallback-mcp log and limits, which can be piped"
        )
    settings = load_settings()
    async with open_context(settings) as context:
        with Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
            while True:
                live.update(await _view(context, settings, console.width, console.height), refresh=True)
                await anyio.sleep(WATCH_S)


async def _view(context: Context, settings: Settings, width: int, height: int) -> RenderableType:
    ledger, now = context.engine.ledger, context.engine.clock.wall()
    limits = await call("check_limits", {"all": True}, context)
    recent = await recent_calls(ledger, now)
    under_way = await ledger.calls_under_way()
    return top_view(limits.structured, under_way, recent, width=width, height=height, now=now, recorded=settings.history)


async def recent_calls(ledger: _Calls, now: float) -> Sequence[CallRecord]:
    """The calls to show, the newest last, and all that ended in the last minute."""
    recent = await ledger.calls(since=now - DAY_S, limit=MOST_CALLS)
    if len(recent) < MOST_CALLS or recent[0].ended_at < now - RECENT_S:
        return recent
    # too many a minute for the first look
    return await ledger.calls(since=now - RECENT_S, limit=ALL_CALLS)


def top_view(
    limits: Mapping[str, Any],
    under_way: Sequence[CallUnderWay],
    recent: Sequence[CallRecord],
    *,
    width: int,
    height: int,
    now: float,
    recorded: bool = True,
) -> RenderableType:
    """The screen: `limits` is the structured content of check_limits for all models, `recent` has the newest call last.

    Of more than fits the limits that nothing was taken of go first, then the older calls.
    """
    room = max(height - FRAME_LINES, 3 * LEAST_ROWS)
    models = _most_telling(limits["models"], room // 3)
    going = under_way[: room // 4]
    progress: RenderableType = (
        under_way_table(going, now, title=f"In progress: {len(under_way)}") if going else Text("In progress: 0", style="bold")
    )
    shown = recent[-(room - len(models) - len(going)) :]
    parts: list[RenderableType] = [
        limits_view({**limits, "models": models}, width),
        Text(),
        progress,
        Text(),
        calls_table(shown[::-1], width, title=f"Last calls. {_last_minute(recent, now)}"),
    ]
    if not recorded:
        parts.append(Text("The history is off (GROQ_FALLBACK_HISTORY), so newer calls are not shown.", style="yellow"))
    elif not recent:
        parts.append(Text("No calls yet. Make one with groq-fallback-mcp chat hello", style="dim"))
    return Group(*parts, Text("Ctrl-C ends", style="dim"))


def _last_minute(recent: Sequence[CallRecord], now: float) -> str:
    last = [call for call in recent if call.ended_at >= now - RECENT_S]
    if not last:
        return "None in the last minute."
    answered = [call for call in last if call.outcome == ANSWERED]
    fallbacks = sum(call.fallback for call in answered)
    return f"In the last minute {len(last)}: {len(answered)} answered, {fallbacks} of them by a fallback."


def _most_telling(models: Sequence[Mapping[str, Any]], most: int) -> Sequence[Mapping[str, Any]]:
    """At most so many models in their order: those in use or in a cooldown before those of which nothing was taken."""
    touched = [index for index, model in enumerate(models) if _is_touched(model)]
    rest = [index for index in range(len(models)) if index not in touched]
    return [models[index] for index in sorted((touched + rest)[:most])]


def _is_touched(model: Mapping[str, Any]) -> bool:
    used = any(entry["level"] < entry["capacity"] for entry in model["limits"])
    return bool(used or model.get("in_flight") or model.get("cooldown_s"))
