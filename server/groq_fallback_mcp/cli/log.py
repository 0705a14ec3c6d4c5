"""The command `log`: the last calls of all processes that share the ledger, filtered, followed, or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

import anyio
from rich.text import Text

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.call import ANSWERED, CANCELLED, CallRecord
from groq_fallback_mcp.cli.console import echo_message, print_json, print_json_line, terminal
from groq_fallback_mcp.cli.history_view import call_cells, call_json, call_line, calls_table
from groq_fallback_mcp.durations import parse_duration
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.fallback.final_error import Code
from groq_fallback_mcp.quota import Ledger
from groq_fallback_mcp.quota.store import StoreUnusable
from groq_fallback_mcp.quota.store_ledger import utc_day
from groq_fallback_mcp.settings import Settings, load_settings
from groq_fallback_mcp.tools.result import label

__all__ = ["CallFilter", "clear_history", "parse_since", "show_log"]

LOOK_EVERY_S = 1.0
ALL = 20_000
# Of those that end in a second few are more than these.
NEWEST = 256
# In one word what several outcomes are.
_GROUPS = ("fallback", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Which calls are shown. Texts are found anywhere in a name, in small letters or not; None shows all.

    `outcome` is a code, `answered`, `fallback` (answered by another model than the first choice) or `failed` (not answered).
    """

    client: str | None = None
    model: str | None = None
    outcome: str | None = None

    def shows(self, call: CallRecord) -> bool:
        """Whether a call is shown."""
        origin = call.origin
        tried = (name for one in call.attempts for name in _names(one.provider, one.model))
        return (
            _found(self.client, (origin.client, origin.caller, origin.endpoint))
            and _found(self.model, (*_names(call.provider, call.model), call.requested_model, *tried))
            and self._has_outcome(call)
        )

    def _has_outcome(self, call: CallRecord) -> bool:
        match self.outcome:
            case None:
                return True
            case "failed":
                return call.outcome != ANSWERED
            case "fallback":
                return call.fallback
            case code:
                return call.outcome == code.replace(" ", "_")


async def show_log(wanted: CallFilter, *, since: str | None, limit: int, follow: bool, as_json: bool) -> int:
    """Print the last `limit` calls that are `wanted`, in the order in which they ended; with `follow` also each further one, until interrupted."""
    _check_outcome(wanted.outcome)
    settings = load_settings()
    async with open_context(settings) as context:
        ledger, clock = context.engine.ledger, context.engine.clock
        after = 0.0 if since is None else parse_since(since, now=clock.wall())
        # a look at what counts: the history alone does not find out that a store cannot be used
        await ledger.spending([utc_day(clock.wall())])
        everything = await ledger.calls(
            since=0 if follow else after, limit=limit if wanted == CallFilter() and not follow else ALL
        )
        seen = [call for call in everything if call.ended_at >= after]
        shown = [call for call in seen if wanted.shows(call)][-limit:]
        degraded = ledger.status.degraded
        if degraded is not None:
            echo_message(f"The ledger cannot be read, so its calls are not shown: {degraded}", err=True)
            if not follow:
                return 1
        if not follow and as_json:
            print_json({"calls": [call_json(call) for call in shown]})
            return 0
        if not shown and degraded is None:
            filtered = bool(seen) or wanted != CallFilter() or since is not None
            echo_message(_nothing(settings, ledger, filtered=filtered), err=True)
        elif not settings.history:
            echo_message("The history is off (GROQ_FALLBACK_HISTORY), so newer calls are not shown.", err=True)
        printer = _line_printer(as_json=as_json)
        if follow:
            for call in shown:
                printer(call)
            await _follow(ledger, wanted, printer, known=dict.fromkeys(call.id for call in everything))
        elif (console := terminal(sys.stdout)) is not None and shown:
            console.print(calls_table(shown, console.width))
        else:
            for call in shown:
                printer(call)
    return 0


async def clear_history() -> int:
    """Delete the history; 1 where the store cannot be used."""
    async with open_context(load_settings()) as context:
        ledger = context.engine.ledger
        place = ledger.status.place or ledger.status.store
        try:
            await ledger.clear_history(context.engine.clock.wall())
        except StoreUnusable as error:
            echo_message(f"The history could not be deleted: {error}. Try again.", err=True)
            return 1
    echo_message(f"Deleted the history of calls in {place}. Limits and spending are unchanged.")
    return 0


def parse_since(text: str, *, now: float) -> float:
    """The moment, in Unix seconds, of `30m`, `2h`, `1d` ago or of an ISO date or time, as 2026-11-29T08:00. Raises InputRefused."""
    ago = parse_duration(text)
    if ago is not None:
        return now - ago
    try:
        # without a zone it is the reader's own
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise InputRefused(
            f"Invalid time {text[:40]!r}",
            next_step="Give a duration, e.g. --since 30m, 2h or 7d, or a time, e.g. 2026-11-29T08:00",
        ) from None


def _check_outcome(outcome: str | None) -> None:
    """Raises InputRefused for a name that no call can have."""
    known = (ANSWERED, *_GROUPS, CANCELLED, *get_args(Code))
    if outcome is not None and outcome.replace(" ", "_") not in known:
        raise InputRefused(f"Unknown outcome {outcome[:40]!r}", next_step=f"Use one of {', '.join(known)}")


async def _follow(ledger: Ledger, wanted: CallFilter, printer: Callable[[CallRecord], None], *, known: dict[str, None]) -> None:
    """Print each call that is not known, as it ends."""
    while True:
        await anyio.sleep(LOOK_EVERY_S)
        newest = await ledger.calls(since=0, limit=NEWEST)
        if len(newest) == NEWEST and newest[0].id not in known:
            # more came at once than were looked for
            newest = await ledger.calls(since=0, limit=ALL)
        for call in newest:
            if call.id not in known:
                known[call.id] = None
                if wanted.shows(call):
                    printer(call)
        for _ in range(len(known) - 2 * ALL):
            del known[next(iter(known))]


def _line_printer(*, as_json: bool) -> Callable[[CallRecord], None]:
    """What prints a call as it ends: an object of JSON, columns on a terminal, else parts with tabs between."""
    console = terminal(sys.stdout)

    def print_line(call: CallRecord) -> None:
        moment = datetime.fromtimestamp(call.ended_at, tz=UTC)
        time, *cells = call_cells(call)
        if console is not None:
            console.print(Text(call_line((time, *cells))), soft_wrap=True)
            return
        # a tab between: programs cut there, and nothing that is shown holds one
        echo_message("\t".join((f"{moment:%Y-%m-%dT%H:%M:%SZ}", *cells)))

    return (lambda call: print_json_line(call_json(call))) if as_json else print_line


def _nothing(settings: Settings, ledger: Ledger, *, filtered: bool) -> str:
    if not settings.history:
        return "The history is off (GROQ_FALLBACK_HISTORY). Set it to true to record calls."
    if filtered:
        return "No recorded call matches. Run groq-fallback-mcp log without filters to see all."
    place = ledger.status.place or ledger.status.store
    return f"No calls recorded yet in {place}. Make one with groq-fallback-mcp chat hello"


def _names(provider: str, model: str) -> tuple[str, str]:
    """A model's id, and as it is shown where its provider matters."""
    return model, label(provider, model)


def _found(text: str | None, names: Iterable[str]) -> bool:
    return text is None or any(text.casefold() in name.casefold() for name in names)
