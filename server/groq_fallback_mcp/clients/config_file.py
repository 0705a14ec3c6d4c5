"""A client's configuration file, read and replaced: whole or not at all, and never waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from groq_fallback_mcp.atomic_file import replace_file
from groq_fallback_mcp.errors import ConfigurationError, InputRefused
from groq_fallback_mcp.system import on_windows

__all__ = ["PRIVATE", "exists", "mode_for_others", "read_text", "require_inside", "require_writable", "write_text"]

MOST_BYTES = 10 * 1024 * 1024
PRIVATE = 0o600
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def exists(path: Path) -> bool:
    """Whether anything is there, be it a link to nothing; false also where that cannot be seen."""
    return os.path.lexists(path)


def read_text(path: Path) -> str | None:
    """The text, None where there is no file. Raises ConfigurationError for what is not a readable UTF-8 file of at most 10 MB."""
    try:
        # before opening: opening a device can act on it, and a FIFO would be waited for
        if not stat.S_ISREG(path.stat().st_mode):
            raise _refused(path, "is not a regular file", "Move it away, then run the command again")
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        if path.is_symlink():
            raise _refused(path, "is a link to a file that does not exist", "Remove the link, or create the file") from None
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    try:
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _refused(path, "is not a regular file", "Move it away, then run the command again")
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(content) > MOST_BYTES:
        raise _refused(path, f"is larger than {MOST_BYTES // 1024**2} MB", "Check whether it is the right file")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text (byte {error.start})"
        raise _refused(path, what, "Save it as UTF-8, then run the command again") from None


def require_inside(path: Path, root: Path) -> None:
    """Raise InputRefused for a path that a link leads out of `root`: it may be somebody else's file."""
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise InputRefused(
            f"{path} leads out of {root} by a link", next_step="Change the file it leads to by hand, or remove the link"
        )


def require_writable(path: Path) -> None:
    """Raise ConfigurationError for a file that is marked read-only, which replacing it would pass over."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not mode & 0o222 or not os.access(path, os.W_OK):
        raise _refused(path, "is read-only", "Make it writable (chmod u+w), then run the command again")


def mode_for_others(path: Path) -> int | None:
    """The mode of a file by which other users can read or change it; None where there is none, as on Windows."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    return None if on_windows() or not mode & 0o077 else mode


def write_text(path: Path, text: str, *, mode: int | None = None) -> None:
    """Replace the file. It keeps its mode, a new one gets the user's usual; `mode` sets another. A link is followed.

    Folders on the way are made. Raises OSError.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    kept = stat.S_IMODE(target.stat().st_mode) if mode is None and target.exists() else mode
    partial = target.with_name(f".{target.name[:200]}.{os.getpid()}.new")
    try:
        # the user's umask takes from the mode of a new file
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), kept or 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8"))
        if kept is not None:
            partial.chmod(kept)
        replace_file(partial, target)
    except BaseException:  # also when interrupted
        partial.unlink(missing_ok=True)
        raise


def _unreadable(path: Path, error: Exception) -> ConfigurationError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return _refused(path, f"cannot be read ({why})", "Check its permissions and its folder")


def _refused(path: Path, what: str, next_step: str) -> ConfigurationError:
    return ConfigurationError(f"{path} {what}; nothing was changed", next_step=next_step)
