"""What rows say of each other must hold: every model and source named is defined, no successor leads back."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from groq_fallback_mcp.catalog.catalog import Catalog
from groq_fallback_mcp.catalog.tables import KEYS, key_of
from groq_fallback_mcp.errors import ConfigurationError

__all__ = ["USER", "check_references"]

USER = "user"
"""The source of a row that the user vouches for; needs no [[sources]] row."""


def _named_models(catalog: Catalog) -> Iterator[tuple[str, str]]:
    """Every mention of a model outside its own row: where, and which."""
    for limits in catalog.limit_rows:
        yield f"[[limits]] of {limits.model!r}", limits.model
    for shutdown in catalog.shutdowns.values():
        yield f"[[shutdowns]] of {shutdown.model!r}", shutdown.model
        if shutdown.successor is not None:
            yield f"[[shutdowns]] of {shutdown.model!r}, key 'successor'", shutdown.successor
    for practice in catalog.practices.values():
        yield f"[[practices]] {practice.use_case!r}, key 'model'", practice.model
        for model in practice.chain:
            yield f"[[practices]] {practice.use_case!r}, key 'chain'", model


def _named_sources(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for model in catalog.models.values():
        if model.capabilities_source is not None:
            yield f"[[models]] {model.id!r}, key 'capabilities_source'", model.capabilities_source
        if model.cached_price_source is not None:
            yield f"[[models]] {model.id!r}, key 'cached_price_source'", model.cached_price_source
    for table, rows in (
        ("models", catalog.models.values()),
        ("shutdowns", catalog.shutdowns.values()),
        ("limits", catalog.limit_rows),
        ("practices", catalog.practices.values()),
        ("advice", catalog.advice),
        ("headers", catalog.headers),
        ("errors", catalog.errors),
        ("error_codes", catalog.error_codes),
        ("endpoints", catalog.endpoints),
        ("sdks", catalog.sdks),
        ("presets", catalog.presets.values()),
    ):
        for row in rows:
            yield f"[[{table}]] of {', '.join(str(part) for part in key_of(row, KEYS[table]))!r}", row.source


def _check_successors(catalog: Catalog, name: str) -> None:
    for start in catalog.shutdowns:
        line = [start]
        while (shutdown := catalog.shutdowns.get(line[-1])) is not None and shutdown.successor is not None:
            line.append(shutdown.successor)
            if shutdown.successor in line[:-1]:
                raise ConfigurationError(
                    f"{name}: [[shutdowns]] of {start!r} leads in a circle: {' -> '.join(line)}",
                    next_step="let the last of them name a model that still answers, or no successor",
                )


def check_references(catalog: Catalog, name: str) -> None:
    """Refuse a catalog whose rows name a model or source that is not there, or succeed each other in a circle."""
    for where, model in _named_models(catalog):
        if model not in catalog.models:
            near = get_close_matches(model, catalog.models, n=1)
            raise ConfigurationError(
                f"{name}: {where} names the model {model!r}, which no [[models]] row defines",
                next_step=(f"write {near[0]!r}, or " if near else "") + "add a [[models]] row with that id",
            )
    for where, source in _named_sources(catalog):
        if source not in catalog.sources and source != USER:
            raise ConfigurationError(
                f"{name}: {where} gives the source {source!r}, which no [[sources]] row defines",
                next_step='add a [[sources]] row with that id, or write source = "user"',
            )
    _check_successors(catalog, name)
