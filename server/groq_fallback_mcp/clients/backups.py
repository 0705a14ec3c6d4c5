"""What set-up changed, kept in the user's state folder: the file as it was, and what can be undone to the last byte.

Each change has a folder of its own, which is never used again; nothing is kept beside the client's file, which a team may
commit. A person runs set-up now and then, and removing the server removes what was kept for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groq_fallback_mcp.clients.config_file import PRIVATE

__all__ = ["Made", "first", "forget", "keep", "made_folders", "undo"]

RECORD, BEFORE = "record.json", "before"
MOST_RECORD_BYTES = 64 * 1024
_MOST_STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A change of a file: its text before (None: there was no file) and after, and the folders that were made for it."""

    path: Path
    before: str | None
    after: str
    folders: Sequence[Path] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """The text as it was before the first set-up, None where there was no file."""

    text: str | None


def keep(root: Path, made: Made) -> Path:
    """Keep a change below `root`; the path of the copy of the former text, or of the record where there was none.

    Raises OSError.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = _new_folder(root, made.path.name)
    record = {
        "path": str(made.path),
        "existed": made.before is not None,
        "after": _fingerprint(made.after),
        "folders": [str(one) for one in made.folders],
    }
    try:
        if made.before is not None:
            _write(folder / BEFORE, made.before)
        _write(folder / RECORD, json.dumps(record, indent=1))
    except BaseException:  # an interrupted set-up leaves nothing that nobody would find again
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder / (RECORD if made.before is None else BEFORE)


def undo(root: Path, path: Path, text: str) -> Undo | None:
    """What `path` held before set-up, where `text` is exactly what set-ups made of it; None where somebody changed it since."""
    found: Undo | None = None
    records = _records(root, path)
    now: str | None = text
    for _ in range(_MOST_STEPS):
        step = next((one for one in records if now is not None and one.fingerprint == _fingerprint(now)), None)
        if step is None:
            return found
        records.remove(step)
        now = step.before()
        if now is None and step.existed:
            return None
        found = Undo(text=now)
    return found


def first(root: Path, path: Path) -> str | None:
    """What `path` held before the first set-up that is still kept; None where there was no file, or its text cannot be read."""
    records = _records(root, path)
    return records[-1].before() if records else None


def made_folders(root: Path, path: Path) -> list[Path]:
    """The folders that set-ups of `path` made, innermost first."""
    folders = {folder for record in _records(root, path) for folder in record.folders}
    return sorted(folders, key=lambda folder: len(folder.parts), reverse=True)


def forget(root: Path, path: Path) -> None:
    """Remove all that was kept for `path`, and `root` with its own folder where nothing else is in them."""
    for record in _records(root, path):
        shutil.rmtree(record.folder, ignore_errors=True)
    # an interrupted set-up may have left an empty folder
    for folder in (*root.glob("*"), root, root.parent):
        with suppress(OSError):
            folder.rmdir()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    folder: Path
    existed: bool
    fingerprint: str
    folders: Sequence[Path]

    def before(self) -> str | None:
        try:
            return (self.folder / BEFORE).read_bytes().decode("utf-8") if self.existed else None
        except (OSError, UnicodeDecodeError):
            return None


def _records(root: Path, path: Path) -> list[_Record]:
    """Those of a file, newest first; what cannot be read is passed over."""
    found: list[tuple[float, str, _Record]] = []
    try:
        folders = [folder for folder in root.iterdir() if folder.is_dir()]
    except OSError:
        return []
    for folder in folders:
        try:
            with (folder / RECORD).open("rb") as file:
                value: Any = json.loads(file.read(MOST_RECORD_BYTES))
            if value["path"] != str(path):
                continue
            names = [Path(str(name)) for name in value["folders"]]
            record = _Record(
                folder=folder, existed=bool(value["existed"]), fingerprint=str(value["after"]), folders=tuple(names)
            )
            found.append(((folder / RECORD).stat().st_mtime, folder.name, record))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return [record for _, _, record in sorted(found, key=lambda one: one[:2], reverse=True)]


def _new_folder(root: Path, name: str) -> Path:
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{name.lstrip('.')[:80]}"
    number = 1
    while True:
        folder = root / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            number += 1
        else:
            return folder


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode("utf-8"))


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
