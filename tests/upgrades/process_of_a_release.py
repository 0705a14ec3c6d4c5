"""One process on a ledger that other releases use too: it runs with the source of whichever release PYTHONPATH names first.

`process_of_a_release.py WHAT STATE SECONDS SEED` prints what happened, as JSON; see test_shared_ledger.py. It uses nothing that the earliest
release of tests/support/releases.py does not have.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import redis

from groq_fallback_mcp import quota
from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.call import ChatRequest, FailureKind, Limit, LimitReading, Pool, QuotaSnapshot
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.quota import Caller, Claim, ConversationModel, Granted, QuotaKey, Settlement
from groq_fallback_mcp.quota.budget import Budget, DayTotals, Spend
from groq_fallback_mcp.quota.records import Account, KeptConversation, OpenReservation, ProviderAccount, decode
from groq_fallback_mcp.quota.redis import PREFIX, RedisStore
from groq_fallback_mcp.quota.sqlite import SqliteStore
from groq_fallback_mcp.quota.store_ledger import StoredLedger
from groq_fallback_mcp.settings import load_settings

# a machine that is busy with something else must not fail the test: what is tested is the records, not the speed
PATIENCE_S = 30.0
CAPACITY = 120
REFUSED_PAUSE_S = 0.05
KINDS: dict[str, type[Any]] = {
    "model/": Account,
    "provider/": ProviderAccount,
    "open/": OpenReservation,
    "day/": DayTotals,
    "conversation/": KeptConversation,
    "requests/": Account,
}
BUDGET = Budget(tokens=10**9)
ANN = Caller(name="ann", budget=BUDGET, rpm=100_000)
WINDOWS = Limit.RPM, Limit.TPM


class Warnings(logging.Handler):
    """Keeps what the package warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.getMessage())


def patient() -> None:
    """Let every store wait longer than a call may."""
    for method, argument in ((StoredLedger.__init__, "time_limit_s"), (SqliteStore.__init__, "busy_s")):
        method.__kwdefaults__[argument] = PATIENCE_S
    RedisStore.__init__.__kwdefaults__["time_limit_s"] = PATIENCE_S


def opened(state: str) -> StoredLedger:
    """The ledger, without the fallback that hides a fault of its store."""
    clock = SystemClock()
    store = RedisStore(state) if state.startswith("redis:") else SqliteStore(Path(state), clock.wall)
    return StoredLedger(store, clock, budget=BUDGET)


def claim_of(model: str, *, pool: Pool | None = None) -> Claim:
    """A request of 10 tokens."""
    return Claim(
        key=QuotaKey(provider="p", organization="o", model=model),
        cost={Limit.RPM: 1.0, Limit.TPM: 10.0},
        documented={Limit.RPM: CAPACITY, Limit.TPM: 10_000_000},
        pool=pool,
        spend=Spend(input_tokens=8, output_tokens=2, picousd=1_000),
    )


async def use_ledger(state: str, seconds: float, seed: int) -> dict[str, object]:
    """Everything that a ledger does, as often as it goes."""
    chance, ledger, calls = random.Random(seed), opened(state), Counter[str]()
    main, other = claim_of("m"), claim_of("other")
    pooled = claim_of("pooled", pool=Pool(name="pool", documented={Limit.RPM: 10_000}))
    granted: list[float] = []
    await ledger.peek([main])
    ready()
    end = time.time() + seconds
    while time.time() < end:
        claims = chance.choice([[main], [main], [main, other], [pooled]])
        caller = chance.choice([None, ANN])
        if caller is not None and await ledger.take_request(caller) is not None:
            await ledger.count_refusal(caller.name)
            calls["refused requests"] += 1
        result = await ledger.reserve_any(claims, life_s=60, caller=caller)
        calls["reserved" if isinstance(result, Granted) else "refused"] += 1
        if isinstance(result, Granted):
            model = claims[result.index].key.model
            await asyncio.sleep(0.002)
            if chance.random() < 0.2:
                await ledger.release(result.reservation)
                calls["released"] += 1
            else:
                reading = LimitReading(limit=Limit.TPM, capacity=10_000_000, remaining=9_000_000 - 10 * calls["spent"])
                await ledger.settle(
                    result.reservation,
                    Settlement(
                        actual={Limit.RPM: 1.0, Limit.TPM: 7.0},
                        snapshot=QuotaSnapshot(readings=(reading,)) if chance.random() < 0.5 else QuotaSnapshot(),
                        health="up",
                        spent=Spend(input_tokens=5, output_tokens=2, picousd=700),
                        prompt=(8, 5),
                    ),
                )
                calls["spent"] += 1
                calls["spent by ann"] += caller is not None
                if model == "m":
                    granted.append(result.reservation.taken_at)
        if chance.random() < 0.1:
            await ledger.cool_down(other.key, 0.05, "busy", limit=Limit.RPM, kind=FailureKind.RATE_LIMITED)
            await ledger.set_conversation_model(f"c{seed}", ConversationModel(provider="p", model="m"))
            calls["lost conversations"] += (await ledger.conversation_model(f"c{seed}")) is None
            quota_now = await ledger.peek([main, other, pooled], caller=ANN)
            calls["lost buckets"] += any(limit not in quota_now[0].buckets for limit in WINDOWS)
        await asyncio.sleep(0.001)
    degraded = ledger.status.degraded
    await ledger.aclose()
    return {"granted": granted, "calls": dict(calls), "degraded": degraded}


async def use_engine(seconds: float, seed: int) -> dict[str, object]:
    """Whole calls against the simulator that GROQ_BASE_URL names."""
    totals = Counter[str]()
    async with open_context(load_settings()) as context:

        async def call(number: int) -> bool:
            words = " ".join(random.Random(f"{seed}/{number}").choices(("limits", "calls", "ledger"), k=40))
            outcome = await context.engine.serve(
                ChatRequest(messages=({"role": "user", "content": words},), use_case="fast", max_tokens=64)
            )
            served = isinstance(outcome, Answer)
            totals["served" if served else f"failed {outcome.code}"] += 1  # type: ignore[union-attr]
            return served

        async def caller(first: int) -> None:
            number = first
            while anyio.current_time() < end:
                if not await call(number):
                    # else so many are refused that the history forgets the first of them
                    await anyio.sleep(REFUSED_PAUSE_S)
                number += 1_000

        ready()
        end = anyio.current_time() + seconds
        async with anyio.create_task_group() as group:
            for first in range(3):
                group.start_soon(caller, first)
        degraded = context.engine.ledger.status.degraded
    return {"calls": dict(totals), "degraded": degraded}


def read_all(state: str) -> dict[str, object]:
    """What this release makes of all records: the fields that every release knows."""
    if state.startswith("redis:"):
        client = redis.Redis.from_url(state, decode_responses=True)
        names = [name for name in client.scan_iter(f"{PREFIX}*") if name != f"{PREFIX}due"]
        bodies = {name.removeprefix(PREFIX): client.get(name) for name in names}
        client.close()
    else:
        connection = sqlite3.connect(state)
        bodies = dict(connection.execute("SELECT key, body FROM records"))
        connection.close()
    found: dict[str, object] = {}
    for key, body in sorted(bodies.items()):
        kind = next((kind for beginning, kind in KINDS.items() if key.startswith(beginning)), None)
        if kind is not None:
            found[key] = summary(decode(kind, body, key))
    return {"records": found, "others": sorted(key for key in bodies if key not in found)}


def summary(record: object) -> object:
    """What of a record every release knows."""
    match record:
        case Account():
            buckets = {
                limit.value: [one.capacity, one.level, one.at, one.knowledge, one.charged, one.credited]
                for limit, one in sorted(record.buckets.items())
            }
            held = {limit.value: units for limit, units in sorted(record.held.items()) if units}
            return {"buckets": buckets, "held": held, "in_flight": record.in_flight, "factor": record.prompt_factor}
        case DayTotals():
            return {"calls": record.calls, "tokens": record.tokens, "picousd": record.picousd, "held": record.held_tokens}
        case None:
            return "unreadable"
        case _:
            return repr(type(record).__name__)


def ready() -> None:
    """Begin when all have started."""
    print("ready", flush=True)
    sys.stdin.readline()


def main(what: str, state: str, seconds: float, seed: int) -> None:
    """Do it and print what happened."""
    warnings = Warnings()
    logging.getLogger("groq_fallback_mcp").addHandler(warnings)
    patient()
    source = Path(str(quota.__file__)).parents[2]
    assert source == Path(os.environ["PYTHONPATH"]), source
    match what:
        case "ledger":
            found = asyncio.run(use_ledger(state, seconds, seed))
        case "engine":
            found = asyncio.run(use_engine(seconds, seed))
        case _:
            found = read_all(state)
    print(json.dumps({**found, "warnings": warnings.found}))


main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
