"""An event loop whose clock jumps to the next timer when nothing is ready, so that ten minutes of load take seconds.

Runs are deterministic: there are no sockets and no threads, and what would go to a thread is called at once.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

import anyio

__all__ = ["DeadlockError", "VirtualClock", "VirtualLoop", "run"]

T = TypeVar("T")
_Ts = TypeVarTuple("_Ts")

# A Thursday of November 2026, at the start of a minute: some routers count by calendar minutes.
EPOCH = 1_795_003_200.0


class DeadlockError(RuntimeError):
    """Every task waits, and no timer is set that could wake one."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """`watch` is told the Unix time of every jump, so that a program's other clocks can follow."""

    def __init__(self, *, watch: Callable[[float], object] | None = None) -> None:
        self.seconds = 0.0
        self.watch = watch
        super().__init__(_Jump(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self.seconds

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        if self.watch is not None:
            self.watch(EPOCH + self.seconds)

    def run_in_executor(self, executor: Executor | None, func: Callable[[Unpack[_Ts]], T], *args: *_Ts) -> asyncio.Future[T]:
        """Call `func` here and now: a thread would run in real time."""
        del executor
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits gets it
            done.set_exception(error)
        return done


class VirtualClock:
    """The project's clock upon a virtual loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        return self._loop.time()

    def wall(self) -> float:
        return EPOCH + self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], *, watch: Callable[[float], object] | None = None) -> T:
    """The result of `main`, which is given its loop."""
    loop = VirtualLoop(watch=watch)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main(loop))


class _Jump(selectors.DefaultSelector):
    """Where asyncio would wait for `timeout` seconds, the loop's clock moves by as much."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise DeadlockError("every task waits for something that no timer will bring")
        if timeout > 0:
            self._loop.jump(timeout)
        return []
