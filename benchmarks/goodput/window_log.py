"""Limits that count what was asked in the last window, where Groq's buckets refill continuously: a harder server."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.simulator.rate_limits import Charge, Refusal, duration_text

__all__ = ["WindowLimits"]

_HEADERS = {Limit.RPD: "requests", Limit.TPM: "tokens", Limit.ASH: "audio-seconds"}


@dataclass(slots=True)
class _Entry:
    at: float
    units: float


@dataclass(slots=True)
class _Log:
    capacity: float
    window_s: float
    entries: deque[_Entry] = field(default_factory=deque[_Entry])

    def used(self, now: float) -> float:
        while self.entries and self.entries[0].at <= now - self.window_s:
            self.entries.popleft()
        return sum(entry.units for entry in self.entries)

    def wait_s(self, units: float, now: float) -> float:
        """Seconds until enough has left the window; 0 when it fits now."""
        excess = self.used(now) + units - self.capacity
        if excess <= 0:
            return 0.0
        for entry in self.entries:
            excess -= entry.units
            if excess <= 0:
                return entry.at + self.window_s - now
        return self.window_s


@dataclass(slots=True)
class WindowLimits:
    """The same questions and answers as the simulator's `Limits`, whose refusals look alike."""

    clock: Clock
    tables: Mapping[str, Mapping[Limit, int]]
    _logs: dict[tuple[str, str, Limit], _Log] = field(default_factory=dict[tuple[str, str, Limit], _Log])
    _entries: dict[int, Mapping[Limit, _Entry]] = field(default_factory=dict[int, Mapping[Limit, _Entry]])

    def admit(self, organization: str, model: str, cost: Mapping[Limit, float]) -> Charge | Refusal:
        """Take the cost from every limit that applies, or refuse and take nothing."""
        now = self.clock.monotonic()
        logs = {limit: log for limit in cost if (log := self._log(organization, model, limit)) is not None}
        for limit in (Limit.TPM, Limit.ASH):
            if limit in logs and cost[limit] > logs[limit].capacity:
                text = f"Limit {logs[limit].capacity:.0f}, Requested {cost[limit]:.0f}, please reduce your message size"
                return _refusal(413, "Request too large", organization, model, limit, text, 0.0)
        for limit, log in logs.items():
            wait_s = log.wait_s(cost[limit], now)
            if wait_s > 0:
                # never rounded down: after the stated wait the call is admitted
                wait_s = math.ceil(wait_s * 1000) / 1000
                figures = f"Limit {log.capacity:.0f}, Used {math.ceil(log.used(now))}, Requested {math.ceil(cost[limit])}"
                text = f"{figures}. Please try again in {duration_text(wait_s)}."
                return _refusal(429, "Rate limit reached", organization, model, limit, text, wait_s)
        entries = {limit: _Entry(at=now, units=cost[limit]) for limit in logs}
        for limit, entry in entries.items():
            logs[limit].entries.append(entry)
        charge = Charge(organization=organization, model=model, cost={limit: cost[limit] for limit in logs})
        self._entries[id(charge)] = entries
        return charge

    def settle(self, charge: Charge, actual: Mapping[Limit, float]) -> None:
        """Replace the claim by what was used, at the moment it was claimed."""
        for limit, entry in self._entries.pop(id(charge), {}).items():
            entry.units = actual.get(limit, entry.units)

    def headers(self, organization: str, model: str, *, but: frozenset[Limit] = frozenset()) -> dict[str, str]:
        """`x-ratelimit-*` without the time of reset, which a log cannot tell in one figure."""
        now = self.clock.monotonic()
        found: dict[str, str] = {}
        for limit, suffix in _HEADERS.items():
            log = self._log(organization, model, limit)
            if log is not None and limit not in but:
                found[f"x-ratelimit-limit-{suffix}"] = f"{log.capacity:.0f}"
                found[f"x-ratelimit-remaining-{suffix}"] = f"{max(math.floor(log.capacity - log.used(now)), 0)}"
        return found

    def _log(self, organization: str, model: str, limit: Limit) -> _Log | None:
        capacity = self.tables.get(model, {}).get(limit)
        if capacity is None:
            return None
        return self._logs.setdefault((organization, model, limit), _Log(float(capacity), limit.window_s))


def _refusal(status: int, what: str, organization: str, model: str, limit: Limit, text: str, wait_s: float) -> Refusal:  # noqa: PLR0917 - one call a kind of refusal
    kind = "tokens" if limit in {Limit.TPM, Limit.TPD} else "requests" if limit in {Limit.RPM, Limit.RPD} else "audio"
    message = (
        f"{what} for model `{model}` in organization `{organization}` service tier `on_demand` on {limit.unit} "
        f"({limit.name}): {text}"
    )
    return Refusal(status=status, message=message, type=kind, limit=limit, wait_s=wait_s)
