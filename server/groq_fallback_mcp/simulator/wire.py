"""Reading JSON that anybody may have sent: whatever is not of the kind looked for reads as empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

__all__ = ["Messages", "Payload", "is_texts", "items", "table", "text_of"]

Payload = Mapping[str, Any]
Messages = Sequence[Mapping[str, Any]]


def items(value: Any) -> list[Any]:  # noqa: ANN401 - JSON in
    """The items of a JSON list; none for anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def table(value: Any) -> Payload:  # noqa: ANN401 - JSON in
    """The fields of a JSON object; none for anything else."""
    return cast("Payload", value) if isinstance(value, dict) else {}


def is_texts(value: Any) -> bool:  # noqa: ANN401 - JSON in
    """Whether it is a JSON list of texts."""
    return isinstance(value, list) and all(isinstance(item, str) for item in items(value))


def text_of(content: Any) -> str:  # noqa: ANN401 - JSON in
    """The text of a message's content, which is a text or a list of parts."""
    if isinstance(content, str):
        return content
    return " ".join(str(table(part).get("text", "")) for part in items(content) if table(part).get("type") == "text")
