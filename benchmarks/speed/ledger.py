"""What a reservation and its settlement take, beside two transactions of SQLite."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.ledger.calls import CLAIMS, SETTLEMENT, bare_pair, timed_ledger
from benchmarks.speed.rows import Row, percentile, ratio_of
from groq_fallback_mcp.quota import Granted

__all__ = ["measure"]

PAIRS = 100


async def measure(rounds: int = 15) -> list[Row]:
    """In turn, a hundred of each."""
    our: list[float] = []
    floor: list[float] = []
    whole: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        ledger, store = timed_ledger(f"{folder}/ledger.sqlite3")
        bare = bare_pair(Path(folder) / "bare.sqlite3")
        for number in range(rounds + 1):
            store.took_s = 0.0
            begun = time.perf_counter()
            for _ in range(PAIRS):
                granted = await ledger.reserve_any(CLAIMS, life_s=60)
                assert isinstance(granted, Granted)
                await ledger.settle(granted.reservation, SETTLEMENT)
            took_s = time.perf_counter() - begun
            floors = [bare() for _ in range(PAIRS)]
            # the first makes the files
            if number:
                whole.append(took_s / PAIRS)
                our.append(store.took_s / PAIRS)
                floor.append(percentile(floors, 0.5))
        await ledger.aclose()
    return [
        Row(
            figure="ledger: reserve and settle, four candidates with four limits each",
            unit="ms",
            ours=statistics.median(our) * 1e3,
            peer="two SQLite transactions of one row",
            theirs=statistics.median(floor) * 1e3,
            ratio=ratio_of(our, floor),
            limit=2.0,
            note=f"{statistics.median(whole) * 1e3:.2f} ms as the caller sees it",
        )
    ]
