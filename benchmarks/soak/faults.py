"""What goes wrong meanwhile: the upstream, the network, the stores, the disk, a clock, and processes that are killed."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.soak.fleet import Fleet
from benchmarks.soak.upstream import MODELS, Upstream
from groq_fallback_mcp.simulator.options import Fault, FaultKind

__all__ = ["FAMILIES", "Family", "Injected", "inject", "plan"]

Family = Literal["upstream", "network", "store", "disk", "clock", "kill"]
# How often each family has its turn.
WEIGHTS: dict[Family, int] = {"upstream": 40, "network": 12, "store": 16, "disk": 6, "clock": 6, "kill": 20}
FAMILIES: Sequence[Family] = tuple(WEIGHTS)
UPSTREAM: tuple[tuple[FaultKind, float | None], ...] = (
    ("429", 5.0), ("500", None), ("503", None), ("502", None), ("hang", None), ("cut", None), ("empty", None), ("html", None), ("slow", 2.0),
)  # fmt: skip
PAUSE_S = (4.0, 16.0)
# The state is lost once each, early enough that what follows shows what is kept.
LOST_AT = (0.10, 0.14)
PIECE_BYTES = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """A fault that was there from `begun` to `ended`, in seconds of the event loop's clock.

    `what` names it, `where` whom it meets; `group` is the organization whose processes share limits with that one, empty where the
    provider itself fails.
    """

    family: Family
    what: str
    where: str
    begun: float
    ended: float
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A fault to come, `at_s` seconds after the beginning, for `for_s` seconds."""

    family: Family
    what: str
    at_s: float
    for_s: float
    seconds: float | None = None
    model: str = ""


def plan(seconds: float, *, seed: int, families: Sequence[Family] = FAMILIES) -> Sequence[Planned]:
    """One after the other, the same for a seed, over nine tenths of the time; stores are lost where those are among the families."""
    chance = random.Random(seed)
    found: list[Planned] = []
    at_s = 10.0
    while at_s < 0.9 * seconds:
        family = chance.choices(families, [WEIGHTS[family] for family in families])[0]
        found.append(_drawn(family, at_s, chance))
        at_s += found[-1].for_s + chance.uniform(*PAUSE_S)
    lost = [
        Planned(family="store", what=what, at_s=share * seconds, for_s=0.0)
        for share, what in zip(LOST_AT, ("file lost", "redis lost"), strict=True)
    ]
    return sorted([*found, *(lost if "store" in families else ())], key=lambda one: one.at_s)


def _drawn(family: Family, at_s: float, chance: random.Random) -> Planned:
    match family:
        case "upstream":
            kind, seconds = chance.choice(UPSTREAM)
            return Planned(
                family=family,
                what=kind,
                at_s=at_s,
                for_s=chance.uniform(5.0, 20.0),
                seconds=seconds,
                model=chance.choice(MODELS),
            )
        case "network":
            state = chance.choice(("down", "stalled", "slow"))
            return Planned(family=family, what=state, at_s=at_s, for_s=chance.uniform(2.0, 5.0))
        case "store":
            what = chance.choice(("file locked", "redis still"))
            return Planned(family=family, what=what, at_s=at_s, for_s=chance.uniform(1.0, 6.0))
        case "disk":
            return Planned(family=family, what="full", at_s=at_s, for_s=chance.uniform(5.0, 10.0))
        case "clock":
            # an hour is a wrong time zone, a minute a machine that slept
            what = chance.choice(("+60", "-60", "+3600"))
            return Planned(family=family, what=what, at_s=at_s, for_s=chance.uniform(5.0, 20.0))
        case "kill":
            return Planned(family=family, what="kill -9", at_s=at_s, for_s=chance.uniform(0.2, 2.0))


async def inject(planned: Sequence[Planned], fleet: Fleet, up: Upstream, *, seed: int) -> Sequence[Injected]:
    """All of them at their times. What this machine cannot do is not among those that were injected."""
    loop = asyncio.get_running_loop()
    chance = random.Random(seed)
    start = loop.time()
    injected: list[Injected] = []
    for fault in planned:
        await asyncio.sleep(max(start + fault.at_s - loop.time(), 0.0))
        begun = loop.time()
        where = await _meet(fault, fleet, up, chance)
        if where is not None:
            group = where if where in up.networks else next((one.group for one in fleet.members if one.name == where), "")
            injected.append(
                Injected(family=fault.family, what=fault.what, where=where, begun=begun, ended=loop.time(), group=group)
            )
    return injected


async def _meet(fault: Planned, fleet: Fleet, up: Upstream, chance: random.Random) -> str | None:
    """Whom the fault met, None where it could not be injected here."""
    match fault.family:
        case "upstream":
            where: str | None = fault.model
            kind: FaultKind = fault.what  # type: ignore[assignment] # drawn from UPSTREAM
            up.misbehave(fault.model, Fault(kind=kind, seconds=fault.for_s if kind == "hang" else fault.seconds))
            await asyncio.sleep(fault.for_s)
            up.misbehave(fault.model, None)
        case "network":
            where = chance.choice(sorted(up.networks))
            up.networks[where].fail(fault.what)  # type: ignore[arg-type] # drawn from its states
            await asyncio.sleep(fault.for_s)
            up.networks[where].fail("up")
        case "store":
            where = await _meet_store(fault, fleet)
        case "disk":
            where = None if fleet.disk is None else await _fill(fleet.disk, fault.for_s)
        case "clock":
            where = None if fleet.clock is None else fleet.clock_of.name
            if fleet.clock is not None:
                fleet.clock.write_text(fault.what, encoding="ascii")
                await asyncio.sleep(fault.for_s)
                fleet.clock.write_text("+0", encoding="ascii")
        case "kill":
            member = chance.choice([member for member in fleet.members if not member.witness])
            await member.kill(for_s=fault.for_s)
            where = member.name
    return where


async def _fill(disk: Path, seconds: float) -> str:
    """Leave no room on the disk meanwhile."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(b"\0" * PIECE_BYTES)
            file.flush()
    await asyncio.sleep(seconds)
    filler.unlink()
    return "machine"


async def _meet_store(fault: Planned, fleet: Fleet) -> str:
    match fault.what:
        case "file lost":
            fleet.ledger.unlink(missing_ok=True)
            return "machine"
        case "redis lost":
            await fleet.redis.lose_all()
            return "replicas"
        case "redis still":
            await fleet.redis.hold_still(fault.for_s)
            return "replicas"
        case _:
            await asyncio.to_thread(_lock, fleet, fault.for_s)
            return "machine"


def _lock(fleet: Fleet, seconds: float) -> None:
    """Write, and do not commit."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(fleet.ledger, timeout=5, isolation_level=None)) as connection,
    ):
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
