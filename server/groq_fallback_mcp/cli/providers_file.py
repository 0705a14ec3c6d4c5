"""The `[[providers]]` tables of config.toml added, removed and put in order; every other line stays as it is. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT

from groq_fallback_mcp.errors import ConfigurationError

__all__ = ["names_in", "table_in", "with_order", "with_preference", "with_provider", "without_provider"]

TABLE = "providers"
_HEADER = re.compile(r"\s*\[\[\s*providers\s*\]\]")
_BELOW = re.compile(r"\s*\[+\s*providers\s*\.")
_SAYS_NOTHING = re.compile(r"\s*(#.*)?$")


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
    kept = [number for number, table in enumerate(tables) if _name(table) != name]
    return _with_tables(document, tables, kept, text)


def with_order(text: str, wanted: Sequence[str]) -> str:
    """The text with these providers first, in this order; the others follow as they stood."""
    document, tables = _opened(text)
    ranks = {name: rank for rank, name in enumerate(wanted)}
    names = [_name(table) for table in tables]
    ordered = sorted(range(len(tables)), key=lambda number: ranks.get(names[number], len(ranks)))
    return _with_tables(document, tables, ordered, text)


def with_preference(text: str, prefer: Sequence[str]) -> str:
    """The text with the setting `prefer`, above all tables."""
    document, _ = _opened(text)
    if "prefer" in document:
        document["prefer"] = list(prefer)
        return _written(document, text)
    line = tomlkit.document()
    line.add("prefer", list(prefer))
    return tomlkit.dumps(line) + text


def _with_tables(document: tomlkit.TOMLDocument, tables: Sequence[Any], numbers: Sequence[int], text: str) -> str:
    """The text with these tables only, in this order: line by line, so that comments stay; else as tomlkit writes it."""
    wanted = [tables[number].unwrap() for number in numbers]
    edited = _by_lines(text, numbers, count=len(tables))
    if _said(edited) == {**_said(text), TABLE: wanted}:
        return edited
    if TABLE in document:
        del document[TABLE]
    if numbers:
        array = tomlkit.aot()
        for number in numbers:
            array.append(tables[number])
        document.append(TABLE, array)
    return _written(document, text)


class _Block(NamedTuple):
    """The lines of a table: from the comments right above its header to its last value. What follows up to the next is not of it."""

    begin: int
    header: int
    end: int


def _by_lines(text: str, numbers: Sequence[int], *, count: int) -> str:
    """The text with these of `count` tables, in this order. As it is where a line of a value looks like a header."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    blocks = list(_blocks(lines))
    if len(blocks) != count:
        return text
    if len(numbers) < count:
        for number in reversed(range(count)):
            if number not in numbers:
                _remove(lines, blocks[number])
    else:
        moved = [lines[blocks[number].begin : blocks[number].end] for number in numbers]
        for place, block in reversed(list(zip(blocks, moved, strict=True))):
            lines[place.begin : place.end] = block
    return "".join(lines)


def _remove(lines: list[str], block: _Block) -> None:
    """A comment above it stays: it may be of more than this one."""
    del lines[block.header : block.end]
    is_apart = block.header == 0 or not lines[block.header - 1].strip()
    if is_apart and block.header < len(lines) and not lines[block.header].strip():
        del lines[block.header]


def _blocks(lines: Sequence[str]) -> Iterator[_Block]:
    headers = [at for at, line in enumerate(lines) if line.lstrip().startswith("[")]
    for at in headers:
        if not _HEADER.match(lines[at]):
            continue
        end = next((other for other in headers if other > at and not _BELOW.match(lines[other])), len(lines))
        while end > at + 1 and _SAYS_NOTHING.match(lines[end - 1]):
            end -= 1
        begin = at
        while begin and lines[begin - 1].lstrip().startswith("#"):
            begin -= 1
        yield _Block(begin, at, end)


def _said(text: str) -> dict[str, Any]:
    """What a text says, its providers also where it has none; nothing for what cannot be read."""
    try:
        return {TABLE: [], **tomllib.loads(text)}
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


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
