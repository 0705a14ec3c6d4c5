"""A smallest JSON value that satisfies a schema, whose strings say that they are simulated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["instance_of"]

WORD = "simulated"


def instance_of(schema: object) -> Any:  # noqa: ANN401, PLR0911 - JSON out, one branch a JSON type
    """A value for the common keywords: type, enum, const, properties, items, minimum, minLength, anyOf."""
    if not isinstance(schema, Mapping):
        return WORD
    node = cast("Mapping[str, Any]", schema)
    if "const" in node:
        return node["const"]
    if node.get("enum"):
        return node["enum"][0]
    options = node.get("anyOf") or node.get("oneOf")
    if options:
        return instance_of(options[0])
    kind = node.get("type")
    if isinstance(kind, list):
        kind = cast("list[str]", kind)[0]
    match kind:
        case "object":
            properties: Mapping[str, Any] = node.get("properties") or {}
            return {name: instance_of(child) for name, child in properties.items()}
        case "array":
            return [instance_of(node.get("items"))] * max(int(node.get("minItems", 1)), 1)
        case "integer":
            return int(node.get("minimum", 1))
        case "number":
            return node.get("minimum", 1.0)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            least = int(node.get("minLength", 0))
            most = int(node.get("maxLength", max(least, len(WORD))))
            return (WORD * (least // len(WORD) + 1))[: max(min(most, max(least, len(WORD))), least)]
