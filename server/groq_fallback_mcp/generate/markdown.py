"""Markdown tables and the cells in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["ZERO_SPEND", "code", "figure", "table"]

ZERO_SPEND = "-"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty cells are shown as a dash, and nothing in a cell can end it."""
    lines = [_row(headings), "|" + "---|" * len(headings)]
    lines += [_row([cell or ZERO_SPEND for cell in row]) for row in rows]
    return "\n".join(lines)


def code(text: str) -> str:
    """Text as code."""
    return f"`{text}`"


def figure(number: int | None) -> str:
    """A whole number with thousands set apart; empty when there is none."""
    return "" if number is None else f"{number:,}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
