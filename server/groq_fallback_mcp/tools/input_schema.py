"""A tool's arguments as a slim JSON schema that every client takes, strict ones too.

Gemini and Vertex refuse a whole list of tools for one argument without `type`, with `type: null`, or with a description
beside `anyOf`. Titles and defaults cost an agent tokens and tell it nothing.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from groq_fallback_mcp.json_types import is_list, is_object
from groq_fallback_mcp.tools.tool import MORE, Arguments

__all__ = ["input_schema"]


def input_schema(arguments: type[Arguments], *, full: bool = True) -> dict[str, Any]:
    """The JSON schema of a tool's arguments. Not `full`: without those marked MORE, which are taken all the same."""
    schema = _inlined(arguments.model_json_schema(schema_generator=_Slim))
    listed: dict[str, dict[str, Any]] = schema.get("properties", {})
    kept = {name: entry for name, entry in listed.items() if full or entry.get("toolset") != MORE["toolset"]}
    if len(kept) < len(listed):
        # a client that checks arguments must let the others through
        schema.pop("additionalProperties", None)
    shown = {name: {key: part for key, part in entry.items() if key != "toolset"} for name, entry in kept.items()}
    return {**schema, "properties": shown}


class _Slim(GenerateJsonSchema):
    """No titles, no defaults, no null, and of a model no words about it."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        return {key: part for key, part in made.items() if key not in {"title", "description"}}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        return {"type": "number", **({"minimum": schema["ge"]} if "ge" in schema else {})}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with what it refers to in the place of the references: some clients read none."""
    definitions: dict[str, Any] = schema.pop("$defs", {})

    def walk(value: Any) -> Any:
        if is_list(value):
            return [walk(item) for item in value]
        return walk_object(value) if is_object(value) else value

    def walk_object(node: dict[str, Any]) -> dict[str, Any]:
        reference = node.get("$ref")
        if isinstance(reference, str):
            beside = {name: part for name, part in node.items() if name != "$ref"}
            return {**walk_object(definitions[reference.removeprefix("#/$defs/")]), **beside}
        return {name: walk(child) for name, child in node.items()}

    return walk_object(schema)
