"""The command line in a process of its own, and a simulator for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anyio

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import Fault, SimulatorOptions, create_app


async def command(
    *arguments: str, base_url: str | None = None, cwd: Path | None = None, stdin: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in an environment of its own, against a simulator where one is given."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(cwd or Path.cwd()),
        "GROQ_FALLBACK_LOCAL": "off",
        "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
        "COLUMNS": "200",
    } | more
    if base_url is not None:
        environment |= {"GROQ_API_KEY": "gsk_simulated", "GROQ_BASE_URL": base_url}
    return await anyio.to_thread.run_sync(
        lambda: subprocess.run(
            [sys.executable, "-m", "groq_fallback_mcp", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=cwd,
            input=stdin,
            timeout=60,
        )
    )


def simulated(**faults: tuple[Fault, ...]) -> object:
    """A simulator's application."""
    options = SimulatorOptions(latency_scale=0.0, faults={name.replace("__", "/"): these for name, these in faults.items()})
    return create_app(options, catalog=load_catalog(), clock=SystemClock())
