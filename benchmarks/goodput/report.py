"""What a run prints and keeps."""

from __future__ import annotations

import json
import math
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.goodput.contest import Cell, Result
from benchmarks.goodput.figures import Figures
from benchmarks.goodput.scenarios import scenario

__all__ = ["HEADINGS", "TEXT_COLUMNS", "cells_of", "describe", "print_table", "read_json", "renewed", "write_json"]

HEADINGS = (
    "scenario",
    "load",
    "contender",
    "processes",
    "served %",
    "429s",
    "429s %",
    "requests a call",
    "wasted",
    "goodput %",
    "first choice %",
    "p50 s",
    "p95 s",
)
TEXT_COLUMNS = 3
PEERS = ("groq-fallback-mcp", "litellm")


def cells_of(result: Result) -> tuple[str, ...]:
    """A row of the table; what an upper bound cannot tell is left out."""
    cell, found = result.cell, result.mean
    figures = (
        f"{found.served * 100:.1f}",
        f"{found.refused:.1f}",
        f"{found.refused / found.calls * 100:.1f}",
        f"{found.requests_a_call:.2f}",
        f"{found.wasted:.1f}",
        f"{found.goodput * 100:.1f}",
        f"{found.first_choice * 100:.1f}",
        f"{found.p50_s:.2f}",
        f"{found.p95_s:.1f}",
    )
    told = tuple("" if figure == "nan" else figure for figure in figures)
    return (cell.scenario.name, f"{cell.load:.2f}", cell.contender, str(cell.processes or ""), *told)


def print_table(results: Sequence[Result]) -> None:
    """The results on standard output."""
    table = Table()
    for number, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if number < TEXT_COLUMNS else "right", no_wrap=True)
    for result in results:
        table.add_row(*cells_of(result))
    console = Console()
    console.width = max(console.width, 180)
    console.print(table)


def describe(*, seeds: Sequence[int], took_s: float) -> Mapping[str, object]:
    """How a run's figures came about."""
    return {
        "date": datetime.now(tz=UTC).date().isoformat(),
        "command": " ".join(["python -m benchmarks.goodput", *sys.argv[1:]]),
        "seeds": list(seeds),
        "took_minutes": round(took_s / 60, 1),
        "machine": f"{platform.system()} {platform.machine()}, one core",
        "versions": {"Python": platform.python_version(), **{name: _version(name) for name in PEERS}},
    }


def write_json(path: Path, results: Sequence[Result], run: Mapping[str, object]) -> None:
    """Every figure, with `run`, which says how they came about."""
    rows = [
        {
            "scenario": result.cell.scenario.name,
            "load": result.cell.load,
            "contender": result.cell.contender,
            "processes": result.cell.processes,
            "mean": _known(result.mean),
            "by_seed": [_known(one) for one in result.by_seed],
        }
        for result in results
    ]
    path.write_text(json.dumps({**run, "results": rows}, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> tuple[Sequence[Result], Mapping[str, object]]:
    """What `write_json` has written: the results and the run."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    results = [
        Result(
            cell=Cell(
                scenario=scenario(row["scenario"]), load=row["load"], contender=row["contender"], processes=row["processes"]
            ),
            mean=_figures(row["mean"]),
            by_seed=[_figures(one) for one in row["by_seed"]],
        )
        for row in kept.pop("results")
    ]
    return results, kept


def renewed(
    kept: tuple[Sequence[Result], Mapping[str, object]], results: Sequence[Result], run: Mapping[str, object]
) -> tuple[Sequence[Result], Mapping[str, object]]:
    """A kept run with some of its cells played again. ValueError where they are of other seeds, or were not in it.

    In virtual time a cell comes out the same whenever it is played, so the others need not be.
    """
    before, told = kept
    again = {result.cell: result for result in results}
    if told["seeds"] != run["seeds"] or not again.keys() <= {result.cell for result in before}:
        message = (
            f"the kept figures are of the seeds {told['seeds']}: play all contenders, or the same cells with as many seeds"
        )
        raise ValueError(message)
    return [again.get(result.cell, result) for result in before], {**told, "played_again": f"{run['date']}: {run['command']}"}


def _figures(known: Mapping[str, float]) -> Figures:
    return Figures(**{one.name: known.get(one.name, math.nan) for one in fields(Figures)})


def _known(found: Figures) -> dict[str, float]:
    return {name: round(figure, 6) for name, figure in asdict(found).items() if not math.isnan(figure)}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
