"""demo: prints the whole way of a call, step by step."""

from __future__ import annotations

from groq_fallback_mcp.cli.console import echo, print_json, print_panel
from groq_fallback_mcp.cli.engines import local_engines
from groq_fallback_mcp.harness.demo import Step
from groq_fallback_mcp.harness.demo import demo as steps

__all__ = ["demo"]


async def demo(*, as_json: bool) -> int:
    """Run the demonstration; 1 when a step that must succeed did not."""
    done: list[Step] = []
    async with local_engines() as (text, speech):
        words = "a real local model" if text is not None else "plain sentences (the extra `local` is not installed)"
        echo(f"A simulated Groq on loopback, its text from {words}; the real server over stdio as a child.\n", err=as_json)
        async for step in steps(text=text, speech=speech):
            done.append(step)
            print_panel(step.text, title=step.title, subtitle=step.call, err=as_json)
    fell_back = any(step.structured.get("fallback") is True for step in done)
    heard = any("audio_s" in step.structured for step in done)
    if as_json:
        print_json([{"title": step.title, "call": step.call, "result": dict(step.structured)} for step in done])
    echo(f"Fallback shown: {'yes' if fell_back else 'NO'}. Transcript shown: {'yes' if heard else 'NO'}.", err=as_json)
    return 0 if fell_back and heard else 1
