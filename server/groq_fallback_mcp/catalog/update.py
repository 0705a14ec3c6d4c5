"""An overlay for review: rows of the catalog for what a live list says and the catalog does not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date

from groq_fallback_mcp.catalog import Catalog, Kind, ModelRow
from groq_fallback_mcp.catalog.drift import Drift

__all__ = ["update_overlay"]

_HEAD = """\
# Written by `groq-fallback-mcp catalog update` on {day} from Groq's live list, for review.
# To use it, set GROQ_FALLBACK_CATALOG to this file. Remove rows you do not trust.
"""
_ADDED = "# Added by `groq-fallback-mcp catalog update` on {day} from Groq's live list, for review.\n"


def update_overlay(found: Drift, *, unknown: Sequence[ModelRow], catalog: Catalog, day: date, kept: str = "") -> str:
    """TOML with a row for each model of `unknown` and a shutdown on `day` for each that is not live.

    `unknown` are the rows made from the live list, `catalog` is what a shutdown on record is looked up in, `kept` is the text of
    an overlay that `catalog` has in it: it comes first. Ids with characters that cannot be printed are skipped.
    """
    parts = [f"{kept.rstrip()}\n", _ADDED.format(day=day)] if kept.strip() else [_HEAD.format(day=day)]
    parts += ["\n".join(_model(row, day)) for row in unknown if row.id.isprintable()]
    parts += ["\n".join(_shutdown(model, catalog, day)) for model in found.not_live]
    lingering = [model for model in found.still_live if model.isprintable()]
    if lingering:
        parts.append(f"# Live although retired in the catalog; no row needed: {', '.join(lingering)}\n")
    return "\n".join(parts)


def _model(row: ModelRow, day: date) -> Iterator[str]:
    yield "[[models]]"
    yield f"id = {_text(row.id)}"
    yield f"kind = {_text(row.kind.value)}  # guessed from the id"
    yield f"stage = {_text(row.stage.value)}"
    if row.context_window is not None:
        yield f"context_window = {row.context_window}"
    if row.max_completion_tokens is not None:
        yield f"max_completion_tokens = {row.max_completion_tokens}"
    if row.kind is Kind.CHAT:
        yield "capabilities = { tools = true, json_object = true }  # not in the list"
    yield f"checked = {day}"
    yield ""


def _shutdown(model: str, catalog: Catalog, day: date) -> Iterator[str]:
    announced = catalog.shutdowns.get(model)
    yield "[[shutdowns]]"
    yield f"model = {_text(model)}"
    yield f"on = {day}"
    if announced is not None and announced.successor is not None:
        yield f"successor = {_text(announced.successor)}"
    else:
        yield '# successor = "..."  # none on record'
    yield "approximate = true"
    yield f'note = "Not in the live list of {day}."'
    yield f"checked = {day}"
    yield ""


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
