"""What is remembered of batches that were submitted here: a small file each, in the state folder. All of it blocks."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from groq_fallback_mcp.atomic_file import sweep_partials, write_atomically
from groq_fallback_mcp.outgoing import sanitize

__all__ = ["Note", "known_notes", "note_of", "write_note"]

_FIT_FOR_A_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
MOST_NOTES = 1_000


class Note(BaseModel):
    """A batch: which model was asked how many prompts, and when (Unix seconds)."""

    model_config = ConfigDict(frozen=True)

    id: str
    model: str
    prompts: int
    created_s: float


def write_note(state: Path, note: Note) -> None:
    """Keep it. An id that is no file name, or holds a secret, is not kept: Groq keeps the batch all the same."""
    if not _FIT_FOR_A_NAME.fullmatch(note.id) or sanitize(note.id) != note.id:
        return
    folder = state / "batches"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep_partials(folder)
    write_atomically(folder / f"{note.id}.json", sanitize(note.model_dump_json()).encode())


def note_of(state: Path, id_: str) -> Note | None:
    """The note of one batch, None without one."""
    if not _FIT_FOR_A_NAME.fullmatch(id_):
        return None
    try:
        return Note.model_validate_json((state / "batches" / f"{id_}.json").read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def known_notes(state: Path) -> list[Note]:
    """All notes, newest first."""
    found = [note_of(state, path.stem) for path in (state / "batches").glob("*.json")]
    return sorted((note for note in found if note is not None), key=lambda note: -note.created_s)[:MOST_NOTES]
