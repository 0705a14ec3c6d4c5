"""What must hold of a run, as pure functions over what was written down of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from benchmarks.soak.faults import Injected
from benchmarks.soak.traffic import Call
from benchmarks.soak.upstream import KEYS, Refused

__all__ = ["Books", "Finding", "Sample", "findings", "lost", "may_be_of_killed", "memory_growth"]

# A call that a cut of the network meets may end some seconds after it: it was waiting for an answer that will not come.
AFTER_CUT_S = 12.0
# What a killed process or a lost store had in flight was charged at the provider, and is not known here until it has flowed off.
WINDOW_S = 60.0
MOST_GROWTH_MIB = 5.0
# What a process that was killed had in flight, or had not given back, was taken at most so long before.
LONGEST_CALL_S = 30.0
# The two are not read at the same moment.
LEAST_OFF = 0.002
MOST_STATE_MIB = 16.0
# What a fault leaves wrong in the ledger lasts until the limit is full once, or refuses once: in constant use that may take longer.
CALLS_A_MOMENT = 5_000
# Requests in flight together meet one and the same error of the ledger.
MOMENT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A moment: memory in MiB by process, and of the state's files; records in the Redis server."""

    at: float
    memory: Mapping[str, float]
    file_mib: float
    redis_records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What is used of a limit at the end, in both books.

    `open`: reservations that have not ended, without those that a process which was killed may have left: they expire by themselves.
    `uncertain`: the most that the ledger may say beyond the provider: claims of attempts that failed or were cut off, which the provider
    may have charged, and of a day's tokens the hour's refill that a clock which was an hour ahead may not have brought.
    """

    name: str
    provider: float
    ledger: float
    open: int
    uncertain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A row: what was looked at, what was found, what may be, and whether it is."""

    what: str
    found: str
    allowed: str
    holds: bool
    examples: Sequence[str] = field(default_factory=tuple[str, ...])


def findings(
    calls: Sequence[Call],
    injected: Sequence[Injected],
    samples: Sequence[Sample],
    refused: Sequence[Refused],
    books: Sequence[Books],
    *,
    witnesses: Sequence[str],
    history: Mapping[str, tuple[int, int]],
) -> list[Finding]:
    """`refused`: what a limit refused, in order. `history`: by group, calls kept and calls made."""
    wrong = [call for call in calls if call.outcome == "wrong"]
    gone = lost(calls, injected)
    found = [
        Finding(
            what="calls answered",
            found=f"{sum(call.outcome == 'answered' for call in calls):,} of {len(calls):,}",
            allowed="",
            holds=True,
        ),
        Finding(what="wrong answers", found=str(len(wrong)), allowed="0", holds=not wrong, examples=_told(wrong)),
        Finding(
            what="calls without an answer that could be served",
            found=str(len(gone)),
            allowed="0",
            holds=not gone,
            examples=_told(gone),
        ),
    ]
    own = [one for one in refused if not any(begun <= one.at <= ended for begun, ended in _blurred(injected, one.organization))]
    moments, most = _moments(own), len(calls) // CALLS_A_MOMENT
    clear_s = sum(_clear_s(_blurred(injected, group), samples[0].at, samples[-1].at) for group in KEYS)
    all_s = len(KEYS) * (samples[-1].at - samples[0].at)
    found.append(
        Finding(
            what="requests that a limit refused, in the minutes after no kill and no fault of clock, disk, network or store",
            found=f"{len(own)} at {moments} moments in {clear_s / 60:.0f} minutes, and {len(refused) - len(own)} in the other {(all_s - clear_s) / 60:.0f}",
            allowed=f"{most} moments",
            holds=moments <= most,
            examples=[
                f"{one.at:.1f} s: {one.organization}, {one.model}, {one.unit}, {one.early_s:.3f} s too early"
                for one in own[:12]
            ],
        )
    )
    for name in witnesses:
        growth = memory_growth(samples, name)
        found.append(
            Finding(
                what=f"memory growth of {name} an hour",
                found=f"{growth:.1f} MiB",
                allowed=f"{MOST_GROWTH_MIB:.0f} MiB",
                holds=growth <= MOST_GROWTH_MIB,
            )
        )
    largest = max(sample.file_mib for sample in samples)
    found.append(
        Finding(
            what="state's file and its log, largest",
            found=f"{largest:.1f} MiB",
            allowed=f"{MOST_STATE_MIB:.0f} MiB",
            holds=largest <= MOST_STATE_MIB,
        )
    )
    middle, last = samples[len(samples) // 2].redis_records, samples[-1].redis_records
    found.append(
        Finding(
            what="records in the Redis server beside conversations and what was granted without it, in the middle and at the end",
            found=f"{middle}, {last}",
            allowed="x 1.5",
            holds=last <= 1.5 * middle + 50,
        )
    )
    for book in books:
        off = book.ledger - book.provider
        found.append(
            Finding(
                what=f"{book.name}: used by the ledger's book, less by the provider's",
                found=f"{off:,.0f} of {book.provider:,.0f}" + (f", {book.open} left open" if book.open else ""),
                allowed=f"0 to {book.uncertain:,.0f}",
                holds=-LEAST_OFF * book.provider - 2 <= off <= book.uncertain + LEAST_OFF * book.provider + 2
                and book.open == 0,
            )
        )
    for group, (kept, made) in history.items():
        found.append(
            Finding(
                what=f"{group}: calls in the history, of calls that ended",
                found=f"{kept:,} of {made:,}",
                allowed="95 %",
                holds=kept >= 0.95 * made,
            )
        )
    return found


def lost(calls: Sequence[Call], injected: Sequence[Injected]) -> list[Call]:
    """Calls that ended without an answer although something could have served them.

    Nothing can where the network is cut, and a call breaks off where its process is killed; it is then put to another, whose answer counts.
    """
    cuts = [fault for fault in injected if fault.family == "network" and fault.what != "slow"]
    kills = [fault for fault in injected if fault.family == "kill"]
    return [
        call
        for call in calls
        if call.outcome in {"error", "broken"}
        and not any(fault.where == call.group and _meets(fault, call, AFTER_CUT_S) for fault in cuts)
        and not (call.outcome == "broken" and any(fault.where == call.member and _meets(fault, call, 0.5) for fault in kills))
    ]


def may_be_of_killed(taken_at: float, injected: Sequence[Injected], *, group: str) -> bool:
    """Whether a process of the group was killed within a call's time after this second, in which a reservation was taken.

    A process whose clock is wrong takes it at another second than it says.
    """
    moments = [taken_at]
    for fault in injected:
        if fault.family == "clock" and fault.group == group:
            moment = taken_at - float(fault.what)
            moments += [moment] if fault.begun <= moment <= fault.ended else []
    kills = [fault for fault in injected if fault.family == "kill" and fault.group == group]
    return any(kill.begun - LONGEST_CALL_S <= moment <= kill.ended for kill in kills for moment in moments)


def memory_growth(samples: Sequence[Sample], name: str) -> float:
    """MiB an hour between the third and the last tenth of a run: before it, caches fill."""
    if len(samples) < 20:
        return 0.0
    tenth = len(samples) // 10
    early, late = samples[2 * tenth : 3 * tenth], samples[-tenth:]
    hours = (fmean(one.at for one in late) - fmean(one.at for one in early)) / 3_600
    return (fmean(one.memory[name] for one in late) - fmean(one.memory[name] for one in early)) / hours


def _moments(refused: Sequence[Refused]) -> int:
    """At how many moments limits refused, where each limit counts for itself. A moment is the second after its first refusal."""
    begun: dict[tuple[str, str, str], float] = {}
    moments = 0
    for one in refused:
        limit = (one.organization, one.model, one.unit)
        if limit not in begun or one.at - begun[limit] > MOMENT_S:
            begun[limit] = one.at
            moments += 1
    return moments


def _blurred(injected: Sequence[Injected], group: str) -> Sequence[tuple[float, float]]:
    """When an organization's ledger may not have known what the provider had charged."""
    return [
        (fault.begun, fault.ended + WINDOW_S)
        for fault in injected
        if fault.group == group and fault.family != "upstream" and fault.what != "slow"
    ]


def _clear_s(spans: Sequence[tuple[float, float]], begun: float, ended: float) -> float:
    """Seconds between the two that are in none of the spans."""
    clear, at = 0.0, begun
    for start, end in sorted(spans):
        clear += max(min(start, ended) - at, 0.0)
        at = max(at, end)
    return clear + max(ended - at, 0.0)


def _meets(fault: Injected, call: Call, after_s: float) -> bool:
    return fault.begun <= call.ended and call.begun <= fault.ended + after_s


def _told(calls: Sequence[Call]) -> tuple[str, ...]:
    kinds = Counter((call.kind, call.outcome, call.detail[:160]) for call in calls)
    return tuple(f"{count} x {kind}, {outcome}: {detail}" for (kind, outcome, detail), count in kinds.most_common(12))
