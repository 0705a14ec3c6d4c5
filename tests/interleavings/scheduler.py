"""A virtual loop that runs several processes in an order drawn from a seed, and that suspends and resumes them.

A real loop calls what is ready in the order in which it became ready, so that order is kept within a process; between processes any
order is possible, and the seed picks one. What differs within a process is when its timers, its thread and the network are done,
which the seed draws, too. Every schedule that comes out can therefore happen.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar, TypeVarTuple, Unpack
from weakref import WeakKeyDictionary

from benchmarks.goodput.virtual_time import VirtualLoop

__all__ = ["OUTSIDE", "PROCESS", "SeededLoop", "context_of"]

T = TypeVar("T")
_Ts = TypeVarTuple("_Ts")

# What belongs to no process: the provider, the clients and whoever watches.
OUTSIDE = ""
PROCESS: ContextVar[str] = ContextVar("PROCESS", default=OUTSIDE)
# How late a timer may be.
LATE_S = 0.002
# How often a process that could go on waits for others.
POSTPONED = 0.25


class SeededLoop(VirtualLoop):
    """`thread_s` gives the seconds that a piece of work of a process's thread takes, before and after it is done."""

    # asyncio's own queue of what is called in the next round
    _ready: deque[asyncio.Handle]

    def __init__(self, chance: random.Random, *, thread_s: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__()
        self.thread_s = thread_s
        self._chance = chance
        self._still: set[str] = set()
        self._held: list[asyncio.Handle] = []
        self._threads: dict[tuple[str, int], deque[Callable[[], None]]] = {}
        self.process_of: WeakKeyDictionary[asyncio.Future[Any], str] = WeakKeyDictionary()

    def in_process(self, process: str, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of a process; all that it starts is of that process, too."""
        return self.create_task(coroutine, context=context_of(process))

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """A task, whose process is known from now on."""
        task: asyncio.Task[Any] = super().create_task(coro, **options)
        context = options.get("context") or copy_context()
        self.process_of[task] = context.get(PROCESS, OUTSIDE)
        return task

    def suspend(self, process: str) -> None:
        """Nothing of a process goes on, as after a kill -9 or SIGSTOP: it does not even clean up."""
        self._still.add(process)

    def resume(self, process: str) -> None:
        """Let it go on where it was."""
        self._still.discard(process)
        held, self._held = self._held, []
        self._ready.extend(held)

    def call_at(
        self, when: float, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back a little late, and through the queue of what is ready: there it is one of many."""

        def due() -> None:
            self.call_soon(fire)

        def fire() -> None:
            if not timer.cancelled():
                callback(*args)

        late_s = self._chance.random() * LATE_S if (context or copy_context()).get(PROCESS, OUTSIDE) else 0.0
        timer = super().call_at(when + late_s, due, context=context)
        return timer

    def run_in_executor(self, executor: Executor | None, func: Callable[[Unpack[_Ts]], T], *args: *_Ts) -> asyncio.Future[T]:
        """Call `func` later, after what the same thread was given before. Others come between; given up on in time, it is not called."""
        done: asyncio.Future[T] = self.create_future()
        thread = PROCESS.get(), id(executor) if executor is not None else id(done)
        context = copy_context()

        def work() -> None:
            if done.cancelled():
                finish(lambda: None)
                return
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - whoever awaits gets it
                fault = error
                self.call_later(self.thread_s(), finish, lambda: done.set_exception(fault))
            else:
                self.call_later(self.thread_s(), finish, lambda: done.set_result(result))

        def finish(tell: Callable[[], None]) -> None:
            if not done.done():
                tell()
            waiting = self._threads[thread]
            waiting.popleft()
            if waiting:
                waiting[0]()
            else:
                del self._threads[thread]

        def begin() -> None:
            self.call_later(self.thread_s(), work, context=context)

        waiting = self._threads.setdefault(thread, deque())
        waiting.append(begin)
        if len(waiting) == 1:
            begin()
        return done

    def _run_once(self) -> None:
        queues: dict[str, deque[asyncio.Handle]] = {}
        for handle in self._ready:
            process = handle._context.get(PROCESS, OUTSIDE)  # type: ignore[attr-defined]
            if process in self._still:
                self._held.append(handle)
            elif not handle._cancelled:
                queues.setdefault(process, deque()).append(handle)
        self._ready.clear()
        later: list[asyncio.Handle] = []
        if len(queues) > 1:
            # at least one goes on, so that time stands still only while something happens
            first = self._chance.choice(list(queues))
            for process in [name for name in queues if name != first]:
                if self._chance.random() < POSTPONED:
                    later += queues.pop(process)
        while queues:
            process = self._chance.choice(list(queues)) if len(queues) > 1 else next(iter(queues))
            self._ready.append(queues[process].popleft())
            if not queues[process]:
                del queues[process]
        super()._run_once()  # type: ignore[misc]
        self._ready.extendleft(reversed(later))


def context_of(process: str) -> Context:
    """A context whose tasks belong to a process."""
    context = copy_context()
    context.run(PROCESS.set, process)
    return context
