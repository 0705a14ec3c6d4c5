"""The server as a child process, with a simulator to talk to, and nothing of the caller's environment in between."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.command import server_command
from groq_fallback_mcp.simulator import (
    Fault,
    RunningSimulator,
    SimulatorOptions,
    SpeechEngine,
    TextEngine,
    create_app,
    run_simulator,
)

__all__ = ["Era", "Rig", "open_rig", "server_child"]

Era = Literal["legacy", "auto"]
KEY = "gsk_simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """A running simulator, and the environment that points a server at it."""

    simulator: RunningSimulator
    environment: Mapping[str, str]


@asynccontextmanager
async def open_rig(
    *,
    faults: Mapping[str, Sequence[Fault]],
    text: TextEngine | None = None,
    speech: SpeechEngine | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncGenerator[Rig]:
    """Start a simulator with these faults. The server may read the folder of the speech sample."""
    options = SimulatorOptions(latency_scale=0.0, faults={model: tuple(these) for model, these in faults.items()})
    app = create_app(options, catalog=load_catalog(), clock=SystemClock(), text_engine=text, speech_engine=speech)
    async with run_simulator(app) as running:
        settings = {
            "GROQ_API_KEY": KEY,
            # an empty variable counts as none, so where a scene has no key the user's own would be found
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "GROQ_BASE_URL": running.base_url,
            "GROQ_FALLBACK_FILES": str(sample_path().parent),
            "GROQ_FALLBACK_CONFIG": str(Path(sample_path().parent) / "no-config.toml"),
            "GROQ_FALLBACK_LOCAL": "off",
            "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
            "GROQ_FALLBACK_STATE": "memory",
        }
        yield Rig(simulator=running, environment=settings | dict(environment or {}))


@asynccontextmanager
async def server_child(
    environment: Mapping[str, str], *, era: Era = "auto", errlog: TextIO = sys.stderr
) -> AsyncGenerator[Client]:
    """The server over stdio, connected. `legacy` opens with initialize, `auto` with the newest revision."""
    command, *arguments = server_command()
    parameters = StdioServerParameters(command=command, args=arguments, env=dict(environment))
    async with Client(stdio_client(parameters, errlog=errlog), mode=era) as client:
        yield client
