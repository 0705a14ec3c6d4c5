"""The command: `python -m benchmarks.gateway [--only ours] [--part NAME,NAME] [--write]`. Prints a table; --write keeps it and results.json."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks.gateway.figures import Figure, table, targets
from benchmarks.report import installed_version, machine, replace_results
from benchmarks.speed.contenders import ENVIRONMENTS

PARTS = ("failover", "latency", "dialects", "start", "load", "buckets")
HERE = Path(__file__).parent


def main() -> None:
    """Measure one thing after the other, and print all of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--only", choices=["ours"], help="without the peers")
    parser.add_argument("--part", default="", help=f"some of {', '.join(PARTS)}, with commas")
    parser.add_argument("--write", action="store_true", help="keep the figures in results.json, README.md and gateway.svg")
    options = parser.parse_args()
    begun = time.monotonic()
    found: dict[str, list[Figure]] = {}
    for part in options.part.split(",") if options.part else PARTS:
        print(f"{part} ...", file=sys.stderr, flush=True)
        since = time.monotonic()
        module = importlib.import_module(f"benchmarks.gateway.{part}")
        found[part] = asyncio.run(module.measure(alone=options.only == "ours"))
        print(f"{part}: {time.monotonic() - since:.0f} s", file=sys.stderr, flush=True)
        if options.write:
            _keep(part, found[part])
    print(f"{_machine()}; {time.monotonic() - begun:.0f} s\n\n{table([one for part in found.values() for one in part])}")


def _machine() -> str:
    peers = {"litellm-proxy": "litellm", "ferrogw": "ferrogw", "freelm": "freelm"}
    versions = [f"{name} {installed_version(ENVIRONMENTS / folder, name) or 'not installed'}" for folder, name in peers.items()]
    return f"{machine()}, uvicorn {version('uvicorn')}, httpx2 {version('httpx2')}; {', '.join(versions)}"


def _keep(part: str, measured: Sequence[Figure]) -> None:
    """Only what was measured is replaced."""
    path = HERE / "results.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    parts = {**kept.get("figures", {}), part: [asdict(figure) for figure in measured]}
    known = {name: [Figure(**row) for row in parts[name]] for name in PARTS if name in parts}
    kept = {"measured": _machine(), "figures": {name: [asdict(one) for one in figures] for name, figures in known.items()}}
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    figures = [figure for found in known.values() for figure in found]
    met = [figure.met for figure in figures if figure.met is not None]
    count = f"{sum(met)} of {len(met)} targets are met."
    replace_results(HERE / "README.md", f"{kept['measured']}. {count}\n\n{table(figures)}")
    from benchmarks.speed.plot import draw

    draw(targets(figures), HERE / "gateway.svg", name="gateway")


if __name__ == "__main__":
    main()
