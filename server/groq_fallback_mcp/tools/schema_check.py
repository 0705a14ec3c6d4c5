"""Whether an answer satisfies the caller's JSON schema. Nothing is fetched or read for it: references stay inside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from groq_fallback_mcp.call import Failure, FailureKind, Success
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.json_types import is_list, is_object
from groq_fallback_mcp.render import excerpt

__all__ = ["SchemaCheck"]

MESSAGE_CHARS = 300


class SchemaCheck:
    """Refuses answers that are not JSON or break the schema.

    Raises InputRefused for a schema that is none, or whose references lead out of it or nowhere.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        # imported when first needed: most calls have no schema
        from jsonschema import Draft202012Validator, SchemaError
        from referencing import Registry
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import DRAFT202012

        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            raise InputRefused(
                f"response_schema is not a JSON schema: {excerpt(error.message, quoted=False)}", next_step="fix the schema"
            ) from None
        registry: Registry[Any] = Registry()
        resolver = registry.with_resource("", DRAFT202012.create_resource(schema)).resolver()
        for reference in _references(schema):
            outside = InputRefused(
                f"response_schema refers to {excerpt(reference)}, which is not inside it",
                next_step="put what it refers to under $defs",
            )
            if not reference.startswith("#"):
                raise outside
            try:
                resolver.lookup(reference)
            except Unresolvable:
                raise outside from None
        # without a registry of its own the library would fetch what a schema refers to
        validator = Draft202012Validator(schema, registry=registry)
        # the library's own annotations leave JSON partly unknown
        self._faults = validator.iter_errors

    def __call__(self, success: Success) -> Failure | None:
        """The failure an unfit answer stands for; None for a fit one, and for calls of tools, which come before the answer."""
        if success.tool_calls:
            return None
        try:
            value = json.loads(success.text)
            fault = next(self._faults(value), None)
        except ValueError:
            return _refused("the answer is not JSON", success)
        except RecursionError:
            return _refused("the answer or its schema is nested too deeply", success)
        return (
            None if fault is None else _refused(f"the answer breaks the schema at {fault.json_path}: {fault.message}", success)
        )


def _refused(message: str, success: Success) -> Failure:
    if success.finish_reason == "length":
        message += " (it was truncated; raise max_tokens)"
    kind = FailureKind.GENERATION_FAILED
    return Failure(kind=kind, message=message[:MESSAGE_CHARS], status=200, quota=success.quota)


def _references(node: object) -> Iterator[str]:
    pending = [node]
    while pending:
        current = pending.pop()
        if is_object(current):
            yield from (current[name] for name in ("$ref", "$dynamicRef") if isinstance(current.get(name), str))
            pending.extend(current.values())
        elif is_list(current):
            pending.extend(current)
