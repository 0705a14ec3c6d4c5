"""The tables of the catalog by name: what makes a row the same row, and how rows become a `Catalog`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from groq_fallback_mcp.catalog.catalog import Catalog

__all__ = ["KEYS", "Rows", "build_catalog", "key_of"]

KEYS: Mapping[str, tuple[str, ...]] = {
    "sources": ("id",),
    "models": ("id",),
    "shutdowns": ("model",),
    "limits": ("model", "plan", "checked"),
    "practices": ("use_case",),
    "advice": ("topic", "title"),
    "headers": ("header",),
    "errors": ("status",),
    "error_codes": ("status", "code"),
    "endpoints": ("method", "path"),
    "sdks": ("package",),
    "presets": ("name",),
}
Rows = Mapping[str, Sequence[BaseModel]]


def key_of(row: BaseModel, fields: tuple[str, ...]) -> tuple[Hashable, ...]:
    """The row's values of these fields."""
    return tuple(getattr(row, field) for field in fields)


def build_catalog(rows: Rows) -> Catalog:
    """A catalog of these rows, which must hold every table of KEYS."""

    def keyed(table: str) -> dict[Any, Any]:
        key = KEYS[table][0]
        return {getattr(row, key): row for row in rows[table]}

    def listed(table: str) -> tuple[Any, ...]:
        return tuple(rows[table])

    return Catalog(
        sources=keyed("sources"),
        models=keyed("models"),
        shutdowns=keyed("shutdowns"),
        limit_rows=listed("limits"),
        practices=keyed("practices"),
        advice=listed("advice"),
        headers=listed("headers"),
        errors=listed("errors"),
        error_codes=listed("error_codes"),
        endpoints=listed("endpoints"),
        sdks=listed("sdks"),
        presets=keyed("presets"),
    )
