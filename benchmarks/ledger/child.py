"""One of several processes that reserve and settle at a steady rate on one ledger; prints what each pair took."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from benchmarks.ledger.calls import CLAIMS, RECORD, SETTLEMENT, bare_pair, timed_ledger
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.quota import Granted
from groq_fallback_mcp.quota.history_writer import HistoryWriter

__all__: list[str] = []


async def main(path: str, per_s: float, seconds: float, seed: int | None, *, recorded: bool) -> None:
    """Wait for the word, then run on a schedule of its own, or without `seed` in step with the others. `recorded`: each call is kept in
    the history, too.

    A slow pair does not delay the next one's start.
    """
    count = int(per_s * seconds)
    gaps = [1 / per_s] * count if seed is None else [random.Random(seed).expovariate(per_s) for _ in range(count)]
    ledger, store = timed_ledger(path)
    await ledger.peek(CLAIMS)
    writer = HistoryWriter(ledger, SystemClock(), under_way=list)
    writing = asyncio.create_task(writer.run())
    bare_transactions = bare_pair(Path(f"{path}-bare"))
    print("ready", flush=True)
    sys.stdin.readline()
    caller: list[float] = []
    inside: list[float] = []
    bare: list[float] = []
    begun = time.perf_counter()
    for number, at in enumerate(accumulate(gaps)):
        await asyncio.sleep(max(begun + at - time.perf_counter(), 0.0))
        # the two take turns at being first: who comes second finds the caches warm
        if number % 2:
            bare.append(bare_transactions())
        store.took_s = 0.0
        started = time.perf_counter()
        result = await ledger.reserve_any(CLAIMS, life_s=60.0)
        if isinstance(result, Granted):
            await ledger.settle(result.reservation, SETTLEMENT)
            caller.append(time.perf_counter() - started)
            inside.append(store.took_s)
            if recorded:
                writer.call_started()
                writer.call_ended(replace(RECORD, id=f"{seed}-{number}", started_at=time.time()))
        if not number % 2:
            bare.append(bare_transactions())
    writing.cancel()
    await writer.flush()
    await ledger.aclose()
    print(json.dumps({"caller": caller, "inside": inside, "bare": bare}))


_, database, rate, duration, how, *own_seed = sys.argv
asyncio.run(main(database, float(rate), float(duration), int(own_seed[0]) if own_seed else None, recorded=how == "recorded"))
