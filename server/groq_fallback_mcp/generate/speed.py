"""The block `speed`: what the server costs beside its peers, from the figures of one run of the benchmark."""

from __future__ import annotations

import json
from typing import Any, cast

from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.generate.markdown import table

__all__ = ["RESULTS", "speed_block"]

RESULTS = "benchmarks/speed/results.json"


def speed_block(results: str) -> str:
    """Every figure that has a target, and whether it was reached. `results` is the text of RESULTS, empty without a run.

    Raises InputRefused where it is not what the benchmark writes.
    """
    if not results:
        return "Not measured in this checkout: `make bench`."
    try:
        kept = cast("dict[str, Any]", json.loads(results))
        rows = [row for figures in kept["figures"].values() for row in figures if row["limit"] is not None]
        lines = [_line(row) for row in rows]
        met = sum(row["met"] for row in rows)
        head = f"{kept['measured']}. {met} of {len(rows)} targets are met."
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputRefused(
            f"{RESULTS} is not what the benchmark writes: {error!r}", next_step="run: python -m benchmarks.speed --write"
        ) from None
    return f"{head}\n\n{table(('What', 'Ours', 'Beside', 'Theirs', 'Ratio', 'Target', 'Met'), lines)}"


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    unit = f" {row['unit']}" if row["unit"] else ""
    theirs = "" if row["theirs"] is None else f"{_shown(row['theirs'])}{unit}"
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    sign = "at least" if row["at_least"] else "at most"
    target = f"{sign} {row['limit']:.4g}" + (" x" if row["of"] == "ratio" else unit)
    return row["figure"], f"{_shown(row['ours'])}{unit}", row["peer"], theirs, ratio, target, "yes" if row["met"] else "**no**"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - where decimals say nothing
