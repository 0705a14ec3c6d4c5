"""The code that speech models know a language by, from what people and clients call it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from groq_fallback_mcp.json_types import is_list

__all__ = ["is_detected", "language_code", "only_one"]

# The model finds out by itself. Letters only, as people put spaces and hyphens anywhere.
_DETECTED = {
    *("auto", "automatic", "automatically", "automaticdetection", "detectautomatically"),
    *("autodetect", "autodetected", "autodetection", "autodetectlanguage"),
    *("detect", "detected", "detection", "detectlanguage", "languagedetection"),
    *("multilingual", "multi", "mixed", "unknown", "unspecified", "any", "default"),
    *("none", "null", "undefined", "und", "mul", "zxx"),
}
_CODE = re.compile(r"[a-z]{2,3}\Z")
_WORD = re.compile(r"[^\W\d_]+")
LONGEST_CODE = 3
LATIN = "la"


def only_one(given: object) -> object:
    """The member of a list of one; anything else as it was given."""
    return given[0] if is_list(given) and len(given) == 1 else given


def is_detected(text: str) -> bool:
    """Whether this asks for the language to be found out."""
    return text.strip() == "*" or "".join(_WORD.findall(text.casefold())) in _DETECTED


def language_code(text: str) -> str | None:
    """`en` for `en`, `EN`, `en-US`, `en_US.UTF-8`, `en;q=0.9`, `eng`, `English` and `American English`; None for what is not known here.

    The code of a country stands for its language where it is not a language that speech models know. Any other well-formed
    code is passed on: another provider may know it.
    """
    plain = " ".join(text.replace("\u2013", "-").lower().split()).strip("\"'")
    known = _codes()
    if plain in known:
        return known[plain]
    # what stands in brackets is a region or a script: "Serbian (Latin)"
    plain = " ".join(re.sub(r"\([^)]*\)?", " ", plain).split()) or plain
    if plain in known:
        return known[plain]
    # a name says more than a code beside it: "UK English"; of two, Latin is that of a region: "Latin American Spanish"
    named = [known[word] for word in _WORD.findall(plain) if len(word) > LONGEST_CODE and word in known]
    if named:
        return next((code for code in named if code != LATIN), LATIN)
    base = re.split(r"[-_. (,;]", plain, maxsplit=1)[0]
    return known.get(base) or (base if _CODE.match(base) and (base == plain or plain[len(base)] in "-_.,;") else None)


@cache
def _codes() -> Mapping[str, str]:
    """Each code by itself, by its other names, and by countries."""
    text = files("groq_fallback_mcp.audio").joinpath("languages.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    languages: dict[str, list[str]] = table["languages"]
    countries: dict[str, str] = table["countries"]
    return {**countries, **{name: code for code, names in languages.items() for name in (code, *names)}}
