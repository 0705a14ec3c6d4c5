"""Reads an audio file from the folders that are open to transcription, and from nowhere else.

A path outside, a missing file, a link leading out, a device: all get one answer, so that nothing can be learnt
about files outside. Every step from an allowed folder down is opened without following links, so that a link
swapped in during the check is refused and not followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from groq_fallback_mcp.audio.duration import probe_duration_s
from groq_fallback_mcp.audio.kind import HEAD_BYTES, AudioKind, sniff
from groq_fallback_mcp.call import AudioFile
from groq_fallback_mcp.errors import InputRefused

__all__ = ["read_audio"]

# Absent on Windows, which has no such files to wait on and no per-folder open.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_READ = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_FOLDER = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_STEPWISE = os.open in os.supports_dir_fd


def read_audio(path: str, *, allowed: Sequence[Path], max_bytes: int, cwd: Path | None = None) -> AudioFile:
    """Check and read one file. Blocking: call it in a thread.

    `path` may begin with ~ and may be relative, to `cwd` or else to the first allowed folder. `max_bytes` is the
    largest file taken. Raises InputRefused: no readable regular file below an allowed folder, empty, too large,
    or no audio by its content.
    """
    if not allowed:
        raise InputRefused(
            f"{path!r} cannot be read: no folder is open to transcription",
            next_step="Set GROQ_FALLBACK_FILES to the folders that may be read, or pass an https address",
        )
    try:
        root, steps = _locate(path, allowed, cwd if cwd is not None else allowed[0])
        descriptor = _open_below(root, steps)
    except (OSError, ValueError) as error:
        raise _not_there(path, allowed) from error
    try:
        return _checked(descriptor, path, max_bytes)
    except OSError as error:
        raise _not_there(path, allowed) from error
    finally:
        os.close(descriptor)


def _locate(path: str, allowed: Sequence[Path], base: Path) -> tuple[Path, tuple[str, ...]]:
    """The allowed folder and the steps below it, links resolved. ValueError when it lies in none."""
    given = os.path.expanduser(path) if path == "~" or path.startswith("~/") else path  # noqa: PTH111 - keeps ~user
    target = Path(os.path.realpath(base.expanduser() / given))
    for folder in allowed:
        root = Path(os.path.realpath(folder.expanduser()))
        if target != root and target.is_relative_to(root):
            return root, target.relative_to(root).parts
    message = "outside the allowed folders"
    raise ValueError(message)


def _open_below(root: Path, steps: tuple[str, ...]) -> int:
    """A descriptor of the regular file `steps` below `root`; no step may be a link. OSError otherwise."""
    if not _STEPWISE:
        return _opened_regular(str(root.joinpath(*steps)), None)
    folder = os.open(root, _FOLDER)
    try:
        for step in steps[:-1]:
            below = os.open(step, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
        return _opened_regular(steps[-1], folder)
    finally:
        os.close(folder)


def _opened_regular(name: str, folder: int | None) -> int:
    # Looked at before opening, as opening a device can act on it, and after, as it may have been swapped.
    _require_regular(os.stat(name, dir_fd=folder, follow_symlinks=False))
    descriptor = os.open(name, _READ, dir_fd=folder)
    try:
        _require_regular(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        message = "not a regular file"
        raise OSError(message)


def _checked(descriptor: int, path: str, max_bytes: int) -> AudioFile:
    size = os.fstat(descriptor).st_size
    if size == 0:
        raise InputRefused(f"{path!r} is empty", next_step="Pass a file that holds a recording")
    if size > max_bytes:
        raise _too_large(path, size, max_bytes)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        head = file.read(HEAD_BYTES)
        kind = sniff(head)
        if kind is None:
            kinds = ", ".join(AudioKind)
            raise InputRefused(
                f"{path!r} is not audio by its content, whatever its name says",
                next_step=f"Pass one of {kinds}",
            )
        content = head + file.read(max(0, max_bytes + 1 - len(head)))
    if len(content) > max_bytes:
        raise _too_large(path, len(content), max_bytes)
    return AudioFile(
        name=_fitting_name(path, kind),
        content=content,
        media_type=kind.media_type,
        duration_s=probe_duration_s(content, kind),
    )


def _fitting_name(path: str, kind: AudioKind) -> str:
    """The file's name with the extension its content asks for: providers judge by the name."""
    return f"{Path(path).stem}.{kind.extension}"


def _not_there(path: str, allowed: Sequence[Path]) -> InputRefused:
    folders = ", ".join(str(folder) for folder in allowed)
    return InputRefused(
        f"{path!r} cannot be read: no readable regular file is there inside the folders open to transcription ({folders})",
        next_step="Check the path, copy the file into one of them, or add its folder to GROQ_FALLBACK_FILES",
    )


def _too_large(path: str, size: int, max_bytes: int) -> InputRefused:
    return InputRefused(
        f"{path!r} has {size:,} bytes, the limit is {max_bytes:,}",
        next_step="Split or compress it (16 kHz mono FLAC or Opus is enough for speech), or pass an https address",
    )
