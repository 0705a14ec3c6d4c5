"""From the spawn to the answers of initialize and tools/list, and what is resident then."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.speed.client import started
from benchmarks.speed.contenders import Contender, all_contenders, ours
from benchmarks.speed.rows import Row, ratio_of

__all__ = ["measure"]

NOWHERE = "http://127.0.0.1:9"
BARE = "SDK, low-level Server"
PEERS = (BARE, "SDK, MCPServer", "fastmcp", "by hand", "Node, server-everything")


async def measure(rounds: int = 9) -> list[Row]:
    """All contenders in turn, round by round."""
    with tempfile.TemporaryDirectory() as folder:
        us = ours(Path(folder), NOWHERE)
        peers = all_contenders(NOWHERE)
        contenders = [us, *(peers[name] for name in PEERS if peers[name].is_there())]
        runs: dict[str, list[tuple[float, float, float]]] = {contender.name: [] for contender in contenders}
        for number in range(rounds + 1):
            for contender in contenders:
                found = await _start(contender)
                # the first only warms the disk's cache
                if number:
                    runs[contender.name].append(found)
        compiling = {one.name: [await _compiling_ms(one) for _ in range(3)] for one in (us, peers[BARE])}
    rows = [row for name in runs if name != us.name for row in _rows(runs, us.name, name)]
    return [*rows, _compiling_row(compiling[us.name], compiling[BARE])]


async def _start(contender: Contender) -> tuple[float, float, float]:
    begun = time.perf_counter()
    async with started(contender) as server:
        initialized = time.perf_counter()
        await server.request("tools/list", {})
        listed = time.perf_counter()
        return (initialized - begun) * 1e3, (listed - begun) * 1e3, server.memory_mib()


async def _compiling_ms(contender: Contender) -> float:
    """A start that finds no byte code, as the first one does where the installer has not made it."""
    with tempfile.TemporaryDirectory() as nothing:
        environment = {**contender.environment, "PYTHONPYCACHEPREFIX": nothing}
        return (await _start(replace(contender, environment=environment)))[1]


def _compiling_row(our: Sequence[float], their: Sequence[float]) -> Row:
    return Row(
        figure="spawn to tools/list, no byte code yet",
        unit="ms",
        ours=statistics.median(our),
        peer=BARE,
        theirs=statistics.median(their),
        ratio=ratio_of(our, their),
        limit=1.10,
        note="pip makes it when it installs, uv with --compile-bytecode",
    )


def _rows(runs: Mapping[str, Sequence[tuple[float, float, float]]], us: str, peer: str) -> list[Row]:
    bare = peer == BARE
    figures = (
        ("spawn to initialize", "ms", 1.10),
        ("spawn to tools/list", "ms", 1.10),
        ("resident after tools/list", "MiB", 1.15),
    )
    rows: list[Row] = []
    for index, (figure, unit, limit) in enumerate(figures):
        our, their = ([run[index] for run in runs[name]] for name in (us, peer))
        spread = f"{min(our):.0f} to {max(our):.0f}, {min(their):.0f} to {max(their):.0f}"
        rows.append(
            Row(
                figure=figure,
                unit=unit,
                ours=statistics.median(our),
                peer=peer,
                theirs=statistics.median(their),
                ratio=ratio_of(our, their),
                limit=limit if bare else None,
                note=spread if bare else "",
            )
        )
    return rows if bare else rows[1:]
