"""The command: `python -m benchmarks.soak [--minutes 60] [--seed 1] [--write]`. Ends with an error where something does not hold."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from benchmarks.report import machine, replace_results
from benchmarks.soak.faults import FAMILIES, Family, Injected, inject, plan
from benchmarks.soak.findings import Books, Finding, Sample, findings, may_be_of_killed
from benchmarks.soak.fleet import Fleet, Member, fleet
from benchmarks.soak.traffic import Call, Traffic
from benchmarks.soak.upstream import KEYS, Refused, Upstream, upstream
from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.quota import Claim, QuotaKey
from groq_fallback_mcp.quota.records import OpenReservation, decode, open_key
from groq_fallback_mcp.settings import load_settings

HERE = Path(__file__).parent
SAMPLE_S = 10.0
# Until then what an MCP server left has expired; what a gateway that was killed left, after half an hour, is excused.
SETTLING_S = 100.0
# What a chat claims, at most.
MOST_CLAIMED = {Limit.RPD: 1.0, Limit.TPD: 900.0}
# What is kept for its time however much of it comes: a conversation that left its first model for two hours, and here each call is one;
# what was granted while the store could not be used, so that it is counted once, for a day. The history is bounded apart.
KEPT = (b":conversation/", b":told/", b":history/")
HOUR_AHEAD = "+3600"
NOT_RECORDED = {"check_limits", "list_models", "batch"}


def main() -> None:
    """Run, print, and keep with --write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="keep the figures in results.json and README.md")
    parser.add_argument("--faults", choices=FAMILIES, nargs="+", default=FAMILIES, help="only these")
    parser.add_argument(
        "--keep",
        type=Path,
        help="a new folder for the processes' logs, all calls, all faults and all requests that a limit refused",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        found, injected, calls, refused = asyncio.run(
            _soak(folder.resolve(), options.minutes * 60, options.seed, options.faults)
        )
        for name, rows in (("calls", calls), ("faults", injected), ("refused", refused)):
            lines = [json.dumps(asdict(row)) + "\n" for row in rows]
            (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    shown = _shown(found, injected, calls, options.minutes, options.seed)
    print(shown)
    if options.write:
        told = [asdict(one) for one in found]
        kept = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "minutes": options.minutes, "seed": options.seed, "findings": told}
        (HERE / "results.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        replace_results(HERE / "README.md", f"{shown}\n")
    if not all(one.holds for one in found):
        failed = "; ".join(one.what for one in found if not one.holds)
        sys.exit(f"These rows do not hold: {failed}. Run again with --keep FOLDER to read what the processes logged.")


async def _soak(
    folder: Path, seconds: float, seed: int, families: Sequence[Family]
) -> tuple[list[Finding], Sequence[Injected], Sequence[Call], Sequence[Refused]]:
    async with upstream() as up, fleet(folder, up) as members:
        loop = asyncio.get_running_loop()
        traffic = Traffic(members, folder, seed=seed)
        samples: list[Sample] = []
        baselines: list[tuple[float, Mapping[tuple[str, str, Limit], float]]] = []
        begun = loop.time()
        sampling = asyncio.create_task(_sampling(members, samples))
        booking = asyncio.create_task(_baselines(up, baselines))
        injecting = asyncio.create_task(inject(plan(seconds, seed=seed, families=families), members, up, seed=seed))
        await traffic.run(begun + seconds)
        injected = await injecting
        for task in (sampling, booking):
            if task.done():
                # it never ends by itself: what it saw until its fault would pass for the whole run
                task.result()
            task.cancel()
        _tell("waiting until what was cut off has expired")
        await asyncio.sleep(SETTLING_S)
        books: list[Books] = []
        history: dict[str, tuple[int, int]] = {}
        for group in KEYS:
            known = await _log(members.of(group, "gateway")[0])
            since = max(
                (one.ended for one in injected if one.where == group and one.what in {"file lost", "redis lost"}), default=begun
            )
            before = next((used for at, used in baselines if at >= since), {}) if since > begun else {}
            used = {key: (units, before.get(key, 0.0)) for key, units in up.limits.used().items() if key[0] == group}
            ended = [call for call in traffic.calls if call.group == group and call.begun > since]
            is_ahead = any(one.group == group and one.what == HOUR_AHEAD for one in injected)
            to_wall = time.time() - loop.time()
            left = Counter(
                one.key.model
                for one in await _open(members, group)
                if may_be_of_killed(one.taken_at - to_wall, injected, group=group)
            )
            books += await _books(members.of(group, "gateway")[0], used, known, ended, is_ahead=is_ahead, left=left)
            since_wall = since + to_wall
            recorded = [call for call in ended if call.outcome == "answered" and call.kind not in NOT_RECORDED]
            history[group] = (sum(call["started_at"] >= since_wall and _is_of_traffic(call) for call in known), len(recorded))
        witnesses = [member.name for member in members.members if member.witness]
        found = findings(traffic.calls, injected, samples, up.limits.refused, books, witnesses=witnesses, history=history)
        return found, injected, traffic.calls, up.limits.refused


async def _sampling(members: Fleet, samples: list[Sample]) -> None:
    redis = Redis(port=members.redis.port, socket_timeout=2)
    while True:
        try:
            keys = [key for key in await redis.keys("*") if isinstance(key, bytes)]
            records = sum(not any(kept in key for kept in KEPT) for key in keys)
        except Exception:  # noqa: BLE001 - it is held still, or was killed
            records = samples[-1].redis_records if samples else 0
        memory = {member.name: member.memory_mib() for member in members.members if member.witness}
        size = 0.0
        for file in members.ledger.parent.glob("ledger.sqlite3*"):
            with suppress(FileNotFoundError):
                size += file.stat().st_size / 2**20
        samples.append(Sample(at=asyncio.get_running_loop().time(), memory=memory, file_mib=size, redis_records=records))
        _tell(f"{len(samples) * SAMPLE_S / 60:.0f} minutes")
        await asyncio.sleep(SAMPLE_S)


async def _baselines(up: Upstream, baselines: list[tuple[float, Mapping[tuple[str, str, Limit], float]]]) -> None:
    """What the provider had charged, second by second, so that it is known when a store was lost."""
    while True:
        baselines.append((asyncio.get_running_loop().time(), up.limits.used()))
        await asyncio.sleep(1.0)


async def _books(
    member: Member,
    used: Mapping[tuple[str, str, Limit], tuple[float, float]],
    known: Sequence[Mapping[str, Any]],
    ended: Sequence[Call],
    *,
    is_ahead: bool,
    left: Mapping[str, int],
) -> list[Books]:
    """What is used of a day's requests and tokens, in both books; `used`: now at the provider, and when the store was lost.

    `is_ahead`: a clock was an hour ahead meanwhile. `left`: by model, the reservations that processes which were killed may have left.
    """
    attempts = [attempt for call in known for attempt in call["attempts"] if attempt["sent"]]
    failed = Counter(attempt["model"] for attempt in attempts if attempt["outcome"] != "answered")
    cut_off = sum(call.outcome in {"broken", "error"} for call in ended)
    books: list[Books] = []
    with _environment(member.environment):
        settings = load_settings()
    async with open_context(settings, clock=SystemClock()) as context:
        organization = context.engine.registry.organization("groq")
        for group, model, limit in sorted(used):
            if limit not in MOST_CLAIMED:
                continue
            claim = Claim(key=QuotaKey(provider="groq", organization=organization, model=model), cost={}, documented={})
            (quota,) = await context.engine.ledger.peek([claim])
            if (bucket := quota.buckets.get(limit)) is None:
                continue
            now, when_lost = used[(group, model, limit)]
            books.append(
                Books(
                    name=f"{group}, {model}, {limit.unit}",
                    # each answer states what is left of a day's requests, so that the ledger knows those from before, too
                    # both drain, so that less may be used now than then
                    provider=now if limit is Limit.RPD else max(now - when_lost, 0.0),
                    ledger=bucket.capacity - bucket.level_at(quota.now),
                    open=max(quota.calls_in_flight - left.get(model, 0), 0),
                    uncertain=(failed[model] + cut_off) * MOST_CLAIMED[limit]
                    + (bucket.capacity / 24 if is_ahead and limit is Limit.TPD else 0.0),
                )
            )
    return books


async def _open(members: Fleet, group: str) -> Sequence[OpenReservation]:
    """An organization's reservations that have not ended."""
    first, end = open_key(""), open_key("\x7f")
    if group == "machine":
        with closing(sqlite3.connect(f"{members.ledger.as_uri()}?mode=ro", uri=True)) as connection:
            rows: dict[str, str] = dict(
                connection.execute("SELECT key, body FROM records WHERE key >= ? AND key < ?", (first, end))
            )
    else:
        async with Redis(port=members.redis.port, socket_timeout=2, decode_responses=True) as redis:
            names = [str(name) for name in await redis.keys(f"*:{first}*")]
            rows = {name: str(await redis.get(name)) for name in names}
    return [found for key, body in rows.items() if (found := decode(OpenReservation, body, key)) is not None]


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """This process's variables are those of another meanwhile."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def _log(member: Member) -> Sequence[Mapping[str, Any]]:
    """The history of calls of its group."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "groq_fallback_mcp", "log", "--json", "-n", "20000", "--since", "1d",
        env=dict(member.environment), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    known: Sequence[Mapping[str, Any]] = json.loads(said)["calls"]
    return known


def _is_of_traffic(call: Mapping[str, Any]) -> bool:
    """Not one of a batch, which are counted by the batch."""
    endpoint: str = call["endpoint"]
    return endpoint.startswith("/") or endpoint in {"groq_chat", "transcribe"}


def _shown(found: Sequence[Finding], injected: Sequence[Injected], calls: Sequence[Call], minutes: float, seed: int) -> str:
    kinds = Counter(call.kind for call in calls)
    faults = Counter(f"{fault.family}: {fault.what}" for fault in injected)
    lines = [
        f"{machine()}; {minutes:.0f} minutes, seed {seed}",
        "",
        "Calls: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common()) + ".",
        "",
        "Faults: " + ", ".join(f"{count} x {what}" for what, count in sorted(faults.items())) + ".",
        "",
        "| what | found | allowed | holds |",
        "|---|---:|---:|---|",
        *(f"| {one.what} | {one.found} | {one.allowed} | {'yes' if one.holds else '**no**'} |" for one in found),
    ]
    examples = [f"    {one.what}: {example}" for one in found for example in one.examples]
    return "\n".join([*lines, *(["", *examples] if examples else [])])


def _tell(doing: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{doing}")


if __name__ == "__main__":
    main()
