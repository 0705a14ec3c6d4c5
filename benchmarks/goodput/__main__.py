"""Compare how many calls are answered in time when the limits of a key are short, in virtual time."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.goodput.contest import BOUND, LITELLM, OURS, Result, cells, play
from benchmarks.goodput.plot import draw
from benchmarks.goodput.readme import PICTURE, write_readme
from benchmarks.goodput.report import describe, print_table, read_json, renewed, write_json
from benchmarks.goodput.scenarios import SCENARIOS, scenario

HERE = Path(__file__).parent
QUICK = 0.2
QUICK_SCENARIOS = ("base",)
ONLY = {"ours": OURS, "litellm": LITELLM, "bound": BOUND}


def main() -> None:
    """Run what the flags ask for, print the table, keep the figures."""
    options = _options()
    started = time.perf_counter()
    seeds = range(1, (1 if options.quick else options.seeds) + 1)
    names = options.scenario or (QUICK_SCENARIOS if options.quick else [found.name for found in SCENARIOS])
    wanted = [ONLY[name] for name in options.only or ONLY]
    played: list[Result] = []
    chosen = [cell for cell in cells([scenario(name) for name in names]) if cell.contender.startswith(tuple(wanted))]
    one = partial(play, seeds=seeds, shortened=QUICK if options.quick else 1.0)
    # in virtual time a cell comes out the same however many are played beside it
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for number, result in enumerate(pool.map(one, chosen), start=1):
            played.append(result)
            _tell(f"{number} of {len(chosen)}")
    _tell("")
    print_table(played)
    results: Sequence[Result] = played
    described = describe(seeds=seeds, took_s=time.perf_counter() - started)
    if options.write and options.only:
        results, described = renewed(read_json(HERE / "results.json"), results, described)
    for folder in {options.out, HERE if options.write else None} - {None}:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "results.json", results, described)
        draw(folder / PICTURE, results)
    if options.write:
        write_readme(HERE / "README.md", results, described)


def _tell(doing: str) -> None:
    """What is being run, on one line of a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{doing}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.goodput", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, a fifth of the time, only the base scenario")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3)")
    parser.add_argument(
        "--scenario", action="append", choices=[found.name for found in SCENARIOS], help="only this; repeatable"
    )
    parser.add_argument("--only", action="append", choices=list(ONLY), help="only this contender; repeatable")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="cells at once (default: one for each core)")
    parser.add_argument("--out", type=Path, help="a folder for results.json and the picture")
    parser.add_argument(
        "--write",
        action="store_true",
        help="put results, tables and picture where this command is; with --only the others' kept ones stay",
    )
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("--quick shortens the runs: its figures are not for the README")
    if options.only and options.write:
        _, kept = read_json(HERE / "results.json")
        if kept["seeds"] != list(range(1, options.seeds + 1)):
            parser.error(f"the kept figures are of the seeds {kept['seeds']}: give as many, or play all contenders")
    return options


if __name__ == "__main__":
    main()
