"""Reads the catalog's TOML files and a user's overlay; every mistake is named with file, row and fix."""

from __future__ import annotations

import tomllib
from collections.abc import Hashable, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError

from groq_fallback_mcp.catalog.catalog import Catalog
from groq_fallback_mcp.catalog.overlay import OVERLAY_KEYS, completed, laid_over
from groq_fallback_mcp.catalog.references import check_references
from groq_fallback_mcp.catalog.schema import CatalogFile
from groq_fallback_mcp.catalog.tables import KEYS, Rows, build_catalog, key_of
from groq_fallback_mcp.errors import ConfigurationError

__all__ = ["load_catalog", "read_catalog_file"]

_FILES = ("sources.toml", "models.toml", "lifecycle.toml", "limits.toml", "practices.toml", "reference.toml", "presets.toml")
_SHOWN_CHARS = 120


def load_catalog(overlay: Path | None = None) -> Catalog:
    """The shipped catalog, with the overlay's rows laid over it.

    Raises ConfigurationError when the overlay cannot be read, is not TOML, has a row that does not fit, or
    refers to a model or source that nothing defines.
    """
    if overlay is None:
        return _shipped_catalog()
    name = overlay.name
    shipped = _shipped_rows()
    read = _validate(name, completed(_parse(name, _read_text(overlay)), shipped))
    own = {table: getattr(read, table) for table in KEYS}
    for table, rows in own.items():
        _refuse_duplicates(name, table, rows, OVERLAY_KEYS[table])
    catalog = build_catalog(laid_over(shipped, own))
    check_references(catalog, name)
    return catalog


def read_catalog_file(name: str, text: str) -> CatalogFile:
    """Validate one file's text by itself. `name` is only for messages."""
    return _validate(name, _parse(name, text))


@cache
def _shipped_rows() -> Rows:
    folder = files("groq_fallback_mcp.catalog") / "data"
    rows: dict[str, list[BaseModel]] = {table: [] for table in KEYS}
    for name in _FILES:
        read = read_catalog_file(name, (folder / name).read_text(encoding="utf-8"))
        for table in KEYS:
            rows[table] += getattr(read, table)
    return rows


@cache
def _shipped_catalog() -> Catalog:
    catalog = build_catalog(_shipped_rows())
    check_references(catalog, "the shipped catalog")
    return catalog


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the catalog overlay {path} cannot be read: {error}",
            next_step="make it a readable UTF-8 file, or remove the setting that names it",
        ) from error


def _parse(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError, and so is an overlong number
        fix = f"correct that line of {name}"
        raise ConfigurationError(f"{name} is not valid TOML: {error}", next_step=fix) from error


def _validate(name: str, data: Mapping[str, Any]) -> CatalogFile:
    try:
        read = CatalogFile.model_validate(data)
    except ValidationError as error:
        raise _refusal(name, data, error) from None
    for table, key in KEYS.items():
        _refuse_duplicates(name, table, getattr(read, table), key)
    return read


def _refuse_duplicates(name: str, table: str, rows: Sequence[BaseModel], key: tuple[str, ...]) -> None:
    first: dict[Hashable, int] = {}
    for number, row in enumerate(rows, start=1):
        if (earlier := first.setdefault(key_of(row, key), number)) != number:
            what = ", ".join(f"{field} {getattr(row, field)!s}" for field in key)
            raise ConfigurationError(
                f"{name}: [[{table}]] row {number} repeats row {earlier} ({what})",
                next_step=f"keep one of the two rows of {name}",
            )


def _refusal(name: str, data: Mapping[str, Any], error: ValidationError) -> ConfigurationError:
    """The first mistake of a file: where it is, what is wrong, and which keys or values would do."""
    mistakes = error.errors(include_url=False)
    # A misspelt key is also a missing one: the misspelling is what to mend.
    first = next((mistake for mistake in mistakes if mistake["type"] != "missing"), mistakes[0])
    table, *rest = first["loc"]
    where = f"[[{table}]]"
    if rest and isinstance(rest[0], int):
        number, *rest = rest
        row: object = data[str(table)][number]
        stated = _stated(cast("dict[str, object]", row), str(table)) if isinstance(row, dict) else []
        where += f" row {int(number) + 1}" + (f" ({', '.join(stated)})" if stated else "")
    path = [str(part) for part in rest]
    key = f", key {'.'.join(path)!r}" if path else ""
    got = "" if first["type"] == "missing" else f" (got {_shortened(first['input'])})"
    match first["type"]:
        case "extra_forbidden":
            known = _known_keys(str(table), path)
            near = get_close_matches(path[-1] if path else str(table), known, n=1)
            fix = f"write {near[0]!r} or remove it" if near else "remove it"
            fix += f"; what {name} may have there: {', '.join(known)}"
        case "missing":
            absent = [str(mistake["loc"][-1]) for mistake in mistakes if mistake["loc"][:-1] == first["loc"][:-1]]
            fix = f"add to that row of {name}: {', '.join(absent)}"
        case "tuple_type" if not path:
            fix = f"write the table in {name} as [[{table}]], with double brackets"
        case _:
            fix = f"correct that value in {name}"
    return ConfigurationError(f"{name}, {where}{key}: {first['msg']}{got}", next_step=fix)


def _known_keys(table: str, path: Sequence[str]) -> list[str]:
    """The keys that may stand where an unknown one was found."""
    if not path:
        return list(KEYS)
    (row, _) = get_args(CatalogFile.model_fields[table].annotation)
    for part in path[:-1]:
        row = row.model_fields[part].annotation
    return list(row.model_fields)


def _shortened(value: object) -> str:
    shown = str(value) if isinstance(value, Decimal) else repr(value)
    return shown if len(shown) <= _SHOWN_CHARS else shown[:_SHOWN_CHARS] + "..."


def _stated(row: Mapping[str, object], table: str) -> list[str]:
    return [str(row[field]) for field in KEYS[table] if field in row]
