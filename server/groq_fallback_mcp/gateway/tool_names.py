"""Names of tools as every provider takes them for functions: letters, digits, underscores and dashes, 64 at most. Pure."""

from __future__ import annotations

import hashlib
import re

__all__ = ["function_name", "own_name"]

LONGEST_NAME = 64
_UNUSUAL = re.compile(r"[^a-zA-Z0-9_-]")
_HASH_CHARS = 8


def function_name(name: str) -> str:
    """The name where it is one that a function may have, else one that begins like it. Always the same for the same name."""
    flat = _UNUSUAL.sub("_", name)
    return flat if flat == name and len(flat) <= LONGEST_NAME else own_name(flat, name)


def own_name(name: str, whole: str) -> str:
    """A function's name that begins like `name`, and is that of `whole` alone."""
    digest = hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:_HASH_CHARS]
    return f"{name[: LONGEST_NAME - _HASH_CHARS - 1]}_{digest}"
