"""JSON with comments, changed in place: one value set or removed, every other character left as it is.

People keep comments, order and trailing commas in their editors' settings; a parser that writes the document anew loses
all of them. So the document is read with the place of each part, and only the text of the change is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["JsoncFault", "loads", "remove", "set_value"]

_BLANK = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_SCALAR = re.compile(r'"(?:[^"\\\n]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null')
MOST_DEPTH = 200


class JsoncFault(ValueError):  # noqa: N818 - a finding about somebody's file
    """The text is no JSON with comments. `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


@dataclass(slots=True)
class _Node:
    start: int
    end: int
    value: Any
    members: list[_Member] = field(default_factory=list["_Member"])


@dataclass(slots=True)
class _Member:
    name: str
    start: int
    node: _Node
    comma: int | None = None


def loads(text: str) -> Any:  # noqa: ANN401 - JSON
    """The value of the document. Raises JsoncFault."""
    return _parsed(text).value


def set_value(text: str, path: Sequence[str], value: Any) -> str:  # noqa: ANN401 - JSON
    """The text with `value` at `path`; tables on the way are made. An empty text counts as an empty table.

    Raises JsoncFault for what cannot be read, or where the path leads through something that is no table.
    """
    if not text.strip():
        text = "{}\n"
    node = _parsed(text)
    for depth, name in enumerate(path):
        if not isinstance(node.value, dict):
            where = ".".join(path[:depth]) or "the document"
            raise JsoncFault(f"{where} is no table", _line(text, node.start))
        member = next((member for member in node.members if member.name == name), None)
        if member is None:
            for outer in reversed(path[depth + 1 :]):
                value = {outer: value}
            return _inserted(text, node, name, value)
        node = member.node
    indent = _indent_at(text, node.start)
    return text[: node.start] + _written(value, indent, _unit(text)) + text[node.end :]


def remove(text: str, path: Sequence[str]) -> str:
    """The text without the value at `path`; as it is where there is none. Raises JsoncFault for what cannot be read."""
    if not text.strip():
        return text
    node = _parsed(text)
    for name in path[:-1]:
        found = next((member for member in node.members if member.name == name), None)
        if found is None:
            return text
        node = found.node
    index = next((index for index, member in enumerate(node.members) if member.name == path[-1]), None)
    if index is None:
        return text
    member = node.members[index]
    before = node.members[index - 1] if index else None
    if before is not None and member.comma is None:
        # the last one, without a comma of its own: the one before it loses its
        comma = before.comma
        assert comma is not None  # noqa: S101 - two members have one between them
        return text[:comma] + text[comma + 1 : before.node.end] + _without(text, before.node.end, member.node.end, comma)
    end = member.node.end if member.comma is None else member.comma + 1
    start = member.start
    line = text.rfind("\n", 0, start) + 1
    if not text[line:start].strip():
        # it stands on lines of its own: they go with it
        start = max(line - 1, node.start + 1) if line else line
    return text[:start] + text[end:]


def _without(text: str, start: int, end: int, comma: int) -> str:
    """What follows the member before: without its comma and without the removed one."""
    between = text[start:end]
    kept = between[: comma - start] + between[comma - start + 1 :] if start <= comma < end else between
    # of what stands between the two, comments stay
    blank = _BLANK.match(kept)
    rest = kept[: blank.end()] if blank is not None else ""
    return rest.rstrip() + text[end:]


def _inserted(text: str, table: _Node, name: str, value: Any) -> str:  # noqa: ANN401 - JSON
    unit = _unit(text)
    outer = _indent_at(text, table.start)
    inner = (
        _indent_at(text, table.members[0].start) if table.members and _own_line(text, table.members[0].start) else outer + unit
    )
    entry = f"{json.dumps(name, ensure_ascii=False)}: {_written(value, inner, unit)}"
    if not table.members:
        return f"{text[: table.start + 1]}\n{inner}{entry}{_blank_end(text, table)}\n{outer}{text[table.end - 1 :]}"
    last = table.members[-1]
    if last.comma is not None:
        return f"{text[: last.comma + 1]}\n{inner}{entry},{text[last.comma + 1 :]}"
    return f"{text[: last.node.end]},\n{inner}{entry}{_to_the_end(text, last, table, outer)}"


def _to_the_end(text: str, last: _Member, table: _Node, outer: str) -> str:
    rest = text[last.node.end :]
    if "\n" in text[last.node.end : table.end - 1]:
        return rest
    return f"\n{outer}{rest.lstrip(' ')}"


def _blank_end(text: str, table: _Node) -> str:
    """What stands in an empty table: comments, which stay after the new entry."""
    return text[table.start + 1 : table.end - 1].rstrip()


def _written(value: Any, indent: str, unit: str) -> str:  # noqa: ANN401 - JSON
    lines = json.dumps(value, indent=unit, ensure_ascii=False).split("\n")
    return "\n".join([lines[0], *(indent + line for line in lines[1:])])


def _unit(text: str) -> str:
    found = re.search(r"^[ \t]+(?=\")", text, re.MULTILINE)
    return found[0] if found else "  "


def _own_line(text: str, at: int) -> bool:
    return not text[text.rfind("\n", 0, at) + 1 : at].strip()


def _indent_at(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip())]


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _parsed(text: str) -> _Node:
    start = 1 if text.startswith("\ufeff") else 0
    at = _blank(text, start)
    node, at = _node(text, at, 0)
    at = _blank(text, at)
    if at != len(text):
        raise JsoncFault(f"unexpected {text[at : at + 10]!r} after the end", _line(text, at))
    return node


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    end = at if found is None else found.end()
    if text.startswith("/*", end):
        raise JsoncFault("a comment has no end", _line(text, end))
    return end


def _node(text: str, at: int, depth: int) -> tuple[_Node, int]:
    if depth > MOST_DEPTH:
        raise JsoncFault("nested without end", _line(text, at))
    if text.startswith("{", at):
        return _table(text, at, depth)
    if text.startswith("[", at):
        return _list(text, at, depth)
    found = _SCALAR.match(text, at)
    if found is None:
        raise JsoncFault(f"a value was expected, not {text[at : at + 10]!r}", _line(text, at))
    try:
        value: Any = json.loads(found[0])
    except ValueError as error:
        raise JsoncFault(str(error), _line(text, at)) from None
    return _Node(at, found.end(), value), found.end()


def _table(text: str, at: int, depth: int) -> tuple[_Node, int]:
    node = _Node(at, at, {})
    at = _blank(text, at + 1)
    while not text.startswith("}", at):
        start = at
        name, at = _node(text, at, depth)
        if not isinstance(name.value, str):
            raise JsoncFault("a name in quotation marks was expected", _line(text, start))
        at = _blank(text, at)
        if not text.startswith(":", at):
            raise JsoncFault("a colon was expected", _line(text, at))
        value, at = _node(text, _blank(text, at + 1), depth + 1)
        member = _Member(name.value, start, value)
        node.members.append(member)
        node.value[name.value] = value.value
        at, member.comma = _next(text, at, "}")
    node.end = at + 1
    return node, at + 1


def _list(text: str, at: int, depth: int) -> tuple[_Node, int]:
    node = _Node(at, at, [])
    at = _blank(text, at + 1)
    while not text.startswith("]", at):
        value, at = _node(text, at, depth + 1)
        node.value.append(value.value)
        at, _ = _next(text, at, "]")
    node.end = at + 1
    return node, at + 1


def _next(text: str, at: int, end: str) -> tuple[int, int | None]:
    """Past the comma, if there is one, to the next value or the end; and where the comma stands."""
    at = _blank(text, at)
    if text.startswith(",", at):
        return _blank(text, at + 1), at
    if not text.startswith(end, at):
        raise JsoncFault(f"a comma or {end!r} was expected", _line(text, at))
    return at, None
