"""The last step before the wire: text and numbers that any JSON reader takes.

A model's answer can hold a lone surrogate or NaN; the SDK dies on the first, clients on the second.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from groq_fallback_mcp.json_types import is_array, is_mapping

__all__ = ["SHOWN_CHARS", "capitalized", "clean", "clean_text", "counted", "excerpt", "path_excerpt", "quoted", "sentence"]

# Of a value that was refused, so that it can be recognized; it may be a file of megabytes.
SHOWN_CHARS = 80
SHOWN_NAMES = 3
# Python refuses to write integers of thousands of digits.
_LONGEST_BITS = 3 * SHOWN_CHARS
_PLAIN_WORD = re.compile(r"[a-z]+(?=[ ,;:]|$)")
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")


def clean_text(text: str) -> str:
    """`text` with each lone surrogate and NUL replaced by U+FFFD."""
    return _UNSENDABLE.sub("\ufffd", text)


def clean(value: Any) -> Any:
    """`value` with every text cleaned, and numbers that JSON does not know replaced by null."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_mapping(value):
        return {clean_text(str(key)): clean(item) for key, item in value.items()}
    if is_array(value):
        return [clean(item) for item in value]
    return value


def counted(number: int, noun: str) -> str:
    """A number with its noun, whose plural ends in s: 1 model, 1,000 models."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def path_excerpt(path: str) -> str:
    """The last SHOWN_CHARS characters of a path in quotation marks: its name tells more than where it begins."""
    return repr(path) if len(path) <= SHOWN_CHARS else repr(f"…{path[-SHOWN_CHARS:]}")


def excerpt(value: object, *, quoted: bool = True) -> str:
    """At most SHOWN_CHARS characters of a value as JSON has it, a text in quotation marks unless `quoted` is false."""
    if not isinstance(value, str):
        return _cut(_shown(value))
    # cut first: the rest of it need not be looked at
    begun = value[: SHOWN_CHARS + 1]
    return _cut(repr(begun) if quoted else begun)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"


def _shown(value: object) -> str:
    if is_mapping(value):
        names = [excerpt(str(name)) for name in list(value)[:SHOWN_NAMES]]
        return "an object with " + ", ".join(names) if names else "an empty object"
    if is_array(value):
        return f"a list of {len(value)}, first {excerpt(value[0])}" if value else "an empty list"
    if isinstance(value, int) and value.bit_length() > _LONGEST_BITS:
        return "a whole number of very many digits"
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return str(value)


def quoted(text: str) -> str:
    """`text` of somebody else on one line between quotation marks, which it cannot end itself."""
    return '"' + " ".join(text.split()).replace('"', "'") + '"'


def capitalized(text: str) -> str:
    """`text` with a capital where it begins with a plain word; names of models, settings and files stay as they are."""
    return text[0].upper() + text[1:] if _PLAIN_WORD.match(text) else text


def sentence(text: str) -> str:
    """`text` with a capital and a full stop, unless it ends with a mark of its own."""
    text = capitalized(text)
    return text if text.endswith((".", "?", "!", "…")) else f"{text}."
