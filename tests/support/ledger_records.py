"""Writes what a release keeps in a ledger, and the shape of the records that it reads, for tests/fixtures.

Run it with the source of the release first, once, before its records change:

    git archive COMMIT server | tar x -C FOLDER
    PYTHONPATH=FOLDER/server python tests/support/ledger_records.py > tests/fixtures/ledger-records-DATE.json
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from groq_fallback_mcp.call import FailureKind, Limit, LimitReading, Pool, QuotaSnapshot, Refilling
from groq_fallback_mcp.quota import (
    ANY_MODEL,
    Caller,
    Claim,
    ConversationModel,
    Granted,
    QuotaKey,
    Settlement,
    buckets,
    fairness,
    records,
    sqlite,
)
from groq_fallback_mcp.quota.breaker import Cooldown
from groq_fallback_mcp.quota.budget import Budget, Spend
from groq_fallback_mcp.quota.redis import PREFIX
from groq_fallback_mcp.quota.sqlite import SqliteStore
from groq_fallback_mcp.quota.store_ledger import StoredLedger

HISTORY = "groq_fallback_mcp.quota.history"
BOUNDS = ("LARGEST", "LONGEST_PAUSE_S", "MOST_CALLERS", "MOST_SPENT", "MOST_WAITING", "PARTS")
# 2026-11-30T21:00:00Z
NOW = 1_796_072_400.0
ANN = Caller(name="ann", budget=Budget(tokens=100_000), rpm=60)
BOB = Caller(name="bob", budget=Budget(tokens=100_000))


class StoppedClock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def claim(model: str, *, documented: dict[Limit, int] | None = None, tokens: float = 100.0, **fields: Any) -> Claim:
    """A request."""
    return Claim(
        key=QuotaKey(provider="groq", organization="acme", model=model),
        cost={Limit.RPM: 1.0, Limit.TPM: tokens},
        documented=documented or {Limit.RPM: 30, Limit.TPM: 8_000},
        spend=Spend(input_tokens=60, output_tokens=40, picousd=5_000),
        **fields,
    )


def pooled_claim() -> Claim:
    """A request to a model that shares limits, which do not come back bit by bit."""
    return claim(
        "gemini",
        documented={Limit.RPM: 10, Limit.TPM: 250_000, Limit.RPD: 250},
        refilling=Refilling(windows="sliding", day_ends="America/Los_Angeles"),
        pool=Pool(name="free", documented={Limit.RPM: 20}),
    )


async def fill(ledger: StoredLedger, clock: StoppedClock) -> None:
    """Leave a record of each kind, each field of which has been used."""

    async def granted(one: Claim, **how: Any) -> Any:
        result = await ledger.reserve_any([one], life_s=60, **how)
        assert isinstance(result, Granted), result
        return result.reservation

    answered = Settlement(
        actual={Limit.RPM: 1.0, Limit.TPM: 70.0},
        snapshot=QuotaSnapshot(
            readings=(
                LimitReading(limit=Limit.TPM, capacity=6_000, remaining=5_800),
                LimitReading(limit=Limit.RPD, capacity=1_000, remaining=990),
            )
        ),
        health="up",
        prompt=(60, 75),
        spent=Spend(input_tokens=75, output_tokens=20, picousd=4_000),
    )
    await ledger.settle(await granted(claim("openai/gpt-oss-20b"), caller=ANN), answered)
    # what a call that never got there may not have cost
    await ledger.settle(await granted(claim("openai/gpt-oss-20b")), Settlement(actual={}, health="down"))
    pooled = pooled_claim()
    await ledger.settle(await granted(pooled), Settlement(actual={Limit.TPM: 90.0}, health="up", spent=Spend(input_tokens=90)))
    await granted(pooled, caller=BOB)
    await ledger.take_request(ANN)
    await ledger.count_refusal("ann")
    # more than is left: the caller waits for it
    await ledger.reserve_any([claim("openai/gpt-oss-20b", tokens=5_950.0)], life_s=60, caller=BOB)
    await ledger.cool_down(pooled.key, 30.0, "busy", limit=Limit.RPM, kind=FailureKind.RATE_LIMITED)
    await ledger.cool_down(
        QuotaKey(provider="groq", organization="acme", model=ANY_MODEL),
        20.0,
        "HTTP 503",
        limit=None,
        kind=FailureKind.OVERLOADED,
    )
    await ledger.set_conversation_model("a1b2", ConversationModel(provider="groq", model="qwen/qwen3.8-27b", starts_over=True))
    if hasattr(ledger, "add_to_history"):
        await add_history(ledger)
    await ledger.aclose()


async def add_history(ledger: Any) -> None:
    """A call that was answered by its second model, one that was not answered, and one under way."""
    from groq_fallback_mcp.call import AttemptRecord, CallOrigin, CallRecord, CallUnderWay, Usage

    origin = CallOrigin(endpoint="/v1/messages", client="agent", caller="ann")
    first = AttemptRecord(provider="groq", model="m1", outcome="rate_limited", status=429, duration_s=0.1)
    second = AttemptRecord(provider="groq", model="m2", outcome="answered", begun_s=0.1, duration_s=0.6, first_token_s=0.15)
    calls = [
        CallRecord(
            id="c1",
            started_at=NOW,
            origin=origin,
            provider="groq",
            model="m2",
            fallback=True,
            duration_s=0.7,
            usage=Usage(input_tokens=75, output_tokens=20),
            cost_usd=Decimal("0.000123"),
            attempts=(first, second),
        ),
        CallRecord(id="c2", started_at=NOW + 1, kind="transcription", outcome="rate_limited", waited_s=2.5, attempts=(first,)),
    ]
    under_way = [CallUnderWay(id="c3", started_at=NOW + 2, model="m1", doing="trying m1")]
    assert await ledger.add_to_history(calls, under_way, process="p1")


def shapes() -> dict[str, Any]:
    """JSON Schemas of the records that the release reads."""
    kinds: dict[str, Any] = {
        name: getattr(records, name)
        for name in ("Account", "ProviderAccount", "OpenReservation", "DayTotals", "KeptConversation")
        if hasattr(records, name)
    }
    try:
        from groq_fallback_mcp.quota import history
    except ImportError:
        pass
    else:
        kinds |= {name: getattr(history, name) for name in ("CallRecord", "Chunks", "HourTotals", "UnderWay")}
    found = {name: bare(TypeAdapter(kind).json_schema(mode="validation")) for name, kind in kinds.items()}
    for shape in found.values():
        if "Cooldown" in shape.get("$defs", {}):
            # a validator reads it, of which the schema knows nothing
            names = sorted({*(kind.value for kind in FailureKind), "organisation_refused"})
            fields = shape["$defs"]["Cooldown"]["properties"]
            read = [name for name in names if is_kind_read(name)]
            fields["kind"] = {"type": "string", "default": fields["kind"]["default"], "enum": read}
    return found


def is_kind_read(name: str) -> bool:
    """Whether a cooldown of this kind is read."""
    try:
        TypeAdapter(Cooldown).validate_python({"since": 0, "until": 0, "reason": "", "kind": name})
    except ValidationError:
        return False
    return True


def bare(schema: Any) -> Any:
    """A schema without what is for people. `properties` has names of fields, which may be the same words."""
    if isinstance(schema, list):
        return [bare(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        word: {name: bare(one) for name, one in value.items()} if word in {"properties", "$defs"} else bare(value)
        for word, value in schema.items()
        if word not in {"title", "description"}
    }


def bounds() -> dict[str, float]:
    """Beyond these a record counts as impossible."""
    found = {
        name: value
        for module in (buckets, fairness, records)
        for name in BOUNDS
        if (value := getattr(module, name, None)) is not None
    }
    return {**found, "SECONDS_BOUNDS": len(getattr(sys.modules.get(HISTORY), "SECONDS_BOUNDS", ()))}


def written() -> dict[str, Any]:
    """The records of a new SQLite file, by key: the text, and when it is due."""
    clock = StoppedClock()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite3"
        store = SqliteStore(path, clock.wall)
        budget = Budget(tokens=1_000_000)
        asyncio.run(fill(StoredLedger(store, clock, budget=budget, time_limit_s=60.0), clock))
        connection = sqlite3.connect(path)
        try:
            rows = connection.execute("SELECT key, body, expires_at FROM records ORDER BY key").fetchall()
            tables = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
            pragmas = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")}
        finally:
            connection.close()
    return {
        "written_at": NOW,
        "file": {**pragmas, "tables": [sql for (sql,) in tables], "newest_version_read": sqlite.SCHEMA_VERSION},
        "redis_prefix": PREFIX,
        "records": {key: {"body": body, "expires_at": expires_at} for key, body, expires_at in rows},
        "shapes": shapes(),
        "bounds": bounds(),
    }


if __name__ == "__main__":
    json.dump(written(), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")
