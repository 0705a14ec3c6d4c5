"""Renders a real session to docs/session.svg: `python docs/render_session.py`. The simulator stands in for Groq."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tempfile
from pathlib import Path

import anyio
import anyio.to_thread
from rich.console import Console
from rich.text import Text

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.cli.local_engines import local_engines
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.command import server_command
from groq_fallback_mcp.simulator import Fault, SimulatorOptions, create_app, run_simulator

TARGET = Path(__file__).with_name("session.svg")
WIDTH = 112
COMMANDS = (
    ("chat", "Name the three primary colors in one short sentence."),
    ("chat", "And again.", "--max-tokens", "32"),
    ("transcribe", "speech.flac", "--format", "srt"),
    ("limits", "--model", "openai/gpt-oss-20b"),
)


async def main() -> None:
    """Run each command against a simulated Groq whose first model is at its limit, and draw what it prints."""
    limited = {"openai/gpt-oss-20b": (Fault(kind="429", seconds=30.0, count=1),)}
    console = Console(record=True, width=WIDTH, force_terminal=True, color_system="truecolor", file=io.StringIO())
    async with local_engines() as (text, speech):
        options = SimulatorOptions(latency_scale=0.2, faults=limited)
        app = create_app(options, catalog=load_catalog(), clock=SystemClock(), text_engine=text, speech_engine=speech)
        async with run_simulator(app) as simulator:
            with tempfile.TemporaryDirectory() as home:
                (Path(home) / "speech.flac").write_bytes(sample_path().read_bytes())
                environment = {
                    "HOME": home,
                    "PATH": os.environ["PATH"],
                    "GROQ_API_KEY": "gsk_simulated",
                    "GROQ_BASE_URL": simulator.base_url,
                    "GROQ_FALLBACK_LOCAL": "off",
                }
                for arguments in COMMANDS:
                    command = [*server_command(), *arguments]
                    done = await anyio.run_process(
                        command, env=environment, cwd=home, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT
                    )
                    shown = " ".join(f'"{part}"' if " " in part else part for part in arguments)
                    console.print(Text(f"$ groq-fallback-mcp {shown}", style="bold green"))
                    console.print(Text(done.stdout.decode().rstrip().replace(home, "~")))
                    console.print()
    svg = console.export_svg(title="groq-fallback-mcp, with a simulated Groq")
    # nothing is to be fetched by whoever looks at it, and the same session gives the same file
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"terminal-\d+", "terminal", svg)
    TARGET.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    anyio.run(main)
