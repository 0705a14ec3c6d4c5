"""The command: `python -m benchmarks.failover [--only NAME,NAME] [--fault NAME,NAME] [--runs 3] [--write]`. Prints the scorecard.

--write keeps it in README.md and results.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.failover.contenders import NAMES
from benchmarks.failover.faults import FAULTS
from benchmarks.failover.run import run
from benchmarks.failover.table import scorecard, unstable
from benchmarks.report import machine, replace_results, some_of

HERE = Path(__file__).parent


def main() -> None:
    """Run everything, and print what came of it."""
    slugs = [fault.slug for fault in FAULTS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failover", description=__doc__)
    parser.add_argument("--only", type=some_of(NAMES), default=[], help=f"some contenders of {', '.join(NAMES)}, with commas")
    parser.add_argument("--fault", type=some_of(slugs), default=[], help=f"some faults of {', '.join(slugs)}, with commas")
    parser.add_argument("--runs", type=int, default=1, help="how often; cells that differ are listed")
    parser.add_argument("--why", action="store_true", help="print each cell that is not an answer")
    parser.add_argument("--write", action="store_true", help="keep the results in README.md and results.json")
    options = parser.parse_args()
    begun = time.monotonic()
    versions: dict[str, str] = {}
    runs = []
    for number in range(options.runs):
        print(f"run {number + 1}", file=sys.stderr, flush=True)
        versions, cells = asyncio.run(run(options.only, options.fault))
        runs.append(cells)
    took_s = (time.monotonic() - begun) / options.runs
    cells, changed = runs[-1], unstable(runs)
    if options.why:
        for cell in cells:
            if cell.why:
                print(f"{cell.contender}: {cell.fault}, {cell.form}: {cell.outcome}: {cell.why} ({cell.took_s} s)")
    measured = f"{machine()}; {options.runs} x {took_s / 60:.0f} minutes"
    shown = f"{measured}\n\n{scorecard(versions, cells, changed if options.runs > 1 else None)}"
    print(shown)
    if options.write:
        kept = {
            "measured": measured,
            "versions": versions,
            "cells": [asdict(cell) for cell in cells],
            "unstable": [asdict(cell) for cell in changed],
        }
        lines = json.dumps(kept, ensure_ascii=False).replace('{"contender"', '\n{"contender"')
        (HERE / "results.json").write_text(lines + "\n", encoding="utf-8")
        replace_results(HERE / "README.md", shown)


if __name__ == "__main__":
    main()
