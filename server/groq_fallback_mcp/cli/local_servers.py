"""What commands say of servers that were found on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.providers.registry import FoundServer, build_registry
from groq_fallback_mcp.providers.served_models import ServedModel
from groq_fallback_mcp.render import excerpt
from groq_fallback_mcp.settings import Settings, load_settings

__all__ = ["MOST_SERVED", "found_servers", "found_statement", "with_context"]

MOST_SERVED = 4


async def found_servers() -> Sequence[FoundServer]:
    """The servers that nobody configured; none where the configuration cannot be used, which other commands report."""
    try:
        settings: Settings = load_settings()
        registry = build_registry(settings, catalog=load_catalog(settings.catalog), clock=SystemClock())
    except ConfigurationError:
        return ()
    try:
        await registry.refresh(local=True, patient=True)
        return registry.servers
    finally:
        await registry.aclose()


def found_statement(servers: Sequence[FoundServer]) -> str | None:
    """One line about what was found and serves something, and how to turn it off; None where nothing was."""
    found = [server for server in servers if not server.configured and server.models]
    if not found:
        return None
    named = ", ".join(f"{server.title} ({with_context(server.models[0])})" for server in found)
    return (
        f"Found on this machine: {named}. Calls that Groq cannot serve fall back to it;"
        " GROQ_FALLBACK_FIND_LOCAL_SERVERS=false turns this off."
    )


def with_context(model: ServedModel) -> str:
    """A model with the context that is really loaded."""
    context = "unknown context" if model.context_window is None else f"{model.context_window:,} tokens of context"
    return f"{excerpt(model.id, quoted=False)}, {context}"
