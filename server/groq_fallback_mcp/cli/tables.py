"""`models` and `limits` as tables on a terminal; elsewhere the plain lines of the tools, and with `--json` their structured content."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import anyio
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.catalog.drift import STILL_LIVE
from groq_fallback_mcp.cli.answer_view import short_name
from groq_fallback_mcp.cli.calls import call, show_reply
from groq_fallback_mcp.cli.console import terminal
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.redaction import sanitize_message
from groq_fallback_mcp.render import counted
from groq_fallback_mcp.settings import load_settings
from groq_fallback_mcp.tools.result import label

__all__ = ["limits_view", "models_view", "show_limits", "show_models", "watch_limits"]

WATCH_S = 1.0
# From this many columns on there is room for wider bars and more columns.
WIDE = 100
# Below this many columns names would be cut off: the plain lines say more.
NARROWEST = 60
KINDS = {
    "chat": "Chat",
    "system": "Systems",
    "speech_to_text": "Speech to text",
    "text_to_speech": "Text to speech",
    "guard": "Safety",
}
# The limits in the order of their columns.
TOKENS = {
    "rpm": "req/min",
    "tpm": "tok/min",
    "itpm": "in/min",
    "otpm": "out/min",
    "rph": "req/hour",
    "tph": "tok/hour",
    "rpd": "req/day",
    "tpd": "tok/day",
}
AUDIO = {"ash": "audio/hour", "asd": "audio/day"}
FIGURE_CHARS = 4
# Below these shares of a limit its bar is yellow, then red.
LOW, VERY_LOW = 0.5, 0.15


async def show_models(arguments: Mapping[str, Any], *, as_json: bool) -> int:
    """The tool list_models for a person."""
    return await _show("list_models", arguments, models_view, as_json=as_json)


async def show_limits(arguments: Mapping[str, Any], *, as_json: bool) -> int:
    """The tool check_limits for a person."""
    return await _show("check_limits", arguments, limits_view, as_json=as_json)


async def watch_limits(arguments: Mapping[str, Any]) -> int:
    """The limits, redrawn every WATCH_S seconds until interrupted. Raises InputRefused where stdout is not a terminal."""
    console = terminal(sys.stdout)
    if console is None:
        raise InputRefused("--watch needs a terminal", next_step="Use limits, or limits --json in a loop")
    async with open_context(load_settings()) as context:
        reply = await call("check_limits", arguments, context)
        if reply.is_error:
            return show_reply(reply, as_json=False)
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            try:
                while True:
                    footer = Text("Ctrl-C ends", style="dim")
                    live.update(Group(limits_view(reply.structured, console.width), footer), refresh=True)
                    await anyio.sleep(WATCH_S)
                    reply = await call("check_limits", arguments, context)
            except anyio.get_cancelled_exc_class():
                live.update(limits_view(reply.structured, console.width), refresh=True)
                raise


async def _show(
    name: str, arguments: Mapping[str, Any], view: Callable[[Mapping[str, Any], int], RenderableType], *, as_json: bool
) -> int:
    async with open_context(load_settings()) as context:
        reply = await call(name, arguments, context)
    console = None if as_json or reply.is_error else terminal(sys.stdout)
    if console is None or console.width < NARROWEST:
        return show_reply(reply, as_json=as_json)
    console.print(view(reply.structured, console.width))
    return 0


def models_view(result: Mapping[str, Any], width: int) -> RenderableType:
    """The structured content of list_models as a table a kind."""
    parts: list[RenderableType] = []
    for kind, title in KINDS.items():
        rows = [row for row in result["models"] if row["kind"] == kind]
        if rows:
            parts += [_models_table(title, kind, rows, width), Text()]
    facts = ["Prices in USD per million input / output tokens.", f"Groq's live list: {result['live_list']}."]
    if drift := result.get("drift"):
        update = "; run groq-fallback-mcp catalog update" if drift.keys() - {STILL_LIVE} else ""
        facts.append(f"The live list differs from the catalog ({', '.join(drift)}){update}.")
    return Group(*parts, Text(sanitize_message(" ".join(facts)), style="dim"))


def _models_table(title: str, kind: str, rows: Sequence[Mapping[str, Any]], width: int) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Model", no_wrap=True, style="cyan")
    table.add_column("Now", no_wrap=kind != "chat")
    table.add_column("Price", no_wrap=True, justify="right")
    chat = kind in {"chat", "system"}
    if chat:
        table.add_column("Tokens/s", justify="right")
        table.add_column("Context", justify="right")
    if width >= WIDE:
        table.add_column("Stage")
        table.add_column("Used for" if kind == "chat" else "Can do")
    for row in rows:
        cells = [Text(sanitize_message(_name(row))), _availability(row), _price(row)]
        if chat:
            speed, context = row.get("speed_tps"), row.get("context_window")
            cells += [Text("" if speed is None else f"{speed:,}"), Text("" if context is None else _short(context))]
        if width >= WIDE:
            what = row["use_cases"] if kind == "chat" else row["capabilities"]
            cells += [Text(row["stage"]), Text(sanitize_message(", ".join(what).replace("_", " ")))]
        table.add_row(*cells)
    return table


def _price(row: Mapping[str, Any]) -> Text:
    """What a model costs, in the unit of its kind."""
    price = row.get("price_usd") or {}
    if "input_usd_per_mtok" in price and "output_usd_per_mtok" in price:
        return Text(f"{_usd(price['input_usd_per_mtok'])} / {_usd(price['output_usd_per_mtok'])}")
    units = {"audio_usd_per_hour": "per hour", "speech_usd_per_mchar": "per 1M characters"}
    found = next(((name, value) for name, value in price.items() if value is not None), None)
    return Text("" if found is None else f"{_usd(found[1])} {units.get(found[0], found[0].replace('_', ' '))}")


def _usd(value: str) -> str:
    return f"${float(value):.3f}".removesuffix("0")


def limits_view(result: Mapping[str, Any], width: int) -> RenderableType:
    """The structured content of check_limits: a bar for each limit, and the time of the next call."""
    audio = [model for model in result["models"] if _figures(model).keys() & AUDIO.keys()]
    others = [model for model in result["models"] if model not in audio]
    lines: list[RenderableType] = []
    for models, columns in ((others, TOKENS), (audio, {"rpm": TOKENS["rpm"], "rpd": TOKENS["rpd"], **AUDIO})):
        if models:
            lines += [_limits_table(models, columns, width), Text()]
    if result.get("degraded"):
        why = f"DEGRADED: the ledger cannot be used ({result['degraded']}). Each process keeps to a quarter of the limits."
        lines.append(Text(sanitize_message(why), style="red"))
    if result.get("probe"):
        lines.append(Text(sanitize_message(f"Probe: {result['probe']}.")))
    reasons = [(_name(model), model["blocked_by"]) for model in result["models"] if model.get("blocked_by")]
    lines += [Text(sanitize_message(f"{name}: {reason}"), style="yellow") for name, reason in reasons]
    if incomplete := (result.get("spent") or {}).get("incomplete"):
        lines.append(Text(sanitize_message(str(incomplete)), style="red"))
    return Group(*lines, Text(sanitize_message(_footer(result)), style="dim"))


def _limits_table(models: Sequence[Mapping[str, Any]], columns: Mapping[str, str], width: int) -> Table:
    cells = 8 if width >= WIDE else 4
    shown = {limit: title for limit, title in columns.items() if any(limit in _figures(model) for model in models)}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Model", no_wrap=True, style="cyan")
    table.add_column("Next call", no_wrap=True, min_width=9)
    for title in shown.values():
        table.add_column(title, no_wrap=True, min_width=cells + FIGURE_CHARS + 1)
    for model in models:
        figures = _figures(model)
        bars = [_bar(limit, figures.get(limit), cells) for limit in shown]
        table.add_row(Text(sanitize_message(_name(model))), _next_call(model), *bars)
    return table


def _figures(model: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {entry["limit"]: entry for entry in model["limits"]}


def _dollars(amount: str) -> str:
    """A budget to the cent, and as far as it goes beyond."""
    whole, _, rest = f"{Decimal(amount):,f}".partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"


def _footer(result: Mapping[str, Any]) -> str:
    spent = result.get("spent") or {"usd": "0", "tokens": 0, "calls": 0}
    fitting = result.get("calls_now_all_models")
    fits = (
        ""
        if fitting is None
        else f"{counted(fitting, 'call')} of {result['tokens']:,} tokens {'fits' if fitting == 1 else 'fit'} right now. "
    )
    of_usd = f" of ${_dollars(spent['budget_usd'])}" if spent.get("budget_usd") else ""
    of_tokens = f" of {spent['budget_tokens']:,}" if spent.get("budget_tokens") else ""
    unpriced = f", {spent['unpriced_calls']} of them without a known price" if spent.get("unpriced_calls") else ""
    usd, tokens, calls = float(spent["usd"]), spent["tokens"], spent["calls"]
    return f"{fits}Today (UTC): ${usd:.4f}{of_usd}, {tokens:,}{of_tokens} tokens in {counted(calls, 'call')}{unpriced}."


def _next_call(model: Mapping[str, Any]) -> Text:
    wait_s = model.get("next_call_in_s")
    if wait_s is None:
        return Text("no", style="red")
    return Text("now", style="green") if wait_s <= 0 else Text(f"in {_seconds(wait_s)}", style="yellow")


def _availability(row: Mapping[str, Any]) -> Text:
    words = sanitize_message(row["available"])
    if row.get("successor"):
        return Text(sanitize_message(f"no: now {short_name(row['successor'])}"), style="red")
    if words == "now":
        return Text(words, style="green")
    if words.startswith("in "):
        return Text(words.partition(" (")[0], style="yellow")
    return Text(words.replace("no, ", "no: ", 1).partition(" (")[0], style="red" if words.startswith(("no", "never")) else "")


def _bar(limit: str, entry: Mapping[str, Any] | None, cells: int) -> Text:
    """A limit as a bar of what is left of it, and the figure."""
    if entry is None:
        return Text("")
    share = min(max(entry["level"] / entry["capacity"], 0.0), 1.0) if entry["capacity"] else 0.0
    halves = round(share * cells * 2)
    filled = "━" * (halves // 2) + "╸" * (halves % 2)
    style = "green" if share >= LOW else "yellow" if share >= VERY_LOW else "red"
    figure = _seconds(entry["level"]) if limit in {"ash", "asd"} else _short(entry["level"])
    return Text.assemble((filled, style), ("─" * (cells - len(filled)), "bright_black"), " ", figure.rjust(FIGURE_CHARS))


def _short(figure: float) -> str:
    """A figure in at most FIGURE_CHARS characters."""
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if figure >= unit:
            return f"{figure / unit:.1f}{sign}" if figure < 10 * unit else f"{figure / unit:.0f}{sign}"
    return f"{figure:.0f}"


def _seconds(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} m" if seconds < 6_000 else f"{seconds / 3_600:.0f} h"


def _name(row: Mapping[str, Any]) -> str:
    """A model as `--model` takes it: without its maker at Groq, with its provider elsewhere."""
    provider, model = str(row["provider"]), str(row.get("id") or row.get("model"))
    return short_name(model) if provider == "groq" else label(provider, model)
