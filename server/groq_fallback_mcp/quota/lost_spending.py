"""What was spent today and is not known any more counts as spent: a budget must not start over because a record was lost.

A record of the day that is gone, cannot be read, or says less than this process has seen is replaced by one that says so. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from groq_fallback_mcp.quota.budget import DayTotals
from groq_fallback_mcp.quota.records import day_key, day_of, decode, encode
from groq_fallback_mcp.quota.store import Record, Snapshot, Writes

__all__ = ["lost_records", "reopened", "totals_of", "watching"]

T = TypeVar("T")


def watching(
    change: Callable[[Snapshot], Writes[T]], keys: Sequence[str], seen: Mapping[str, DayTotals]
) -> Callable[[Snapshot], Writes[T]]:
    """The change with records of days that were lost marked as lost, and written so. `seen`: what was last seen of each day."""
    days = [day for key in keys if (day := day_of(key)) is not None]

    def watched(snapshot: Snapshot) -> Writes[T]:
        marked = {day_key(day): encode(totals) for day in days if (totals := _marked(snapshot, day, seen.get(day))) is not None}
        if not marked:
            return change(snapshot)
        bodies = {**snapshot.bodies, **{key: record.body for key, record in marked.items()}}
        done = change(Snapshot(now=snapshot.now, bodies=bodies))
        writes: Mapping[str, Record | None] = {**marked, **done.writes}
        return Writes(result=done.result, writes=writes)

    return watched


def totals_of(snapshot: Snapshot, day: str) -> DayTotals | None:
    """What the store says of a day, None where it says nothing that can be read."""
    return decode(DayTotals, snapshot.bodies.get(day_key(day)), day_key(day))


def lost_records(day: str) -> Mapping[str, Record]:
    """What is written into a store that replaces a damaged one."""
    return {day_key(day): encode(DayTotals(losses=1))}


def reopened(snapshot: Snapshot, day: str) -> Writes[bool]:
    """Count what is not known as not spent, from now on; whether anything was not known."""
    totals = totals_of(snapshot, day) or DayTotals()
    if not totals.unknown:
        return Writes(result=False)
    return Writes(result=True, writes={day_key(day): encode(replace(totals, accepted_losses=totals.losses))})


def _marked(snapshot: Snapshot, day: str, seen: DayTotals | None) -> DayTotals | None:
    """The day's totals as lost; None where they are as they should be."""
    there = day_key(day) in snapshot.bodies
    found = totals_of(snapshot, day)
    if found is None:
        if not there and seen is None:
            return None
    elif seen is None or found.losses > seen.losses or (found.losses == seen.losses and not _is_less(found, seen)):
        return None
    known = seen or DayTotals()
    return replace(known, losses=known.losses + 1, held_tokens=0, held_picousd=0)


def _is_less(found: DayTotals, seen: DayTotals) -> bool:
    calls, seen_calls = (sum(total.calls for total in totals.models.values()) for totals in (found, seen))
    return calls < seen_calls or found.tokens < seen.tokens or found.picousd < seen.picousd
