"""A simulator without a port, and one on a port of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from fake_clock import FakeClock
from simulator.rig import CATALOG, OpenRig, Rig

from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import RunningSimulator, SimulatorOptions, create_app, run_simulator

# Before litellm is imported anywhere: its price list comes with it, and is not to be fetched.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_TELEMETRY"] = "False"


@pytest.fixture
async def open_rig() -> AsyncGenerator[OpenRig]:
    """A function that makes a simulator with such options and gives a client of it."""
    async with AsyncExitStack() as stack:
        made: list[httpx.AsyncClient] = []

        def open_one(**options: Any) -> Rig:
            clock = FakeClock()
            app = create_app(SimulatorOptions(**options), catalog=CATALOG, clock=clock)
            made.append(httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://simulator"))
            stack.push_async_callback(made[-1].aclose)
            return Rig(client=made[-1], clock=clock)

        yield open_one


@pytest.fixture
def rig(open_rig: OpenRig) -> Rig:
    """A client of a simulator of the free plan that answers at once."""
    return open_rig(latency_scale=0.0)


@pytest.fixture
async def running() -> AsyncGenerator[RunningSimulator]:
    """A simulator on a port of its own. Small limits: 413 from gpt-oss-120b, 429 at the second call of two others."""
    limits: Mapping[str, Mapping[str, int]] = {
        "openai/gpt-oss-safeguard-20b": {"rpm": 30, "tpm": 8_000, "rpd": 1},
        "openai/gpt-oss-120b": {"tpm": 100},
        "whisper-large-v3": {"rpd": 1},
    }
    options = SimulatorOptions(latency_scale=0.0, limits=limits)
    app = create_app(options, catalog=CATALOG, clock=SystemClock())
    async with run_simulator(app) as simulator:
        yield simulator


@pytest.fixture
async def paying() -> AsyncGenerator[RunningSimulator]:
    """A simulator on a port of its own, of a plan with batches, whose retired models still answer."""
    options = SimulatorOptions(latency_scale=0.0, plan="developer", keep_retired=True)
    app = create_app(options, catalog=CATALOG, clock=SystemClock())
    async with run_simulator(app) as simulator:
        yield simulator
