"""Calls of the history as lines for people: which models were tried, how it ended, what it took, who asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from groq_fallback_mcp.call import ANSWERED, CANCELLED, AttemptRecord, CallOrigin, CallRecord, CallUnderWay
from groq_fallback_mcp.cli.answer_view import short_name
from groq_fallback_mcp.redaction import sanitize_message
from groq_fallback_mcp.tools.result import label

__all__ = ["call_cells", "call_json", "call_line", "calls_table", "under_way_table"]

COLUMNS = ("time", "outcome", "models tried", "took", "first", "tokens", "USD", "client", "endpoint")
# Of each column where lines come one by one; the last takes what is left.
_WIDTHS = (12, 20, 40, 8, 7, 17, 9, 20)
# Of a narrow terminal these go first.
_OPTIONAL = ("endpoint", "USD", "first", "client")
WIDTH_OF_ALL = 120
WIDTH_OF_MOST = 90
# What a failure is called where its status says less.
_SHORT = {"rate_limited": "429"}


def call_cells(call: CallRecord) -> Sequence[str]:
    """A call in the order of COLUMNS, as plain text."""
    usage = call.usage
    tokens = f"{usage.input_tokens:,} + {usage.output_tokens:,}" if usage.input_tokens or usage.output_tokens else ""
    if usage.audio_s:
        tokens = f"{usage.audio_s:,.0f} s audio"
    return [
        _time(call.ended_at),
        outcome_words(call),
        models_tried(call.attempts),
        f"{call.duration_s:.2f} s",
        "" if call.first_token_s is None else f"{call.first_token_s:.2f} s",
        tokens,
        "" if call.cost_usd is None else f"{call.cost_usd:.6f}",
        who(call.origin),
        call.origin.endpoint,
    ]


def call_line(cells: Sequence[str]) -> str:
    """The cells of a call in columns that stay where they are, whatever the next call has: a longer cell is cut."""
    *columns, last = (sanitize_message(cell) for cell in cells)
    padded = (
        (cell if len(cell) <= width else f"{cell[: width - 1]}…").ljust(width)
        for cell, width in zip(columns, _WIDTHS, strict=True)
    )
    return "  ".join((*padded, last)).rstrip()


def outcome_words(call: CallRecord) -> str:
    """How a call ended, and that its answer was made up where it was."""
    words = "fallback" if call.fallback and call.outcome == ANSWERED else call.outcome.replace("_", " ")
    return f"{words} (simulated)" if call.simulated else words


def models_tried(attempts: Sequence[AttemptRecord]) -> str:
    """The models in the order in which they were tried, each with what went wrong: `gpt-oss-120b (429) > gpt-oss-20b`."""
    return " > ".join(f"{_name(one.provider, one.model)}{_why(one)}" for one in attempts) or "none"


def who(origin: CallOrigin) -> str:
    """The client, and the gateway token where it has a name."""
    return " ".join(dict.fromkeys(part for part in (origin.client, origin.caller) if part)) or "-"


def calls_table(calls: Sequence[CallRecord], width: int, *, title: str | None = None) -> Table:
    """Calls as a table that fits a width; the least telling columns are missing from a narrow one."""
    gone = 0 if width >= WIDTH_OF_ALL else 2 if width >= WIDTH_OF_MOST else len(_OPTIONAL)
    shown = [name for name in COLUMNS if name not in _OPTIONAL[:gone]]
    table = _table(title)
    for name in shown:
        right = name in {"took", "first", "tokens", "USD"}
        fold = name == "models tried"
        table.add_column(name, justify="right" if right else "left", no_wrap=not fold, overflow="fold" if fold else "ellipsis")
    for call in calls:
        cells = dict(zip(COLUMNS, call_cells(call), strict=True))
        table.add_row(*(Text(sanitize_message(cells[name]), style=_style(call) if name == "outcome" else "") for name in shown))
    return table


def under_way_table(calls: Sequence[CallUnderWay], now: float, *, title: str | None = None) -> Table:
    """Calls that have not ended, and since when."""
    table = _table(title)
    for name in ("for", "now", "attempt", "client", "endpoint"):
        table.add_column(name, no_wrap=True, justify="right" if name in {"for", "attempt"} else "left")
    for call in calls:
        cells = (
            f"{max(now - call.started_at, 0.0):.0f} s",
            call.doing,
            str(call.attempts),
            who(call.origin),
            call.origin.endpoint,
        )
        table.add_row(*(Text(sanitize_message(cell)) for cell in cells))
    return table


def call_json(call: CallRecord) -> Mapping[str, Any]:
    """A call as an object for programs: seconds, tokens, US dollars."""
    origin, usage = call.origin, call.usage
    return {
        "id": call.id,
        "started_at": call.started_at,
        "ended_at": round(call.ended_at, 3),
        "kind": call.kind,
        "endpoint": origin.endpoint,
        "client": origin.client,
        "token": origin.caller,
        "session": origin.session,
        "use_case": call.use_case,
        "requested_model": call.requested_model or None,
        "outcome": call.outcome,
        "provider": call.provider or None,
        "model": call.model or None,
        "fallback": call.fallback,
        "simulated": call.simulated,
        "waited_s": call.waited_s,
        "first_token_s": call.first_token_s,
        "duration_s": call.duration_s,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_s": usage.audio_s,
        "cost_usd": None if call.cost_usd is None else f"{call.cost_usd:f}",
        "attempts": [
            {
                "provider": one.provider,
                "model": one.model,
                "sent": one.sent,
                "outcome": one.outcome,
                "reason": one.reason or None,
                "status": one.status,
                "begun_s": one.begun_s,
                "first_token_s": one.first_token_s,
                "duration_s": one.duration_s,
            }
            for one in call.attempts
        ],
    }


def _table(title: str | None) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))


def _style(call: CallRecord) -> str:
    if call.outcome == ANSWERED:
        return "yellow" if call.fallback else "green"
    return "bright_black" if call.outcome == CANCELLED else "red"


def _name(provider: str, model: str) -> str:
    return short_name(model) if provider == "groq" else label(provider, model)


def _time(moment: float) -> str:
    """The reader's own time, with the day where it was another."""
    started = datetime.fromtimestamp(moment).astimezone()
    same_day = started.date() == datetime.now().astimezone().date()
    return f"{started:%H:%M:%S}" if same_day else f"{started:%b %d %H:%M}"


def _why(attempt: AttemptRecord) -> str:
    if attempt.outcome == ANSWERED:
        return ""
    # 200 is a stream that broke off
    reason = (
        str(attempt.status)
        if attempt.status not in {None, 200}
        else _SHORT.get(attempt.outcome, attempt.outcome.replace("_", " "))
    )
    if not attempt.sent and attempt.reason:
        reason = f"skipped: {attempt.reason.replace('_', ' ')}"
    return f" ({reason})"
