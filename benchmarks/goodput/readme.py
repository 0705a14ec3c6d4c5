"""Writes the figures of a run into the README, between its two marks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from benchmarks.goodput.contest import BOUND, LITELLM, OURS, Result
from benchmarks.goodput.litellm_configurations import CONFIGURATIONS
from benchmarks.goodput.report import HEADINGS, TEXT_COLUMNS, cells_of

__all__ = ["PICTURE", "write_readme"]

BEGIN = "<!-- begin of what `--write-readme` writes -->\n"
END = "<!-- end of what `--write-readme` writes -->\n"
PICTURE = "goodput.svg"


def write_readme(path: Path, results: Sequence[Result], run: Mapping[str, object]) -> None:
    """Replace what stands between the marks; `run` says how the figures came about. ValueError without marks."""
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    path.write_text(before + BEGIN + "\n".join(_lines(results, run)) + "\n" + END + after, encoding="utf-8")


def _lines(results: Sequence[Result], run: Mapping[str, object]) -> Iterator[str]:
    yield "; ".join(f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in run.items()) + "."
    yield ""
    yield from _summary([result for result in results if result.cell.scenario.name == "base"])
    yield f"![answered in time and refused requests over the load]({PICTURE})"
    for scenario, group in groupby(results, key=lambda result: result.cell.scenario):
        yield from ("", f"### {scenario.name}", "", scenario.about[0].upper() + scenario.about[1:] + ".", "")
        yield from _table(HEADINGS[1:], [cells_of(result)[1:] for result in group])


def _summary(base: Sequence[Result]) -> Iterator[str]:
    """% served in the base scenario by ours and by the best of LiteLLM's configurations, each as one process."""
    hammers = {LITELLM + setup.name for setup in CONFIGURATIONS if setup.settings.get("disable_cooldowns")}
    rows: list[tuple[str, ...]] = []
    for load, group in groupby(base, key=lambda result: result.cell.load):
        alone = {result.cell.contender: result.mean for result in group if result.cell.processes <= 1}
        peers = {name: found for name, found in alone.items() if name.startswith(LITELLM)}
        if BOUND not in alone or OURS not in alone or not peers:
            return
        ours, bound = alone[OURS], alone[BOUND]
        benching = max((name for name in peers if name not in hammers), key=lambda name: peers[name].served)
        hammering = max(hammers, key=lambda name: peers[name].served)
        dependable = [found.first_choice for found in peers.values() if found.served >= 0.99]  # noqa: PLR2004 - the target
        rows.append(
            (
                f"{load:.2f}",
                f"{bound.served * 100:.1f}",
                f"{ours.served * 100:.1f} ({ours.refused:.1f})",
                f"{peers[benching].served * 100:.1f} ({peers[benching].refused:.0f}), {benching.removeprefix(LITELLM)}",
                f"{peers[hammering].served * 100:.1f} ({peers[hammering].refused:.0f})",
                f"{ours.first_choice * 100:.1f}",
                f"{max(dependable) * 100:.1f}" if dependable else "",
            )
        )
    yield "% served (upstream 429s a run), base scenario, one process:"
    yield ""
    yield from _table(
        (
            "load",
            "upper bound",
            "ours",
            "best LiteLLM that benches what refuses",
            "LiteLLM, no cooldowns",
            "ours: first choice %",
            "first choice % of LiteLLM's best that serve 99 %",
        ),
        rows,
        text_columns=0,
    )
    yield ""


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = TEXT_COLUMNS - 1) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield "|" + "|".join("---" if number < text_columns else "---:" for number in range(len(headings))) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
