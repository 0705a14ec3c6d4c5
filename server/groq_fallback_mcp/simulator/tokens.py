"""How many tokens a text is taken for: a plain rule, since no tokenizer of Groq's models is at hand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["count_prompt_tokens", "count_tokens", "images_of", "text_of"]

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_IMAGE = 1_600


def count_tokens(text: str) -> int:
    """A token for every four UTF-8 bytes, rounded up."""
    return math.ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN)


def count_prompt_tokens(messages: Sequence[Mapping[str, Any]], *extras: object) -> int:
    """Tokens of the messages and of whatever else is put before the model, such as tools and a schema."""
    total = sum(
        TOKENS_PER_MESSAGE + count_tokens(text_of(message.get("content"))) + TOKENS_PER_IMAGE * images_of(message)
        for message in messages
    )
    return total + sum(count_tokens(json.dumps(extra, ensure_ascii=False)) for extra in extras if extra)


def text_of(content: object) -> str:
    """The text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in _parts(content) if part.get("type") == "text")


def images_of(message: Mapping[str, Any]) -> int:
    """How many images a message holds."""
    return sum(1 for part in _parts(message.get("content")) if part.get("type") == "image_url")


def _parts(content: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401 - JSON of a stranger
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
