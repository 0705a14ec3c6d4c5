"""The processes: two MCP servers and two gateways over one file, two replicas of the gateway over one Redis server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.gateway.contenders import free_port
from benchmarks.soak.upstream import ALL_LIMITS, KEYS, Upstream
from benchmarks.speed.client import LINE_BYTES, Server, memory_mib
from benchmarks.speed.contenders import overlay

__all__ = ["TOKEN", "Fleet", "Member", "RedisServer", "fleet"]

TOKEN = "soak-token-0123456789-0123456789"  # noqa: S105 - protects nothing
FAKE_TIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
LONGEST_START_S = 60.0
DISK_MIB = 24


@dataclass(slots=True, kw_only=True)
class Member:
    """A process. `gone`: the spans in which it was killed and not yet there again; a `witness` is never killed."""

    name: str
    kind: Literal["mcp", "gateway"]
    group: str
    witness: bool
    environment: Mapping[str, str]
    log: Path
    port: int = 0
    gone: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    process: asyncio.subprocess.Process | None = None
    server: Server | None = None

    async def start(self) -> None:
        """Until it answers."""
        arguments = ["serve"] if self.kind == "mcp" else ["gateway", "--port", str(self.port)]
        pipe = asyncio.subprocess.PIPE
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "groq_fallback_mcp", *arguments,
                stdin=pipe, stdout=pipe if self.kind == "mcp" else asyncio.subprocess.DEVNULL, stderr=log,
                limit=LINE_BYTES, env=dict(self.environment),
            )  # fmt: skip
        if self.kind == "mcp":
            self.server = Server(self.process)
            await asyncio.wait_for(self.server.initialize(), LONGEST_START_S)
        else:
            await _listened_to(self.port)

    async def kill(self, *, for_s: float) -> None:
        """End it as `kill -9` does, and start another one in its place."""
        assert self.process is not None
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self.gone.append((begun, float("inf")))
        self.process.kill()
        await self.process.wait()
        await asyncio.sleep(for_s)
        await self.start()
        self.gone[-1] = (begun, loop.time())

    def was_gone(self, begun: float, ended: float) -> bool:
        """Whether it was killed, or not there, at some moment between the two."""
        return any(since <= ended and begun <= until for since, until in self.gone)

    def memory_mib(self) -> float:
        """Resident now."""
        assert self.process is not None
        return memory_mib(self.process.pid)


class RedisServer:
    """A Redis server that keeps nothing on disk."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Until it listens."""
        arguments = ["--port", str(self.port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]
        self._process = await asyncio.create_subprocess_exec("redis-server", *arguments, stdout=asyncio.subprocess.DEVNULL)
        await _listened_to(self.port)

    async def hold_still(self, seconds: float) -> None:
        """Accept and answer nothing meanwhile."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    async def lose_all(self) -> None:
        """End it as `kill -9` does, and start a new and empty one in its place."""
        await self.end()
        await self.start()

    async def end(self) -> None:
        """For good."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All processes and where they keep their state. `disk`: a file system of its own that can be filled; None where none may be
    mounted. `clock`: the file that moves the clock of `clock_of`, None without libfaketime.
    """

    members: Sequence[Member]
    redis: RedisServer
    ledger: Path
    disk: Path | None
    clock: Path | None
    clock_of: Member

    def of(self, group: str, kind: str) -> Sequence[Member]:
        """Members that can stand in for each other."""
        return [member for member in self.members if member.group == group and member.kind == kind]


@asynccontextmanager
async def fleet(folder: Path, up: Upstream) -> AsyncIterator[Fleet]:
    """Started, and ended at the end of the block."""
    disk = folder / "disk"
    disk.mkdir()
    mount = await asyncio.create_subprocess_exec(
        "mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(disk), stderr=asyncio.subprocess.DEVNULL
    )
    mounted = await mount.wait() == 0
    redis = RedisServer(free_port())
    ledger = disk / "ledger.sqlite3"
    clock = folder / "clock" if FAKE_TIME.exists() else None
    states = {"machine": f"sqlite://{ledger}", "replicas": f"redis://127.0.0.1:{redis.port}/0"}
    rows: Sequence[tuple[str, Literal["mcp", "gateway"], str, bool]] = (
        ("mcp-1", "mcp", "machine", True),
        ("mcp-2", "mcp", "machine", False),
        ("gateway-1", "gateway", "machine", True),
        ("gateway-2", "gateway", "machine", False),
        ("replica-1", "gateway", "replicas", True),
        ("replica-2", "gateway", "replicas", False),
    )
    members = [
        _member(folder, up, states, name=name, kind=kind, group=group, witness=witness) for name, kind, group, witness in rows
    ]
    clock_of = members[3]
    if clock is not None:
        clock.write_text("+0", encoding="ascii")
        clock_of.environment = {
            **clock_of.environment,
            "LD_PRELOAD": str(FAKE_TIME),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
    try:
        await redis.start()
        await asyncio.gather(*(member.start() for member in members))
        yield Fleet(members=members, redis=redis, ledger=ledger, disk=disk if mounted else None, clock=clock, clock_of=clock_of)
    finally:
        for member in members:
            if member.process is not None and member.process.returncode is None:
                member.process.kill()
                await member.process.wait()
        await redis.end()
        if mounted:
            # with --keep it is there to be read
            for file in disk.glob("ledger.sqlite3*"):
                shutil.copy(file, folder)
            await (await asyncio.create_subprocess_exec("umount", "-l", str(disk))).wait()


def _member(
    folder: Path,
    up: Upstream,
    states: Mapping[str, str],
    *,
    name: str,
    kind: Literal["mcp", "gateway"],
    group: str,
    witness: bool,
) -> Member:
    home = folder / name
    home.mkdir()
    (home / "catalog.toml").write_text(overlay(ALL_LIMITS, plans=("free",)), encoding="utf-8")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GROQ_API_KEY": KEYS[group],
        "GROQ_BASE_URL": f"http://127.0.0.1:{up.networks[group].port}",
        "GROQ_FALLBACK_STATE": states[group],
        "GROQ_FALLBACK_CATALOG": str(home / "catalog.toml"),
        "GROQ_FALLBACK_CONFIG": str(home / "none.toml"),
        "GROQ_FALLBACK_LOCAL": "off",
        "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
        "GROQ_FALLBACK_HTTP_TOKEN": TOKEN,
        "GROQ_FALLBACK_FILES": str(folder),
    }
    return Member(
        name=name,
        kind=kind,
        group=group,
        witness=witness,
        environment=environment,
        log=folder / f"{name}.log",
        port=free_port() if kind == "gateway" else 0,
    )


async def _listened_to(port: int) -> None:
    """Until somebody listens."""
    async with asyncio.timeout(LONGEST_START_S):
        while True:
            with contextlib.suppress(OSError):
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                return
            await asyncio.sleep(0.05)
