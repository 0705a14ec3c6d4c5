"""simulate: the stand-in for the Groq API, with the local models as its words where they are installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, get_args

import anyio

from groq_fallback_mcp.catalog import Plan, load_catalog
from groq_fallback_mcp.cli.console import echo
from groq_fallback_mcp.cli.local_engines import local_engines
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.command import SCRIPT
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.simulator import Fault, SimulatorOptions, create_app, faulted_model, parse_fault, run_simulator
from groq_fallback_mcp.simulator.other_providers import Planned, ProviderOptions, base_path, create_provider_app, parse_planned

__all__ = ["collect_faults", "collect_provider_faults", "simulate"]

T = TypeVar("T")
DEFAULT_WINDOW = 32_768
"""Tokens."""


async def simulate(
    *,
    port: int,
    plan: str | None,
    like: str | None = None,
    window: int | None = None,
    faults: Sequence[str],
    fast: bool,
    plain: bool,
    keep_retired: bool = False,
    batch_s: float = 0.0,
) -> int:
    """Serve until interrupted. Raises InputRefused for an option, provider, plan, fault or port that cannot be used."""
    if like is not None:
        given = {"--fast": fast, "--plain": plain, "--keep-retired": keep_retired, "--batch-seconds": batch_s}
        if (named := next((option for option, value in given.items() if value), None)) is not None:
            raise InputRefused(f"{named} does not work with --like", next_step=f"remove {named}")
        return await _simulate_provider(like, port=port, plan=plan, window=window, faults=faults)
    if window is not None:
        raise _no_window("Groq")
    plan = plan or "free"
    if plan not in get_args(Plan):
        raise InputRefused(f"unknown plan {plan!r}", next_step=f"use {' or '.join(get_args(Plan))}")
    catalog = load_catalog()
    options = SimulatorOptions(
        plan="developer" if plan == "developer" else "free",
        faults=collect_faults(faults, {model: model for model in catalog.models}),
        latency_scale=0.0 if fast else 1.0,
        keep_retired=keep_retired,
        batch_s=batch_s,
    )
    clock = SystemClock()
    async with local_engines(wanted=not plain) as (text, speech):
        app = create_app(options, catalog=catalog, clock=clock, text_engine=text, speech_engine=speech)
        async with run_simulator(app, port=port) as running:
            echo(f"Simulated Groq API on {running.base_url} (plan {plan}); answers are labeled as simulated.")
            echo(
                f"Text: {'local model' if text else 'plain sentences'}. Speech: {'local model' if speech else 'plain sentences'}."
            )
            echo(f"Use it with: GROQ_BASE_URL={running.base_url} GROQ_API_KEY=gsk_simulated groq-fallback-mcp chat hello")
            await anyio.sleep_forever()
    return 0


def _no_window(title: str) -> InputRefused:
    return InputRefused(
        f"--window does not work for {title}, which is not a local server", next_step="remove it, or use --like ollama"
    )


async def _simulate_provider(name: str, *, port: int, plan: str | None, window: int | None, faults: Sequence[str]) -> int:
    catalog = load_catalog()
    row = catalog.providers.get(name)
    known = None if row is None else {given: model.wire_id for model in row.models for given in (model.id, model.wire_id)}
    planned = collect_provider_faults(faults, known)
    options = ProviderOptions(plan=plan, window=window or DEFAULT_WINDOW, faults=planned)
    app = create_provider_app(name, options, catalog=catalog, clock=SystemClock())
    row = catalog.providers[name]
    if window is not None and row.server is None:
        raise _no_window(row.title)
    async with run_simulator(app, port=port) as running:
        address = f"{running.base_url}{base_path(row.base_url)}"
        echo(f"Simulated {row.title} at {address}; answers are labeled as simulated.")
        key = "" if row.key_env is None else f"{row.key_env}=simulated-key "
        echo(f"Use it with: {key}{SCRIPT} providers add {name} --url {address} --yes")
        await anyio.sleep_forever()
    return 0


def collect_provider_faults(texts: Sequence[str], known: Mapping[str, str] | None = None) -> Mapping[str, Sequence[Planned]]:
    """Faults of a provider by model on the wire, in the order given: `MODEL=STATUS`, `hang` or `cut`, each with xCOUNT.

    `known` maps names of models to those on the wire. Raises InputRefused for a model that is not in it.
    """
    return _by_model(map(parse_planned, texts), known)


def collect_faults(texts: Sequence[str], known: Mapping[str, str] | None = None) -> Mapping[str, Sequence[Fault]]:
    """Faults by model, in the order given; `known` as above."""
    return _by_model(map(parse_fault, texts), known)


def _by_model(faults: Iterable[tuple[str, T]], known: Mapping[str, str] | None) -> Mapping[str, Sequence[T]]:
    found: dict[str, list[T]] = {}
    for model, fault in faults:
        found.setdefault(model if known is None else faulted_model(model, known), []).append(fault)
    return found
