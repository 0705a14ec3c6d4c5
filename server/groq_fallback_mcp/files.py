"""Opens files below the folders that may be read, and from nowhere else; and writes new ones there.

A path outside, a link leading out, a device: all get one answer, so that nothing can be learnt about files outside. That a
file is missing is said only where no link stands between it and the folder. Every step from an allowed folder down is opened without following links, so that a link
swapped in during the check is refused and not followed. Results are never written under a hidden name, nor under one that
tools run, obey or read settings from: protected_names.toml.
"""

from __future__ import annotations

import os
import stat
import tomllib
import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from groq_fallback_mcp.atomic_file import partial_name, replace_file, sweep_partials
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.own_files import is_own, remember
from groq_fallback_mcp.redaction import sanitize
from groq_fallback_mcp.render import path_excerpt
from groq_fallback_mcp.system import on_windows

__all__ = ["check_target", "not_there", "open_allowed", "path_of_file_url", "write_allowed"]

# Absent on Windows, which has no such files to wait on and no per-folder open.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_COMMON = _NO_FOLLOW | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_READ = os.O_RDONLY | _COMMON | getattr(os, "O_NONBLOCK", 0)
_FOLDER = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_STEPWISE = os.open in os.supports_dir_fd
# Of ext4, APFS and NTFS alike; the last counts characters, which are never more.
LONGEST_NAME_BYTES = 255
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
# Whatever is put into these is imported or run.
_LOADED_FOLDERS = {"node_modules", "site-packages", "dist-packages", "__pycache__"}


def open_allowed(path: str, *, allowed: Sequence[Path], cwd: Path | None = None) -> int:
    """A descriptor of one regular file, for reading. Blocking: call it in a thread.

    `path` may begin with ~ and may be relative, to `cwd` or else to the first allowed folder. Raises InputRefused where
    no readable regular file is there below an allowed folder.
    """
    if not allowed:
        raise InputRefused(
            f"{path_excerpt(path)} cannot be read because no folder is allowed",
            next_step="Set GROQ_FALLBACK_FILES to the folders that may be read, or pass an https URL",
        )
    base = cwd if cwd is not None else allowed[0]
    try:
        root, steps = _locate(path, allowed, base)
        return _open_below(root, steps)
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError) and _has_no_link(path, allowed, base):
            raise InputRefused(f"{path_excerpt(path)} does not exist", next_step="Check the path") from error
        raise not_there(path, allowed) from error


def path_of_file_url(url: str) -> str:
    """The path in a `file:` address. Raises ValueError where it names another machine."""
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"}:
        message = f"the file URL names another machine ({parts.netloc[:80]}); give the path of a file on this one"
        raise ValueError(message)
    return url2pathname(parts.path)


def check_target(
    path: str, *, allowed: Sequence[Path], extensions: Sequence[str], overwrite: bool = False, records: Path | None = None
) -> None:
    """Raises InputRefused, before any work is done, for a path that `write_allowed` would refuse. Blocking: call it in a thread."""
    _target(path, allowed, extensions, records if overwrite else None)


def write_allowed(
    path: str,
    content: str | bytes,
    *,
    allowed: Sequence[Path],
    extensions: Sequence[str],
    overwrite: bool = False,
    records: Path | None = None,
) -> Path:
    """Write a new file below an allowed folder; its folder must exist. Blocking: call it in a thread.

    A text is sanitized; bytes are sound and are written as they are. `extensions` are those it may have, such as .wav:
    nothing that a machine would run or read its settings from. With `overwrite` it replaces a file that this server wrote and
    nobody has changed since, as `records` says, and no other. Written beside its place and put there at the end, so that it is
    whole or not there. Raises InputRefused.
    """
    written = sanitize(content).encode("utf-8", "replace") if isinstance(content, str) else content
    root, steps, replaces = _target(path, allowed, extensions, records if overwrite else None)
    try:
        _write_below(root, steps, written, overwrite=replaces)
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        raise InputRefused(
            f"{path_excerpt(path)} cannot be written: {error.strerror or error}",
            next_step="check the folder, its permissions and the free space",
        ) from error
    if records is not None:
        remember(records, written)
    return root.joinpath(*steps)


def not_there(path: str, allowed: Sequence[Path]) -> InputRefused:
    """The one answer for whatever cannot be read."""
    folders = ", ".join(str(folder) for folder in allowed)
    return InputRefused(
        f"{path_excerpt(path)} is not a readable file in the allowed folders ({folders})",
        next_step="Check the path, copy the file into one of them, or add its folder to GROQ_FALLBACK_FILES",
    )


def _target(
    path: str, allowed: Sequence[Path], extensions: Sequence[str], own: Path | None
) -> tuple[Path, tuple[str, ...], bool]:
    """The allowed folder, the steps below it, and whether a file is there that may be replaced.

    `own`: the records of such files, None where none may be.
    """
    if not allowed:
        raise InputRefused(
            f"{path_excerpt(path)} cannot be written because no folder is allowed",
            next_step="Set GROQ_FALLBACK_FILES to the folders that may be written to",
        )
    base = allowed[0].expanduser()
    try:
        # the name itself stays as it is: a link in its place is refused, not followed
        name = Path(path).name
        parent = Path(os.path.realpath((base / _expanded(path)).parent))
        # the innermost: a folder that is open by itself may be hidden, one inside another may not
        root = max((folder for folder in _roots(allowed) if parent.is_relative_to(folder)), key=lambda one: len(one.parts))
    except (OSError, ValueError) as error:
        folders = ", ".join(str(folder) for folder in allowed)
        raise InputRefused(
            f"{path_excerpt(path)} is outside the allowed folders ({folders})",
            next_step="give a path below one of them",
        ) from error
    target = parent / name
    steps = target.relative_to(root).parts
    fault = _name_fault(steps or (name,), extensions)
    if fault is not None:
        raise InputRefused(f"{path_excerpt(path)} cannot be written: {fault[0]}", next_step=fault[1])
    try:
        if not parent.is_dir():
            raise InputRefused(
                f"The directory of {path_excerpt(path)} does not exist", next_step="create it, or give another path"
            )
        if not os.access(parent, os.W_OK):
            raise InputRefused(
                f"{path_excerpt(path)} cannot be written: nothing may be written in its folder", next_step="give another path"
            )
        occupied = target.is_symlink() or target.exists()
    except OSError as error:
        raise InputRefused(
            f"{path_excerpt(path)} cannot be written: {error.strerror or error}", next_step="give another path"
        ) from error
    if occupied:
        if own is None or target.is_symlink() or not target.is_file():
            raise _taken(path)
        if not _is_own(root, steps, own):
            raise InputRefused(
                f"{path_excerpt(path)} already exists and was not written by this server, or was changed since",
                next_step="give another name, or delete that file yourself",
            )
    return root, steps, occupied


def _is_own(root: Path, steps: tuple[str, ...], records: Path) -> bool:
    try:
        descriptor = _open_below(root, steps)
    except OSError:
        return False
    try:
        return is_own(records, descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _taken(path: str) -> InputRefused:
    return InputRefused(
        f"{path_excerpt(path)} already exists", next_step="give another name, or overwrite: true if this server wrote it"
    )


def _write_below(root: Path, steps: tuple[str, ...], content: bytes, *, overwrite: bool) -> None:
    folder = _open_folder(root, steps[:-1]) if _STEPWISE else None
    beside = root.joinpath(*steps[:-1])
    name = steps[-1] if folder is not None else str(beside / steps[-1])
    partial = partial_name() if folder is not None else str(beside / partial_name())
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _COMMON, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            if overwrite:
                replace_file(partial, name, folder)
            else:
                _place_new(partial, name, folder)
        except BaseException:
            os.unlink(partial, dir_fd=folder)
            raise
    finally:
        if folder is not None:
            os.close(folder)
    sweep_partials(beside)


def _place_new(partial: str, name: str, folder: int | None) -> None:
    """Give a file its name. Unlike a rename it fails where somebody was there first. Raises OSError."""
    try:
        os.link(partial, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        # memory sticks and some network drives know no links; the name is taken first, by an empty file
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _COMMON, 0o600, dir_fd=folder))
        try:
            replace_file(partial, name, folder)
        except BaseException:
            os.unlink(name, dir_fd=folder)
            raise
    else:
        os.unlink(partial, dir_fd=folder)


def _locate(path: str, allowed: Sequence[Path], base: Path) -> tuple[Path, tuple[str, ...]]:
    """The allowed folder and the steps below it, links resolved. ValueError when it lies in none."""
    target = Path(os.path.realpath(base.expanduser() / _expanded(path)))
    for root in _roots(allowed):
        if target != root and target.is_relative_to(root):
            return root, target.relative_to(root).parts
    message = "outside the allowed folders"
    raise ValueError(message)


def _has_no_link(path: str, allowed: Sequence[Path], base: Path) -> bool:
    """Whether a path lies in an allowed folder as it is written, and no part of it below that is a link, which could lead outside."""
    plain = _expanded(path)
    # an address, or another user's home, is not meant as a name in this folder
    if ".." in Path(plain).parts or plain.startswith("~") or "://" in plain:
        return False
    written = Path(os.path.normpath(base.expanduser() / plain))
    target = Path(os.path.realpath(written))
    pairs = zip((folder.expanduser() for folder in allowed), _roots(allowed), strict=True)
    return any(
        written.is_relative_to(folder) and target == root / written.relative_to(folder)
        for given, root in pairs
        for folder in (given, root)
    )


def _open_below(root: Path, steps: tuple[str, ...]) -> int:
    """A descriptor of the regular file `steps` below `root`; no step may be a link. OSError otherwise."""
    if not _STEPWISE:
        return _opened_regular(str(root.joinpath(*steps)), None)
    folder = _open_folder(root, steps[:-1])
    try:
        return _opened_regular(steps[-1], folder)
    finally:
        os.close(folder)


def _open_folder(root: Path, steps: tuple[str, ...]) -> int:
    """A descriptor of the folder `steps` below `root`; no step may be a link. OSError otherwise."""
    folder = os.open(root, _FOLDER)
    try:
        for step in steps:
            below = os.open(step, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = below
    except OSError:
        os.close(folder)
        raise
    return folder


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


def _expanded(path: str) -> str:
    return os.path.expanduser(path) if path == "~" or path.startswith("~/") else path  # noqa: PTH111 - keeps ~user


def _roots(allowed: Sequence[Path]) -> list[Path]:
    return [Path(os.path.realpath(folder.expanduser())) for folder in allowed]


def _name_fault(steps: Sequence[str], extensions: Sequence[str]) -> tuple[str, str] | None:
    """Why no result is written to the path `steps` below an open folder, and what to do; None where it may be."""
    name, parts = steps[-1], [_as_compared(step) for step in steps]
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME_BYTES:
        return f"its name is longer than {LONGEST_NAME_BYTES} bytes", "give a shorter name"
    if any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        return "its name contains control characters", "give a name without them"
    if any(not part or part.startswith(".") for part in parts):
        return "a part of its path is hidden", "give a path whose parts do not begin with a dot"
    return _loaded_fault(parts) or _extension_fault(name, parts[-1], extensions) or _protected_fault(parts[-1], extensions[0])


def _loaded_fault(parts: Sequence[str]) -> tuple[str, str] | None:
    loaded = _LOADED_FOLDERS.intersection(parts[:-1])
    return ("programs load files from that folder", "give another folder") if loaded else None


def _extension_fault(name: str, compared: str, extensions: Sequence[str]) -> tuple[str, str] | None:
    # beyond a colon Windows writes into another stream of the file before it
    streamed = on_windows() and ":" in name
    if not streamed and any(compared.endswith(ending) and len(compared) > len(ending) for ending in extensions):
        return None
    return "its extension does not match the format", f"give a name that ends in {' or '.join(extensions)}"


def _protected_fault(compared: str, extension: str) -> tuple[str, str] | None:
    what = next((what for pattern, what in _protected() if fnmatchcase(compared, pattern)), None)
    if what is None:
        return None
    return f"that name is used for {what}", f"give a descriptive name, e.g. interview{extension}"


def _as_compared(step: str) -> str:
    """As a file system compares names that ignores case, forms of letters, or what is not shown."""
    visible = "".join(one for one in step if unicodedata.category(one) != "Cf")
    return unicodedata.normalize("NFKC", visible).casefold().rstrip(". ")


@cache
def _protected() -> tuple[tuple[str, str], ...]:
    source = resources.files("groq_fallback_mcp").joinpath("protected_names.toml").read_text(encoding="utf-8")
    return tuple((name, row["what"]) for row in tomllib.loads(source)["protected"] for name in row["names"])
