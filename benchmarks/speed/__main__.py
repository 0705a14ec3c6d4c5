"""The command: `python -m benchmarks.speed [--only NAME,NAME] [--write]`. Prints a table; --write keeps it and results.json."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.report import installed_version, machine, replace_results, some_of
from benchmarks.speed.contenders import ENVIRONMENTS
from benchmarks.speed.rows import Row, table

FIGURES = ("startup", "calls", "failing", "buckets", "files", "recordings", "ending", "day", "ledger", "scale")
HERE = Path(__file__).parent


def main() -> None:
    """Measure one thing after the other, and print all of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--only", type=some_of(FIGURES), help=f"some of {', '.join(FIGURES)}, with commas")
    parser.add_argument("--write", action="store_true", help="keep the figures in results.json, README.md and speed.svg")
    options = parser.parse_args()
    wanted = options.only or FIGURES
    begun = time.monotonic()
    rows: dict[str, list[Row]] = {}
    for name in wanted:
        print(f"{name} ...", file=sys.stderr, flush=True)
        since = time.monotonic()
        rows[name] = asyncio.run(importlib.import_module(f"benchmarks.speed.{name}").measure())
        print(f"{name}: {time.monotonic() - since:.0f} s", file=sys.stderr, flush=True)
        if options.write:
            _keep({name: rows[name]})
    shown = f"{_machine()}; {time.monotonic() - begun:.0f} s\n\n{table([row for found in rows.values() for row in found])}"
    print(shown)


def _machine() -> str:
    paths = {name: ENVIRONMENTS / name for name in _PEERS}
    peers = ", ".join(f"{name} {installed_version(path, _PEERS[name]) or '?'}" for name, path in paths.items() if path.exists())
    return f"{machine()}, mcp {version('mcp')}, httpx2 {version('httpx2')}; {peers}"


def _without_day(measured: str) -> str:
    return measured.partition(", ")[2]


# The library that each environment is for.
_PEERS = {"fastmcp": "fastmcp", "litellm": "litellm", "groq": "groq", "pydantic-ai": "pydantic_ai_slim"}


def _keep(rows: dict[str, list[Row]]) -> None:
    """Only what was measured is replaced, unless the rest is of other versions or another machine: then it goes."""
    path = HERE / "results.json"
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"measured": "", "figures": {}}
    before = kept["figures"] if _without_day(kept["measured"]) == _without_day(_machine()) else {}
    figures = {**before, **{name: [_as_json(row) for row in found] for name, found in rows.items()}}
    kept = {"measured": _machine(), "figures": {name: figures[name] for name in FIGURES if name in figures}}
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    known = [
        Row(**{name: value for name, value in row.items() if name != "met"}) for found in figures.values() for row in found
    ]
    replace_results(HERE / "README.md", f"{kept['measured']}\n\n{table(known)}")
    from benchmarks.speed.plot import draw

    draw(known, HERE / "speed.svg")


def _as_json(row: Row) -> dict[str, object]:
    return {**asdict(row), "met": row.met}


if __name__ == "__main__":
    main()
