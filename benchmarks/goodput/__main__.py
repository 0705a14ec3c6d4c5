"""The command of the benchmark: `python -m benchmarks.goodput --help`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.goodput.contest import OURS, Result, cells, play
from benchmarks.goodput.report import print_table, write_json
from benchmarks.goodput.scenarios import SCENARIOS, scenario
from benchmarks.goodput.workload import SECONDS

QUICK_SECONDS = 120.0
PROCESSES = (1, 4)


def main() -> None:
    """Run what the flags ask for, print the table, keep the figures."""
    options = _options()
    started = time.perf_counter()
    seeds = range(1, (1 if options.quick else options.seeds) + 1)
    seconds = QUICK_SECONDS if options.quick else SECONDS
    chosen = [scenario(name) for name in options.scenario] if options.scenario else SCENARIOS
    results: list[Result] = []
    for cell in cells(chosen, [OURS], PROCESSES):
        results.append(play(cell, seeds, seconds=seconds))
    print_table(results)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_json(options.out / "results.json", results, seeds=seeds, took_s=time.perf_counter() - started)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.goodput", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed and two minutes of load")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3)")
    parser.add_argument(
        "--scenario", action="append", choices=[found.name for found in SCENARIOS], help="only these; may be repeated"
    )
    parser.add_argument("--out", type=Path, help="a folder for results.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
