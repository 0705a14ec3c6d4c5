"""The history of calls: the last ones in full, earlier ones by hour, and those under way. Pure functions over records of the store.

The last calls are kept in chunks of a line a call, which a head counts; together they hold at most MOST_ATTEMPTS attempts. A chunk
goes a week after its last call, and has the calls of a day at most; an hour goes after 90 days. What cannot be read is passed over: the history is no basis of any decision.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from groq_fallback_mcp.call import ANSWERED, CallKind, CallRecord, CallUnderWay
from groq_fallback_mcp.durations import DAY_S
from groq_fallback_mcp.quota.budget import picodollars
from groq_fallback_mcp.quota.store import Record, Snapshot, Writes

__all__ = [
    "CHUNK_CALLS",
    "EXPIRING",
    "HEAD_KEY",
    "LIFE_S",
    "MOST_AT_ONCE",
    "SECONDS_BOUNDS",
    "UNDER_WAY_KEY",
    "CallTotals",
    "Chunks",
    "HourTotals",
    "ModelTotals",
    "add",
    "calls_of",
    "calls_under_way",
    "chunk_key",
    "chunks",
    "cleared",
    "cleared_head",
    "hour_key",
    "hour_keys",
    "hour_of",
    "hours_of",
    "keys_to_add",
]

_log = logging.getLogger(__name__)

T = TypeVar("T")
HISTORY = "history/"
HEAD_KEY = f"{HISTORY}head"
UNDER_WAY_KEY = f"{HISTORY}under-way"
# How the keys of those records begin that are worth nothing any more when they are due.
EXPIRING = (f"{HISTORY}chunk/", f"{HISTORY}hour/")
LIFE_S = 7 * DAY_S
HOUR_LIFE_S = 90 * DAY_S
MOST_ATTEMPTS = 20_000
CHUNK_CALLS = 64
# All attempts fill fewer; a head that has more than twice as many is none.
MOST_CHUNKS_KEPT = 400
MOST_CHUNKS = 2 * MOST_CHUNKS_KEPT
MOST_CHUNKS_EVER = 10**12
# More of them wait for the next transaction: each must be short, as others wait for its thread.
MOST_AT_ONCE = 192
MOST_GROUPS = 200
# The year 2920, and more tokens, or dollars, than any call has.
LATEST_S = 3e10
MOST_TOKENS = 10**12
OTHER = "other"
# A process that is gone is not told from one that hangs for so long.
UNDER_WAY_LIFE_S = 15.0
MOST_PROCESSES = 64
MOST_UNDER_WAY = 64
# Upper bounds of how long an attempt took, in seconds; what is longer is counted last.
SECONDS_BOUNDS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0, math.inf)
_NO_COUNTS = (0,) * len(SECONDS_BOUNDS)
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """Which chunks there are: `sizes` are the attempts of each, from number `first` on."""

    first: int = 0
    sizes: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        """The number of the next chunk."""
        return self.first + len(self.sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTotals:
    """The calls of an hour that are alike in who asked and who answered; `provider` and `model` are empty where none did.

    `saved`: answered by another model than the first choice. `failed`: the others by the code of their error, those that
    were cancelled too. `picousd` is the cost in 10^-12 US dollars, `unpriced` the answers without a known price.
    """

    client: str = ""
    caller: str = ""
    provider: str = ""
    model: str = ""
    kind: CallKind = "chat"
    calls: int = 0
    answered: int = 0
    saved: int = 0
    failed: Mapping[str, int] = field(default_factory=dict[str, int])
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    audio_s: float = 0.0
    picousd: int = 0
    unpriced: int = 0
    duration_s: float = 0.0
    waited_s: float = 0.0

    @property
    def group(self) -> tuple[str, str, str, str, str]:
        """What the calls have in common."""
        return self.client, self.caller, self.provider, self.model, self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTotals:
    """The attempts of an hour at one model. `durations` and `first_tokens` count those that were answered, by SECONDS_BOUNDS."""

    provider: str = ""
    model: str = ""
    answered: int = 0
    skipped: int = 0
    failed: Mapping[str, int] = field(default_factory=dict[str, int])
    durations: tuple[int, ...] = _NO_COUNTS
    first_tokens: tuple[int, ...] = _NO_COUNTS

    @property
    def sent(self) -> int:
        """Attempts that were sent."""
        return self.answered + sum(self.failed.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class HourTotals:
    """An hour (UTC, YYYY-MM-DDTHH), by groups of calls and by models."""

    hour: str = ""
    calls: tuple[CallTotals, ...] = ()
    models: tuple[ModelTotals, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessCalls:
    """The calls of one process; after `until` (Unix seconds) it is taken for gone."""

    until: float
    calls: tuple[CallUnderWay, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """The calls under way of all processes, by a name that each makes up."""

    processes: Mapping[str, ProcessCalls] = field(default_factory=dict[str, ProcessCalls])


def chunk_key(number: int) -> str:
    """Where a chunk is kept."""
    return f"{HISTORY}chunk/{number}"


def hour_key(hour: str) -> str:
    """Where the totals of an hour are kept."""
    return f"{HISTORY}hour/{hour}"


def hour_of(moment: float) -> str:
    """The hour of a moment in Unix seconds."""
    return datetime.fromtimestamp(moment, tz=UTC).strftime("%Y-%m-%dT%H")


def chunks(snapshot: Snapshot) -> Writes[Chunks]:
    """Which chunks there are."""
    found = _read(Chunks, snapshot.bodies.get(HEAD_KEY)) or Chunks()
    can_be = 0 <= found.first <= MOST_CHUNKS_EVER and len(found.sizes) <= MOST_CHUNKS and all(size > 0 for size in found.sizes)
    return Writes(result=found if can_be else Chunks())


def keys_to_add(calls: Sequence[CallRecord], known: Chunks) -> Sequence[str]:
    """The records that `add` reads and writes, when the chunks are those."""
    more = _chunks_for(calls)
    numbers = {*range(known.end - 1 - more, known.end + more), *range(known.first, known.first + _too_many(known, calls))}
    return [
        HEAD_KEY,
        UNDER_WAY_KEY,
        *(chunk_key(number) for number in sorted(numbers) if number >= 0),
        *sorted({hour_key(hour_of(call.started_at)) for call in calls}),
    ]


def add(
    snapshot: Snapshot, *, calls: Sequence[CallRecord], under_way: Sequence[CallUnderWay], process: str, known: Chunks
) -> Writes[Chunks | None]:
    """Add calls that have ended, and replace those of a process that have not. None where the chunks are not those `known`.

    Calls that are in the last chunks are not added again: a store may have written what it did not acknowledge.
    """
    head = chunks(snapshot).result
    if head != known:
        return Writes(result=None)
    writes: dict[str, Record | None] = {}
    last = [snapshot.bodies.get(chunk_key(head.end - 1 - back), "") for back in range(_chunks_for(calls) + 1)]
    written = {_beginning(line) for chunk in last for line in chunk.split("\n")}
    calls = [call for call in calls if _beginning(f'{{"id":"{call.id}",') not in written]
    after = _append(calls, head, last[0], writes, now=snapshot.now) if calls else head
    for hour in sorted({hour_of(call.started_at) for call in calls}):
        key = hour_key(hour)
        totals = _read(HourTotals, snapshot.bodies.get(key)) or HourTotals(hour=hour)
        of_hour = [call for call in calls if hour_of(call.started_at) == hour]
        writes[key] = Record(body=_text(_plus(totals, of_hour)), expires_at=snapshot.now + HOUR_LIFE_S)
    shown = _read(UnderWay, snapshot.bodies.get(UNDER_WAY_KEY)) or UnderWay()
    processes = {name: one for name, one in shown.processes.items() if name != process and _is_alive(one, snapshot.now)}
    if under_way and len(processes) < MOST_PROCESSES:
        processes[process] = ProcessCalls(until=snapshot.now + UNDER_WAY_LIFE_S, calls=tuple(under_way[:MOST_UNDER_WAY]))
    if processes != shown.processes:
        record = Record(body=_text(UnderWay(processes=processes)))
        writes[UNDER_WAY_KEY] = record if processes else None
    return Writes(result=after, writes=writes)


def calls_of(body: str | None) -> Sequence[CallRecord]:
    """The calls of a chunk, in the order in which they ended, but for those that cannot be."""
    read = (_read(CallRecord, line) for line in (body or "").split("\n") if line)
    return [call for call in read if call is not None and _is_sane(call)]


def calls_under_way(snapshot: Snapshot) -> Writes[Sequence[CallUnderWay]]:
    """The calls under way of all processes that are not gone, the oldest first."""
    found = _read(UnderWay, snapshot.bodies.get(UNDER_WAY_KEY)) or UnderWay()
    calls = [call for one in found.processes.values() if _is_alive(one, snapshot.now) for call in one.calls]
    calls = [call for call in calls if 0 <= call.started_at < LATEST_S]
    return Writes(result=sorted(calls, key=lambda call: call.started_at))


def hours_of(bodies: Iterable[str]) -> Sequence[HourTotals]:
    """The totals of hours, but for those that cannot be read."""
    return [totals for body in bodies if (totals := _read(HourTotals, body)) is not None]


def _too_many(known: Chunks, calls: Sequence[CallRecord]) -> int:
    """How many of the first chunks must go when these calls are added."""
    held, gone = sum(known.sizes) + sum(map(_size_of, calls)), 0
    while _is_too_much(held, len(known.sizes) - gone) and gone < len(known.sizes) - 1:
        held -= known.sizes[gone]
        gone += 1
    return gone


def _is_too_much(attempts: int, chunks_kept: int) -> bool:
    """Whether the first chunk must go. Of those of quiet days the head knows even when they have expired."""
    return attempts > MOST_ATTEMPTS or chunks_kept > MOST_CHUNKS_KEPT


def _size_of(call: CallRecord) -> int:
    return max(len(call.attempts), 1)


def _chunks_for(calls: Sequence[CallRecord]) -> int:
    """The chunks that so many calls may fill, beside the last one."""
    return len(calls) // CHUNK_CALLS + 1


def hour_keys(now: float) -> Sequence[str]:
    """Where the totals of all hours can be that are kept at `now`."""
    return [hour_key(hour_of(now - 3_600.0 * ago)) for ago in range(int(HOUR_LIFE_S // 3_600.0) + 2)]


def cleared_head(snapshot: Snapshot, *, known: Chunks) -> Writes[bool]:
    """Forget which chunks there are; false, and nothing is done, where they are not those `known`."""
    if chunks(snapshot).result != known:
        return Writes(result=False)
    return Writes(result=True, writes={HEAD_KEY: None})


def cleared(snapshot: Snapshot, *, keys: Sequence[str]) -> Writes[None]:
    """Delete those of the records that are there."""
    return Writes(result=None, writes={key: None for key in keys if key in snapshot.bodies})


def _append(calls: Sequence[CallRecord], head: Chunks, tail: str, writes: dict[str, Record | None], *, now: float) -> Chunks:
    number, sizes = head.end, list(head.sizes)
    lines = tail.split("\n") if sizes and tail else []
    if 0 < len(lines) < CHUNK_CALLS and _is_of_today(lines[0], now):
        number -= 1
        size = sizes.pop()
    else:
        lines, size = [], 0
    expires_at = now + LIFE_S
    for call in calls:
        if len(lines) >= CHUNK_CALLS:
            writes[chunk_key(number)] = Record(body="\n".join(lines), expires_at=expires_at)
            sizes.append(size)
            number, lines, size = number + 1, [], 0
        lines.append(_text(call))
        size += _size_of(call)
    writes[chunk_key(number)] = Record(body="\n".join(lines), expires_at=expires_at)
    sizes.append(size)
    first = head.first
    held = sum(sizes)
    while _is_too_much(held, head.end - first) and first < head.end - 1:
        writes[chunk_key(first)] = None
        held -= sizes[first - head.first]
        first += 1
    after = Chunks(first=first, sizes=tuple(sizes[first - head.first :]))
    writes[HEAD_KEY] = Record(body=_text(after))
    return after


def _is_of_today(line: str, now: float) -> bool:
    """Whether a call began less than a day ago: a chunk goes as a whole, a week after its last call."""
    first = _read(CallRecord, line)
    return first is not None and now - first.started_at < DAY_S


def _beginning(line: str) -> str:
    """What the line of one call begins with, and no other's."""
    return line.partition(",")[0]


def _plus(totals: HourTotals, calls: Sequence[CallRecord]) -> HourTotals:
    groups = {one.group: one for one in totals.calls}
    models = {(one.provider, one.model): one for one in totals.models}
    for call in calls:
        one = _of_call(call)
        if one.group not in groups and len(groups) >= MOST_GROUPS:
            one = replace(one, client=OTHER, caller=OTHER, provider=OTHER, model=OTHER)
        groups[one.group] = _sum(groups.get(one.group), one)
        for attempt in call.attempts:
            name = (attempt.provider, attempt.model)
            if name not in models and len(models) >= MOST_GROUPS:
                name = (OTHER, OTHER)
            before = models.get(name) or ModelTotals(provider=name[0], model=name[1])
            if not attempt.sent:
                models[name] = replace(before, skipped=before.skipped + 1)
            elif attempt.outcome != ANSWERED:
                models[name] = replace(before, failed=_counted(before.failed, attempt.outcome))
            else:
                models[name] = replace(
                    before,
                    answered=before.answered + 1,
                    durations=_placed(before.durations, attempt.duration_s),
                    first_tokens=_placed(before.first_tokens, attempt.first_token_s),
                )
    return replace(totals, calls=tuple(groups.values()), models=tuple(models.values()))


def _of_call(call: CallRecord) -> CallTotals:
    answered = call.outcome == ANSWERED
    return CallTotals(
        client=call.origin.client or call.origin.endpoint,
        caller=call.origin.caller,
        provider=call.provider,
        model=call.model,
        kind=call.kind,
        calls=1,
        answered=int(answered),
        saved=int(answered and call.fallback),
        failed={} if answered else {call.outcome: 1},
        input_tokens=call.usage.input_tokens,
        output_tokens=call.usage.output_tokens,
        cached_tokens=call.usage.cached_tokens,
        audio_s=call.usage.audio_s,
        picousd=0 if call.cost_usd is None else picodollars(call.cost_usd),
        unpriced=int(answered and call.cost_usd is None),
        duration_s=call.duration_s,
        waited_s=call.waited_s,
    )


def _sum(first: CallTotals | None, second: CallTotals) -> CallTotals:
    if first is None:
        return second
    failed = dict(first.failed)
    for code, count in second.failed.items():
        failed[code] = failed.get(code, 0) + count
    return replace(
        first,
        calls=first.calls + second.calls,
        answered=first.answered + second.answered,
        saved=first.saved + second.saved,
        failed=failed,
        input_tokens=first.input_tokens + second.input_tokens,
        output_tokens=first.output_tokens + second.output_tokens,
        cached_tokens=first.cached_tokens + second.cached_tokens,
        audio_s=first.audio_s + second.audio_s,
        picousd=first.picousd + second.picousd,
        unpriced=first.unpriced + second.unpriced,
        duration_s=round(first.duration_s + second.duration_s, 3),
        waited_s=round(first.waited_s + second.waited_s, 3),
    )


def _counted(counts: Mapping[str, int], name: str) -> Mapping[str, int]:
    return {**counts, name: counts.get(name, 0) + 1}


def _placed(counts: tuple[int, ...], seconds: float | None) -> tuple[int, ...]:
    if seconds is None or len(counts) != len(SECONDS_BOUNDS):
        return counts
    at = next(index for index, bound in enumerate(SECONDS_BOUNDS) if seconds <= bound)
    return (*counts[:at], counts[at] + 1, *counts[at + 1 :])


def _is_alive(one: ProcessCalls, now: float) -> bool:
    # one that ends later than it could have been written for was written while the clock was ahead
    return 0 < one.until - now <= UNDER_WAY_LIFE_S


def _is_sane(call: CallRecord) -> bool:
    usage = call.usage
    times = [call.duration_s, call.waited_s, call.first_token_s or 0.0, usage.audio_s]
    times += [seconds for one in call.attempts for seconds in (one.begun_s, one.duration_s, one.first_token_s or 0.0)]
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)
    cost = call.cost_usd or Decimal(0)
    return (
        0 <= call.started_at < LATEST_S
        and all(0 <= seconds < LATEST_S for seconds in times)
        and all(0 <= count < MOST_TOKENS for count in counts)
        and cost.is_finite()
        and 0 <= cost < MOST_TOKENS
    )


def _text(value: CallRecord | Chunks | HourTotals | UnderWay) -> str:
    return _adapter(type(value)).dump_json(value, exclude_defaults=True).decode()


def _read(kind: type[T], body: str | None) -> T | None:
    if body is None:
        return None
    try:
        return _adapter(kind).validate_json(body)  # type: ignore[no-any-return]
    except (ValidationError, ValueError):
        _log.debug("a record of the history cannot be read and is skipped")
        return None


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    found = _ADAPTERS.get(kind)
    if found is None:
        found = _ADAPTERS[kind] = TypeAdapter(kind)
    return found
