"""No result is longer than clients pass on: of a longer one the ends are shown, and all of it is kept in files for a week.

Clients cut a result or spill it beyond some 40 KB, or 2,000 lines of text, each in its own way. A result counts as what goes over
the wire, text and structured content together, since some clients show their model both. `sendable` is the last step of every
result on its way out; an agent that cannot read files reads on page by page, with a cursor.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio.to_thread
import pydantic_core

from groq_fallback_mcp.atomic_file import partial_name, sweep_partials, write_atomically
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.json_types import is_list, is_object
from groq_fallback_mcp.redaction import is_clean_json, sanitize, sanitize_json
from groq_fallback_mcp.render import excerpt
from groq_fallback_mcp.tools.tool import Reply

__all__ = [
    "FOLDER",
    "RESULT_BYTES",
    "cursor",
    "ends",
    "fits",
    "head",
    "json_bytes",
    "keep",
    "read_on",
    "reading_on",
    "sanitized",
    "sendable",
    "shortened",
]

RESULT_BYTES = 40_000
# The fields around text and structured content.
ENVELOPE_BYTES = 400
TEXT_LINES = 2_000
_MARK = "…"
# Half of a value that a program will read is worse than none of it.
_WHOLE_OR_NONE = {"answer"}
# Of an error the code and the next step matter most, and are short.
_OPENED = {"error"}
TEXT_SHARE = 0.45
LACKING_BYTES = 1_500
# Written with a space after each comma and colon it is longer, but not so much.
SURELY_SHORT_BYTES = RESULT_BYTES // 2
FOLDER = "results"
KEPT_S = 7 * 86_400.0
# A page stands twice in a result, as text and as structured content.
PAGE_BYTES = 16_000
PAGE_LINES = 1_500
_CURSOR = re.compile(r"^(?P<name>[a-z_]{1,40}-[0-9a-f]{16}\.[a-z]{1,8})(?::(?P<offset>[0-9]{1,12}))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """Where all of a result stands; or why it stands nowhere."""

    text: Path | None = None
    fields: Path | None = None
    fault: str | None = None


async def sendable(reply: Reply, *, name: str, state: Path) -> Reply:
    """A reply sanitized, and no longer than clients pass on.

    `name` is the tool's. Of a longer one the beginning and the end are returned, and where all of it stands.
    """
    if _is_short_and_clean(reply):
        return reply
    reply = sanitized(reply)
    if fits(reply.text, reply.structured):
        return reply
    body = reply.body or reply.text
    kept = await anyio.to_thread.run_sync(_kept, reply, body, name, state / FOLDER)
    shown = reply if reply.brief is None else sanitized(reply.brief())
    return _within(shown, kept, read=len(body) if shown is reply and reply.text.startswith(body) else 0)


def sanitized(reply: Reply) -> Reply:
    """The reply without secrets and terminal controls."""
    body = None if reply.body is None else sanitize(reply.body)
    return replace(reply, text=sanitize(reply.text), structured=sanitize_json(reply.structured), body=body)


def _is_short_and_clean(reply: Reply) -> bool:
    """Whether there is surely nothing to take out or to shorten: seen in the JSON as a whole, far faster than value by value."""
    try:
        written = pydantic_core.to_json([reply.text, reply.structured], inf_nan_mode="constants")
    except (ValueError, TypeError):
        return False
    if len(written) > SURELY_SHORT_BYTES or written.count(b"\\n") >= TEXT_LINES:
        return False
    return is_clean_json(written)


def _kept(reply: Reply, body: str, name: str, folder: Path) -> _Kept:
    fields = json.dumps(reply.structured, indent=1, ensure_ascii=False) + "\n"
    try:
        text = keep(body, folder, stem=name, suffix=".txt") if body.strip() else None
        return _Kept(text=text, fields=keep(fields, folder, stem=name, suffix=".json"))
    except OSError as error:
        return _Kept(fault=f"{folder} cannot be written: {error.strerror or error}")


def _within(reply: Reply, kept: _Kept, *, read: int) -> Reply:
    """The reply's ends and its shortened fields, with the places of the whole. `read`: the most of the kept text that is shown."""
    widest = _places(kept, {}, read)
    room = RESULT_BYTES - ENVELOPE_BYTES - LACKING_BYTES - json_bytes(widest) - json_bytes(_notice(widest))
    first, last = ends(reply.text, int(max(room, 0) * TEXT_SHARE))
    if len(first) + len(last) >= len(reply.text):
        first, last = reply.text, ""
    fields, lacking = shortened(reply.structured, max(room, 0) - json_bytes(first) - json_bytes(last))
    places = _places(kept, _told(lacking), min(len(first), read))
    gap = len(reply.text) - len(first) - len(last)
    text = "\n".join([first, *([f"[… {gap:,} characters omitted …]", last] if gap > 0 else []), _notice(places)])
    return Reply(text=text, structured={**fields, "whole": places}, is_error=reply.is_error)


def _told(lacking: Mapping[str, str]) -> dict[str, str]:
    """What is lacking of which field, as far as there is room to tell it."""
    return shortened(lacking, LACKING_BYTES)[0]


def _places(kept: _Kept, lacking: Mapping[str, str], read: int) -> dict[str, Any]:
    if kept.fault is not None:
        lost = f"the rest is lost: {kept.fault}"
        return {"lacking": dict(lacking), "lost": lost, "next_step": "Make that folder writable, or request less at once"}
    path = kept.text or kept.fields
    at = "" if path is None else cursor(path.name, read if path is kept.text else 0)
    return {
        "lacking": dict(lacking),
        **({} if kept.text is None else {"text_path": str(kept.text)}),
        "json_path": str(kept.fields),
        "next_step": f"Read {path}, or {reading_on(at)}",
    }


def _notice(places: Mapping[str, Any]) -> str:
    if "lost" in places:
        return f"Note: Too long to return; {places['lost']}\nNext step: {places['next_step']}."
    whole = places.get("text_path", places["json_path"])
    return (
        f"Note: Too long to return in full. All of it is in {whole}, with every field in {places['json_path']}, for a week.\n"
        f"Next step: {places['next_step']}."
    )


def fits(text: str, structured: Mapping[str, Any]) -> bool:
    """Whether clients pass a result on whole."""
    lines = text.count("\n") + 1
    return lines <= TEXT_LINES and json_bytes(text) + json_bytes(structured) <= RESULT_BYTES - ENVELOPE_BYTES


def json_bytes(value: Any) -> int:
    """What a value takes on the wire, as UTF-8."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def head(text: str, most_bytes: int, *, most_lines: int | None = None) -> str:
    """The longest beginning of a text that takes so many bytes on the wire, and whole characters only."""
    text = text[: max(most_bytes, 0)]
    if most_lines is not None:
        text = "".join(text.splitlines(keepends=True)[:most_lines])
    least, most = 0, len(text)
    while least < most:
        middle = (least + most + 1) // 2
        if json_bytes(text[:middle]) - 2 <= most_bytes:
            least = middle
        else:
            most = middle - 1
    return text[:least]


def ends(text: str, most_bytes: int) -> tuple[str, str]:
    """The beginning of a text, and the whole lines at its end: the account of a call stands there."""
    first = head(text, most_bytes * 3 // 4, most_lines=TEXT_LINES * 3 // 4)
    room, last = most_bytes // 4, list[str]()
    for line in reversed(text[len(first) :].split("\n")[-TEXT_LINES // 8 :]):
        room -= json_bytes(f"{line}\n") - 2
        if room < 0:
            break
        last.append(line)
    return first, "\n".join(reversed(last))


def shortened(value: Mapping[str, Any], most_bytes: int) -> tuple[dict[str, Any], dict[str, str]]:
    """The fields of a result within so many bytes, and what was taken from which.

    The small ones stay whole. Of a long text the head stays, of a list the first rows that fit whole; anything else goes.
    """
    shown: dict[str, Any] = {}
    lacking: dict[str, str] = {}
    sizes = {name: json_bytes(part) for name, part in value.items()}
    room, left = most_bytes - 2, len(value)
    for name in sorted(sizes, key=sizes.__getitem__):
        around = json_bytes(name) + 4
        share = room // left - around
        part, taken = (value[name], None) if sizes[name] <= share else _part(name, value[name], share)
        if taken is not None:
            lacking[name] = taken
        if part is not None or taken is None:
            shown[name] = part
            room -= json_bytes(part) + around
        left -= 1
    return {name: shown[name] for name in value if name in shown}, lacking


def _part(name: str, value: Any, most_bytes: int) -> tuple[Any, str]:
    """What of a value fits, None where nothing does; and the words for what was taken."""
    if name in _WHOLE_OR_NONE:
        return None, "omitted"
    if isinstance(value, str):
        first = head(value, most_bytes - 2 - len(_MARK.encode()))
        return (f"{first}{_MARK}" if first else None), f"{len(first):,} of {len(value):,} characters"
    if is_list(value):
        fitting = _first_rows(value, most_bytes)
        return fitting or None, f"{len(fitting):,} of {len(value):,}"
    if is_object(value) and name in _OPENED:
        fields, lacking = shortened(value, most_bytes)
        return fields or None, "; ".join(f"{field}: {taken}" for field, taken in lacking.items())
    return None, "omitted"


def _first_rows(rows: Sequence[Any], most_bytes: int) -> list[Any]:
    fitting: list[Any] = []
    room = most_bytes - 2
    for row in rows:
        room -= json_bytes(row) + 2
        if room < 0:
            break
        fitting.append(row)
    return fitting


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A stretch of a kept result. `following` is the cursor of the next one, None at the end."""

    text: str
    start: int
    characters: int
    following: str | None


def keep(body: str | bytes, folder: Path, *, stem: str, suffix: str) -> Path:
    """Write a result, a text sanitized, into a folder of our own. Blocking. OSError where that cannot be done.

    The same content has the same name, and any number of threads and processes may write it at once.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep_partials(folder)
    _sweep_old(folder)
    content = sanitize(body).encode("utf-8", "replace") if isinstance(body, str) else body
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
    """The next step for a cursor."""
    return f"call groq_chat with only cursor {at!r}"


def read_on(at: str, folder: Path) -> Page:
    """The page at a cursor. Blocking. Raises InputRefused."""
    found = _CURSOR.match(at)
    if found is None:
        raise InputRefused(
            f"cursor {excerpt(at)} does not name a stored result", next_step="give the cursor from a result's next step"
        )
    name, start = found["name"], int(found["offset"] or 0)
    try:
        whole = (folder / name).read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise InputRefused(
            f"the result {name} cannot be read ({error.strerror or error})",
            next_step="repeat the original call; results are kept for a week on the machine that made them",
        ) from error
    if start >= len(whole):
        raise InputRefused(
            f"cursor {excerpt(at)} is beyond the end: {name} has {len(whole):,} characters",
            next_step=f"give an offset below {len(whole)}",
        )
    text = head(whole[start:], PAGE_BYTES, most_lines=PAGE_LINES)
    end = start + len(text)
    return Page(text=text, start=start, characters=len(whole), following=cursor(name, end) if end < len(whole) else None)
