"""The first table of docs/benchmarks.md: the figures that the project is judged by, each beside the best of its peers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from groq_fallback_mcp.errors import InputRefused
from project_docs.blocks import code, table

__all__ = ["HEADLINES", "headline_block", "speed_cells"]

HEADINGS = ("What", "Ours", "Beside", "Theirs", "Ratio", "Target", "Met", "Command")
LOADS = (0.85, 1.28, 1.85)
AHEAD = "at least 1 x"
OURS = "groq-fallback-mcp"
# Whose answers are held back until they are whole, which is a setting of ours and no peer.
HELD = "(text held)"
NOT_SPOKEN = "not spoken"
SPEED = ("CPU of a call with one to the upstream", "calls a second, 64 in flight")
GATEWAY = ("latency added to a whole answer, p50", "CPU of a whole answer, 64 in flight")
SOAK = ("wrong answers", "calls without an answer", "requests that a limit refused", "memory growth")

Row = tuple[str, ...]


def headline_block(sources: Mapping[str, str]) -> str:
    """Each figure with its target; `sources` has the benchmarks' results by path, without those that were not measured.

    Raises InputRefused where a file is not what its benchmark writes.
    """
    lines: list[Row] = []
    for name, (rows_of, command) in HEADLINES.items():
        path = f"benchmarks/{name}/results.json"
        if path not in sources:
            continue
        try:
            lines += [(*row, code(command)) for row in rows_of(json.loads(sources[path]))]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputRefused(f"{path} is not what the benchmark writes: {error!r}", next_step=f"run: {command}") from None
    met = sum(line[-2] == "yes" for line in lines)
    return f"{met} of {len(lines)} are met.\n\n{table(HEADINGS, lines)}"


def _amount(value: float) -> str:
    """A number with three digits, or all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _goodput(kept: Any) -> Iterator[Row]:
    base = [one for one in kept["results"] if one["scenario"] == "base"]
    for load in LOADS:
        group = [one for one in base if one["load"] == load]
        ours = next(one for one in group if one["contender"] == "ours" and one["processes"] > 1)
        best = max((one for one in group if one["contender"].startswith("LiteLLM")), key=lambda one: one["mean"]["served"])
        refused = f", {best['mean']['refused']:,.0f} refused by Groq (ours {ours['mean']['refused']:,.0f})"
        share, theirs = ours["mean"]["served"] * 100, best["mean"]["served"] * 100
        yield _ahead(f"answered in time at {load} x the limits of one provider", share, best["contender"] + refused, theirs)


def _providers(kept: Any) -> Iterator[Row]:
    cells = {(one["workload"], one["load"], one["contender"]): _share(one["by_seed"]) for one in kept["cells"]}
    for workload, load in dict.fromkeys((workload, load) for workload, load, _ in cells):
        peers = {name: share for (kind, at, name), share in cells.items() if (kind, at) == (workload, load) and name != "ours"}
        best = max(peers, key=lambda name: peers[name])
        what = f"answered in time at {load:g} x the limits of three providers, {workload}"
        yield _ahead(what, cells[workload, load, "ours"], best, peers[best])


def _share(by_seed: Sequence[Mapping[str, float]]) -> float:
    return 100 * sum(one["served"] for one in by_seed) / sum(one["offered"] for one in by_seed)


def _failover(kept: Any) -> Iterator[Row]:
    right: dict[str, list[bool]] = {}
    for cell in kept["cells"]:
        if cell["outcome"] != NOT_SPOKEN:
            right.setdefault(cell["contender"], []).append(cell["is_right"])
    share = {name: 100 * sum(found) / len(found) for name, found in right.items() if HELD not in name}
    best = max((name for name in share if name != OURS), key=lambda name: share[name])
    yield _ahead("right results when a model fails, in the dialects that a gateway speaks", share[OURS], best, share[best])


def _ahead(what: str, ours: float, beside: str, theirs: float) -> Row:
    # as precise as it is shown
    ahead = round(ours, 1) >= round(theirs, 1)
    return what, f"{ours:.1f} %", beside, f"{theirs:.1f} %", f"{ours / theirs:.3f}", AHEAD, _met(ahead)


def _speed(kept: Any) -> Iterator[Row]:
    for row in kept["figures"]["calls"]:
        if row["figure"].startswith(SPEED) and row["limit"] is not None:
            yield speed_cells(row)


def speed_cells(row: Mapping[str, Any]) -> Row:
    """A row of the speed benchmark that has a target."""
    unit = f" {row['unit']}" if row["unit"] else ""
    theirs = "" if row["theirs"] is None else f"{_amount(row['theirs'])}{unit}"
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    sign = "at least" if row["at_least"] else "at most"
    target = f"{sign} {row['limit']:.4g}" + (" x" if row["of"] == "ratio" else unit)
    return row["figure"], f"{_amount(row['ours'])}{unit}", row["peer"], theirs, ratio, target, _met(row["met"])


def _gateway(kept: Any) -> Iterator[Row]:
    for row in (row for figures in kept["figures"].values() for row in figures):
        if not row["name"].startswith(GATEWAY) or row["limit"] is None or " to 1" in row["name"]:
            continue
        found = row["found"]
        peers = {name: value for name, value in found.items() if name not in {OURS, "direct call"}}
        best = min(peers, key=lambda name: peers[name])
        ours, unit = found[OURS], f" {row['unit']}"
        cells = (f"gateway: {row['name']}", f"{_amount(ours)}{unit}", best, f"{_amount(peers[best])}{unit}")
        yield *cells, f"{ours / peers[best]:.2f}", f"at most {row['limit']:g}{unit}", _met(ours <= row["limit"])


def _soak(kept: Any) -> Iterator[Row]:
    for row in kept["findings"]:
        if row["what"].startswith(SOAK):
            yield (
                f"{kept['minutes']:g} minutes of faults: {row['what']}",
                row["found"],
                "",
                "",
                "",
                row["allowed"],
                _met(row["holds"]),
            )


def _met(is_met: bool) -> str:
    return "yes" if is_met else "**no**"


# What each benchmark keeps in its results.json, read as rows, and its command.
HEADLINES: Mapping[str, tuple[Callable[[Any], Iterator[Row]], str]] = {
    "goodput": (_goodput, "python -m benchmarks.goodput"),
    "providers": (_providers, "python -m benchmarks.providers"),
    "failover": (_failover, "make bench-failover"),
    "speed": (_speed, "python -m benchmarks.speed"),
    "gateway": (_gateway, "make bench-gateway"),
    "soak": (_soak, "make soak"),
}
