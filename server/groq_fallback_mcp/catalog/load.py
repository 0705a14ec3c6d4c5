"""Reads the catalogue's TOML files and a user's overlay; every mistake is named with file, row and fix."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Hashable, Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from groq_fallback_mcp.catalog.catalog import Catalog
from groq_fallback_mcp.catalog.schema import CatalogFile
from groq_fallback_mcp.errors import ConfigurationError

__all__ = ["load_catalog", "read_catalog_file"]

_FILES = ("sources.toml", "models.toml", "lifecycle.toml", "limits.toml", "practices.toml", "reference.toml")
_RowT = TypeVar("_RowT", bound=BaseModel)


def load_catalog(overlay: Path | None = None) -> Catalog:
    """The shipped catalogue, with the overlay's rows added or put in the place of those with the same key.

    Raises ConfigurationError when the overlay cannot be read, is not TOML, has a row that does not fit, or
    refers to a model that nothing defines.
    """
    tables = list(_shipped())
    if overlay is not None:
        tables.append(read_catalog_file(overlay.name, _read_text(overlay)))
    catalog = _merge(tables)
    _check_references(catalog, overlay)
    return catalog


def read_catalog_file(name: str, text: str) -> CatalogFile:
    """Validate one file's text. `name` is only for messages."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{name} is not valid TOML: {error}", next_step=f"correct that line of {name}") from error
    try:
        return CatalogFile.model_validate(data)
    except ValidationError as error:
        raise ConfigurationError(_describe(name, data, error), next_step=f"correct that row of {name}") from None


@cache
def _shipped() -> tuple[CatalogFile, ...]:
    folder = files("groq_fallback_mcp.catalog") / "data"
    return tuple(read_catalog_file(name, (folder / name).read_text(encoding="utf-8")) for name in _FILES)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the catalogue overlay {path} cannot be read: {error}",
            next_step="make it a readable UTF-8 file, or remove the setting that names it",
        ) from error


def _describe(name: str, data: dict[str, Any], error: ValidationError) -> str:
    first = error.errors()[0]
    table, *rest = first["loc"]
    where = f"[[{table}]]"
    if rest and isinstance(rest[0], int):
        row = data[str(table)][rest[0]]
        where += f" row {rest[0] + 1}"
        label = next((row[key] for key in ("id", "model", "use_case") if key in row), None)
        where += f" ({label!r})" if label is not None else ""
        rest = rest[1:]
    key = ".".join(str(part) for part in rest)
    return f"{name}, {where}{', key ' + repr(key) if key else ''}: {first['msg']} (got {first['input']!r})"


def _merge(tables: Iterable[CatalogFile]) -> Catalog:
    tables = list(tables)

    def laid_over(rows: Callable[[CatalogFile], tuple[_RowT, ...]], key: Callable[[_RowT], Hashable]) -> dict[Any, _RowT]:
        return {key(row): row for table in tables for row in rows(table)}

    return Catalog(
        sources=laid_over(lambda t: t.sources, lambda r: r.id),
        models=laid_over(lambda t: t.models, lambda r: r.id),
        shutdowns=laid_over(lambda t: t.shutdowns, lambda r: r.model),
        limit_rows=tuple(laid_over(lambda t: t.limits, lambda r: (r.model, r.plan, r.checked)).values()),
        practices=laid_over(lambda t: t.practices, lambda r: r.use_case),
        advice=tuple(laid_over(lambda t: t.advice, lambda r: (r.topic, r.title)).values()),
        headers=tuple(laid_over(lambda t: t.headers, lambda r: r.header).values()),
        errors=tuple(laid_over(lambda t: t.errors, lambda r: r.status).values()),
        endpoints=tuple(laid_over(lambda t: t.endpoints, lambda r: (r.method, r.path)).values()),
        sdks=tuple(laid_over(lambda t: t.sdks, lambda r: r.package).values()),
    )


def _check_references(catalog: Catalog, overlay: Path | None) -> None:
    named = overlay.name if overlay is not None else "the shipped catalogue"
    wanted = [(f"[[limits]] of {row.model!r}", row.model) for row in catalog.limit_rows]
    wanted += [(f"[[shutdowns]] of {row.model!r}", row.model) for row in catalog.shutdowns.values()]
    wanted += [
        (f"[[shutdowns]] of {row.model!r}, successor", row.successor)
        for row in catalog.shutdowns.values()
        if row.successor is not None
    ]
    wanted += [
        (f"[[practices]] {row.use_case!r}", model) for row in catalog.practices.values() for model in (row.model, *row.chain)
    ]
    for where, model in wanted:
        if model not in catalog.models:
            raise ConfigurationError(
                f"{named}: {where} names the model {model!r}, which no [[models]] row defines",
                next_step="add a [[models]] row with that id, or correct the name",
            )
    rows = (*catalog.models.values(), *catalog.shutdowns.values(), *catalog.limit_rows, *catalog.practices.values())
    for row in rows:
        if row.source not in catalog.sources and row.source != "user":
            raise ConfigurationError(
                f"{named}: a row gives the source {row.source!r}, which no [[sources]] row defines",
                next_step='add a [[sources]] row with that id, or write source = "user"',
            )
