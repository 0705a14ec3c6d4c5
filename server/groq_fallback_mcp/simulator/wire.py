"""Reading JSON that anybody may have sent: whatever is not of the kind looked for reads as empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from groq_fallback_mcp.json_types import is_list, is_object

__all__ = ["Messages", "Payload", "is_texts", "items", "table", "text_of"]

Payload = Mapping[str, Any]
Messages = Sequence[Mapping[str, Any]]


def items(value: object) -> list[Any]:
    """The items of a JSON list; none for anything else."""
    return value if is_list(value) else []


def table(value: object) -> Payload:
    """The fields of a JSON object; none for anything else."""
    return value if is_object(value) else {}


def is_texts(value: object) -> bool:
    """Whether it is a JSON list of texts."""
    return is_list(value) and all(isinstance(item, str) for item in value)


def text_of(content: object) -> str:
    """The text of a message's content, which is a text or a list of parts."""
    if isinstance(content, str):
        return content
    return " ".join(str(table(part).get("text", "")) for part in items(content) if table(part).get("type") == "text")
