"""Reserves one request after the other for some seconds; prints when each was granted. Run by test_processes.py."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.quota import Claim, Granted, QuotaKey, Settlement
from groq_fallback_mcp.quota.redis import RedisStore
from groq_fallback_mcp.quota.sqlite import SqliteStore
from groq_fallback_mcp.quota.store_ledger import StoredLedger

# a machine that is busy with something else must not fail the test: what is asked is the sum, not the speed
PATIENCE_S = 20.0


async def main(state: str, seconds: float, capacity: int) -> None:
    """Take whatever is there."""
    clock = SystemClock()
    if state.startswith("redis:"):
        store: RedisStore | SqliteStore = RedisStore(state, time_limit_s=PATIENCE_S)
    else:
        store = SqliteStore(Path(state), clock.wall, busy_s=PATIENCE_S)
    ledger = StoredLedger(store, clock, time_limit_s=PATIENCE_S)
    key = QuotaKey(provider="p", organization="o", model="m")
    claim = Claim(key=key, cost={Limit.RPM: 1.0, Limit.TPM: 10.0}, documented={Limit.RPM: capacity, Limit.TPM: 10_000_000})
    granted: list[float] = []
    await ledger.peek([claim])
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.time() + seconds
    while time.time() < end:
        result = await ledger.reserve_any([claim], life_s=60)
        if isinstance(result, Granted):
            granted.append(result.reservation.taken_at)
            await asyncio.sleep(0.005)
            await ledger.settle(result.reservation, Settlement(actual={Limit.RPM: 1.0}, health="up"))
        else:
            await asyncio.sleep(0.02)
    await ledger.aclose()
    print(json.dumps({"granted": granted}))


asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
