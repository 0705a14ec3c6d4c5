"""demo: prints the whole way of a call, step by step."""

from __future__ import annotations

from groq_fallback_mcp.cli.console import print_json
from groq_fallback_mcp.cli.engines import local_engines
from groq_fallback_mcp.harness.demo import Step
from groq_fallback_mcp.harness.demo import demo as steps

__all__ = ["demo"]


async def demo(*, as_json: bool) -> int:
    """Run the demonstration; 1 when a step that must succeed did not."""
    from rich.console import Console  # noqa: PLC0415
    from rich.panel import Panel  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(stderr=as_json)
    done: list[Step] = []
    async with local_engines() as (text, speech):
        words = "a real local model" if text is not None else "plain sentences (the extra `local` is not installed)"
        console.print(f"A simulated Groq on loopback, its text from {words}; the real server over stdio as a child.\n")
        async for step in steps(text=text, speech=speech):
            done.append(step)
            console.print(
                Panel(
                    Text(step.text), title=Text(step.title), subtitle=Text(step.call), title_align="left", subtitle_align="left"
                )
            )
    fell_back = any(step.structured.get("fallback") is True for step in done)
    heard = any("audio_s" in step.structured for step in done)
    if as_json:
        print_json([{"title": step.title, "call": step.call, "result": dict(step.structured)} for step in done])
    console.print(f"Fallback shown: {'yes' if fell_back else 'NO'}. Transcript shown: {'yes' if heard else 'NO'}.")
    return 0 if fell_back and heard else 1
