"""The pool of workers: order, bound, one stop, progress."""

from __future__ import annotations

import anyio
import pytest

from groq_fallback_mcp.run_all import run_all

pytestmark = pytest.mark.anyio


async def test_results_stand_in_the_order_of_the_items_whoever_is_done_first() -> None:
    """The first waits for the last."""
    last_is_done = anyio.Event()

    async def work(item: int) -> str:
        if item == 0:
            await last_is_done.wait()
        elif item == 3:
            last_is_done.set()
        return f"result {item}"

    assert await run_all([0, 1, 2, 3], work, at_once=2) == ([f"result {item}" for item in range(4)], None)
    assert await run_all([], work, at_once=2) == ([], None)


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (3, 3), (100, 7)])
async def test_no_more_than_so_many_are_under_way(at_once: int, most: int) -> None:
    """And as many as there may be."""
    under_way: set[int] = set()
    counts: list[int] = []

    async def work(item: int) -> None:
        under_way.add(item)
        counts.append(len(under_way))
        await anyio.lowlevel.checkpoint()
        under_way.remove(item)

    await run_all(range(7), work, at_once=at_once)
    assert max(counts) == most


async def test_after_a_result_that_stops_nothing_is_begun_and_what_is_under_way_ends() -> None:
    """What was not begun has the result that stopped it."""
    begun: list[int] = []

    async def work(item: int) -> str:
        begun.append(item)
        if item == 0:
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            return "late"
        return "refused" if item == 1 else "fine"

    results, stopped_by = await run_all(range(5), work, at_once=2, stops=lambda result: result == "refused")
    assert begun == [0, 1]
    assert stopped_by == "refused"
    assert results == ["late", "refused", "refused", "refused", "refused"]


async def test_what_the_work_raises_first_is_raised_as_it_is() -> None:
    """Who calls it tells errors by their type."""

    async def work(item: int) -> None:
        await anyio.lowlevel.checkpoint()
        message = f"no {item}"
        raise LookupError(message)

    with pytest.raises(LookupError, match="no 0"):
        await run_all([0, 1, 2], work, at_once=2)


async def test_progress_is_told_after_each_item() -> None:
    """In one sentence that counts."""
    told: list[tuple[float, float, str]] = []

    async def on_progress(done: float, total: float, message: str) -> None:
        told.append((done, total, message))

    async def work(item: str) -> str:
        return item

    await run_all(["a", "b"], work, at_once=1, on_progress=on_progress, done="pieces spoken")
    assert told == [(1, 2, "1 of 2 pieces spoken"), (2, 2, "2 of 2 pieces spoken")]
