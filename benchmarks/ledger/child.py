"""One of several processes that reserve and settle at a steady rate on one ledger; prints what each pair took."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from benchmarks.ledger.calls import CLAIMS, SETTLEMENT, timed_ledger
from groq_fallback_mcp.quota import Granted

__all__: list[str] = []


async def main(path: str, per_s: float, seconds: float) -> None:
    """Wait for the word, then run on a fixed schedule: a slow pair does not delay the next."""
    ledger, store = timed_ledger(path)
    await ledger.look(CLAIMS)
    print("ready", flush=True)
    sys.stdin.readline()
    caller: list[float] = []
    inside: list[float] = []
    begun = time.perf_counter()
    for number in range(int(per_s * seconds)):
        await asyncio.sleep(max(begun + number / per_s - time.perf_counter(), 0.0))
        store.took_s = 0.0
        started = time.perf_counter()
        result = await ledger.reserve_any(CLAIMS, life_s=60.0)
        if isinstance(result, Granted):
            await ledger.settle(result.reservation, SETTLEMENT)
            caller.append(time.perf_counter() - started)
            inside.append(store.took_s)
    await ledger.aclose()
    print(json.dumps({"caller": caller, "inside": inside}))


asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
