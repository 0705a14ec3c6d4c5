"""What a provider counts of each account: requests and tokens of the last minute, hour or day, and calls under way.

It looks back one window from every moment, which is the strictest way there is to count; days end where the provider is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import ProviderRow
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.durations import DAY_S, day_end

__all__ = ["Admitted", "LimitMet", "ProviderLimits"]


@dataclass(slots=True)
class _Counted:
    """What was used of one limit: when, and how much."""

    limit: Limit
    capacity: int
    zone: str
    entries: deque[list[float]] = field(default_factory=deque[list[float]])

    def used(self, now: float) -> float:
        while self.entries and self.gone_at(self.entries[0][0]) <= now:
            self.entries.popleft()
        return sum(units for _, units in self.entries)

    def gone_at(self, at: float) -> float:
        return day_end(self.zone, at) if self.limit.window_s == DAY_S else at + self.limit.window_s

    def wait_s(self, units: float, now: float) -> float:
        missing = self.used(now) + units - self.capacity
        for at, amount in self.entries:
            missing -= amount
            if missing <= 0:
                return self.gone_at(at) - now
        return self.limit.window_s


@dataclass(frozen=True, slots=True)
class LimitMet:
    """A limit that a call did not fit into: which, of whom, and when it would."""

    limit: Limit
    capacity: int
    pool: str | None
    wait_s: float


@dataclass(slots=True)
class Admitted:
    """A call that was let in, to be settled and ended once."""

    entries: list[tuple[_Counted, list[float]]]
    busy: list[list[int]]

    def settle(self, used: Mapping[Limit, float]) -> None:
        """Put what was used in the place of what was reserved."""
        for counted, entry in self.entries:
            entry[1] = used.get(counted.limit, entry[1])

    def end(self) -> None:
        """The call is not under way any more."""
        for count in self.busy:
            count[0] -= 1
        self.busy.clear()


class ProviderLimits:
    """The limits of one plan. `replaced` are figures instead of the catalog's, by model on the wire or pool."""

    def __init__(
        self, row: ProviderRow, plan: str, *, clock: Clock, replaced: Mapping[str, Mapping[Limit, int]] | None = None
    ) -> None:
        self._clock = clock
        self._zone = row.day_ends
        self._rows = [limit for limit in row.limits if limit.plan == plan and not limit.uncertain]
        self._replaced = replaced or {}
        self._counted: dict[tuple[str, str, Limit], _Counted] = {}
        self._busy: dict[tuple[str, str], list[int]] = {}

    def admit(self, account: str, model: str, cost: Mapping[Limit, float]) -> Admitted | LimitMet:
        """Charge all limits of a model, or none."""
        now = self._clock.wall()
        entries: list[tuple[_Counted, float]] = []
        busy: list[list[int]] = []
        for whose, pool, limit, capacity in self._of(model):
            if limit is Limit.CONCURRENT:
                count = self._busy.setdefault((account, whose), [0])
                if count[0] >= capacity:
                    return LimitMet(limit, capacity, pool, 0.0)
                busy.append(count)
                continue
            units = cost.get(limit, 0.0)
            counted = self._counted.setdefault((account, whose, limit), _Counted(limit, capacity, self._zone))
            if units and counted.used(now) + units > capacity:
                return LimitMet(limit, capacity, pool, counted.wait_s(units, now))
            entries.append((counted, units))
        taken: list[tuple[_Counted, list[float]]] = []
        for counted, units in entries:
            entry = [now, units]
            counted.entries.append(entry)
            taken.append((counted, entry))
        for count in busy:
            count[0] += 1
        return Admitted(taken, busy)

    def stated(self, account: str, model: str) -> Mapping[Limit, tuple[int, int, float]]:
        """Of each limit of a model: capacity, what remains, and seconds until all of it is there again."""
        now = self._clock.wall()
        found: dict[Limit, tuple[int, int, float]] = {}
        for whose, _, limit, capacity in self._of(model):
            counted = self._counted.get((account, whose, limit))
            if limit is Limit.CONCURRENT:
                continue
            left = capacity if counted is None else capacity - counted.used(now)
            full_s = max((counted.gone_at(at) - now for at, _ in counted.entries), default=0.0) if counted else 0.0
            found[limit] = (capacity, max(int(left), 0), full_s)
        return found

    def _of(self, model: str) -> Sequence[tuple[str, str | None, Limit, int]]:
        """Each limit that holds for a model: whose it is, the pool, which, and how much."""
        rows: list[tuple[str, str | None, Limit, int]] = []
        for row in self._rows:
            if not row.holds_for(model):
                continue
            whose = model if row.pool is None else row.pool
            figures = self._replaced.get(whose, row.figures())
            rows += [(whose, row.pool, limit, capacity) for limit, capacity in figures.items()]
        if not rows:
            rows = [(model, None, limit, capacity) for limit, capacity in self._replaced.get(model, {}).items()]
        return rows
