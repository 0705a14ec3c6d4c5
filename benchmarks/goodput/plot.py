"""The base scenario as a picture: what was served, and what it cost in refused requests, over the load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.goodput.contest import BOUND, LITELLM, OURS, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

_STYLES: Mapping[str, Mapping[str, Any]] = {
    BOUND: {"color": "black", "linestyle": "--", "marker": ""},
    OURS: {"color": "tab:red", "linewidth": 2.5, "marker": "o"},
}
_PLAIN: Mapping[str, Any] = {"linewidth": 1.2, "marker": ".", "alpha": 0.8}


def draw(path: Path, results: Sequence[Result]) -> None:
    """Write the picture; contenders as one process, which is the best that LiteLLM's shared state could be."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "goodput", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt

    base = [result for result in results if result.cell.scenario.name == "base" and result.cell.processes <= 1]
    figure, (served, refused) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    _lines(served, base, lambda result: result.mean.served * 100)
    served.set(xlabel="tokens asked for / refill of all buckets", ylabel="answered within the deadline, %")
    _lines(refused, base, lambda result: result.mean.refused / result.mean.calls * 100)
    refused.set(
        xlabel="tokens asked for / refill of all buckets", ylabel="upstream 429s per 100 calls", yscale="symlog", ylim=(0, None)
    )
    for axes in (served, refused):
        axes.grid(alpha=0.3)
    served.legend(fontsize=7, frameon=False, loc="lower left")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _lines(axes: Axes, results: Sequence[Result], figure: Callable[[Result], float]) -> None:
    for contender in dict.fromkeys(result.cell.contender for result in results):
        points = [(result.cell.load, figure(result)) for result in results if result.cell.contender == contender]
        axes.plot(*zip(*points, strict=True), label=contender.removeprefix(LITELLM), **_STYLES.get(contender, _PLAIN))
