"""The command: `python -m benchmarks.ledger [--seconds N] [--write]`. Prints a table; --write keeps it in README.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.ledger.calls import CLAIMS, SETTLEMENT, timed_ledger
from benchmarks.ledger.refusal import refusal_to_next_s
from groq_fallback_mcp.quota import Granted

PROCESSES = 4
PER_S = 50.0
ROUNDS = 20
PAIRS_A_ROUND = 50
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the processes run (default 20)")
    parser.add_argument("--write", action="store_true", help="write the table into README.md and the figures into results.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        caller, inside = _processes(f"{folder}/shared.sqlite3", options.seconds)
        few, many = asyncio.run(_live(f"{folder}/live.sqlite3"))
        switch = asyncio.run(refusal_to_next_s(f"{folder}/switch.sqlite3"))
    rows = [
        ("reserve + settle, inside the store", inside),
        ("reserve + settle, as the caller sees it (two hops to the ledger's thread and back)", caller),
        ("reserve + settle with 10 reservations open", few),
        ("reserve + settle with 10,000 reservations open", many),
        ("from a 429 to the next model's request", switch),
    ]
    table = _table(rows)
    print(table)
    if options.write:
        text = README.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        _, tail = rest.split(END)
        README.write_text(f"{head}{BEGIN}{_machine()}\n\n{table}\n{END}{tail}", encoding="utf-8")
        figures = {name: [round(took * 1e3, 4) for took in sorted(values)] for name, values in rows}
        README.with_name("results.json").write_text(json.dumps({"machine": _machine(), "ms": figures}) + "\n", encoding="utf-8")


def _processes(path: str, seconds: float) -> tuple[list[float], list[float]]:
    command = [sys.executable, "-m", "benchmarks.ledger.child", path, str(PER_S), str(seconds)]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    caller: list[float] = []
    inside: list[float] = []
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        out, _ = child.communicate()
        figures = json.loads(out)
        caller += figures["caller"]
        inside += figures["inside"]
    return caller, inside


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


def _machine() -> str:
    return (
        f"{datetime.now(tz=UTC).date()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


if __name__ == "__main__":
    main()
