"""The table of the runs, and what is kept of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean

from benchmarks.providers.run import Figures
from benchmarks.providers.workload import WORKLOADS
from benchmarks.report import table

__all__ = ["Cell", "read", "renewed", "tables", "write"]

HEADINGS = (
    "Load",
    "Contender",
    "Offered",
    "Served",
    "% of offered",
    "% of the bound",
    "% of the streamed",
    "Refused by providers",
    "p50 s",
    "p95 s",
)
TEXT_COLUMNS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A contender under a load, once for each seed from 1 on."""

    workload: str
    load: float
    contender: str
    by_seed: Sequence[Figures]

    @property
    def place(self) -> tuple[str, float, str]:
        """Which cell it is, whatever came of it."""
        return self.workload, self.load, self.contender


def tables(cells: Sequence[Cell]) -> str:
    """A table for each workload, in Markdown."""
    return "\n\n".join("\n".join(_table(name, list(rows))) for name, rows in groupby(cells, key=lambda cell: cell.workload))


def write(path: Path, machine: str, seconds: float, cells: Sequence[Cell]) -> None:
    """Keep every seed's figures, with the virtual seconds of a run."""
    kept = {"machine": machine, "seconds": seconds, "cells": [asdict(cell) for cell in cells]}
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> Sequence[Cell]:
    """The cells that `write` has kept; none without a file."""
    if not path.exists():
        return []
    kept = json.loads(path.read_text(encoding="utf-8"))
    return [Cell(**{**row, "by_seed": [Figures(**one) for one in row["by_seed"]]}) for row in kept["cells"]]


def renewed(kept: Sequence[Cell], played: Sequence[Cell]) -> Sequence[Cell]:
    """Kept cells, those that were played again replaced. In virtual time the others would come out the same."""
    by_place = {cell.place: cell for cell in (*kept, *played)}
    order = [workload.name for workload in WORKLOADS]
    return sorted(by_place.values(), key=lambda cell: (order.index(cell.workload), cell.load))


def _table(workload: str, cells: Sequence[Cell]) -> Iterator[str]:
    about = next(found.about for found in WORKLOADS if found.name == workload)
    yield f"**{workload}**: {about}"
    yield ""
    yield from table(HEADINGS, [_row(cell) for cell in cells], text_columns=TEXT_COLUMNS)


def _row(cell: Cell) -> Sequence[str]:
    def mean(name: str) -> float:
        return fmean(getattr(figures, name) for figures in cell.by_seed)

    refused = fmean(sum(figures.refused.values()) for figures in cell.by_seed)

    return (
        f"{cell.load:.2f}",
        cell.contender,
        f"{mean('offered'):,.0f}",
        f"{mean('served'):,.0f}",
        f"{mean('served') / mean('offered'):.1%}",
        f"{mean('served') / mean('bound'):.1%}",
        f"{mean('streamed_served') / mean('streamed'):.1%}",
        f"{refused:,.0f}",
        f"{mean('p50_s'):.2f}",
        f"{mean('p95_s'):.1f}",
    )
