"""The `[[providers]]` tables of config.toml added, removed and put in order; every other line stays as it is. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT

from groq_fallback_mcp.errors import ConfigurationError

__all__ = ["names_in", "table_in", "with_order", "with_preference", "with_provider", "without_provider"]

TABLE = "providers"


def names_in(text: str) -> list[str]:
    """The names of the providers that the file has, in order. Raises ConfigurationError where it is not TOML."""
    return [_name(row) for row in _rows(text)]


def table_in(text: str, name: str) -> Mapping[str, Any]:
    """What the file says of a provider; empty where it does not have it."""
    return next((row for row in _rows(text) if _name(row) == name), {})


def with_provider(text: str, row: Mapping[str, Any]) -> str:
    """The text with a provider after the others, or with these values in the one of its name, whose others stay."""
    document, tables = _opened(text)
    for existing in tables:
        if _name(existing) == _name(row):
            existing.update({key: value for key, value in row.items() if existing.get(key) != value})
            return _written(document, text)
    table = tomlkit.table()
    for key, value in row.items():
        table.add(key, value)
    tables.append(table)
    document[TABLE] = tables
    return _written(document, text)


def without_provider(text: str, name: str) -> str:
    """The text without a provider."""
    document, tables = _opened(text)
    kept = [table for table in tables if _name(table) != name]
    return _with_tables(document, kept, text)


def with_order(text: str, names: Sequence[str]) -> str:
    """The text with these providers first, in this order; the others follow as they stood."""
    document, tables = _opened(text)
    ranks = {name: rank for rank, name in enumerate(names)}
    ordered = sorted(tables, key=lambda table: ranks.get(_name(table), len(ranks)))
    return _with_tables(document, ordered, text)


def with_preference(text: str, prefer: Sequence[str]) -> str:
    """The text with the setting `prefer`, above all tables."""
    document, _ = _opened(text)
    if "prefer" in document:
        document["prefer"] = list(prefer)
        return _written(document, text)
    line = tomlkit.document()
    line.add("prefer", list(prefer))
    return tomlkit.dumps(line) + text


def _with_tables(document: tomlkit.TOMLDocument, tables: Sequence[Any], text: str) -> str:
    if TABLE in document:
        del document[TABLE]
    if tables:
        array = tomlkit.aot()
        for table in tables:
            array.append(table)
        document.append(TABLE, array)
    return _written(document, text)


def _name(row: Mapping[str, Any]) -> str:
    """What a provider is called: as its preset unless it has a name."""
    return str(row.get("name", row.get("preset")))


def _rows(text: str) -> Sequence[Mapping[str, Any]]:
    try:
        given: Any = tomllib.loads(text).get(TABLE, [])
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _not_toml(str(error)) from None
    return [row for row in given if isinstance(row, dict)] if isinstance(given, list) else []


def _opened(text: str) -> tuple[tomlkit.TOMLDocument, AoT]:
    try:
        document = tomlkit.parse(text)
    except (TOMLKitError, RecursionError) as error:
        raise _not_toml(str(error)) from None
    tables: Any = document.get(TABLE)
    if tables is None:
        return document, tomlkit.aot()
    if not isinstance(tables, AoT):
        raise _not_toml("`providers` is not written as [[providers]] tables")
    return document, tables


def _written(document: tomlkit.TOMLDocument, before: str) -> str:
    text = tomlkit.dumps(document)
    if "\n\n\n" not in before:
        # tables that were removed leave their empty lines behind
        text = re.sub(r"\n{3,}", "\n\n", text)
    return text if text.endswith("\n") or not text else f"{text}\n"


def _not_toml(why: str) -> ConfigurationError:
    return ConfigurationError(f"config.toml cannot be changed ({why})", next_step="Fix it by hand first")
