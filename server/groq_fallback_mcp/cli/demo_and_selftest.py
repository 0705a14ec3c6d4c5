"""`demo` and `selftest`: the real server against the simulator, and what each step of it shows."""

from __future__ import annotations

from dataclasses import asdict

from groq_fallback_mcp.cli.console import echo, print_json, print_panel
from groq_fallback_mcp.harness.demo import Step
from groq_fallback_mcp.harness.demo import demo as demo_steps
from groq_fallback_mcp.harness.selftest import Check
from groq_fallback_mcp.harness.selftest import selftest as run_checks

__all__ = ["demo", "selftest"]


async def demo(*, as_json: bool) -> int:
    """Run the demonstration; 1 when a step that must succeed did not."""
    from groq_fallback_mcp.cli.local_engines import local_engines

    done: list[Step] = []
    async with local_engines() as (text, speech):
        words = "a real local model" if text is not None else "plain sentences (the extra `local` is not installed)"
        echo(f"A simulated Groq on loopback, its text from {words}; the real server over stdio as a child.\n", err=as_json)
        async for step in demo_steps(text=text, speech=speech):
            done.append(step)
            print_panel(step.text, title=step.title, subtitle=step.call, err=as_json)
    fell_back = any(step.structured.get("fallback") is True for step in done)
    heard = any("audio_s" in step.structured for step in done)
    if as_json:
        print_json([{"title": step.title, "call": step.call, "result": dict(step.structured)} for step in done])
    echo(f"Fallback shown: {'yes' if fell_back else 'NO'}. Transcript shown: {'yes' if heard else 'NO'}.", err=as_json)
    return 0 if fell_back and heard else 1


async def selftest(*, as_json: bool) -> int:
    """Run the checks; 1 when any failed."""
    done: list[Check] = []
    async for check in run_checks():
        done.append(check)
        if not as_json:
            mark = "ok  " if check.ok else "FAIL"
            echo(f"{mark} {check.era}: {check.name} ({check.took_s:.2f} s): {check.detail}")
    failed = [check for check in done if not check.ok]
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in done]})
    else:
        echo(f"{len(done) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0
