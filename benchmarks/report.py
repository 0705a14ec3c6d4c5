"""What the benchmarks' commands share: what of it is chosen, on what they ran, and how a README keeps its table."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["installed_version", "machine", "replace_results", "some_of", "table"]

BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"


def some_of(known: Collection[str]) -> Callable[[str], Sequence[str]]:
    """A type for argparse: some of the known names, with commas. Any other name is an error that lists them."""

    def read(text: str) -> Sequence[str]:
        names = text.split(",") if text else []
        for name in names:
            if name not in known:
                message = f"unknown name {name!r}. Choose from: {', '.join(known)}"
                raise argparse.ArgumentTypeError(message)
        return names

    return read


def machine() -> str:
    """The day, the machine and its Python."""
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


def installed_version(environment: Path, library: str) -> str:
    """A library's version in an environment; empty where it is not installed."""
    found = sorted(environment.glob(f"lib/python*/site-packages/{library}-*.dist-info"))
    return found[0].name.removeprefix(f"{library}-").removesuffix(".dist-info") if found else ""


def replace_results(readme: Path, text: str) -> None:
    """Put a text between the two marks. Raises ValueError where they are not there."""
    head, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        message = f"{readme} lacks {BEGIN.strip()} and {END.strip()}; add both lines where the results belong"
        raise ValueError(message)
    readme.write_text(f"{head}{BEGIN}{text}{END}{tail}", encoding="utf-8")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int) -> Iterator[str]:
    """The lines of a table in Markdown; the columns after the first `text_columns` are of figures."""
    yield f"| {' | '.join(headings)} |"
    yield "|" + "|".join("---" if number < text_columns else "---:" for number in range(len(headings))) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
