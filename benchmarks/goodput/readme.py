"""Writes the figures of a run into the README, between its two marks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from benchmarks.goodput.contest import BOUND, LITELLM, OURS, Result
from benchmarks.goodput.litellm_configurations import CONFIGURATIONS
from benchmarks.goodput.report import HEADINGS, TEXT_COLUMNS, cells_of
from benchmarks.report import replace_results, table

__all__ = ["PICTURE", "write_readme"]

PICTURE = "goodput.svg"
# What serves fewer is no choice for whoever cares which model answers.
DEPENDABLE = 0.99


def write_readme(path: Path, results: Sequence[Result], run: Mapping[str, object]) -> None:
    """Replace what stands between the marks; `run` says how the figures came about. ValueError without marks."""
    replace_results(path, "\n".join(_lines(results, run)) + "\n")


def _lines(results: Sequence[Result], run: Mapping[str, object]) -> Iterator[str]:
    yield "; ".join(f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in run.items()) + "."
    yield ""
    yield from _summary([result for result in results if result.cell.scenario.name == "base"])
    yield f"![answered in time and refused requests over the load]({PICTURE})"
    for scenario, group in groupby(results, key=lambda result: result.cell.scenario):
        yield from ("", f"### {scenario.name}", "", scenario.about[0].upper() + scenario.about[1:] + ".", "")
        yield from table(HEADINGS[1:], [cells_of(result)[1:] for result in group], text_columns=TEXT_COLUMNS - 1)


def _summary(base: Sequence[Result]) -> Iterator[str]:
    """% served in the base scenario by ours and by the best of LiteLLM's configurations, as one process or four."""
    hammers = {LITELLM + setup.name for setup in CONFIGURATIONS if setup.settings.get("disable_cooldowns")}
    rows: list[tuple[str, ...]] = []
    for load, loaded in groupby(base, key=lambda result: result.cell.load):
        group = list(loaded)
        bound = [result for result in group if result.cell.contender == BOUND]
        ours = [result for result in group if result.cell.contender == OURS and result.cell.processes > 1]
        peers = [result for result in group if result.cell.contender.startswith(LITELLM)]
        if not (bound and ours and peers):
            return
        dependable = [result for result in peers if result.mean.served >= DEPENDABLE]
        rows.append(
            (
                f"{load:.2f}",
                _served(bound),
                _served(ours),
                _served([result for result in peers if result.cell.contender not in hammers]),
                _served([result for result in peers if result.cell.contender in hammers]),
                f"{ours[0].mean.first_choice * 100:.1f}",
                f"{max(result.mean.first_choice for result in dependable) * 100:.1f}" if dependable else "",
            )
        )
    yield "% served (upstream 429s a run) in the base scenario:"
    yield ""
    yield from table(
        (
            "load",
            "upper bound",
            "ours",
            "best LiteLLM with cooldowns",
            "LiteLLM without cooldowns",
            "ours: first choice %",
            f"first choice % of LiteLLM where it serves {DEPENDABLE * 100:.0f} %",
        ),
        rows,
        text_columns=0,
    )
    yield ""


def _served(results: Sequence[Result]) -> str:
    """The best of them."""
    best = max(results, key=lambda result: result.mean.served)
    share = f"{best.mean.served * 100:.1f}"
    if best.cell.contender == BOUND:
        return share
    name = best.cell.contender.removeprefix(LITELLM).removeprefix(OURS)
    by_whom = f", {name}, {best.cell.processes} process{'es' if best.cell.processes > 1 else ''}" if name else ""
    return f"{share} ({best.mean.refused:.1f}){by_whom}"


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
