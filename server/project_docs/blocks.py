"""Markdown: tables, and blocks between the markers `<!-- generated: NAME -->` and `<!-- /generated: NAME -->`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from groq_fallback_mcp.errors import InputRefused

__all__ = ["code", "figure", "fill_blocks", "table"]

_NOTHING = "-"

_MARKER = re.compile(r"\s*<!--\s*(?P<end>/?)\s*generated\s*:\s*(?P<name>.*?)\s*-->\s*")

_LINK = re.compile(r"\]\((?![a-z]+:|#)")


def fill_blocks(text: str, *, file: str, blocks: Mapping[str, str]) -> str:
    """`text` with what stands between its markers replaced; all else stays as it is.

    `file` is the document's path below the root. The links of a block are relative to the root.

    Raises InputRefused naming file and line for an unknown name, a marker without its partner, or a block in a block.
    """
    lines: list[str] = []
    opened: tuple[str, int] | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        marker = _MARKER.fullmatch(line)
        if marker is None:
            if opened is None:
                lines.append(line)
            continue
        name = marker["name"]
        if marker["end"]:
            _check_end(name, opened, file, number)
            opened = None
        else:
            _check_start(name, opened, file, number, blocks)
            opened = (name, number)
        lines += [line] if marker["end"] else [line, "", _linked_from(file, blocks[name]), ""]
    if opened is not None:
        raise _unclosed(opened, file)
    return "\n".join(lines)


def _linked_from(file: str, block: str) -> str:
    """The block with its links relative to the document that it stands in."""
    return _LINK.sub("](" + "../" * file.count("/"), block)


def _check_start(name: str, opened: tuple[str, int] | None, file: str, number: int, blocks: Mapping[str, str]) -> None:
    if opened is not None:
        raise _unclosed(opened, file)
    if name not in blocks:
        near = get_close_matches(name, list(blocks), n=1)
        hint = f"write {near[0]!r}" if near else f"write one of {', '.join(blocks)}"
        raise InputRefused(
            f"{file}, line {number}: no generated block is called {name!r}", next_step=f"{hint}, or remove the markers"
        )


def _check_end(name: str, opened: tuple[str, int] | None, file: str, number: int) -> None:
    if opened is None:
        raise InputRefused(
            f"{file}, line {number}: the end marker of {name!r} has no start marker",
            next_step=f"put <!-- generated: {name} --> above it, or remove it",
        )
    if name != opened[0]:
        raise _unclosed(opened, file)


def _unclosed(opened: tuple[str, int], file: str) -> InputRefused:
    name, number = opened
    return InputRefused(
        f"{file}, line {number}: the block {name!r} has no end marker",
        next_step=f"put <!-- /generated: {name} --> on a line of its own below it",
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty cells are shown as a dash, and nothing in a cell can end it."""
    lines = [_row(headings), "|" + "---|" * len(headings)]
    lines += [_row([cell or _NOTHING for cell in row]) for row in rows]
    return "\n".join(lines)


def code(text: str) -> str:
    """Text as code."""
    return f"`{text}`"


def figure(number: int | None) -> str:
    """A whole number with thousands set apart; empty when there is none."""
    return "" if number is None else f"{number:,}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
