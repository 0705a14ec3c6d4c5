"""One entry of a list in a YAML file, put in or taken out between two comments: every other line is left as it is.

YAML is not parsed: only a list in the block form that people write is changed, anything else is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from pydantic import JsonValue

__all__ = ["YamlFault", "has_entry", "snippet", "with_entry", "without_entry"]

BEGIN, END = "# groq-fallback-mcp: begin", "# groq-fallback-mcp: end"
BYTE_ORDER_MARK = "\ufeff"
_ITEM = re.compile(r"( *)- ")


class YamlFault(ValueError):
    """The text has no list that can be changed safely."""


def with_entry(text: str, name: str, entry: Mapping[str, JsonValue]) -> str:
    """The text with the entry at the end of the list `name`, which is made where there is none. Raises YamlFault."""
    lines = without_entry(text).splitlines(keepends=True)
    line_break = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    _require_plain(lines)
    start = _start(lines, name)
    if start is None:
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += line_break
        return "".join([*lines, f"{name}:{line_break}", *_written(entry, "  ", line_break)])
    last, indent = _block(lines, start)
    if not lines[last].endswith("\n"):
        lines[last] += line_break
    return "".join([*lines[: last + 1], *_written(entry, indent, line_break), *lines[last + 1 :]])


def without_entry(text: str) -> str:
    """The text without the entry, and without a list that held nothing else. Raises YamlFault where its comments are damaged."""
    lines = text.splitlines(keepends=True)
    begins = [at for at, line in enumerate(lines) if line.strip() == BEGIN]
    ends = [at for at, line in enumerate(lines) if line.strip() == END]
    if not begins and not ends:
        return text
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        message = f"its lines {BEGIN!r} and {END!r} do not match"
        raise YamlFault(message)
    begin, end = begins[0], ends[0] + 1
    rest = [*lines[:begin], *lines[end:]]
    before = lines[begin - 1] if begin else ""
    ends_list = end == len(lines) or not lines[end].startswith((" ", "-"))
    if re.fullmatch(r"[\w-]+:\s*", before) and ends_list:
        del rest[begin - 1]
    return "".join(rest)


def has_entry(text: str) -> bool:
    """Whether the entry is in the text, by its comments."""
    return any(line.strip() in {BEGIN, END} for line in text.splitlines())


def snippet(name: str, entry: Mapping[str, JsonValue]) -> str:
    """The list with the entry, to paste."""
    return "".join([f"{name}:\n", *_written(entry, "  ", "\n")])


def _require_plain(lines: list[str]) -> None:
    for number, line in enumerate(lines, 1):
        # a second document, or an indent that YAML forbids
        if (number > 1 and re.match(r"(---|\.\.\.)(\s|$)", line)) or re.match(r" *\t", line):
            message = f"line {number} has a form that is not edited here"
            raise YamlFault(message)


def _start(lines: list[str], name: str) -> int | None:
    """The line at which the list begins, None without one."""
    if lines and lines[0].removeprefix(BYTE_ORDER_MARK).startswith(("{", "[")):
        message = "it is written in braces"
        raise YamlFault(message)
    key = re.compile(rf"{BYTE_ORDER_MARK}?[\"']?{re.escape(name)}[\"']?\s*:")
    found = [at for at, line in enumerate(lines) if key.match(line)]
    if not found:
        return None
    if len(found) > 1 or not re.fullmatch(rf"{BYTE_ORDER_MARK}?{re.escape(name)}:\s*(#.*)?", lines[found[0]].rstrip("\r\n")):
        message = f"{name!r} on line {found[0] + 1} is not a list with one entry a line"
        raise YamlFault(message)
    return found[0]


def _block(lines: list[str], start: int) -> tuple[int, str]:
    """The last line of the list, and the indent of its entries."""
    last, indent = start, None
    for at in range(start + 1, len(lines)):
        line = lines[at]
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        item = _ITEM.match(line)
        if indent is None:
            if item is None and line.startswith(" "):
                message = f"line {at + 1} is not the first entry of a list"
                raise YamlFault(message)
            if item is None:
                break
            indent = item[1]
        if not line.startswith(" ") and (item is None or indent):
            break
        last = at
    return last, "  " if indent is None else indent


def _written(entry: Mapping[str, JsonValue], indent: str, line_break: str) -> list[str]:
    """Each value is JSON, which YAML reads alike."""
    fields = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in entry.items()]
    body = [f"- {fields[0]}", *(f"  {field}" for field in fields[1:])]
    return [f"{indent}{line}{line_break}" for line in (BEGIN, *body, END)]
