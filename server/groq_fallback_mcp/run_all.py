"""The one pool of workers: many items worked on side by side, a few at a time, with one stop for all.

It stands this low because tools and transcription both use it, and transcription must not import tools.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

__all__ = ["run_all"]

_log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


async def run_all(
    items: Sequence[Item],
    work: Callable[[Item], Awaitable[Result]],
    *,
    at_once: int,
    stops: Callable[[Result], bool] = lambda _: False,
    on_progress: Callable[[float, float, str], Awaitable[None]] | None = None,
    done: str = "done",
) -> tuple[list[Result], Result | None]:
    """What `work` makes of each item, in the items' order, and the first result that stopped the others, if any did.

    Up to `at_once` are under way at a time. After a result that `stops`, no further item is begun: each of those has that result
    too. `on_progress` hears of each item, as "3 of 7 pieces spoken" where `done` is "pieces spoken". What `work` raises first is raised.
    """
    results: dict[int, Result] = {}
    stop: list[Result] = []
    waiting = iter(enumerate(items))

    async def worker() -> None:
        for number, item in waiting:
            if stop:
                results[number] = stop[0]
                continue
            result = await work(item)
            results[number] = result
            if stops(result):
                stop.append(result)
            if on_progress is not None:
                await on_progress(len(results), len(items), f"{len(results)} of {len(items)} {done}")

    try:
        async with anyio.create_task_group() as group:
            for _ in range(min(at_once, len(items))):
                group.start_soon(worker)
    except BaseExceptionGroup as several:
        first, *others = several.exceptions
        for other in others:
            if type(other) is not type(first):
                _log.error("another item failed, too", exc_info=other)
        # its type matters above
        raise first from None
    return [results[number] for number in range(len(items))], next(iter(stop), None)
