"""Which runs make up the benchmark, and their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.goodput.figures import Figures, bound, figures, mean
from benchmarks.goodput.fluid import share_servable
from benchmarks.goodput.litellm_configurations import CONFIGURATIONS, LITELLM, configuration_of
from benchmarks.goodput.ours import engines
from benchmarks.goodput.scenarios import Scenario
from benchmarks.goodput.trial import Observed, observe
from benchmarks.goodput.virtual_time import run
from benchmarks.goodput.workload import Job, draw_jobs

__all__ = ["BOUND", "LITELLM", "OURS", "Cell", "Result", "cells", "play"]

BOUND = "upper bound"
OURS = "ours"

# Outside of the base scenario: the chain, and the newest of LiteLLM's ways to keep to limits.
_EVERYWHERE = ("fallbacks", "limits enforced", "limits enforced, itpm and otpm")
# The two that show what defaults and brute force come to. As four processes the others share nothing.
_AS_ONE = ("fallbacks, default retries", "shuffle, no cooldowns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A contender in a scenario under a load, as so many processes (none: an upper bound)."""

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


def cells(scenarios: Sequence[Scenario]) -> Iterator[Cell]:
    """What is compared, scenario by scenario."""
    for scenario in scenarios:
        base = scenario.name == "base"
        for load in scenario.loads:
            yield Cell(scenario=scenario, load=load, contender=BOUND, processes=0)
            for processes in (1, 4):
                yield Cell(scenario=scenario, load=load, contender=OURS, processes=processes)
                for setup in CONFIGURATIONS:
                    if (base or setup.name in _EVERYWHERE) and (processes == 1 or setup.name not in _AS_ONE):
                        yield Cell(scenario=scenario, load=load, contender=LITELLM + setup.name, processes=processes)


def play(cell: Cell, seeds: Sequence[int], *, shortened: float = 1.0) -> Result:
    """Run a cell once for each seed, for `shortened` times its seconds."""
    by_seed = [_play_once(cell, seed, cell.scenario.track.seconds * shortened) for seed in seeds]
    return Result(cell=cell, mean=mean(by_seed), by_seed=by_seed)


def _play_once(cell: Cell, seed: int, seconds: float) -> Figures:
    jobs = draw_jobs(cell.scenario.track, load=cell.load, seed=seed, seconds=seconds)
    if cell.contender == BOUND:
        return bound(len(jobs), share_servable(jobs, cell.scenario))
    played = _play_ours if cell.contender == OURS else _play_litellm
    return figures(played(cell, jobs, seed), cell.scenario, seconds=seconds)


def _play_ours(cell: Cell, jobs: Sequence[Job], seed: int) -> Observed:
    return run(lambda loop: observe(loop, jobs, lambda upstream: engines(cell.processes, upstream, seed=seed), cell.scenario))


def _play_litellm(cell: Cell, jobs: Sequence[Job], seed: int) -> Observed:
    from benchmarks.goodput.litellm_router import in_virtual_time, routers

    setup = configuration_of(cell.contender)
    with in_virtual_time() as watch:
        return run(
            lambda loop: observe(
                loop, jobs, lambda upstream: routers(setup, cell.processes, upstream, seed=seed), cell.scenario
            ),
            watch=watch,
        )
