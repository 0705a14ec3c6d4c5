"""Groq's simulator with books of its own, and a network before it that can fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from starlette.applications import Starlette

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import Clock, SystemClock
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, run_simulator
from groq_fallback_mcp.simulator.options import Fault
from groq_fallback_mcp.simulator.rate_limits import Charge, Limits, Refusal

__all__ = ["ALL_LIMITS", "KEYS", "MODELS", "Network", "Refused", "Upstream", "upstream"]

MODELS = ("openai/gpt-oss-20b", "openai/gpt-oss-120b", "qwen/qwen3.8-27b")
# Half of what is asked for fits into two of the three models.
LIMITS: Mapping[str, int] = {"rpm": 120, "rpd": 20_000, "tpm": 90_000, "tpd": 8_000_000}
SPEECH_LIMITS: Mapping[str, int] = {"rpm": 120, "rpd": 5_000, "ash": 20_000, "asd": 100_000}
SPEECH_MODELS = ("whisper-large-v3", "whisper-large-v3-turbo")
ALL_LIMITS = {**dict.fromkeys(MODELS, LIMITS), **dict.fromkeys(SPEECH_MODELS, SPEECH_LIMITS)}
# Two organizations: processes that share a file, and replicas that share a Redis server.
KEYS: Mapping[str, str] = {"machine": "gsk_soak_machine_0000000000", "replicas": "gsk_soak_replicas_000000000"}
SLOW_S = 0.3
CHUNK = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A request that a limit refused `at` a second of the event loop's clock, which would have been let in `early_s` later."""

    at: float
    organization: str
    model: str
    unit: str
    early_s: float


class CountedLimits(Limits):
    """The simulator's limits, which write down what they refuse."""

    def __init__(self, clock: Clock, tables: Mapping[str, Mapping[Limit, int]]) -> None:
        super().__init__(clock=clock, tables=tables)
        self.refused: list[Refused] = []

    def admit(self, organization: str, model: str, cost: Mapping[Limit, float]) -> Charge | Refusal:
        admitted = super().admit(organization, model, cost)
        if isinstance(admitted, Refusal):
            at, unit = asyncio.get_running_loop().time(), admitted.limit.unit
            self.refused.append(
                Refused(at=at, organization=organization, model=model, unit=unit, early_s=round(admitted.wait_s, 3))
            )
        return admitted

    def used(self) -> Mapping[tuple[str, str, Limit], float]:
        """What has been used of each limit and has not come back, by organization and model."""
        now = self.clock.monotonic()
        for bucket in self._buckets.values():
            bucket.drain(now)
        return {key: bucket.used for key, bucket in self._buckets.items()}


class Network:
    """A way to the simulator. `state`: up; down, where connections are reset and refused; stalled; slow."""

    def __init__(self, port: int) -> None:
        self.state: Literal["up", "down", "stalled", "slow"] = "up"
        self.port = 0
        self._to = port
        self._open: set[asyncio.StreamWriter] = set()
        self._moves = asyncio.Event()
        self._moves.set()

    def fail(self, state: Literal["up", "down", "stalled", "slow"]) -> None:
        """From now on; what is open is reset where it goes down."""
        self.state = state
        if state == "stalled":
            self._moves.clear()
        else:
            self._moves.set()
        if state == "down":
            for writer in self._open:
                writer.transport.abort()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Network]:
        """Accept connections until the block ends."""
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in list(self._open):
                writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.state == "down":
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to)
        ends = {writer, up_writer}
        self._open |= ends
        try:
            await asyncio.gather(self._pump(reader, up_writer), self._pump(up_reader, writer))
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                await self._moves.wait()
                if self.state == "slow":
                    await asyncio.sleep(SLOW_S)
                writer.write(chunk)
                await writer.drain()
        # one side has ended: so does the other, as the connections of HTTP clients do
        writer.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The simulator, a network for each organization, and the limits."""

    app: Starlette
    networks: Mapping[str, Network]
    limits: CountedLimits

    def misbehave(self, model: str, fault: Fault | None) -> None:
        """What a model does instead of answering from now on; None for answers."""
        self.app.state.world.faults[model] = [] if fault is None else [fault]


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    """In this process, until the block ends."""
    options = SimulatorOptions(
        limits=ALL_LIMITS,
        organizations={key: name for name, key in KEYS.items()},
        prompt_cache=False,
        keep_retired=True,
    )
    clock = SystemClock()
    app = create_app(options, catalog=load_catalog(), clock=clock)
    world = app.state.world
    world.limits = limits = CountedLimits(clock, world.limits.tables)
    async with run_simulator(app) as running:
        networks = {name: Network(running.port) for name in KEYS}
        async with contextlib.AsyncExitStack() as stack:
            for network in networks.values():
                await stack.enter_async_context(network.serving())
            yield Upstream(app=app, networks=networks, limits=limits)
