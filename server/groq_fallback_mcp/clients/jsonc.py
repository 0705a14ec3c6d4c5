"""JSON with comments, changed in place: one value set or removed, every other character left as it is.

People keep comments, order and trailing commas in their editors' settings; a parser that rewrites the document loses all
of them. So the document is read with the place of each part, and only the text of the change is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

__all__ = ["JsoncFault", "digest", "is_empty", "loads", "remove", "remove_empty", "set_value"]

_BLANK = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_REST_OF_LINE = re.compile(r"(?:[ \t]|/\*[^\n]*?\*/)*(?://[^\r\n]*)?(?=\r?\n)")
_SCALAR = re.compile(r'"(?:[^"\\\n]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null')
BYTE_ORDER_MARK = "\ufeff"
MOST_DEPTH = 200
_SIGNS = frozenset('{}[]:,"')


class JsoncFault(ValueError):
    """The text is not JSON with comments, or has no place for the value. `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


@dataclass(slots=True)
class _Node:
    start: int
    kind: Literal["table", "list", "scalar"]
    end: int = 0
    scalar: Any = None
    members: list[_Member] = field(default_factory=list["_Member"])
    items: list[_Node] = field(default_factory=list["_Node"])

    def plain(self) -> Any:
        match self.kind:
            case "table":
                return {member.name: member.node.plain() for member in self.members}
            case "list":
                return [item.plain() for item in self.items]
            case "scalar":
                return self.scalar


@dataclass(slots=True)
class _Member:
    name: str
    start: int
    node: _Node
    comma: int | None = None


def loads(text: str) -> Any:
    """The value of the document; an empty text counts as an empty table. Raises JsoncFault."""
    return _parsed(text).plain()


def is_empty(text: str) -> bool:
    """Whether the document is an empty table without a comment, or nothing at all."""
    return "".join(text.removeprefix(BYTE_ORDER_MARK).split()) in {"", "{}"}


def digest(text: str, *, without: Sequence[str]) -> str:
    """All that the document says but for the value at `without`, with repeated names and order, for comparison.

    Tables on the way to that value which hold nothing else count as absent. Raises JsoncFault.
    """
    return repr(_said(_parsed(text), tuple(without)))


def set_value(text: str, path: Sequence[str], value: Any) -> str:
    """The text with `value` at `path`; tables on the way are made. An empty text counts as an empty table.

    Raises JsoncFault for what cannot be read, or where the path leads through something that is not a table or is there twice.
    """
    if not text.removeprefix(BYTE_ORDER_MARK).strip():
        text = f"{text[: text.startswith(BYTE_ORDER_MARK)]}{{}}\n"
    node = _parsed(text)
    for depth, name in enumerate(path):
        member = _only(text, node, path[: depth + 1])
        if member is None:
            for outer in reversed(path[depth + 1 :]):
                value = {outer: value}
            return _inserted(text, node, name, value)
        node = member.node
    indent = _indent_at(text, node.start)
    return text[: node.start] + _written(value, indent, text) + text[node.end :]


def remove(text: str, path: Sequence[str]) -> str:
    """The text without the value at `path`; as it is where there is none. Raises JsoncFault as `set_value` does."""
    if not text.removeprefix(BYTE_ORDER_MARK).strip():
        return text
    node = _parsed(text)
    for depth in range(1, len(path) + 1):
        member = _only(text, node, path[:depth]) if node.kind == "table" else None
        if member is None:
            return text
        if depth == len(path):
            return _taken_out(text, node, node.members.index(member))
        node = member.node
    return text


def remove_empty(text: str, path: Sequence[str]) -> str:
    """The text without the table at `path` where nothing is in it, not even a comment, which is somebody's."""
    node = loads(text)
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    bare = remove(text, path)
    kept = text.count("//") == bare.count("//") and text.count("/*") == bare.count("/*")
    return bare if node == {} and kept else text


def _only(text: str, node: _Node, path: Sequence[str]) -> _Member | None:
    """The member at the end of `path` in its table; None without one."""
    if node.kind != "table":
        where = f"{'.'.join(path[:-1])!r}" if len(path) > 1 else "the document"
        raise JsoncFault(f"{where} is not a table", _line(text, node.start))
    found = [member for member in node.members if member.name == path[-1]]
    if len(found) > 1:
        raise JsoncFault(
            f"{path[-1]!r} appears twice, first on line {_line(text, found[0].start)}", _line(text, found[1].start)
        )
    return found[0] if found else None


def _said(node: _Node, without: tuple[str, ...]) -> object:
    match node.kind:
        case "scalar":
            return node.scalar
        case "list":
            return [_said(item, ()) for item in node.items]
        case "table":
            said: list[tuple[str, object]] = []
            for member in node.members:
                here = bool(without) and member.name == without[0]
                if here and len(without) == 1:
                    continue
                below = _said(member.node, without[1:] if here else ())
                if not (here and member.node.kind == "table" and not below):
                    said.append((member.name, (member.node.kind, below)))
            return tuple(said)


def _taken_out(text: str, table: _Node, index: int) -> str:
    member, before = table.members[index], table.members[index - 1] if index else None
    start = len(text[: member.start].rstrip(" \t"))
    end = member.node.end if member.comma is None else member.comma + 1
    # with something else behind it on its last line, the line break before it stays: it may end a comment
    own_lines = text[start - 1 : start] == "\n" and not text[end:].lstrip(" \t")[:1].strip()
    if own_lines:
        # the line break before it goes with it
        start -= 2 if text[start - 2 : start] == "\r\n" else 1
    elif member.comma is not None:
        # what follows on the line takes its place
        start, end = member.start, end + len(text[end:]) - len(text[end:].lstrip(" \t"))
    rest = text[:start] + text[end:]
    if member.comma is None and before is not None and before.comma is not None:
        rest = rest[: before.comma] + rest[before.comma + 1 :]
    if len(table.members) == 1:
        inside = rest[table.start + 1 : table.end - 1 - (len(text) - len(rest))]
        if not inside.strip():
            rest = rest[: table.start + 1] + rest[table.start + 1 + len(inside) :]
    return rest


def _inserted(text: str, table: _Node, name: str, value: Any) -> str:
    line_break, outer = _line_break(text), _indent_at(text, table.start)
    first = table.members[0] if table.members else None
    inner = _indent_at(text, first.start) if first is not None and _own_line(text, first.start) else outer + _unit(text)
    entry = f"{line_break}{inner}{json.dumps(name, ensure_ascii=False)}: {_written(value, inner, text)}"
    last = table.members[-1] if table.members else None
    if last is None:
        # a comment in an empty table stays before the entry
        inside = text[table.start + 1 : table.end - 1].rstrip()
        return f"{text[: table.start + 1]}{inside}{entry}{line_break}{outer}{text[table.end - 1 :]}"
    at = last.node.end if last.comma is None else last.comma + 1
    # a comment on the line of the last member stays there
    rest_of_line = _REST_OF_LINE.match(text, at, table.end)
    after = at if rest_of_line is None else rest_of_line.end()
    comma, own_comma = (",", "") if last.comma is None else ("", ",")
    closing = "" if "\n" in text[at : table.end - 1] else f"{line_break}{outer}"
    rest = text[after:].lstrip(" \t") if closing else text[after:]
    return f"{text[:at]}{comma}{text[at:after]}{entry}{own_comma}{closing}{rest}"


def _written(value: Any, indent: str, text: str) -> str:
    lines = json.dumps(value, indent=_unit(text), ensure_ascii=False).split("\n")
    return _line_break(text).join([lines[0], *(indent + line for line in lines[1:])])


def _line_break(text: str) -> str:
    at = text.find("\n")
    return "\r\n" if at > 0 and text[at - 1] == "\r" else "\n"


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


# An edit reads the same few texts again and again; the nodes are never changed.
@lru_cache(maxsize=4)
def _parsed(text: str) -> _Node:
    at = _blank(text, 1 if text.startswith(BYTE_ORDER_MARK) else 0)
    if at == len(text):
        return _Node(at, "table", end=at)
    node, at = _node(text, at, 0)
    at = _blank(text, at)
    if at != len(text):
        raise JsoncFault(f"unexpected {text[at : at + 10]!r} after the end", _line(text, at))
    return node


def _blank(text: str, at: int) -> int:
    if text[at : at + 1] in _SIGNS:
        return at
    found = _BLANK.match(text, at)
    end = at if found is None else found.end()
    if text.startswith("/*", end):
        raise JsoncFault("a comment has no end", _line(text, end))
    return end


def _node(text: str, at: int, depth: int) -> tuple[_Node, int]:
    if depth > MOST_DEPTH:
        raise JsoncFault(f"nested deeper than {MOST_DEPTH} levels", _line(text, at))
    if text.startswith("{", at):
        return _table(text, at, depth)
    if text.startswith("[", at):
        return _list(text, at, depth)
    found = _SCALAR.match(text, at)
    if found is None:
        raise JsoncFault(f"expected a value, not {text[at : at + 10]!r}", _line(text, at))
    try:
        value: Any = json.loads(found[0])
    except ValueError as error:
        raise JsoncFault(str(error), _line(text, at)) from None
    return _Node(at, "scalar", end=found.end(), scalar=value), found.end()


def _table(text: str, at: int, depth: int) -> tuple[_Node, int]:
    node = _Node(at, "table")
    at = _blank(text, at + 1)
    while not text.startswith("}", at):
        start = at
        name, at = _node(text, at, depth)
        if not isinstance(name.scalar, str):
            raise JsoncFault("expected a name in quotation marks", _line(text, start))
        at = _blank(text, at)
        if not text.startswith(":", at):
            raise JsoncFault("expected a colon", _line(text, at))
        value, at = _node(text, _blank(text, at + 1), depth + 1)
        member = _Member(name.scalar, start, value)
        node.members.append(member)
        at, member.comma = _next(text, at, "}")
    node.end = at + 1
    return node, at + 1


def _list(text: str, at: int, depth: int) -> tuple[_Node, int]:
    node = _Node(at, "list")
    at = _blank(text, at + 1)
    while not text.startswith("]", at):
        value, at = _node(text, at, depth + 1)
        node.items.append(value)
        at, _ = _next(text, at, "]")
    node.end = at + 1
    return node, at + 1


def _next(text: str, at: int, end: str) -> tuple[int, int | None]:
    """Past the comma, if there is one, to the next value or the end; and where the comma is."""
    at = _blank(text, at)
    if text.startswith(",", at):
        return _blank(text, at + 1), at
    if not text.startswith(end, at):
        raise JsoncFault(f"expected a comma or {end!r}", _line(text, at))
    return at, None
