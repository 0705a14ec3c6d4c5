"""Which runs make up the benchmark, and their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.goodput.figures import Figures, figures, mean
from benchmarks.goodput.ours import gateways
from benchmarks.goodput.scenarios import Scenario
from benchmarks.goodput.trial import observe
from benchmarks.goodput.virtual_time import run
from benchmarks.goodput.workload import SECONDS, chat_jobs

__all__ = ["OURS", "Cell", "Result", "cells", "play"]

OURS = "ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A contender in a scenario under a load, as so many processes."""

    scenario: Scenario
    load: float
    contender: str
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The mean over the seeds, and each seed's own."""

    cell: Cell
    mean: Figures
    by_seed: Sequence[Figures]


def cells(scenarios: Sequence[Scenario], contenders: Sequence[str], processes: Sequence[int]) -> Iterator[Cell]:
    """Every combination, scenario by scenario."""
    for scenario in scenarios:
        for load in scenario.loads:
            for contender in contenders:
                for count in processes:
                    yield Cell(scenario=scenario, load=load, contender=contender, processes=count)


def play(cell: Cell, seeds: Sequence[int], *, seconds: float = SECONDS) -> Result:
    """Run a cell once for each seed."""
    by_seed = [_play_once(cell, seed, seconds) for seed in seeds]
    return Result(cell=cell, mean=mean(by_seed), by_seed=by_seed)


def _play_once(cell: Cell, seed: int, seconds: float) -> Figures:
    jobs = chat_jobs(load=cell.load, seed=seed, seconds=seconds)
    observed = run(
        lambda loop: observe(loop, jobs, lambda upstream: gateways(cell.processes, upstream, seed=seed), cell.scenario)
    )
    return figures(observed, cell.scenario, seconds=seconds)
