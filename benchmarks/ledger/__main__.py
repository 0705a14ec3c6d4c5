"""The command: `python -m benchmarks.ledger [--seconds N] [--write]`. Prints a table; --write keeps it in README.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.ledger.calls import CLAIMS, SETTLEMENT, bare_pair, timed_ledger
from benchmarks.ledger.refusal import refusal_to_next_s
from benchmarks.report import machine, replace_results
from groq_fallback_mcp.quota import Granted

PROCESSES = 4
PER_S = 50.0
TIGHT_PER_S = 1e6
ROUNDS = 20
PAIRS_A_ROUND = 50
README = Path(__file__).with_name("README.md")


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the processes run (default 20)")
    parser.add_argument("--write", action="store_true", help="write the table into README.md and the figures into results.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        apart = _processes(f"{folder}/shared.sqlite3", options.seconds, in_step=False)
        recorded = _processes(f"{folder}/recorded.sqlite3", options.seconds, in_step=False, recorded=True)
        in_step = _processes(f"{folder}/in-step.sqlite3", options.seconds, in_step=True)
        tight = _processes(f"{folder}/tight.sqlite3", options.seconds, in_step=False, processes=1, per_s=TIGHT_PER_S)
        few, many = asyncio.run(_live(f"{folder}/live.sqlite3"))
        switch = asyncio.run(refusal_to_next_s(f"{folder}/switch.sqlite3"))
    rows = [
        ("two SQLite transactions of one row each: the floor", apart["bare"]),
        ("reserve + settle, inside the store", apart["inside"]),
        ("reserve + settle, as the caller sees it (two hops to the ledger's thread and back)", apart["caller"]),
        ("the same while each call is kept in the history", recorded["caller"]),
        ("all four processes at the same instants: the floor", in_step["bare"]),
        ("all four processes at the same instants: inside the store", in_step["inside"]),
        ("one process without a pause: the floor", tight["bare"]),
        ("one process without a pause: inside the store", tight["inside"]),
        ("reserve + settle with 10 reservations open", few),
        ("reserve + settle with 10,000 reservations open", many),
        ("from a 429 to the next model's request", switch),
    ]
    table = _table(rows)
    print(table)
    if options.write:
        measured = f"{machine()}, SQLite {sqlite3.sqlite_version}"
        replace_results(README, f"{measured}\n\n{table}\n")
        figures = {name: [round(took * 1e3, 4) for took in sorted(values)] for name, values in rows}
        README.with_name("results.json").write_text(json.dumps({"machine": measured, "ms": figures}) + "\n", encoding="utf-8")


def _processes(
    path: str, seconds: float, *, in_step: bool, processes: int = PROCESSES, per_s: float = PER_S, recorded: bool = False
) -> dict[str, list[float]]:
    """What the transactions of all processes took, in seconds: bare, inside, caller."""
    calls = PER_S * seconds
    # made by one, so that the children do not race to turn its journal into a WAL
    bare_pair(Path(f"{path}-bare"))()
    how = "recorded" if recorded else "unrecorded"
    command = [sys.executable, "-m", "benchmarks.ledger.child", path, str(per_s), str(calls / per_s), how]
    commands = [command if in_step else [*command, str(seed)] for seed in range(processes)]
    children = [subprocess.Popen(each, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for each in commands]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    took: dict[str, list[float]] = {}
    for child in children:
        out, _ = child.communicate()
        for name, values in json.loads(out).items():
            took.setdefault(name, []).extend(values)
    return took


async def _live(path: str) -> tuple[list[float], list[float]]:
    """Rounds with few and with many open reservations in turn, so that both meet the same moods of the machine."""
    results: list[list[float]] = [[], []]
    ledgers = [timed_ledger(f"{path}-{number}")[0] for number in (0, 1)]
    for ledger, count in zip(ledgers, (10, 10_000), strict=True):
        for _ in range(count):
            await ledger.reserve_any(CLAIMS, life_s=3_600.0)
    for _ in range(ROUNDS):
        for ledger, took in zip(ledgers, results, strict=True):
            for _ in range(PAIRS_A_ROUND):
                started = time.perf_counter()
                granted = await ledger.reserve_any(CLAIMS, life_s=3_600.0)
                assert isinstance(granted, Granted)
                await ledger.settle(granted.reservation, SETTLEMENT)
                took.append(time.perf_counter() - started)
    for ledger in ledgers:
        await ledger.aclose()
    return results[0], results[1]


def _table(rows: Sequence[tuple[str, list[float]]]) -> str:
    lines = ["| | p50 ms | p90 ms | p99 ms | max ms | samples |", "|---|---|---|---|---|---|"]
    for name, values in rows:
        cuts = statistics.quantiles(values, n=100)
        shown = (cuts[49], cuts[89], cuts[98], max(values))
        lines.append(f"| {name} | {' | '.join(f'{took * 1e3:.2f}' for took in shown)} | {len(values)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
