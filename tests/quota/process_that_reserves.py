"""Reserves one request after the other for some seconds; prints when each was granted. Run by test_processes.py."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.quota import Claim, Granted, QuotaKey, Settlement, open_ledger


async def main(state: str, seconds: float, capacity: int) -> None:
    """Take whatever is there."""
    ledger = open_ledger(state, SystemClock())
    key = QuotaKey(provider="p", organisation="o", model="m")
    claim = Claim(key=key, cost={Limit.RPM: 1.0, Limit.TPM: 10.0}, documented={Limit.RPM: capacity, Limit.TPM: 10_000_000})
    granted: list[float] = []
    faults: list[str] = []
    await ledger.look([claim])
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.time() + seconds
    while time.time() < end:
        result = await ledger.reserve_any([claim], life_s=60)
        if ledger.status.degraded is not None:
            faults.append(ledger.status.degraded)
            break
        if isinstance(result, Granted):
            granted.append(result.reservation.taken_at)
            await asyncio.sleep(0.005)
            await ledger.settle(result.reservation, Settlement(actual={Limit.RPM: 1.0}, health="up"))
        else:
            await asyncio.sleep(0.02)
    await ledger.aclose()
    print(json.dumps({"granted": granted, "faults": faults}))


asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
