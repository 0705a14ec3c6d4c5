"""Results too long to return, kept as files of the user's state for a week, and read on page by page."""

from __future__ import annotations

import hashlib
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from groq_fallback_mcp.atomic_file import partial_name, sweep_partials, write_atomically
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.outgoing import sanitize
from groq_fallback_mcp.render import excerpt
from groq_fallback_mcp.tools.result_limit import head

__all__ = ["FOLDER", "Page", "cursor", "keep", "read_on", "reading_on"]

FOLDER = "results"
KEPT_S = 7 * 86_400.0
# A page stands twice in a result, as text and as structured content.
PAGE_BYTES = 16_000
PAGE_LINES = 1_500
_CURSOR = re.compile(r"^(?P<name>[a-z_]{1,40}-[0-9a-f]{16}\.[a-z]{1,8})(?::(?P<offset>[0-9]{1,12}))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A stretch of a kept result. `following` is the cursor of the next one, None at the end."""

    text: str
    start: int
    characters: int
    following: str | None


def keep(body: str, folder: Path, *, stem: str, suffix: str) -> Path:
    """Write a result, sanitized, into a folder of our own. Blocking. OSError where that cannot be done.

    The same content has the same name, and any number of threads and processes may write it at once.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep_partials(folder)
    _sweep_old(folder)
    content = sanitize(body).encode("utf-8", "replace")
    path = folder / f"{stem}-{hashlib.blake2b(content, digest_size=8).hexdigest()}{suffix}"
    write_atomically(path, content)
    return path


def _sweep_old(folder: Path) -> None:
    """Remove what was kept for KEPT_S, but never what another process writes again at this moment."""
    oldest = time.time() - KEPT_S
    for old in folder.iterdir():
        with suppress(OSError):
            if old.stat().st_mtime >= oldest:
                continue
            taken = old.with_name(partial_name())
            old.rename(taken)
            if taken.stat().st_mtime >= oldest:
                # written since it was looked at: back in its place, unless it was written once more
                os.link(taken, old)
            taken.unlink()


def cursor(name: str, offset: int) -> str:
    """What `read_on` goes on from: a kept result's name and how many of its characters were shown."""
    return f"{name}:{offset}"


def reading_on(at: str) -> str:
    """The next step of whoever has a cursor."""
    return f"call groq_chat with rest {at!r} alone"


def read_on(at: str, folder: Path) -> Page:
    """The page at a cursor. Blocking. Raises InputRefused."""
    found = _CURSOR.match(at)
    if found is None:
        raise InputRefused(f"rest {excerpt(at)} names no kept result", next_step="give rest as a result's next step says it")
    name, start = found["name"], int(found["offset"] or 0)
    try:
        whole = (folder / name).read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise InputRefused(
            f"the result {name} is not there: {error.strerror or error}",
            next_step="ask anew; results are kept for a week, on the machine that made them",
        ) from error
    if start >= len(whole):
        raise InputRefused(
            f"rest {excerpt(at)} is beyond the end: {name} has {len(whole):,} characters",
            next_step=f"give an offset below {len(whole)}",
        )
    text = head(whole[start:], PAGE_BYTES, most_lines=PAGE_LINES)
    end = start + len(text)
    return Page(text=text, start=start, characters=len(whole), following=cursor(name, end) if end < len(whole) else None)
