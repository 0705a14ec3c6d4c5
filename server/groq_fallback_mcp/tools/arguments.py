"""From a client's raw arguments to a tool's, and from a tool's arguments to a slim JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, cast

from pydantic import ValidationError

from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.render import clean
from groq_fallback_mcp.tools.tool import MORE, Arguments

__all__ = ["input_schema", "parse"]

SHOWN_CHARS = 80


def input_schema(arguments: type[Arguments], *, full: bool = True) -> dict[str, Any]:
    """The JSON schema of a tool's arguments without what costs an agent tokens and tells it nothing.

    Not `full`: without the arguments marked MORE, which are taken all the same.
    """
    schema = _inlined(arguments.model_json_schema())
    listed = cast("dict[str, dict[str, Any]]", schema.get("properties", {}))
    kept = {name: entry for name, entry in listed.items() if full or entry.get("toolset") != MORE["toolset"]}
    if len(kept) < len(listed):
        # a client that checks arguments must let the others through
        schema = {name: value for name, value in schema.items() if name != "additionalProperties"}
    return cast("dict[str, Any]", _slim({**schema, "properties": kept}))


def parse(arguments: type[Arguments], raw: Mapping[str, Any]) -> Arguments:
    """Validated arguments. Raises InputRefused that names each fault, the value and what is valid."""
    try:
        return arguments.model_validate(clean(dict(raw)))
    except ValidationError as error:
        faults = [_fault(arguments, dict(detail)) for detail in error.errors()[:4]]
        raise InputRefused("; ".join(faults), next_step=f"valid arguments: {', '.join(arguments.model_fields)}") from None


def _fault(arguments: type[Arguments], detail: Mapping[str, Any]) -> str:
    location = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        close = get_close_matches(location, list(arguments.model_fields), n=1)
        return f"unknown argument {location!r}" + (f", did you mean {close[0]!r}?" if close else "")
    if detail["type"] == "missing":
        return f"the argument {location!r} is missing"
    message = str(detail["msg"]).removeprefix("Value error, ")
    if not location:
        return message
    shown = repr(detail["input"])
    shown = shown if len(shown) <= SHOWN_CHARS else shown[:SHOWN_CHARS] + "…"
    return f"{location}: {message} (got {shown})"


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with what it refers to in the place of the references: some clients read none."""
    definitions = cast("dict[str, Any]", schema.pop("$defs", {}))

    def walk(value: Any) -> Any:  # noqa: ANN401 - JSON
        if isinstance(value, list):
            return [walk(item) for item in cast("list[Any]", value)]
        if not isinstance(value, dict):
            return value
        node = cast("dict[str, Any]", value)
        reference = node.get("$ref")
        if isinstance(reference, str):
            return walk(definitions[reference.removeprefix("#/$defs/")])
        return {name: walk(child) for name, child in node.items()}

    return cast("dict[str, Any]", walk(schema))


def _slim(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return [_slim(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    node = cast("dict[str, Any]", value)
    options = node.get("anyOf")
    if isinstance(options, list):
        kept = [option for option in cast("list[dict[str, Any]]", options) if option.get("type") != "null"]
        if len(kept) == 1:
            node = {key: item for key, item in node.items() if key != "anyOf"} | kept[0]
    dropped = {"title", "default", "toolset"} | ({"description"} if "properties" in node else set[str]())
    return {
        key: (
            {name: _slim(item) for name, item in cast("dict[str, Any]", child).items()} if key == "properties" else _slim(child)
        )
        for key, child in node.items()
        if key not in dropped or not isinstance(child, str | int | float | bool | None)
    }
