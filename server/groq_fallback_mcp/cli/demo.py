"""`demo`: four scenes on one screen of 24 lines, or with `--full` all that an agent meets, as it sees it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import partial
from textwrap import wrap
from typing import Any

import anyio
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from groq_fallback_mcp.cli.answer_view import short_name
from groq_fallback_mcp.cli.console import print_json, terminal
from groq_fallback_mcp.cli.local_engines import local_engines
from groq_fallback_mcp.command import typed_command
from groq_fallback_mcp.harness.demo import Scene, Show, full_demo, short_demo
from groq_fallback_mcp.redaction import sanitize

__all__ = ["demo", "scene_lines"]

# So that a person can follow; nothing waits where nobody watches.
PAUSE_S = 1.2
PLAIN_COLUMNS = 80
# Of an answer or a next step.
MOST_LINES = 2


async def demo(*, full: bool, as_json: bool) -> int:
    """Run the demonstration; 1 when it did not show a fallback and a transcript."""
    watched = terminal(sys.stdout)
    console = watched or Console(file=sys.stdout, width=PLAIN_COLUMNS, highlight=False, color_system=None)
    done: list[Scene] = []
    async with local_engines() as (text, speech):
        run_demo = partial(full_demo if full else short_demo, text=text, speech=speech)
        if as_json:
            await run_demo(_kept(done))
        else:
            words = "small local models" if text is not None else "made-up sentences"
            console.print(Text(f"The real MCP server, a simulated Groq (answers by {words}), no key.", style="bold"))
            # what is no terminal shows no spinner
            with console.status("starting the server ...") as status:

                async def show(scene: Scene) -> None:
                    done.append(scene)
                    _print(console, scene, number=None if full else len(done))
                    if watched is not None:
                        status.update("next ...")
                        await anyio.sleep(PAUSE_S)

                await run_demo(show)
    fell_back = any(scene.structured.get("fallback") is True for scene in done)
    transcribed = any("audio_s" in scene.structured for scene in done)
    shown = fell_back and transcribed
    if as_json:
        print_json({"scenes": [_as_json(scene) for scene in done], "fallback": fell_back, "transcript": transcribed})
    elif shown:
        console.print(Text(f"Next: {typed_command()} key set, setup kilo, doctor (or demo --full)", style="bold"))
    else:
        console.print(Text("FAILED: no fallback or no transcript was shown. Run groq-fallback-mcp selftest", style="bold red"))
    return 0 if shown else 1


def _kept(done: list[Scene]) -> Show:
    async def keep(scene: Scene) -> None:
        done.append(scene)

    return keep


def _print(console: Console, scene: Scene, *, number: int | None) -> None:
    if number is None:
        marked = f"[isError]\n{scene.text}" if scene.is_error else scene.text
        framed, above, below = (Text(sanitize(part)) for part in (marked, scene.title, _call(scene)))
        console.print(Panel(framed, title=above, subtitle=below, title_align="left", subtitle_align="left"))
        return
    for line in scene_lines(number, scene, console.width):
        console.print(line, no_wrap=True, overflow="ellipsis")
    console.print()


def scene_lines(number: int, scene: Scene, width: int) -> Iterator[Text]:
    """A scene in at most five lines: its title, the call, what was tried, and the answer or the error."""
    yield Text(f"{number} {scene.title}", style="bold")
    if scene.is_error:
        error = scene.structured["error"]
        yield Text(sanitize(f"  ✗ {error['code']}: {error['cause']}"), style="red")
        after = f" (retry_after_s: {error['retry_after_s']:g})" if "retry_after_s" in error else ""
        yield from (Text(line, style="yellow") for line in _wrapped(f"→ {error['next_step']}{after}", width))
        return
    yield Text(f"  {_call(scene)}", style="dim")
    for attempt in scene.structured.get("attempts", ()):
        if attempt["outcome"] != "answered":
            yield Text(sanitize(f"  ✗ {short_name(attempt['model'])} {_outcome(attempt)}"), style="red")
    result = scene.structured
    model = f"✓ {short_name(result['model'])} {result['duration_s']:.1f} s:"
    for line in _wrapped(f"{model} {result['text']}", width):
        text = Text(line)
        text.highlight_words([model], style="green")
        yield text


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(
        sanitize(text), width - 1, initial_indent="  ", subsequent_indent="    ", max_lines=MOST_LINES, placeholder=" …"
    )


def _outcome(attempt: Mapping[str, Any]) -> str:
    after = f" for {attempt['retry_after_s']:.0f} s" if attempt.get("retry_after_s") else ""
    return f"rate limited{after}, skipped" if not attempt["sent"] else f"{attempt['outcome'].replace('_', ' ')}{after}"


def _call(scene: Scene) -> str:
    return f"{scene.tool} " + ", ".join(
        f'{name}="{value}"' for name, value in scene.arguments.items() if isinstance(value, str)
    )


def _as_json(scene: Scene) -> Mapping[str, Any]:
    return {"title": scene.title, "tool": scene.tool, "arguments": scene.arguments, "result": scene.structured}
