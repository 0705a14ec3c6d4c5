"""Lays a user's rows over the shipped ones: pure, over parsed TOML before and validated rows after validation.

A row with the key of a shipped one changes only what it states; any other row is added. It vouches for itself: the
source of a row that names none is "user", and `checked` is always its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel

from groq_fallback_mcp.catalog.references import USER
from groq_fallback_mcp.catalog.tables import KEYS, Rows, key_of

__all__ = ["OVERLAY_KEYS", "completed", "laid_over"]

# What an overlay's row stands in for: with limits every row of that model and plan, whatever its date.
OVERLAY_KEYS: Mapping[str, tuple[str, ...]] = {**KEYS, "limits": ("model", "plan")}
# Never taken over from the row below: it would put the user's figure under another's name.
_PROVENANCE = frozenset({"source", "checked", "source_plan_name"})
# What was said of the old value and need not be true of the new one.
_SAID_OF: Mapping[tuple[str, str], frozenset[str]] = {
    ("models", "capabilities"): frozenset({"capabilities_source"}),
    ("models", "price"): frozenset({"cached_price_source"}),
    ("shutdowns", "on"): frozenset({"approximate", "note"}),
    ("practices", "model"): frozenset({"reason", "correction"}),
}


def completed(data: Mapping[str, Any], shipped: Rows) -> dict[str, Any]:
    """The overlay's data with what its rows leave unsaid. What is no row is left for validation to refuse."""
    return {table: _completed_table(table, rows, shipped.get(table, ())) for table, rows in data.items()}


def laid_over(shipped: Rows, own: Rows) -> Rows:
    """The shipped rows with the overlay's in the place of those they stand in for, and the new ones after them."""
    merged: dict[str, Sequence[BaseModel]] = {}
    for table, fields in OVERLAY_KEYS.items():
        replacing = {key_of(row, fields): row for row in own[table]}
        placed: dict[Hashable, BaseModel] = {}
        for row in shipped[table]:
            place = key_of(row, fields)
            if place in replacing:
                placed[place] = replacing[place]
            else:
                placed[key_of(row, KEYS[table])] = row
        merged[table] = [*placed.values(), *(row for place, row in replacing.items() if place not in placed)]
    return merged


def _completed_table(table: str, rows: object, shipped: Sequence[BaseModel]) -> object:
    if table not in KEYS or not isinstance(rows, list):
        return rows
    fields = OVERLAY_KEYS[table]
    # The newest row comes last and is the one that stays.
    oldest_first = sorted(shipped, key=lambda row: str(getattr(row, "checked", "")))
    below = {key_of(row, fields): row for row in oldest_first}
    return [
        _completed_row(table, cast("dict[str, Any]", row), below) if isinstance(row, dict) else row
        for row in cast("list[object]", rows)
    ]


def _completed_row(table: str, row: dict[str, Any], below: Mapping[tuple[Hashable, ...], BaseModel]) -> dict[str, Any]:
    place = tuple(row.get(field) for field in OVERLAY_KEYS[table])
    shipped = below.get(place) if all(isinstance(part, str | int) for part in place) else None
    unsaid = set(_PROVENANCE).union(*(_SAID_OF.get((table, key), ()) for key in row))
    base = {} if shipped is None else shipped.model_dump(exclude_unset=True, exclude=unsaid)
    source = {} if table == "sources" else {"source": USER}
    nested: dict[str, Any] = {
        key: {**value, **row[key]} for key, value in base.items() if isinstance(value, dict) and isinstance(row.get(key), dict)
    }
    return {**source, **base, **row, **nested}
