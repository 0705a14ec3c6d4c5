"""Under which names results may be written: never a hidden one, never one that tools run, obey or read settings from. Pure.

The names are data: protected_names.toml.
"""

from __future__ import annotations

import os
import tomllib
import unicodedata
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources

__all__ = ["LONGEST_NAME_BYTES", "name_fault"]

# Of ext4, APFS and NTFS alike; the last counts characters, which are never more.
LONGEST_NAME_BYTES = 255
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
# Whatever is put into these is imported or run.
_LOADED_FOLDERS = {"node_modules", "site-packages", "dist-packages", "__pycache__"}


def name_fault(steps: Sequence[str], extensions: Sequence[str]) -> tuple[str, str] | None:
    """Why no result is written to the path `steps` below an open folder, and what to do; None where it may be."""
    name, parts = steps[-1], [_as_compared(step) for step in steps]
    if len(name.encode("utf-8", "surrogatepass")) > LONGEST_NAME_BYTES:
        return f"its name is longer than {LONGEST_NAME_BYTES} bytes", "give a shorter name"
    if any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        return "its name holds control characters", "give a name without them"
    if any(not part or part.startswith(".") for part in parts):
        return "a part of its path is hidden", "give a path whose parts do not begin with a dot"
    return _loaded_fault(parts) or _extension_fault(name, parts[-1], extensions) or _protected_fault(parts[-1], extensions[0])


def _loaded_fault(parts: Sequence[str]) -> tuple[str, str] | None:
    loaded = _LOADED_FOLDERS.intersection(parts[:-1])
    return ("programs load what is in that folder", "give another folder") if loaded else None


def _extension_fault(name: str, compared: str, extensions: Sequence[str]) -> tuple[str, str] | None:
    # beyond a colon Windows writes into another stream of the file before it
    streamed = os.name == "nt" and ":" in name
    if not streamed and any(compared.endswith(ending) and len(compared) > len(ending) for ending in extensions):
        return None
    return "its extension is not that of what is written", f"give a name that ends in {' or '.join(extensions)}"


def _protected_fault(compared: str, extension: str) -> tuple[str, str] | None:
    what = next((what for pattern, what in _protected() if fnmatchcase(compared, pattern)), None)
    if what is None:
        return None
    return f"that name is used for {what}", f"give a name that says what it holds, such as interview{extension}"


def _as_compared(step: str) -> str:
    """As a file system compares names that ignores case, forms of letters, or what is not shown."""
    visible = "".join(one for one in step if unicodedata.category(one) != "Cf")
    return unicodedata.normalize("NFKC", visible).casefold().rstrip(". ")


@cache
def _protected() -> tuple[tuple[str, str], ...]:
    source = resources.files("groq_fallback_mcp").joinpath("protected_names.toml").read_text(encoding="utf-8")
    return tuple((name, row["what"]) for row in tomllib.loads(source)["protected"] for name in row["names"])
