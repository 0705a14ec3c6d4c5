"""Keeps books of a run's reservations beside the ledger: from what each transaction wrote, in arithmetic of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from interleavings.shared_store import Commit

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.quota import Reservation, Settlement
from groq_fallback_mcp.quota.buckets import CLOCK_SLACK_S

__all__ = ["Bookkeeper", "Claimed"]

State = Literal["open", "settled", "abandoned", "expired"]
MODEL, OPEN, TOLD = "model/", "open/", "told/"
MOST_BREACHES = 20


@dataclass(slots=True)
class Claimed:
    """A reservation, from the transaction that granted it to the one that closed it; `used` is what it was settled at."""

    process: str
    at: float
    accounts: tuple[str, ...]
    cost: Mapping[str, float]
    expires_at: float
    state: State = "open"
    used: Mapping[str, float] = field(default_factory=dict[str, float])
    paid: bool = False


@dataclass(slots=True)
class Bookkeeper:
    """`breaches` are the transactions that did not add up."""

    claims: dict[str, Claimed] = field(default_factory=dict[str, Claimed])
    open: dict[str, dict[str, Claimed]] = field(default_factory=dict[str, dict[str, Claimed]])
    charged: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    told: dict[str, int] = field(default_factory=dict[str, int])
    paid: int = 0
    breaches: list[str] = field(default_factory=list[str])

    def __call__(self, commit: Commit) -> None:
        """Enter a transaction."""
        changes: dict[tuple[str, str], float] = {}
        stated: set[str] = set()
        for key, record in commit.after.items():
            if key.startswith(OPEN):
                name = key.removeprefix(OPEN)
                if record is None:
                    self._closed(name, commit, changes, stated)
                elif commit.before[key] is None:
                    self._granted(name, record.body, record.expires_at or 0.0, commit, changes)
        settling = commit.settling
        if settling is not None and TOLD + settling[0].id in commit.after:
            self._told(*settling, commit, changes)
        accounts = {account for account, _ in changes} | {key for key in commit.after if key.startswith(MODEL)} | stated
        for account in sorted(accounts):
            self._check(account, commit, changes, stated=account in stated)

    def breach(self, sentence: str) -> None:
        """Note something that does not add up."""
        if len(self.breaches) < MOST_BREACHES:
            self.breaches.append(sentence)

    def _granted(self, name: str, body: str, expires_at: float, commit: Commit, changes: dict[tuple[str, str], float]) -> None:
        if name in self.claims:
            self.breach(f"the reservation {name} was granted twice")
        read: dict[str, Any] = json.loads(body)
        key = read["key"]
        where = f"{MODEL}{key['provider']}/{key['organisation']}/"
        accounts = tuple(where + model for model in (key["model"], read.get("pool", "")) if model)
        claim = Claimed(process=commit.process, at=commit.now, accounts=accounts, cost=read["cost"], expires_at=expires_at)
        self.claims[name] = claim
        for account in accounts:
            self.open.setdefault(account, {})[name] = claim
            for limit, units in claim.cost.items():
                _add(changes, (account, limit), -units)
                _add(self.charged, (account, limit), units)

    def _closed(self, name: str, commit: Commit, changes: dict[tuple[str, str], float], stated: set[str]) -> None:
        claim = self.claims.get(name)
        if claim is None or claim.state != "open":
            self.breach(f"the reservation {name} was closed and was not open")
            return
        settling = commit.settling
        if settling is not None and settling[0].id == name:
            settlement = settling[1]
            claim.state = "settled"
            claim.used = {limit.value: units for limit, units in settlement.actual.items()}
            claim.paid = settlement.spent is not None
            self.paid += claim.paid
            if any(reading.remaining is not None or reading.wait_s is not None for reading in settlement.snapshot.readings):
                stated.update(claim.accounts)
        elif claim.expires_at <= commit.now and not commit.abandoning:
            claim.state = "expired"
        else:
            claim.state = "abandoned"
            claim.used = dict.fromkeys(claim.cost, 0.0)
        for account in claim.accounts:
            del self.open[account][name]
            for limit, units in claim.cost.items():
                returned = 0.0 if claim.state == "expired" else units - claim.used.get(limit, units)
                _add(changes, (account, limit), returned)

    def _told(
        self, reservation: Reservation, settlement: Settlement, commit: Commit, changes: dict[tuple[str, str], float]
    ) -> None:
        """What was granted while the store could not be used is charged: in full within a minute, of longer windows what has not come back."""
        self.told[reservation.id] = self.told.get(reservation.id, 0) + 1
        if self.told[reservation.id] > 1:
            self.breach(f"what was granted as {reservation.id} during an outage was charged twice")
        self.paid += settlement.spent is not None
        account = f"{MODEL}{reservation.key.provider}/{reservation.key.organization}/{reservation.key.model}"
        for limit, units in reservation.cost.items():
            age = max((commit.now - reservation.taken_at) / limit.window_s, 0.0)
            share = 0.0 if age >= 1 else 1.0 if limit.window_s == 60 else 1.0 - age
            used = settlement.actual.get(limit, units) * share
            _add(changes, (account, limit.value), -used)
            _add(self.charged, (account, limit.value), used)

    def _check(self, account: str, commit: Commit, changes: Mapping[tuple[str, str], float], *, stated: bool) -> None:
        record = commit.after.get(account)
        if record is None:
            self.breach(f"{account} was not written though its reservations changed")
            return
        after: dict[str, Any] = json.loads(record.body)
        self._check_held(account, after)
        before: dict[str, Any] = json.loads(commit.before.get(account) or "{}")
        for limit, bucket in after.get("buckets", {}).items():
            earlier = before.get("buckets", {}).get(limit)
            # what a server states of another capacity replaces all that we know
            if bucket.get("window") or (earlier is not None and earlier["capacity"] != bucket["capacity"]):
                continue
            capacity, level = bucket["capacity"], _level(bucket, limit, commit.now)
            was = capacity if earlier is None else _level(earlier, limit, commit.now)
            ahead_s = 0.0 if earlier is None else earlier["at"] - commit.now
            window_s = Limit(limit).window_s
            if CLOCK_SLACK_S < ahead_s < window_s + CLOCK_SLACK_S:
                # what came in while the clock was ahead was too early
                was -= min(ahead_s, window_s) * capacity / window_s
            due = min(was + changes.get((account, limit), 0.0), capacity)
            if level > capacity + 1e-6 or not (stated or _same(level, due)):
                self.breach(f"{account}: {limit} went from {was:.3f} to {level:.3f}, and {due:.3f} was due")
            granted = self.charged.get((account, limit), 0.0)
            if not _same(bucket.get("charged", 0.0), granted):
                self.breach(f"{account}: {bucket.get('charged')} {limit} charged in all, {granted} granted")

    def _check_held(self, account: str, after: Mapping[str, Any]) -> None:
        under_way, held = self.open.get(account, {}), after.get("held", {})
        if after.get("in_flight", 0) != len(under_way):
            self.breach(f"{account}: {after.get('in_flight', 0)} calls under way, and {len(under_way)} reservations are open")
        reserved: dict[str, float] = {}
        for claim in under_way.values():
            for limit, units in claim.cost.items():
                reserved[limit] = reserved.get(limit, 0.0) + units
        for limit in {**reserved, **held}:
            if not _same(reserved.get(limit, 0.0), held.get(limit, 0.0)):
                self.breach(f"{account}: {held.get(limit)} {limit} are held, and {reserved.get(limit)} are reserved")


def _level(bucket: Mapping[str, Any], limit: str, now: float) -> float:
    capacity, level, at = float(bucket["capacity"]), float(bucket["level"]), float(bucket["at"])
    return min(level + max(now - at, 0.0) * capacity / Limit(limit).window_s, capacity)


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-3 + 1e-6 * max(abs(one), abs(other))


def _add(sums: dict[tuple[str, str], float], key: tuple[str, str], units: float) -> None:
    sums[key] = sums.get(key, 0.0) + units
