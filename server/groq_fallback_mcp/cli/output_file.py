"""Files that a person names for output: looked at before anything is sent, and written without harm to what is there."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from filelock import FileLock, Timeout

from groq_fallback_mcp.atomic_file import write_atomically
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.settings import state_folder

__all__ = ["check_writable", "locked", "refuse_same_file", "replace_file", "unwritable"]


def check_writable(path: Path, *, existing: str | None) -> bool:
    """Whether the file exists. `existing` is what to do if it does, None where that is fine.

    Raises InputRefused where it cannot be written.
    """
    try:
        exists = path.exists()
        if exists and existing is not None:
            raise InputRefused(f"The file {path} already exists", next_step=existing)
        if exists and not path.is_file():
            raise InputRefused(f"Cannot write {path} (it is not a regular file)", next_step="Choose another name")
        if not path.parent.is_dir():
            raise InputRefused(f"The directory {path.parent} does not exist", next_step="Create it, or choose another name")
        if not os.access(path if exists else path.resolve().parent, os.W_OK):
            raise InputRefused(f"Cannot write {path} (permission denied)", next_step="Choose another name")
    except OSError as error:
        raise unwritable(path, error) from None
    return exists


def unwritable(path: Path, error: OSError) -> InputRefused:
    """What a person reads where a file cannot be written."""
    return InputRefused(f"Cannot write {path} ({error.strerror or error})", next_step="Choose another name")


def locked(path: Path) -> AbstractContextManager[object]:
    """The lock of a file that is read, and written again later: it is held now, until it is left. Raises InputRefused where another has it.

    Where no lock can be had, as in a state folder that cannot be written, the file is used without one.
    """
    try:
        name = hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    except (OSError, RuntimeError) as error:
        raise InputRefused(f"{path} cannot be followed ({error})", next_step="Choose another name") from None
    try:
        folder = state_folder() / "locks"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileLock(folder / name, mode=0o600).acquire(blocking=False)
    except Timeout:
        raise InputRefused(
            f"Another run is writing to {path}", next_step="Wait until it ends, or choose another name"
        ) from None
    except OSError:
        return nullcontext()


def refuse_same_file(named: Iterable[tuple[str, Path | None]]) -> None:
    """Raises InputRefused where two options name the same file."""
    seen: dict[Path, str] = {}
    for option, path in named:
        if path is None:
            continue
        try:
            whole = path.resolve()
        except (OSError, RuntimeError) as error:
            raise InputRefused(
                f"{option} names a path that cannot be followed ({error})", next_step="Choose another name"
            ) from None
        if whole in seen:
            raise InputRefused(
                f"{seen[whole]} and {option} name the same file, {path}", next_step="Choose another name for one"
            )
        seen[whole] = option


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file as a whole, through a link and with the mode it has; a new one is only for its owner. Raises OSError."""
    target = path.resolve()
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    write_atomically(target, content)
    if mode is not None:
        target.chmod(mode)
