"""The seeded loop: any order between processes, the order of a real loop within one, and processes that stop in the middle."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor

from interleavings.scheduler import SeededLoop


def run(seed: int, main: Callable[[SeededLoop], Coroutine[object, object, None]]) -> None:
    """Run it on a loop of this seed."""
    loop = SeededLoop(random.Random(seed), thread_s=lambda: 0.01)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main(loop))


def order(seed: int) -> list[str]:
    """In which order two processes of two steps each go."""
    steps: list[str] = []

    async def process(name: str) -> None:
        for step in range(2):
            steps.append(f"{name}{step}")
            await asyncio.sleep(0)

    async def main(loop: SeededLoop) -> None:
        await asyncio.wait([loop.in_process(name, process(name)) for name in "ab"])

    run(seed, main)
    return steps


def test_every_order_between_processes_occurs_and_each_keeps_its_own() -> None:
    """All six ways to merge two sequences of two."""
    orders = {tuple(order(seed)) for seed in range(200)}
    assert len(orders) == 6
    assert all(steps.index("a0") < steps.index("a1") and steps.index("b0") < steps.index("b1") for steps in orders)


def test_a_seed_gives_the_same_order_each_time() -> None:
    assert all(order(seed) == order(seed) for seed in range(20))


def test_a_suspended_process_does_not_even_clean_up_until_it_is_resumed() -> None:
    """Neither its tasks nor its timers nor its thread."""
    done: list[str] = []

    async def process() -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(None, done.append, "thread")
            await asyncio.sleep(1.0)
        finally:
            done.append("cleaned up")

    async def main(loop: SeededLoop) -> None:
        task = loop.in_process("p", process())
        await asyncio.sleep(0)
        loop.suspend("p")
        task.cancel()
        await asyncio.sleep(100.0)
        assert done == []
        loop.resume("p")
        await asyncio.wait([task])

    run(1, main)
    assert done[-1] == "cleaned up"


def test_a_thread_does_its_work_in_order_and_others_come_between() -> None:
    """What is given up on before it began is not done."""
    done: list[object] = []
    thread = ThreadPoolExecutor()

    async def main(loop: SeededLoop) -> None:
        first, second, third = (loop.run_in_executor(thread, done.append, number) for number in range(3))
        second.cancel()
        await asyncio.sleep(0)
        done.append("between")
        await asyncio.wait([first, third])

    run(2, main)
    assert done == ["between", 0, 2]
