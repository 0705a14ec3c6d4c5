"""The command: `python -m benchmarks.providers [--quick] [--seeds N] [--only ours|litellm] [--workload small|agents] [--write]`.

Prints a table of how many calls are answered when three providers' limits are all there is; --write keeps it in README.md and
results.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.goodput.contest import LITELLM, OURS
from benchmarks.providers.report import Cell, read, renewed, tables, write
from benchmarks.providers.run import Run, play
from benchmarks.providers.workload import WORKLOADS
from benchmarks.report import machine, replace_results

README = Path(__file__).with_name("README.md")
RESULTS = README.with_name("results.json")
LOADS, SECONDS = (1.0, 1.28, 1.5), 600.0
QUICK_LOADS, QUICK_SECONDS = (1.28,), 60.0
CONTENDERS = (OURS, *(f"{LITELLM}{name}" for name in ("limits enforced", "fallbacks, limits enforced", "priority groups")))
PROCESSES = 4


def main() -> None:
    """Play what the options ask for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.providers", description="Goodput under three providers' limits."
    )
    parser.add_argument("--quick", action="store_true", help="one seed, one load, a minute of virtual time")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default: 3)")
    parser.add_argument("--only", choices=["ours", "litellm"], help="only this contender")
    parser.add_argument("--workload", choices=[workload.name for workload in WORKLOADS], help="only this workload")
    parser.add_argument(
        "--write", action="store_true", help="keep the results in README.md and results.json; what is not played again stays"
    )
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("--quick shortens the runs, so its results cannot be kept")
    kept = read(RESULTS) if options.write and (options.only or options.workload) else []
    if any(len(cell.by_seed) != options.seeds for cell in kept):
        parser.error(
            f"results.json has results of {len(kept[0].by_seed)} seeds. Use --seeds with that number, or play everything."
        )
    cells = _played(options)
    print(tables(cells))
    print(f"\n{time.process_time():.0f} s of CPU", file=sys.stderr)
    if options.write:
        shown = renewed(kept, cells)
        on = f"{machine()}, litellm {version('litellm')}"
        write(RESULTS, on, SECONDS, shown)
        seeds = f"mean of {options.seeds} seed{'s' if options.seeds > 1 else ''}"
        replace_results(README, f"{on}; {SECONDS:.0f} virtual seconds, {seeds}.\n\n{tables(shown)}\n")


def _played(options: argparse.Namespace) -> list[Cell]:
    seeds = range(1, 2 if options.quick else options.seeds + 1)
    seconds = QUICK_SECONDS if options.quick else SECONDS
    cells: list[Cell] = []
    for workload in WORKLOADS:
        for load in QUICK_LOADS if options.quick else LOADS:
            for contender in CONTENDERS:
                ours = "ours" if contender == OURS else "litellm"
                if options.workload not in {None, workload.name} or options.only not in {None, ours}:
                    continue
                runs = [
                    Run(workload=workload, contender=contender, processes=PROCESSES, load=load, seed=seed, seconds=seconds)
                    for seed in seeds
                ]
                by_seed = [play(run) for run in runs]
                cells.append(Cell(workload=workload.name, load=load, contender=contender, by_seed=by_seed))
                print(f"{workload.name} {load} {contender}", file=sys.stderr)
    return cells


if __name__ == "__main__":
    main()
