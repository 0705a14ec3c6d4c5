"""The loop that the goodput benchmark runs on: whatever is wrong here is wrong in all of its figures."""

from __future__ import annotations

import asyncio
import time

import anyio
import pytest
from benchmarks.goodput.virtual_time import EPOCH, DeadlockError, VirtualClock, VirtualLoop, run


def test_hours_take_no_time_and_are_told_exactly() -> None:
    """The sleeps of asyncio and anyio, time-outs and the clock agree."""

    async def main(loop: VirtualLoop) -> list[float]:
        clock = VirtualClock(loop)
        marks = [clock.monotonic()]
        await asyncio.sleep(3_600)
        marks.append(clock.monotonic())
        await anyio.sleep(0.25)
        marks.append(clock.monotonic())
        with anyio.move_on_after(10):
            await asyncio.sleep(1_000)
        marks.append(clock.wall() - EPOCH)
        return marks

    started = time.perf_counter()
    assert run(main) == pytest.approx([0.0, 3_600.0, 3_600.25, 3_610.25])
    assert time.perf_counter() - started < 5


def test_tasks_wake_in_the_order_of_their_timers() -> None:
    """However they were started; and those of one moment in the order they were started."""
    woken: list[tuple[float, str]] = []

    async def main(loop: VirtualLoop) -> None:
        async def sleeper(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            woken.append((loop.time(), name))

        async with asyncio.TaskGroup() as group:
            for name, seconds in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("d", 3.5)):
                group.create_task(sleeper(name, seconds))

    run(main)
    assert woken == [(1.0, "a"), (2.0, "b"), (3.0, "c"), (3.5, "d")]


def test_what_would_go_to_a_thread_is_called_at_once() -> None:
    """Also when it fails, and no time passes meanwhile."""

    def fail() -> None:
        raise ValueError("no")

    async def main(loop: VirtualLoop) -> tuple[int, float]:
        found = await loop.run_in_executor(None, lambda: 42)
        with pytest.raises(ValueError, match="no"):
            await loop.run_in_executor(None, fail)
        return found, loop.time()

    assert run(main) == (42, 0.0)


def test_other_clocks_are_told_of_every_jump() -> None:
    """In Unix seconds."""
    told: list[float] = []

    async def main(loop: VirtualLoop) -> None:
        del loop
        await asyncio.sleep(1.5)
        await asyncio.sleep(2.5)

    run(main, watch=told.append)
    assert told == [EPOCH + 1.5, EPOCH + 4.0]


def test_waiting_for_nothing_is_an_error_and_no_hang() -> None:
    """A future nobody resolves."""

    async def main(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(DeadlockError):
        run(main)
