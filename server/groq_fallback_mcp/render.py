"""The last step before the wire: text and numbers that any JSON reader takes.

A model's answer can hold a lone surrogate or NaN; the SDK dies on the first, clients on the second.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, cast

__all__ = ["clean", "clean_text", "quoted", "sentence"]

_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")


def clean_text(text: str) -> str:
    """`text` with each lone surrogate and NUL replaced by U+FFFD."""
    return _UNSENDABLE.sub("\ufffd", text)


def clean(value: Any) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """`value` with every text cleaned, and numbers that JSON does not know replaced by null."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean_text(str(key)): clean(item) for key, item in cast("Mapping[object, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in cast("list[Any]", value)]
    return value


def quoted(text: str) -> str:
    """`text` of somebody else on one line between quotation marks, which it cannot end itself."""
    return '"' + " ".join(text.split()).replace('"', "'") + '"'


def sentence(text: str) -> str:
    """`text` with a full stop, unless it ends with a mark of its own."""
    return text if text.endswith((".", "?", "!", "…")) else f"{text}."
