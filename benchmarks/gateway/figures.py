"""One figure of the report: ours beside everybody else's, its target, and how figures become a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.gateway.contenders import DIRECT, FERROGW, FREELM, LITELLM, OURS
from benchmarks.speed.rows import Row, shown

__all__ = ["Figure", "table", "targets"]

PEERS = (LITELLM, FERROGW, FREELM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What everybody reached, by name. `limit`: the target, met when our figure is no more than it, or with `at_least` no less.

    `times`: the target is so many times the figure of that peer. `judged`: what is compared with the limit where that is not our figure.
    """

    name: str
    unit: str
    found: Mapping[str, float]
    limit: float | None = None
    at_least: bool = False
    times: str = ""
    judged: float | None = None
    note: str = ""

    @property
    def target(self) -> float | None:
        """The limit in the figure's own unit; None where there is none, or its peer was not measured."""
        if self.limit is None or not self.times:
            return self.limit
        return self.limit * self.found[self.times] if self.times in self.found else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        value, target = self.found[OURS] if self.judged is None else self.judged, self.target
        if target is None:
            return None
        return value >= target if self.at_least else value <= target


def table(figures: Sequence[Figure]) -> str:
    """All figures as a table in Markdown."""
    names = (OURS, DIRECT, *PEERS)
    lines = [f"| figure | target | {' | '.join(names)} | met |", f"|---|---{'|---:' * len(names)}|---|"]
    for figure in figures:
        cells = [f"{shown(figure.found[name])}" if name in figure.found else "" for name in names]
        met = {None: "", True: "yes", False: "**no**"}[figure.met]
        note = f" ({figure.note})" if figure.note else ""
        unit = f", {figure.unit}" if figure.unit else ""
        lines.append(f"| {figure.name}{unit}{note} | {_target(figure)} | {' | '.join(cells)} | {met} |")
    return "\n".join(lines) + "\n"


def targets(figures: Sequence[Figure]) -> list[Row]:
    """Those with a target, for the plot."""
    return [
        Row(
            figure=figure.name,
            unit=figure.unit,
            ours=figure.found[OURS] if figure.judged is None else figure.judged,
            limit=figure.target,
            of="ours",
            at_least=figure.at_least,
        )
        for figure in figures
        if figure.target is not None
    ]


def _target(figure: Figure) -> str:
    if figure.limit is None:
        return ""
    of = f" x {figure.times}" if figure.times else ""
    return f"{'≥' if figure.at_least else '≤'} {figure.limit:.4g}{of}"
