"""The calls of a process that ends while others add theirs are not lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import anyio
import pytest
from fake_clock import FakeClock
from recorded_calls import call

from groq_fallback_mcp.call import CallRecord
from groq_fallback_mcp.quota import Ledger, StoreStatus
from groq_fallback_mcp.quota.history_writer import HistoryWriter


class BusyLedger:
    """Others win so many times."""

    def __init__(self, times: float) -> None:
        self.times = times
        self.added: list[CallRecord] = []
        self.status = StoreStatus(store="redis")

    async def add_to_history(self, calls: Sequence[CallRecord], under_way: Sequence[Any], *, process: str) -> bool:
        del under_way, process
        self.times -= 1
        if self.times >= 0:
            return False
        self.added += calls
        return True


def writer(ledger: BusyLedger) -> HistoryWriter:
    """With a call that has ended."""
    made = HistoryWriter(cast("Ledger", ledger), FakeClock(), under_way=tuple)
    made.call_ended(call("c1", 0.0))
    return made


@pytest.mark.anyio
async def test_what_others_keep_from_being_written_is_tried_again() -> None:
    """Once is not enough where several processes end together."""
    ledger = BusyLedger(times=3)
    await writer(ledger).aclose()
    assert [one.id for one in ledger.added] == ["c1"]


@pytest.mark.anyio
async def test_an_end_does_not_wait_for_ever() -> None:
    """Whoever closes it bounds it."""
    with anyio.move_on_after(0.1) as scope:
        await writer(BusyLedger(times=float("inf"))).aclose()
    assert scope.cancelled_caught


@pytest.mark.anyio
async def test_a_store_that_cannot_be_used_is_not_waited_for() -> None:
    """It does not come back within the moment that an end has."""
    ledger = BusyLedger(times=float("inf"))
    ledger.status = StoreStatus(store="redis", degraded="gone")
    await writer(ledger).aclose()
    assert ledger.added == []
