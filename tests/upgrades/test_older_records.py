"""Records of earlier releases are read and continued, and they read those of this one: the same in all fields they know."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_clock import FakeClock
from ledger_records import bounds, claim, pooled_claim, shapes
from pydantic import TypeAdapter
from recorded_calls import call
from releases import RELEASES, records_of

from groq_fallback_mcp.call import FailureKind, Limit
from groq_fallback_mcp.quota import Caller, Granted, QuotaKey, Refused, Settlement, caller_day, records, sqlite
from groq_fallback_mcp.quota.breaker import Cooldown
from groq_fallback_mcp.quota.budget import Budget
from groq_fallback_mcp.quota.history import CallRecord, Chunks, HourTotals, UnderWay
from groq_fallback_mcp.quota.memory import MemoryStore
from groq_fallback_mcp.quota.redis import PREFIX
from groq_fallback_mcp.quota.sqlite import SqliteStore
from groq_fallback_mcp.quota.store import Record, Snapshot, Store, Writes
from groq_fallback_mcp.quota.store_ledger import StoredLedger

KINDS: Mapping[str, type[Any]] = {
    **{kind.__name__: kind for kind in (records.Account, records.ProviderAccount, records.OpenReservation)},
    **{kind.__name__: kind for kind in (records.DayTotals, records.KeptConversation)},
    **{kind.__name__: kind for kind in (CallRecord, Chunks, HourTotals, UnderWay)},
}


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What an earlier release wrote, and what it reads."""
    found: dict[str, Any] = json.loads(records_of(request.param).read_text(encoding="utf-8"))
    return found


@pytest.fixture
def clock(release: dict[str, Any]) -> FakeClock:
    """A second after it was written."""
    return FakeClock(wall=release["written_at"] + 1)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, release: dict[str, Any], clock: FakeClock, tmp_path: Path) -> Iterator[Store]:
    """A store with the release's records; the SQLite file as the release makes it."""
    rows = {key: Record(**record) for key, record in release["records"].items()}
    if request.param == "memory":
        made: Store = MemoryStore(clock.wall)
        made.transact([*rows], lambda _: Writes(result=None, writes=rows))
    else:
        connection = sqlite3.connect(tmp_path / "ledger.sqlite3")
        for statement in release["file"]["tables"]:
            connection.execute(statement)
        for name in ("application_id", "user_version"):
            connection.execute(f"PRAGMA {name} = {release['file'][name]}")
        connection.executemany(
            "INSERT INTO records VALUES (?, ?, ?)", [(key, one.body, one.expires_at) for key, one in rows.items()]
        )
        connection.commit()
        connection.close()
        made = SqliteStore(tmp_path / "ledger.sqlite3", clock.wall)
    yield made
    made.close()


@pytest.fixture
def ledger(store: Store, clock: FakeClock) -> StoredLedger:
    """This release's, on that store."""
    return StoredLedger(store, clock, budget=Budget(tokens=1_000_000), threaded=False)


@pytest.mark.anyio
async def test_limits_cooldowns_and_conversations_go_on(ledger: StoredLedger, caplog: pytest.LogCaptureFixture) -> None:
    """What was used, learnt and put into a cooldown still holds."""
    known, pooled = claim("openai/gpt-oss-20b"), pooled_claim()
    first, second = await ledger.peek([known, pooled], caller=Caller(name="ann"))
    assert first.buckets[Limit.TPM].capacity == 6_000
    assert 5_700 <= first.buckets[Limit.TPM].level_at(first.now) <= 5_900
    assert first.buckets[Limit.RPD].level == 990
    assert (first.prompt_factor, first.health.failures) == (1.25, 1)
    assert first.set_aside == {Limit.RPM: 1.0, Limit.TPM: 5_950.0}
    assert second.buckets[Limit.RPM].window == "sliding"
    assert second.buckets[Limit.RPD].zone == "America/Los_Angeles"
    assert second.calls_in_flight == 1
    assert second.cooldown is not None
    assert second.cooldown.reason == "busy"
    assert first.cooldown is not None
    assert first.cooldown.reason == "HTTP 503"
    assert isinstance(await ledger.reserve_any([known, pooled], life_s=60), Refused)
    conversation = await ledger.conversation_model("a1b2")
    assert conversation is not None
    assert (conversation.model, conversation.starts_over) == ("qwen/qwen3.8-27b", True)
    assert not caplog.records


@pytest.mark.anyio
async def test_spending_goes_on_and_reservations_expire(
    ledger: StoredLedger, store: Store, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """New calls are added to the day, a reservation of a process that is gone is given up, and nothing is left of it."""
    day = "2026-11-30"
    days = [day, caller_day(day, "ann"), caller_day(day, "bob")]
    before = await ledger.spending(days)
    assert [(before[one].tokens, before[one].held_tokens) for one in days] == [(185, 100), (95, 0), (0, 100)]
    clock.advance(120)
    result = await ledger.reserve_any([claim("openai/gpt-oss-20b")], life_s=60, caller=Caller(name="ann"))
    assert isinstance(result, Granted)
    await ledger.settle(result.reservation, Settlement(actual={}, health="up", spent=claim("x").spend))
    after = await ledger.spending(days)
    assert [(after[one].tokens, after[one].held_tokens) for one in days] == [(285, 0), (195, 0), (0, 0)]
    gemini = QuotaKey(provider="groq", organization="acme", model="gemini")
    names = [records.model_key(gemini), records.model_key(gemini.pool("free"))]
    bodies = store.transact(names, lambda found: Writes(result=dict(found.bodies)), writing=False)
    accounts = [TypeAdapter(records.Account).validate_json(body) for body in bodies.values()]
    assert [(one.in_flight, sum(one.held.values())) for one in accounts] == [(0, 0), (0, 0)]
    assert not [key for key in store.due(1_000) if key.startswith("open/")]
    assert not caplog.records


@pytest.mark.anyio
async def test_the_history_goes_on(ledger: StoredLedger, release: dict[str, Any], clock: FakeClock) -> None:
    """Calls are added after those that are there; where there was no history, one begins."""
    had = ["c1", "c2"] if "CallRecord" in release["shapes"] else []
    assert [one.id for one in await ledger.calls(since=0, limit=10)] == had
    assert len(await ledger.calls_under_way()) == bool(had)
    assert await ledger.add_to_history([call("c3", clock.wall())], [], process="p2")
    assert [one.id for one in await ledger.calls(since=0, limit=10)] == [*had, "c3"]
    (hour,) = await ledger.hours(["2026-11-30T21"])
    assert sum(one.calls for one in hour.calls) == len(had) + 1


def test_every_record_of_an_earlier_release_is_read(release: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Each record says the same when this release has read and written it."""
    kinds = {"model/": "Account", "requests/": "Account", "provider/": "ProviderAccount", "open/": "OpenReservation"}
    kinds |= {"day/": "DayTotals", "conversation/": "KeptConversation"}
    tried = 0
    with caplog.at_level(logging.DEBUG):
        for key, record in release["records"].items():
            kind = next((KINDS[name] for beginning, name in kinds.items() if key.startswith(beginning)), None)
            if kind is not None:
                read = records.decode(kind, record["body"], key)
                assert read is not None
                assert json.loads(records.encode(read).body) == json.loads(record["body"])
                tried += 1
    assert tried >= 10
    assert not caplog.records


def test_earlier_releases_read_what_this_one_writes(release: dict[str, Any]) -> None:
    """No field, value or figure that an earlier release would refuse: it would start that record over."""
    for name, shape in release["shapes"].items():
        written = shape_written(KINDS[name])
        assert refusals(shape, written, name, shape.get("$defs", {}), written.get("$defs", {})) == []
    now = bounds()
    assert {name: now[name] for name, most in release["bounds"].items() if most and now[name] > most} == {}


def test_earlier_releases_open_the_file_of_this_one(release: dict[str, Any], tmp_path: Path) -> None:
    """The same table in the same place; a newer version of the schema would be refused, and every call be made without a ledger."""
    assert release["file"]["newest_version_read"] >= sqlite.SCHEMA_VERSION
    assert release["file"]["application_id"] == sqlite.APPLICATION_ID
    assert release["redis_prefix"] == PREFIX
    clock = FakeClock()
    store = SqliteStore(tmp_path / "ledger.sqlite3", clock.wall)
    store.transact(["a"], lambda _: Writes(result=None, writes={"a": Record(body="{}")}))
    store.close()
    connection = sqlite3.connect(tmp_path / "ledger.sqlite3")
    tables = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    connection.close()
    assert [sql for (sql,) in tables] == release["file"]["tables"]


@pytest.mark.parametrize(
    ("path", "change", "refusal"),
    [
        (("$defs", "Bucket", "properties", "level"), {"type": "string"}, "Account.buckets.*.level: string, not number"),
        (("$defs", "Bucket", "properties", "window", "enum"), ["continuous", "weekly"], "Account.buckets.*.window: 'weekly'"),
        (("$defs", "Bucket", "required"), ["limit", "level", "at"], "Account.buckets.*.capacity may be missing"),
        (("properties", "prompt_factor", "default"), 2.0, "Account.prompt_factor is 2.0 where it is missing, and was 1.0"),
        (
            ("properties", "in_flight"),
            {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 0},
            "Account.in_flight: null",
        ),
    ],
)
def test_a_change_that_an_earlier_release_would_refuse_is_seen(path: tuple[str, ...], change: Any, refusal: str) -> None:
    """A guard on the guard."""
    old, new = shapes()["Account"], shape_written(records.Account)
    assert refusals(old, new, "Account", old["$defs"], new["$defs"]) == []
    place = new
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = change
    assert any(refusal in one for one in refusals(old, new, "Account", old["$defs"], new["$defs"]))


def test_fields_of_a_later_release_are_dropped_without_harm() -> None:
    """What this release does not know in a record does not cost what it knows."""
    body = '{"buckets":{"rpm":{"limit":"rpm","capacity":30,"level":3,"at":5,"later":{"a":[1]}}},"in_flight":2,"also_later":1}'
    read = records.decode(records.Account, body, "model/x")
    assert read is not None
    assert (read.in_flight, read.buckets[Limit.RPM].level) == (2, 3)
    snapshot = Snapshot(now=5.0, bodies={"model/p/o/m": body})
    account = records.Transaction(snapshot).account(QuotaKey(provider="p", organization="o", model="m"))
    assert account == read


def shape_written(kind: type[Any]) -> dict[str, Any]:
    """The JSON Schema of what this release writes."""
    shape = TypeAdapter(kind).json_schema(mode="serialization")
    cooldown = shape.get("$defs", {}).get("Cooldown")
    if cooldown is not None:
        # a serializer writes it, of which the schema knows only that it is a text
        values = {
            json.loads(TypeAdapter(Cooldown).dump_json(Cooldown(since=0, until=0, reason="", kind=one)))["kind"]
            for one in FailureKind
        }
        cooldown["properties"]["kind"]["enum"] = sorted(values)
    return shape


def refusals(old: Any, new: Any, at: str, old_defs: Any, new_defs: Any) -> list[str]:
    """Why a reader of the JSON Schema `old` would refuse, or take for something else, what is written by `new`."""
    old, new = _resolved(old, old_defs), _resolved(new, new_defs)

    def below(first: Any, second: Any, where: str) -> list[str]:
        return refusals(first, second, where, old_defs, new_defs)

    if "anyOf" in new:
        return [one for option in new["anyOf"] for one in below(old, option, at)]
    if "anyOf" in old:
        tried = [below(option, new, at) for option in old["anyOf"]]
        return [] if [] in tried else [one for found in tried for one in found]
    if not old:
        return []
    if old.get("type") not in {new.get("type"), "number" if new.get("type") == "integer" else None}:
        return [f"{at}: {new.get('type')}, not {old.get('type')}"]
    found = [*_unknown_values(old, new, at), *_changed_fields(old, new, at)]
    for first, second, where in _parts(old, new, at):
        found += below(first, second, where)
    return found


def _unknown_values(old: Any, new: Any, at: str) -> list[str]:
    if any(old.get(bound) != new.get(bound) for bound in ("minItems", "maxItems")):
        return [f"{at}: another number of items"]
    if "enum" not in old and "const" not in old:
        return []
    known = old.get("enum", [old.get("const")])
    written = new.get("enum", [new["const"]] if "const" in new else ["any value"])
    return [f"{at}: {value!r}" for value in written if value not in known]


def _changed_fields(old: Any, new: Any, at: str) -> list[str]:
    found = [f"{at}.{name} may be missing" for name in old.get("required", []) if name not in new.get("required", [])]
    for name, shape in old.get("properties", {}).items():
        written = new.get("properties", {}).get(name, shape)
        before, default = shape.get("default"), written.get("default")
        if before != _as_known(default, before):
            found.append(f"{at}.{name} is {default!r} where it is missing, and was {before!r}")
    return found


def _as_known(value: Any, before: Any) -> Any:
    """A value without the fields that are new in it, which an earlier release does not see."""
    if isinstance(value, dict) and isinstance(before, dict):
        return {name: _as_known(value[name], before[name]) for name in before if name in value}
    return value


def _parts(old: Any, new: Any, at: str) -> Iterator[tuple[Any, Any, str]]:
    for name, shape in old.get("properties", {}).items():
        if name in new.get("properties", {}):
            yield shape, new["properties"][name], f"{at}.{name}"
    if isinstance(old.get("additionalProperties"), dict):
        yield old["additionalProperties"], new.get("additionalProperties", {}), f"{at}.*"
    if "propertyNames" in old:
        yield old["propertyNames"], new.get("propertyNames", {"type": "string"}), f"{at} (names)"
    if "items" in old:
        yield old["items"], new.get("items", {}), f"{at}[]"
    for index, (first, second) in enumerate(zip(old.get("prefixItems", []), new.get("prefixItems", []), strict=False)):
        yield first, second, f"{at}[{index}]"


def _resolved(schema: Any, defs: Any) -> Any:
    while "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        schema = {**defs[name], **{word: value for word, value in schema.items() if word != "$ref"}}
    return schema
