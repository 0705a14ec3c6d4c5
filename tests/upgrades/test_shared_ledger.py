"""This release and each earlier one on one ledger, in real processes under load: together, and one after the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from effort import times
from releases import CHECKOUT, RELEASES, source_of
from stores import RedisServer, redis_program

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.quota.buckets import ON_THE_WAY_S
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, run_simulator

pytestmark = pytest.mark.nightly

PROGRAM = Path(__file__).with_name("process_of_a_release.py")
NEW = CHECKOUT / "server"
SECONDS = times(3)
CAPACITY, WINDOW_S = 120, 60.0
MODELS = ("openai/gpt-oss-20b", "openai/gpt-oss-120b", "qwen/qwen3.8-27b")
# Of each in a minute, by the catalog: no header states it. They are used up within seconds, before tokens are.
RPM = 30
# What a call ends in when limits are used up.
LIMITED = {"served", "failed rate_limited", "failed deadline"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Where the records are."""

    state: str

    @property
    def setting(self) -> str:
        """The same for GROQ_FALLBACK_STATE."""
        return self.state if self.state.startswith("redis:") else f"sqlite://{self.state}"


@pytest.fixture(params=["sqlite", "redis"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """One without records."""
    if request.param == "sqlite":
        yield Ledger(state=str(tmp_path / "ledger.sqlite3"))
        return
    server = RedisServer(redis_program())
    server.start()
    yield Ledger(state=server.url)
    server.stop()


@pytest.fixture(params=RELEASES)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The source of an earlier release."""
    return source_of(request.param, tmp_path)


def run(what: str, ledger: Ledger, sources: Sequence[Path], base_url: str = "") -> list[dict[str, Any]]:
    """What a process of each source has to report, all of them at once."""
    children = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), what, ledger.state, str(SECONDS), str(seed)],
            env={**os.environ, "PYTHONPATH": str(source), **settings(ledger, base_url)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed, source in enumerate(sources)
    ]
    if what != "read":
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
    results = []
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        out, _ = child.communicate(timeout=SECONDS + 120)
        assert child.returncode == 0
        results.append(json.loads(out))
    return results


def settings(ledger: Ledger, base_url: str) -> dict[str, str]:
    """What a server is started with."""
    return {
        "GROQ_API_KEY": "gsk_simulated",
        "GROQ_BASE_URL": base_url,
        "GROQ_FALLBACK_LOCAL": "off",
        "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
        "GROQ_FALLBACK_STATE": ledger.setting,
        "GROQ_FALLBACK_DEADLINE_S": "2",
    }


def check_shared(results: Sequence[dict[str, Any]]) -> Counter[str]:
    """No process met a record that it could not read, or lost the store; what all of them did."""
    totals = Counter[str]()
    for result in results:
        assert result["warnings"] == []
        assert result["degraded"] is None
        totals.update(result["calls"])
    return totals


def check_records(ledger: Ledger, sources: Sequence[Path]) -> dict[str, Any]:
    """Every release reads the same; nothing is held any more."""
    first, *others = run("read", ledger, sources)
    assert first["warnings"] == []
    assert all(other == first for other in others)
    records = first["records"]
    assert not [key for key in records if key.startswith("open/")]
    assert "unreadable" not in records.values()
    for key, record in records.items():
        if key.startswith("model/"):
            assert (record["held"], record["in_flight"]) == ({}, 0)
        if key.startswith("day/"):
            assert record["held"] == 0
    return records


def spent(records: dict[str, Any], *, by_ann: bool = False) -> int:
    """The calls of all days."""
    days = {key: record for key, record in records.items() if key.startswith("day/")}
    return sum(record["calls"] for key, record in days.items() if key.endswith("/token/ann") is by_ann)


def check_limit(grants: Sequence[float]) -> None:
    """No stretch of time took more of the limit than there was."""
    ordered = sorted(grants)
    rate = CAPACITY / WINDOW_S
    for first, begun in enumerate(ordered):
        # clocks are read a moment apart from the grant
        assert len(ordered) - first <= CAPACITY + (ordered[-1] - begun + 0.05) * rate + 1
    assert len(ordered) >= CAPACITY + (ordered[-1] - ordered[0] - ON_THE_WAY_S) * rate - 6


@pytest.mark.parametrize("order", ["together", "old first", "new first"])
def test_releases_share_limits_budgets_and_conversations(old: Path, ledger: Ledger, order: str) -> None:
    """Two processes of each: the limit is used up and never exceeded, and nothing of what was spent is lost."""
    match order:
        case "together":
            phases = [[old, NEW, old, NEW], [old, old], [NEW, NEW]]
        case "old first":
            phases = [[old, old], [NEW, NEW], [old, NEW]]
        case _:
            phases = [[NEW, NEW], [old, old], [NEW, old]]
    totals, grants = Counter[str](), list[float]()
    for sources in phases:
        results = run("ledger", ledger, sources)
        totals += check_shared(results)
        grants += [at for result in results for at in result["granted"]]
        records = check_records(ledger, [NEW, old])
        assert spent(records) == totals["spent"]
        assert spent(records, by_ann=True) == totals["spent by ann"]
    check_limit(grants)
    assert totals["refused"] > 0
    assert totals["lost conversations"] == totals["lost buckets"] == totals["refused requests"] == 0


@pytest.mark.parametrize("order", ["together", "old first", "new first"])
@pytest.mark.anyio
async def test_calls_of_several_releases_are_never_refused(old: Path, ledger: Ledger, order: str) -> None:
    """Whole calls against a simulator that counts strictly: it refuses none, and spending and the history have all."""
    match order:
        case "together":
            phases = [[old, NEW, old, NEW], [NEW]]
        case "old first":
            phases = [[old, old], [NEW, NEW]]
        case _:
            phases = [[NEW, NEW], [old, old], [NEW]]
    app = create_app(SimulatorOptions(latency_scale=0.0), catalog=load_catalog(), clock=SystemClock())
    totals, by_keepers = Counter[str](), 0
    async with run_simulator(app) as running:
        for sources in phases:
            results = await anyio.to_thread.run_sync(run, "engine", ledger, sources, running.base_url)
            totals += check_shared(results)
            keepers = [one for source, one in zip(sources, results, strict=True) if (source / HISTORY).exists()]
            by_keepers += sum(count for one in keepers for count in one["calls"].values())
    assert set(totals) <= LIMITED
    # all that one model has, at least, and limits were used up
    assert totals["served"] >= RPM
    assert totals["served"] < totals.total()
    statuses = Counter[str]()
    for counts in app.state.world.calls.values():
        statuses.update({str(status): count for status, count in counts.items()})
    # a request that is longer on its way than ON_THE_WAY_S, on a busy machine, finds a bucket that began to refill later than ours:
    # the one after it can come too early, once for each bucket
    assert set(statuses) <= {"200", "429"}
    assert statuses["429"] <= len(MODELS), statuses
    records = await anyio.to_thread.run_sync(check_records, ledger, [NEW, old])
    assert spent(records) == totals["served"]
    assert await kept(ledger) == by_keepers


HISTORY = "groq_fallback_mcp/quota/history.py"


async def kept(ledger: Ledger) -> int:
    """How many calls the history has."""
    from groq_fallback_mcp.quota import open_ledger

    found = open_ledger(ledger.setting, SystemClock())
    calls = await found.calls(since=0.0, limit=100_000)
    await found.aclose()
    return len(calls)
