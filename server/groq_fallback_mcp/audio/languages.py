"""The code that speech models know a language by, from what people and clients call it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import cast

__all__ = ["DETECTED", "language_code"]

# The model finds out by itself.
DETECTED = {
    "auto",
    "automatic",
    "autodetect",
    "auto-detect",
    "detect",
    "detected",
    "multilingual",
    "unknown",
    "any",
    "und",
    "mul",
}
_CODE = re.compile(r"[a-z]{2,3}\Z")


def language_code(text: str) -> str | None:
    """`en` for `en`, `EN`, `en-US`, `en_US.UTF-8`, `eng` and `English`; None for what is no language known here.

    A well-formed code that is not in the list is passed on: another provider may know it.
    """
    plain = " ".join(text.strip().lower().split())
    known = _codes()
    if plain in known:
        return known[plain]
    base = re.split(r"[-_. (]", plain, maxsplit=1)[0]
    return known.get(base) or (base if _CODE.match(base) and (base == plain or plain[len(base)] in "-_.") else None)


@cache
def _codes() -> Mapping[str, str]:
    """Each code by itself and by its other names."""
    text = files("groq_fallback_mcp.audio").joinpath("languages.toml").read_text(encoding="utf-8")
    languages = cast("dict[str, list[str]]", tomllib.loads(text)["languages"])
    return {name: code for code, names in languages.items() for name in (code, *names)}
