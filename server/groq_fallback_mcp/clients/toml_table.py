"""One table or one plain value of a TOML document set or removed; every other line left as it is.

The table is added at the end of the document, where it takes nothing in that was not meant for it: after dotted keys such
as `mcp_servers.a.command`, a table in their midst would swallow the keys that follow. A plain value is added before the first table.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

__all__ = ["TomlFault", "digest", "loads", "remove", "remove_value", "set_table", "set_value"]

BYTE_ORDER_MARK = "\ufeff"
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_HEADER = re.compile(r"\ufeff?[ \t]*\[")
_SCALAR = r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s"'#,\[\]{}]+)"""
_SAYS_NOTHING = re.compile(r"[ \t]*(#.*)?\r?\n?$")


class TomlFault(ValueError):
    """The text is not TOML, or has no place for the table."""


def loads(text: str) -> dict[str, Any]:
    """The value of the document. Raises TomlFault."""
    try:
        return tomllib.loads(text.removeprefix(BYTE_ORDER_MARK))
    except tomllib.TOMLDecodeError as error:
        raise TomlFault(str(error)) from None
    except RecursionError:
        raise TomlFault("nested too deeply") from None


def digest(text: str, *, without: Sequence[str]) -> str:
    """All that the document says but for the table at `without`, with order, for comparison.

    A table on the way that holds nothing else counts as absent. Raises TomlFault.
    """
    outer, inner = without
    said = loads(text)
    found: Any = said.get(outer)
    if isinstance(found, dict):
        found.pop(inner, None)
        if not found:
            del said[outer]
    try:
        return repr(said)
    except RecursionError:
        raise TomlFault("nested too deeply") from None


def set_table(text: str, path: Sequence[str], value: Mapping[str, Any]) -> str:
    """The text with the table `value` at `path`, of two names. Raises TomlFault where there is no place for one."""
    outer, inner = path
    servers: Any = loads(text).get(outer, {})
    if not isinstance(servers, dict):
        raise TomlFault(f"{outer!r} is not a table")
    present: Any = servers.get(inner)
    if present is not None and not isinstance(present, dict):
        raise TomlFault(f"'{outer}.{inner}' is not a table")
    if present == dict(value):
        return text
    kept = text if present is None else remove(text, path)
    appended = kept + _gap(kept) + _block(path, value, _line_break(text))
    try:
        loads(appended)
    except TomlFault:
        # an inline table takes no addition from outside
        return _edited(kept, path, value)
    return appended


def remove(text: str, path: Sequence[str]) -> str:
    """The text without the table at `path`, of two names; as it is where there is none. Raises TomlFault."""
    outer, inner = path
    servers: Any = loads(text).get(outer, {})
    present: Any = servers.get(inner) if isinstance(servers, dict) else None
    if present is None:
        return text
    cut = _without_sections(text, (outer, inner))
    try:
        if digest(cut, without=path) == digest(text, without=path) and inner not in loads(cut).get(outer, {}):
            return cut
    except TomlFault:
        pass
    return _edited(text, path, None)


def set_value(text: str, name: str, value: str | int) -> str:
    """The text with the plain value at `name`, outside all tables. Raises TomlFault where it cannot be changed in place."""
    if loads(text).get(name) == value:
        return text
    mark, body = _unmarked(text)
    lines, written = _LINE.findall(body), _written(value)
    at = _line_of(lines, name)
    if at is not None:
        lines[at] = _assignment(name).sub(lambda found: found["before"] + written + found["after"], lines[at])
        return _only_changed(text, mark + "".join(lines), name, value)
    line_break, at = _line_break(body), _end_of_values(lines)
    if at and not lines[at - 1].endswith("\n"):
        lines[at - 1] += line_break
    # the first value is kept apart from the comments and tables below
    gap = line_break if at == 0 and lines and lines[0].strip() else ""
    lines.insert(at, f"{name} = {written}{line_break}{gap}")
    return _only_changed(text, mark + "".join(lines), name, value)


def remove_value(text: str, name: str) -> str:
    """The text without the plain value at `name`; as it is where there is none. Raises TomlFault as `set_value`."""
    if name not in loads(text):
        return text
    mark, body = _unmarked(text)
    lines = _LINE.findall(body)
    at = _line_of(lines, name)
    if at is None:
        raise _fixed(name)
    del lines[at]
    if at == 0 and lines and not lines[0].strip():
        del lines[0]
    return _only_changed(text, mark + "".join(lines), name, None)


def _only_changed(before: str, after: str, name: str, value: str | int | None) -> str:
    """`after`, once it is sure that it differs in the value at `name` alone."""
    had, has = loads(before), loads(after)
    had.pop(name, None)
    if has.pop(name, None) != value or repr(had) != repr(has):
        raise _fixed(name)
    return after


def _fixed(name: str) -> TomlFault:
    return TomlFault(f"{name!r} is written in a way that cannot be changed in place")


def _line_of(lines: Sequence[str], name: str) -> int | None:
    """The line that assigns a plain value to `name` before the first table."""
    assignment = _assignment(name)
    return next((at for at, line in enumerate(lines[: _first_header(lines)]) if assignment.match(line)), None)


def _assignment(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<before>[ \t]*[\"']?{re.escape(name)}[\"']?[ \t]*=[ \t]*){_SCALAR}(?P<after>[ \t]*(?:#.*)?\r?\n?)$")


def _end_of_values(lines: Sequence[str]) -> int:
    """After the last line before the first table that is more than a comment."""
    at = _first_header(lines)
    while at and _SAYS_NOTHING.match(lines[at - 1]):
        at -= 1
    return at


def _first_header(lines: Sequence[str]) -> int:
    return next((at for at, line in enumerate(lines) if _HEADER.match(line)), len(lines))


def _unmarked(text: str) -> tuple[str, str]:
    """The byte order mark, if there is one, and the rest."""
    body = text.removeprefix(BYTE_ORDER_MARK)
    return text[: len(text) - len(body)], body


def _without_sections(text: str, path: tuple[str, str]) -> str:
    """The text without the lines below headers of the table and its subtables; comments at their end stay.

    A line of a string may look like a header: whoever calls compares what is left.
    """
    lines = _LINE.findall(text)
    after = len(lines)
    for at in reversed([at for at, line in enumerate(lines) if _HEADER.match(line)]):
        end, after = after, at
        if _named(lines[at]) != path:
            continue
        while _SAYS_NOTHING.match(lines[end - 1]):
            end -= 1
        # the empty line before it was ours too
        after = at - 1 if at and not lines[at - 1].strip() else at
        del lines[after:end]
    return "".join(lines)


def _named(header: str) -> tuple[str, ...] | None:
    """The first two names of a header line; None where it is none."""
    try:
        node: Any = tomllib.loads(header.removeprefix(BYTE_ORDER_MARK))
    except tomllib.TOMLDecodeError:
        return None
    names: list[str] = []
    while isinstance(node, dict) and node and len(names) < 2:
        name, node = next(iter(node.items()))
        names.append(name)
    return tuple(names)


def _edited(text: str, path: Sequence[str], value: Mapping[str, Any] | None) -> str:
    """The document changed by tomlkit: it knows inline tables and tables in parts, but not every dotted key."""
    outer, inner = path
    mark, body = _unmarked(text)
    try:
        document: Any = tomlkit.parse(body)
        servers = document[outer]
        if value is not None:
            servers[inner] = _inline(value)
        else:
            del servers[inner]
            if not servers:
                del document[outer]
        return mark + tomlkit.dumps(document)
    except (TOMLKitError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise TomlFault(
            f"'{outer}.{inner}' is written in a way that cannot be changed in place ({type(error).__name__})"
        ) from None


def _block(path: Sequence[str], value: Mapping[str, Any], line_break: str) -> str:
    header = ".".join(tomlkit.key(name).as_string() for name in path)
    lines = [f"[{header}]", *(f"{tomlkit.key(name).as_string()} = {_written(item)}" for name, item in value.items())]
    return line_break.join(lines) + line_break


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return str(_inline(value).as_string())
    made = tomlkit.item
    return str(made(value).as_string())


def _inline(value: Mapping[str, Any]) -> Any:
    table = tomlkit.inline_table()
    for name, item in value.items():
        table.append(name, _inline(item) if isinstance(item, dict) else item)
    return table


def _gap(text: str) -> str:
    """What separates the table from what is before it."""
    line_break = _line_break(text)
    if not text.removeprefix(BYTE_ORDER_MARK).strip():
        return ""
    return line_break if text.endswith("\n") else 2 * line_break


def _line_break(text: str) -> str:
    at = text.find("\n")
    return "\r\n" if at > 0 and text[at - 1] == "\r" else "\n"
