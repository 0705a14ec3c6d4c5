"""A gateway's process from its spawn to its end, and what the kernel says of it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.gateway.client import Connection
from benchmarks.gateway.contenders import Gateway, clean_environment
from benchmarks.speed.client import memory_mib
from benchmarks.speed.contenders import PROMPT

__all__ = ["Running", "body_of", "started"]

T = TypeVar("T")
LONGEST_START_S = 60.0
POLL_S = 0.002
END_S = 10.0


class Running:
    """A gateway that answers. `start_ms`: from its spawn to its first answer, 0 for the direct call."""

    def __init__(self, gateway: Gateway, process: asyncio.subprocess.Process | None) -> None:
        self.gateway = gateway
        self.start_ms = 0.0
        self._process = process
        self._idle: list[Connection] = []

    async def ask(self, *, stream: bool = False) -> float:
        """Milliseconds to the answer, or to the first token where it is streamed."""
        body = body_of(self.gateway)
        if stream:
            return (await self.with_connection(lambda connection: connection.stream(body))).first_token_ms
        return await self.with_connection(lambda connection: connection.whole(body))

    async def with_connection(self, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """What `work` returns, given a connection of its own."""
        gateway = self.gateway
        connection = self._idle.pop() if self._idle else Connection(gateway.address, path=gateway.path, token=gateway.token)
        result = await work(connection)
        self._idle.append(connection)
        return result

    def cpu_s(self) -> float:
        """Seconds of CPU so far, of all its processes and threads, to the nanosecond (Linux)."""
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self._pids())

    def memory_mib(self) -> float:
        """Resident memory of all its processes."""
        return sum(memory_mib(pid) for pid in self._pids())

    def close(self) -> None:
        """Close its connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def first_answer(self, begun: float) -> None:
        """Ask until it answers; the time since `begun` is its start."""
        while time.perf_counter() - begun < LONGEST_START_S:
            try:
                await self.ask()
            except (OSError, asyncio.IncompleteReadError, RuntimeError):
                await asyncio.sleep(POLL_S)
                continue
            self.start_ms = (time.perf_counter() - begun) * 1e3
            return
        raise RuntimeError(f"{self.gateway.name} has not answered within {LONGEST_START_S:.0f} s")

    def _pids(self) -> list[int]:
        if self._process is None:
            return []
        found = [self._process.pid]
        for pid in found:
            found += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return found


def body_of(gateway: Gateway) -> dict[str, object]:
    """The request that everybody gets."""
    return {"model": gateway.model, "messages": [{"role": "user", "content": PROMPT}]}


@asynccontextmanager
async def started(gateway: Gateway) -> AsyncGenerator[Running]:
    """The gateway, once it has answered; ended at the end."""
    begun = time.perf_counter()
    process = None
    if gateway.command:
        output = None if "BENCH_STDERR" in os.environ else asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *gateway.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=clean_environment(gateway),
        )
    running = Running(gateway, process)
    try:
        await running.first_answer(begun)
        yield running
    finally:
        running.close()
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), END_S)
            except TimeoutError:
                process.kill()
                await process.wait()
