"""What a shell completes after an option: model names from the catalog, and clients. Nothing is imported before it is asked for."""

from __future__ import annotations

__all__ = ["complete_clients", "complete_models"]


def complete_models(incomplete: str) -> list[str]:
    """Models that are not shut down, by their ids and their short names."""
    from groq_fallback_mcp.catalog import Stage, load_catalog
    from groq_fallback_mcp.clock import SystemClock, today

    catalog, day = load_catalog(), today(SystemClock())
    ids = [model for model in catalog.models if catalog.stage(model, day) is not Stage.RETIRED]
    names = dict.fromkeys([*ids, *(model.rpartition("/")[2] for model in ids)])
    return [name for name in names if name.startswith(incomplete)]


def complete_clients(incomplete: str) -> list[str]:
    """The clients that `setup` knows."""
    from groq_fallback_mcp.clients.client import CLIENTS

    return [name for name in CLIENTS if name.startswith(incomplete)]
