"""A small MCP client over stdio that costs little, and what the kernel says of the server's process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.speed.contenders import Contender, clean_environment

__all__ = ["Server", "Upstream", "listening", "memory_mib", "started", "upstream"]

LINE_BYTES = 2**24


class Server:
    """A server's process and its two pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next = 0
        self._reading = asyncio.create_task(self._read())

    async def request(self, method: str, params: Mapping[str, object]) -> dict[str, Any]:
        """The reply's result. Raises RuntimeError for an error."""
        self._next += 1
        number = self._next
        future = self._replies[number] = asyncio.get_running_loop().create_future()
        self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        reply = await future
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']}")
        result: dict[str, Any] = reply["result"]
        return result

    async def call(self, tool: tuple[str, Mapping[str, object]]) -> dict[str, Any]:
        """A tool's result. Raises RuntimeError for one that says it is an error."""
        result = await self.request("tools/call", {"name": tool[0], "arguments": tool[1]})
        if result.get("isError"):
            raise RuntimeError(f"{tool[0]}: {result['content'][0]['text'][:500]}")
        return result

    async def initialize(self) -> None:
        """The handshake."""
        client = {"name": "benchmark", "version": "1"}
        await self.request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client})
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def cpu_s(self) -> float:
        """Seconds of CPU so far, all threads, to the nanosecond (Linux)."""
        return time.clock_gettime(~self.process.pid << 3 | 2)

    def memory_mib(self, what: str = "VmRSS") -> float:
        """Resident memory, or its peak (VmHWM)."""
        return memory_mib(self.process.pid, what)

    async def end(self) -> float:
        """Close its stdin; the seconds until it has ended. Killed after ten."""
        begun = time.perf_counter()
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 10)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        took = time.perf_counter() - begun
        self._reading.cancel()
        return took

    def _send(self, message: Mapping[str, object]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            message = json.loads(line)
            if "method" not in message and (future := self._replies.pop(message.get("id"), None)) is not None:
                future.set_result(message)
        for future in self._replies.values():
            if not future.done():
                future.set_exception(RuntimeError("the server ended"))


@asynccontextmanager
async def started(contender: Contender, *, ready: bool = True) -> AsyncGenerator[Server]:
    """The contender's process, initialized where `ready`; ended at the end."""
    process = await asyncio.create_subprocess_exec(
        *contender.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=None if "BENCH_STDERR" in os.environ else asyncio.subprocess.DEVNULL,
        limit=LINE_BYTES,
        env=clean_environment(contender),
    )
    server = Server(process)
    try:
        if ready:
            await server.initialize()
        yield server
    finally:
        if process.returncode is None:
            await server.end()


def memory_mib(pid: int, what: str = "VmRSS") -> float:
    """What the kernel says of a process's memory (Linux). RuntimeError where it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    raise RuntimeError(what)


class Upstream:
    """The stand-in for Groq, from outside."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def set(self, rules: Mapping[str, Mapping[str, object]] | None = None) -> None:
        """How it answers from now on; counts begin anew."""
        await self._post("/set", json.dumps(rules or {}).encode())

    async def counts(self) -> dict[str, Any]:
        """What it was asked since."""
        found: dict[str, Any] = json.loads(await self._post("/counts", b""))
        return found

    async def _post(self, path: str, body: bytes) -> bytes:
        host, port = self.address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (path.encode(), len(body), body))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        answer = await reader.readexactly(length)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return answer


@asynccontextmanager
async def upstream() -> AsyncGenerator[Upstream]:
    """A stand-in of one's own, ended at the end."""
    async with listening("benchmarks.speed.upstream") as address:
        yield Upstream(address)


@asynccontextmanager
async def listening(module: str) -> AsyncGenerator[str]:
    """The address of a module's process that prints its port, and ends with its stdin."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.stdin.close()
        await process.wait()
