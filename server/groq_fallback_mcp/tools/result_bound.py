"""The last step of every result on its way to a client: what is too long is kept in files and its ends are returned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio.to_thread
import pydantic_core

from groq_fallback_mcp.outgoing import is_clean_json, sanitize, sanitize_json
from groq_fallback_mcp.tools.kept_results import FOLDER, cursor, keep, reading_on
from groq_fallback_mcp.tools.result_limit import ENVELOPE_BYTES, RESULT_BYTES, TEXT_LINES, ends, fits, json_bytes, shortened
from groq_fallback_mcp.tools.tool import Reply

__all__ = ["sanitized", "sendable"]

TEXT_SHARE = 0.45
LACKING_BYTES = 1_500
# Written with a space after each comma and colon it is longer, but not so much.
SURELY_SHORT_BYTES = RESULT_BYTES // 2


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
    text = "\n".join([first, *([f"[… {gap:,} characters are left out here …]", last] if gap > 0 else []), _notice(places)])
    return Reply(text=text, structured={**fields, "whole": places}, is_error=reply.is_error)


def _told(lacking: Mapping[str, str]) -> dict[str, str]:
    """What is lacking of which field, as far as there is room to tell it."""
    return shortened(lacking, LACKING_BYTES)[0]


def _places(kept: _Kept, lacking: Mapping[str, str], read: int) -> dict[str, Any]:
    if kept.fault is not None:
        lost = f"the rest is lost: {kept.fault}"
        return {"lacking": dict(lacking), "lost": lost, "next_step": "make that folder writable, or ask for less at once"}
    path = kept.text or kept.fields
    at = "" if path is None else cursor(path.name, read if path is kept.text else 0)
    return {
        "lacking": dict(lacking),
        **({} if kept.text is None else {"text_path": str(kept.text)}),
        "json_path": str(kept.fields),
        "next_step": f"read {path}; where you cannot read files, {reading_on(at)}",
    }


def _notice(places: Mapping[str, Any]) -> str:
    if "lost" in places:
        return f"Note: too long to return; {places['lost']}\nNext step: {places['next_step']}."
    whole = places.get("text_path", places["json_path"])
    return (
        f"Note: too long to return whole. All of it stands in {whole}, with every field in {places['json_path']}, for a week.\n"
        f"Next step: {places['next_step']}."
    )
