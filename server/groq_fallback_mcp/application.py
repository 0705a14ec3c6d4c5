"""Puts the parts together: settings, catalog, providers, ledger and engine become what the tools need."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from groq_fallback_mcp.call import CallOrigin, Restrictions
from groq_fallback_mcp.catalog import Catalog, load_catalog
from groq_fallback_mcp.catalog.drift import drift
from groq_fallback_mcp.clock import Clock, SystemClock, today
from groq_fallback_mcp.fallback import CallTimeouts, FallbackEngine
from groq_fallback_mcp.gateway_tokens import TOKENS_FILE
from groq_fallback_mcp.providers.registry import ProviderRegistry, build_registry
from groq_fallback_mcp.quota import OWNER, open_ledger
from groq_fallback_mcp.quota.budget import Budget, picodollars
from groq_fallback_mcp.quota.history_writer import HistoryWriter
from groq_fallback_mcp.response_cache import ResponseCache
from groq_fallback_mcp.settings import Settings, state_folder, unknown_variables
from groq_fallback_mcp.telemetry.open_telemetry import open_telemetry
from groq_fallback_mcp.tools.tool import Context

__all__ = ["allowed_folders", "open_context", "restrictions_of", "tokens_path", "warn_of_drift"]

# Servers say where each call comes from.
COMMAND_LINE = CallOrigin(endpoint="command line")
CLOSING_S = 0.5
# The first calls come before the look at the live list.
LIVE_LIST_AFTER_S = 5.0
READING_S = 10.0

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_context(
    settings: Settings,
    *,
    clock: Clock | None = None,
    watch_drift: bool = False,
    remote: bool = False,
    listed: anyio.Event | None = None,
    checks_environment: bool = True,
) -> AsyncGenerator[Context]:
    """What the tools need, closed at the end. Raises ConfigurationError for a bad catalog overlay.

    `remote`: whoever calls is on another machine, so the current folder is not theirs. `watch_drift`: some seconds later, and beside all else, compare the catalog with Groq's live list and log a warning. After `listed` what the first call needs is loaded, so that neither the start nor that call waits for it. `checks_environment`: log a warning of variables that have our prefix and are not settings.
    """
    if checks_environment and (unknown := unknown_variables(os.environ, providers=settings.providers)):
        _log.warning("%s.", ". ".join(unknown))
    clock = clock or SystemClock()
    catalog: Catalog = load_catalog(settings.catalog)
    registry: ProviderRegistry = build_registry(settings, catalog=catalog, clock=clock)
    budget = budget_of(settings)
    ledger = open_ledger(settings.state.get_secret_value(), clock, budget=budget)
    history = HistoryWriter(ledger, clock, under_way=lambda: engine.under_way) if settings.history else None
    telemetry = open_telemetry(settings)
    engine = FallbackEngine(
        catalog=catalog,
        registry=registry,
        ledger=ledger,
        clock=clock,
        timeouts=CallTimeouts(
            deadline_s=settings.deadline_s,
            attempt_timeout_s=settings.attempt_timeout_s,
            max_wait_s=settings.max_wait_s,
        ),
        jitter=random.random,
        budget=budget,
        restrictions=restrictions_of(settings),
        prefer=settings.prefer,
        listeners=[listener for listener in (history, telemetry) if listener is not None],
    ).with_origin(COMMAND_LINE)
    if _exists(tokens_path(settings)):
        # others share the limits: this process's calls take their turn among theirs
        engine = engine.for_caller(OWNER)
    cache = None
    if settings.cache_ttl_s > 0:
        cache = ResponseCache(state_folder() / "answers.sqlite3", ttl_s=settings.cache_ttl_s, clock=clock)
    beside: list[asyncio.Task[None]] = []
    if watch_drift:
        beside.append(asyncio.create_task(warn_of_drift(registry, catalog=catalog, clock=clock)))
    if history is not None:
        beside.append(asyncio.create_task(history.run()))
    if listed is not None:
        beside.append(asyncio.create_task(_warm_up(registry, listed)))
    try:
        yield Context(
            engine=engine,
            folders=allowed_folders(settings, remote=remote),
            job_deadline_s=settings.job_deadline_s,
            cache=cache,
        )
    finally:
        # also when cancelled by a signal: connections and state are to be left in order
        for task in beside:
            task.cancel()
        closing: list[Callable[[], Awaitable[object]]] = [
            lambda: asyncio.gather(*beside, return_exceptions=True),
            registry.aclose,
            *(() if history is None else (history.aclose,)),
            ledger.aclose,
            *(() if telemetry is None else (telemetry.aclose,)),
        ]
        for close in closing:
            with anyio.move_on_after(CLOSING_S, shield=True):
                await close()


def restrictions_of(settings: Settings) -> Restrictions:
    """What the settings forbid in every call."""
    return Restrictions(
        no_preview=settings.no_preview,
        max_usd=settings.max_usd_per_call,
        no_training=settings.data_policy == "no-training",
    )


async def warn_of_drift(registry: ProviderRegistry, *, catalog: Catalog, clock: Clock) -> None:
    """Read the list once and log how the catalog differs. Says nothing where it cannot be read; raises nothing."""
    groq = registry.providers.get("groq")
    if groq is None or groq.unready is not None:
        return
    try:
        await clock.sleep(LIVE_LIST_AFTER_S)
        # not kept: nobody reads it again, so a gap of this moment would shut models out until the process ends
        live = await registry.peek_live_list(timeout_s=READING_S)
        if live.ids is None:
            _log.debug("the live list could not be read: %s", live.failure)
            return
        found = drift(catalog, live.ids, today(clock))
    except Exception:  # noqa: BLE001 - nobody asked for it, so nobody is to be disturbed by it
        _log.debug("the live list could not be compared with the catalog", exc_info=True)
        return
    if found.needs_rows:
        _log.warning("Groq's live list differs from the catalog: %s. Run `groq-fallback-mcp catalog update`.", found)


async def _warm_up(registry: ProviderRegistry, listed: anyio.Event) -> None:
    await listed.wait()
    await anyio.to_thread.run_sync(registry.warm_up)


def budget_of(settings: Settings) -> Budget:
    """The most that may be spent in a day."""
    usd = settings.budget_usd_per_day
    return Budget(tokens=settings.budget_tokens_per_day, picousd=None if usd is None else picodollars(usd))


def tokens_path(settings: Settings) -> Path:
    """Where the gateway's named tokens are."""
    return state_folder() / TOKENS_FILE if settings.gateway_tokens is None else settings.gateway_tokens


def allowed_folders(settings: Settings, *, remote: bool = False) -> tuple[Path, ...]:
    """The folders whose files may be read; unless named, none for callers elsewhere, nor in the root or the home folder."""
    if settings.files is not None:
        return tuple(folder.resolve() for folder in settings.files)
    here = Path.cwd().resolve()
    if remote:
        return ()
    return () if here in {Path(here.anchor), Path.home().resolve()} else (here,)


def _exists(path: Path) -> bool:
    """Whether there is a file; one in a folder that this user may not look into counts as there."""
    try:
        return path.exists()
    except OSError:
        return True
