"""Start and calls with a thousand models in the overlay and a hundred thousand records in the state file."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.speed.client import started, upstream
from benchmarks.speed.contenders import Contender, ours
from benchmarks.speed.rows import Row, ratio_of

__all__ = ["measure"]

MODELS = 1_000
RECORDS = 100_000
CALLS = 300


async def measure(rounds: int = 5) -> list[Row]:
    """The same server twice, in turn."""
    runs: dict[str, list[tuple[float, float, float]]] = {"small": [], "large": []}
    with tempfile.TemporaryDirectory() as name:
        async with upstream() as up:
            await up.set()
            contenders: dict[str, Contender] = {}
            for size in runs:
                folder = Path(name) / size
                folder.mkdir()
                contenders[size] = ours(folder, up.address)
                async with started(contenders[size]) as server:
                    assert contenders[size].ask is not None
                    await server.call(contenders[size].ask)  # type: ignore[arg-type] # asserted above
            _fill(Path(name) / "large")
            for _ in range(rounds):
                for size, contender in contenders.items():
                    runs[size].append(await _run(contender))
    figures = (("spawn to tools/list", "ms"), ("CPU of a groq_chat call", "µs"), ("resident memory", "MiB"))
    return [
        Row(
            figure=f"{figure} with {MODELS:,} more models and {RECORDS:,} records",
            unit=unit,
            ours=statistics.median(run[index] for run in runs["large"]),
            peer="itself without",
            theirs=statistics.median(run[index] for run in runs["small"]),
            ratio=ratio_of([run[index] for run in runs["large"]], [run[index] for run in runs["small"]]),
            limit=None if unit == "MiB" else 1.2,
        )
        for index, (figure, unit) in enumerate(figures)
    ]


async def _run(contender: Contender) -> tuple[float, float, float]:
    assert contender.ask is not None
    begun = time.perf_counter()
    async with started(contender) as server:
        await server.request("tools/list", {})
        listed_ms = (time.perf_counter() - begun) * 1e3
        for _ in range(20):
            await server.call(contender.ask)
        before_s = server.cpu_s()
        for _ in range(CALLS):
            await server.call(contender.ask)
        return listed_ms, (server.cpu_s() - before_s) / CALLS * 1e6, server.memory_mib()


def _fill(folder: Path) -> None:
    rows = "".join(
        f"""[[models]]
id = "example/model-{number}"
kind = "chat"
stage = "preview"
context_window = 131_072
max_completion_tokens = 8_192
source = "groq-api-seed-2026-02-13"
checked = 2026-11-23

"""
        for number in range(MODELS)
    )
    with (folder / "catalog.toml").open("a", encoding="utf-8") as file:
        file.write(rows)
    with sqlite3.connect(folder / "state.sqlite3") as connection:
        body = '{"models":{"groq/example":{"calls":1,"input_tokens":10}}}'
        keys = ((f"day/{1000 + number // 365:04}-{number % 365:03}", body) for number in range(RECORDS))
        connection.executemany("INSERT INTO records (key, body) VALUES (?, ?)", keys)
    connection.close()
