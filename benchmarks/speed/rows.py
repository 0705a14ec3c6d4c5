"""One line of the report, and how lines become a table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Row", "percentile", "ratio_of", "shown", "table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure of ours beside a peer's. `ratio` is ours over the peer's, as the median of what single rounds gave.

    `limit`: the target, met when `judged` (the ratio, or our figure where the target is one) is no more than it, or with
    `at_least` no less. None where the line only informs.
    """

    figure: str
    unit: str
    ours: float | None
    peer: str = ""
    theirs: float | None = None
    ratio: float | None = None
    limit: float | None = None
    of: str = "ratio"
    at_least: bool = False
    note: str = ""

    @property
    def judged(self) -> float | None:
        """What the target is about."""
        return self.ratio if self.of == "ratio" else self.ours

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.limit is None or self.judged is None:
            return None
        return self.judged >= self.limit if self.at_least else self.judged <= self.limit


def ratio_of(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios: what slows a machine slows both of a round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the others does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def table(rows: Sequence[Row]) -> str:
    """All rows as a table in Markdown."""
    lines = ["| figure | ours | peer | peer's | ratio | target | met |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {row.figure}{' (' + row.note + ')' if row.note else ''} | {shown(row.ours)} {row.unit} | {row.peer} "
        f"| {shown(row.theirs)}{' ' + row.unit if row.theirs is not None else ''} "
        f"| {'' if row.ratio is None else f'{row.ratio:.2f}'} | {_target(row)} | {_met(row.met)} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _target(row: Row) -> str:
    if row.limit is None:
        return ""
    sign = "≥" if row.at_least else "≤"
    return f"{sign} {row.limit:.4g} x" if row.of == "ratio" else f"{sign} {row.limit:.4g} {row.unit}"


def _met(met: bool | None) -> str:
    return {None: "", True: "yes", False: "**no**"}[met]


def shown(value: float | None) -> str:
    """A figure with as many digits as say something."""
    if value is None:
        return ""
    formats: Sequence[tuple[float, Callable[[float], str]]] = (
        (100, lambda number: f"{number:,.0f}"),
        (10, lambda number: f"{number:.1f}"),
        (0, lambda number: f"{number:.2f}"),
    )
    return next(form(value) for least, form in formats if abs(value) >= least)
