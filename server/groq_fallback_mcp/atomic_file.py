"""Writes a file whole or not at all, however many writers there are at once and however one of them ends.

Each writer has a temporary file of its own beside the target, whose name does not grow with the target's. What a dead
process left of those is swept away later, and never stands in another writer's way.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

from groq_fallback_mcp.system import on_windows

__all__ = ["PRIVATE", "partial_name", "replace_file", "sweep_partials", "write_atomically"]

PRIVATE = 0o600
# No write takes so long: what is older was left by a process that is dead.
ABANDONED_S = 3_600.0
REPLACE_TRIES = 20
REPLACE_AGAIN_S = 0.01
_PARTIAL = re.compile(r"\.groq-fallback-mcp-[0-9a-f]{16}\.part")
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def write_atomically(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write or replace a file that only its owner can read. Blocking. `durable`: on the disk before this returns.

    Raises OSError; then nothing has changed.
    """
    partial = path.with_name(partial_name())
    descriptor = os.open(partial, _WRITE, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        replace_file(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def replace_file(partial: str | Path, target: str | Path, folder: int | None = None) -> None:
    """Let a file take the place of another, both below the descriptor `folder` where one is given. Blocking. Raises OSError.

    Windows refuses it while anybody reads the other, which takes a moment.
    """
    for _ in range(REPLACE_TRIES - 1 if on_windows() else 0):
        with suppress(PermissionError):
            os.replace(partial, target, src_dir_fd=folder, dst_dir_fd=folder)
            return
        time.sleep(REPLACE_AGAIN_S)
    os.replace(partial, target, src_dir_fd=folder, dst_dir_fd=folder)


def partial_name() -> str:
    """A new name for a temporary file."""
    return f".groq-fallback-mcp-{secrets.token_hex(8)}.part"


def sweep_partials(folder: Path) -> None:
    """Remove temporary files of dead processes from a folder. Blocking; never raises OSError."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if _PARTIAL.fullmatch(entry.name) is None:
                continue
            with suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < time.time() - ABANDONED_S:
                    Path(entry.path).unlink()
