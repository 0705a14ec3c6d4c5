"""Reads what an overview is made of and writes it as JSON, at most once a second however many look at it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import anyio.to_thread

from groq_fallback_mcp.catalog.drift import Drift, drift
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.dashboard.overview import MOST_CALLS, Facts, HourSums, Overview, hours_before, overview, sums_of
from groq_fallback_mcp.quota.history import LIFE_S, HourTotals
from groq_fallback_mcp.redaction import clean_json
from groq_fallback_mcp.tools import Context
from groq_fallback_mcp.tools.check_limits import CHECK_LIMITS, CheckLimitsArguments, CheckLimitsResult

__all__ = ["EVERY_S", "OverviewSource"]

EVERY_S = 1.0
# Hours that have passed hardly change: a process may have been late to write.
ALL_HOURS_EVERY_S = 60.0
ALL_HOURS_AGAIN_S = 5.0
LIVE_LIST_EVERY_S = 3_600.0
LIVE_LIST_AGAIN_S = 300.0
LIVE_LIST_S = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An overview with its sections as JSON."""

    overview: Overview
    sections: Mapping[str, bytes]


class OverviewSource:
    """The overview of one server. `keeps_history`: whether its calls are kept."""

    def __init__(self, context: Context, *, keeps_history: bool = True) -> None:
        self._context = context
        self._keeps_history = keeps_history
        self._reading = asyncio.Lock()
        self._found: tuple[float, Written] | None = None
        self._hours: dict[str, tuple[HourTotals, HourSums]] = {}
        self._all_hours_at: float | None = None
        self._drift: Drift | None = None
        self._live_list_at: float | None = None
        self._looking: asyncio.Task[None] | None = None

    async def sections(self) -> Mapping[str, bytes]:
        """The sections of the overview as JSON, as things are now or were less than a second ago. Raises what the store raises."""
        clock = self._context.engine.clock
        async with self._reading:
            if self._found is None or clock.monotonic() - self._found[0] >= EVERY_S:
                self._found = (clock.monotonic(), await self._read())
            return self._found[1].sections

    async def _read(self) -> Written:
        engine = self._context.engine
        ledger, at = engine.ledger, engine.clock.wall()
        self._look_at_live_list()
        reply = await CHECK_LIMITS.handle(CheckLimitsArguments(all=True), self._context)
        facts = Facts(
            at=at,
            limits=CheckLimitsResult.model_validate(reply.structured),
            calls=await ledger.calls(since=at - LIFE_S, limit=MOST_CALLS),
            under_way=await ledger.calls_under_way(),
            hours=await self._hours_until(at),
            drift=self._drift,
            keeps_history=self._keeps_history,
        )
        # of a busy team it takes long enough to keep calls waiting
        before = None if self._found is None else self._found[1]
        return await anyio.to_thread.run_sync(_written, facts, before)

    async def _hours_until(self, at: float) -> Sequence[HourSums]:
        keys, now = hours_before(at), self._context.engine.clock.monotonic()
        is_time_for_all = self._all_hours_at is None or now - self._all_hours_at >= ALL_HOURS_EVERY_S
        found = await self._context.engine.ledger.hours(keys if is_time_for_all else keys[-2:])
        if is_time_for_all:
            self._all_hours_at = now if found is not None else now - ALL_HOURS_EVERY_S + ALL_HOURS_AGAIN_S
        if found is not None:
            self._hours = await anyio.to_thread.run_sync(_summed, keys, self._hours, found, is_time_for_all)
        return [sums for _, sums in self._hours.values()]

    def _look_at_live_list(self) -> None:
        """Compare the catalog with Groq's live list now and then, beside all else: it may be slow to answer."""
        now = self._context.engine.clock.monotonic()
        if self._live_list_at is None or now - self._live_list_at >= LIVE_LIST_EVERY_S:
            self._live_list_at = now
            self._looking = asyncio.create_task(self._compare())

    async def _compare(self) -> None:
        engine = self._context.engine
        try:
            # not kept, as it would change what can be asked
            live = await engine.registry.peek_live_list(timeout_s=LIVE_LIST_S)
            if live.ids is None:
                self._live_list_at = engine.clock.monotonic() - LIVE_LIST_EVERY_S + LIVE_LIST_AGAIN_S
            else:
                self._drift = drift(engine.catalog, live.ids, today(engine.clock))
        except Exception:  # noqa: BLE001 - all else can be shown without it
            _log.debug("the live list could not be compared with the catalog", exc_info=True)


def _summed(
    keys: Sequence[str], known: Mapping[str, tuple[HourTotals, HourSums]], found: Sequence[HourTotals], is_all: bool
) -> dict[str, tuple[HourTotals, HourSums]]:
    """Those of the keys that were found or, unless these are all, are known; each summed again only where it changed."""
    hours = {} if is_all else dict(known)
    for totals in found:
        before = known.get(totals.hour)
        hours[totals.hour] = before if before is not None and before[0] == totals else (totals, sums_of(totals))
    return {key: hours[key] for key in keys if key in hours}


def _written(facts: Facts, before: Written | None) -> Written:
    """The overview, and its sections as JSON: those that did not change are not written again."""
    shown = overview(facts)
    sections: dict[str, bytes] = {}
    for name in (section.name for section in fields(shown)):
        section = getattr(shown, name)
        is_same = before is not None and section == getattr(before.overview, name)
        sections[name] = before.sections[name] if before is not None and is_same else clean_json(asdict(section))
    return Written(overview=shown, sections=sections)
