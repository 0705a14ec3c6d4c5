"""The end of a server whose client closes its stdin while calls are under way."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path

from benchmarks.speed.client import started, upstream
from benchmarks.speed.contenders import all_contenders, ours
from benchmarks.speed.rows import Row, ratio_of

__all__ = ["measure"]

BARE = "SDK, low-level Server"
IN_FLIGHT = 16


async def measure(rounds: int = 5) -> list[Row]:
    """With sixteen calls that hang; the bare SDK's server idle."""
    our: list[float] = []
    their: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        async with upstream() as up:
            await up.set({"*": {"hang": True}})
            us, bare = ours(Path(folder), up.address), all_contenders(up.address)[BARE]
            for _ in range(rounds):
                assert us.ask is not None
                async with started(us) as server:
                    calls = [asyncio.create_task(server.call(us.ask)) for _ in range(IN_FLIGHT)]
                    await asyncio.sleep(0.5)
                    our.append(await server.end())
                    for call in calls:
                        call.cancel()
                    await asyncio.gather(*calls, return_exceptions=True)
                async with started(bare) as server:
                    their.append(await server.end())
    return [
        Row(
            figure=f"exit after stdin's end, {IN_FLIGHT} calls in flight",
            unit="ms",
            ours=statistics.median(our) * 1e3,
            peer=f"{BARE}, idle",
            theirs=statistics.median(their) * 1e3,
            ratio=ratio_of(our, their),
            limit=300.0,
            of="ours",
        )
    ]
