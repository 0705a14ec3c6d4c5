"""simulate: the stand-in for the Groq API, with the local models as its words where they are installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio

from groq_fallback_mcp.catalog import Plan, load_catalog
from groq_fallback_mcp.cli.console import echo
from groq_fallback_mcp.cli.local_engines import local_engines
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import Fault, SimulatorOptions, create_app, parse_fault, run_simulator

__all__ = ["collect_faults", "simulate"]


async def simulate(
    *,
    port: int,
    plan: Plan,
    faults: Sequence[str],
    fast: bool,
    plain: bool,
    keep_retired: bool = False,
    batch_s: float = 0.0,
) -> int:
    """Serve until interrupted. Raises InputRefused for a fault or port that cannot be used."""
    options = SimulatorOptions(
        plan=plan,
        faults=collect_faults(faults),
        latency_scale=0.0 if fast else 1.0,
        keep_retired=keep_retired,
        batch_s=batch_s,
    )
    clock = SystemClock()
    async with local_engines(wanted=not plain) as (text, speech):
        app = create_app(options, catalog=load_catalog(), clock=clock, text_engine=text, speech_engine=speech)
        async with run_simulator(app, port=port) as running:
            echo(f"Simulated Groq API on {running.base_url} (plan {plan}); answers are labeled as simulated.")
            echo(
                f"Text: {'local model' if text else 'plain sentences'}. Speech: {'local model' if speech else 'plain sentences'}."
            )
            echo(f"Use it with: GROQ_BASE_URL={running.base_url} GROQ_API_KEY=gsk_simulated groq-fallback-mcp chat hello")
            await anyio.sleep_forever()
    return 0


def collect_faults(texts: Sequence[str]) -> Mapping[str, Sequence[Fault]]:
    """Faults by model, in the order given."""
    found: dict[str, list[Fault]] = {}
    for text in texts:
        model, fault = parse_fault(text)
        found.setdefault(model, []).append(fault)
    return found
