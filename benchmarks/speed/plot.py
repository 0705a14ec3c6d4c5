"""Every target beside what was reached, on one scale: 1 is the target, to the left of it is better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from benchmarks.speed.rows import Row

__all__ = ["draw"]


def draw(rows: Sequence[Row], path: Path, *, name: str = "speed") -> None:
    """One bar a row that has a target, as an SVG that is the same for the same figures."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = name
    from matplotlib import pyplot as plt

    judged = [row for row in rows if row.limit and row.judged is not None]
    shares = [_share(row) for row in judged]
    figure, axes = plt.subplots(figsize=(9, 0.28 * len(judged) + 1))
    colors = ["#2a7f62" if row.met else "#b3402a" for row in judged]
    axes.barh(range(len(judged)), shares, color=colors)
    axes.set_yticks(range(len(judged)), [row.figure for row in judged], fontsize=7)
    axes.invert_yaxis()
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("share of the target: left of 1 it is met")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _share(row: Row) -> float:
    assert row.limit is not None
    assert row.judged is not None
    share = row.limit / row.judged if row.at_least else row.judged / row.limit
    return max(share, 0.01)
