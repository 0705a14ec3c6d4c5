"""Draws the pictures of the documents from real runs against the simulator: `make pictures`.

They show times as they were, so another run draws other figures, and no check can tell a stale picture. Each is one SVG for light
and dark: its colors are variables, and the viewer picks by `prefers-color-scheme`.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import anyio
from rich.console import Console, RenderableType
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.cli.demo import scene_lines
from groq_fallback_mcp.cli.local_engines import local_engines
from groq_fallback_mcp.cli.tables import limits_view
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.command import server_command
from groq_fallback_mcp.harness.demo import Scene, short_demo
from groq_fallback_mcp.simulator import Fault, SimulatorOptions, create_app, run_simulator

FOLDER = Path(__file__).parent
COLUMNS, WIDE = 88, 104
# GitHub's, so that a picture looks at home there: background, text, then the eight colors and their bright forms.
LIGHT = TerminalTheme(
    (246, 248, 250),
    (31, 35, 40),
    [(36, 41, 47), (207, 34, 46), (17, 99, 41), (122, 78, 0), (9, 105, 218), (130, 80, 223), (27, 124, 131), (110, 119, 129)],
)
DARK = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [
        (72, 79, 88),
        (255, 123, 114),
        (63, 185, 80),
        (210, 153, 34),
        (88, 166, 255),
        (188, 140, 255),
        (57, 197, 207),
        (177, 186, 196),
    ],
)
_COLOR = re.compile(r"#[0-9a-fA-F]{6}\b")


async def main() -> None:
    """Draw all of them."""
    await draw_session()
    results = await run_calls()
    draw("limits.svg", limits_view(results[-1], WIDE), title="groq-fallback-mcp limits", columns=WIDE)
    write("fallback.svg", timeline(results[0], LIGHT), timeline(results[0], DARK))


async def draw_session() -> None:
    """The four scenes of `demo`, answered by the small local models."""
    scenes: list[Scene] = []

    async def show(scene: Scene) -> None:
        scenes.append(scene)

    async with local_engines() as (text, speech):
        await short_demo(show, text=text, speech=speech)
    lines = [Text("$ groq-fallback-mcp demo", style="bold"), Text()]
    for number, scene in enumerate(scenes, start=1):
        lines += [*scene_lines(number, scene, COLUMNS), Text()]
    draw("session.svg", Text("\n").join(lines), title="The real MCP server, a simulated Groq, no key", columns=COLUMNS)


async def run_calls() -> Sequence[Mapping[str, Any]]:
    """The results of a question that falls back twice, of a few more, and of the limits after them."""
    faults = {
        "openai/gpt-oss-20b": (Fault(kind="429", seconds=40.0, count=1),),
        "openai/gpt-oss-120b": (Fault(kind="503", count=1),),
    }
    app = create_app(SimulatorOptions(faults=faults), catalog=load_catalog(), clock=SystemClock())
    chat = ("chat", "Summarize this file. " + "Some text. " * 150)
    async with run_simulator(app) as simulator:
        with tempfile.TemporaryDirectory() as home:
            environment = {
                "HOME": home,
                "PATH": os.environ["PATH"],
                "GROQ_API_KEY": "gsk_simulated",
                "GROQ_BASE_URL": simulator.base_url,
                "GROQ_FALLBACK_LOCAL": "off",
                "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
            }
            results = []
            # by the third call the overloaded model has recovered
            for arguments in (chat, (*chat, "-m", "qwen3.8-27b"), (*chat, "-m", "gpt-oss-120b"), ("limits",)):
                done = await anyio.run_process(
                    [*server_command(), *arguments, "--json"], env=environment, cwd=home, stdin=subprocess.DEVNULL
                )
                results.append(json.loads(done.stdout))
    return results


def draw(name: str, shown: RenderableType, *, title: str, columns: int) -> None:
    """A terminal with this in it."""
    console = Console(record=True, width=columns, force_terminal=True, color_system="truecolor", file=io.StringIO())
    console.print(shown)
    light, dark = (console.export_svg(title=title, theme=theme, clear=False, unique_id="t") for theme in (LIGHT, DARK))
    # a viewer fetches nothing
    write(name, *(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL) for svg in (light, dark)))


def timeline(result: Mapping[str, Any], theme: TerminalTheme) -> str:
    """A bar for each attempt of a result, at its time."""
    attempts = result["attempts"]
    row, left, right, top = 44, 210, 760, 70
    whole = sum(attempt["duration_s"] for attempt in attempts)
    parts: list[str] = []
    begun = 0.0
    for number, attempt in enumerate(attempts):
        good = attempt["outcome"] == "answered"
        x = left + begun / whole * (right - left)
        width = max(attempt["duration_s"] / whole * (right - left), 4)
        y = top + number * row
        color = theme.ansi_colors[2 if good else 1].hex
        words = attempt["outcome"].replace("_", " ") + (f" (HTTP {attempt['status']})" if "status" in attempt else "")
        words += f", {attempt['duration_s'] * 1000:.0f} ms"
        # beside the bar, or before it where the picture ends
        room = x + width < right - 190
        place = f'x="{x + width + 8:.0f}"' if room else f'x="{x - 8:.0f}" text-anchor="end"'
        parts += [
            f'<text x="24" y="{y + 19}">{escape(attempt["model"].rpartition("/")[2])}</text>',
            f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="28" rx="4" fill="{color}"/>',
            f'<text {place} y="{y + 19}">{escape(words)}</text>',
        ]
        begun += attempt["duration_s"]
    height = top + len(attempts) * row + 40
    end = top + len(attempts) * row + 14
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {height}" role="img" aria-label="A fallback as a timeline">',
            f"<style>text {{ font: 15px system-ui, sans-serif; fill: {theme.foreground_color.hex} }}</style>",
            f'<rect width="800" height="{height}" rx="8" fill="{theme.background_color.hex}"/>',
            '<text x="24" y="36" style="font-weight: 600">One call of groq_chat: two models fail, the third answers</text>',
            f'<line x1="{left}" y1="{top - 12}" x2="{left}" y2="{end}" stroke="{theme.ansi_colors[7].hex}"/>',
            *parts,
            f'<text x="{left}" y="{end + 10}" style="font-size: 13px">0 ms</text>',
            f'<text x="{right}" y="{end + 10}" text-anchor="end" style="font-size: 13px">{whole * 1000:.0f} ms, the deadline is 50 s</text>',
            "</svg>",
        ]
    )


def write(name: str, light: str, dark: str) -> None:
    """One file for both: where they differ, a variable for the color."""
    pairs = list(zip(_COLOR.findall(light), _COLOR.findall(dark), strict=True))
    names = {pair: f"--c{number}" for number, pair in enumerate(dict.fromkeys(pairs))}
    following = iter(pairs)
    svg = _COLOR.sub(lambda _: f"var({names[next(following)]})", light)
    light_colors, dark_colors = ("; ".join(f"{variable}: {pair[mode]}" for pair, variable in names.items()) for mode in (0, 1))
    style = f"<style>:root {{ {light_colors} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark_colors} }} }}</style>"
    svg = re.sub(r"(<svg [^>]*>)", lambda found: f"{found[1]}\n{style}", svg, count=1)
    (FOLDER / name).write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    anyio.run(main)
