"""The engine with the simulated Groq as its upstream, in this process and on the clock of the test."""

from __future__ import annotations

from typing import Any

import httpx2
from fakes import CATALOG, World
from starlette.applications import Starlette

from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.simulator import SimulatorOptions, SpeechEngine, create_app

__all__ = ["simulated_groq"]


def simulated_groq(world: World, options: SimulatorOptions | None = None, *, speech: SpeechEngine | None = None) -> Starlette:
    """Put the simulator in the place of the world's Groq; `app.state.world` is open to tests."""
    app = create_app(options or SimulatorOptions(latency_scale=0.0), catalog=CATALOG, clock=world.clock, speech_engine=speech)
    provider: Any = OpenAICompatible(
        "groq",
        base_url="http://simulated.test/openai/v1",
        key="gsk_simulated",
        clock=world.clock,
        transport=httpx2.ASGITransport(app=app),
    )
    world.providers["groq"] = provider
    world.engine.registry._groq = provider
    return app
