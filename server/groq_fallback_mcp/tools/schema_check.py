"""Whether an answer satisfies the caller's JSON schema. Nothing is fetched or read for it: references stay inside."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from groq_fallback_mcp.call import USED_UP, Failure, FailureKind, Success
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.json_types import is_list, is_object
from groq_fallback_mcp.render import excerpt

__all__ = ["SchemaCheck"]

MESSAGE_CHARS = 300
# What is under these is no schema; under those the keys are names, which may be any of them.
_DATA = {"const", "enum", "default", "examples"}
_OF_NAMES = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}


class SchemaCheck:
    """Refuses answers that are not JSON or break the schema.

    Raises InputRefused for a schema that is none, or whose references lead out of it or nowhere.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        # imported when first needed: most calls have no schema
        from jsonschema import SchemaError
        from referencing import Registry
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import specification_with

        try:
            draft = _draft_of(schema)
        except SchemaError as error:
            raise InputRefused(
                f"response_schema is not a JSON schema: {excerpt(error.message, quoted=False)}", next_step="fix the schema"
            ) from None
        schema = _without_foreign_patterns(schema)
        registry: Registry[Any] = Registry()
        specification = specification_with(draft.META_SCHEMA["$schema"])
        resolver = registry.with_resource("", specification.create_resource(schema)).resolver()
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
        validator = draft(schema, registry=registry)
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
        # the same model would only be cut again
        message = f"{message[: MESSAGE_CHARS - 50]} (it was truncated; raise max_tokens)"
        return Failure(kind=FailureKind.BAD_RESPONSE, message=message, status=200, quota=success.quota, code=USED_UP)
    return Failure(kind=FailureKind.GENERATION_FAILED, message=message[:MESSAGE_CHARS], status=200, quota=success.quota)


def _draft_of(schema: dict[str, Any]) -> Any:
    """The draft that a schema is written in, by which it is one. Raises SchemaError.

    It is the one that it names, else the newest that has what it uses: libraries write lists of items and booleans for exclusive
    bounds as in older drafts, and seldom say which.
    """
    from jsonschema import Draft4Validator, Draft7Validator, Draft202012Validator, FormatChecker
    from jsonschema.validators import validator_for

    nodes = list(_schemas(schema))
    used: Any = Draft202012Validator
    if any(isinstance(node.get("items"), list) for node in nodes):
        used = Draft7Validator
    if any(isinstance(node.get(name), bool) for node in nodes for name in ("exclusiveMinimum", "exclusiveMaximum")):
        used = Draft4Validator
    named = schema.get("$schema", "")
    draft: Any = Draft202012Validator
    if isinstance(named, str):
        try:
            # the names of drafts before 2019 are addresses with http, and often written with https
            known = named.replace("https://json-schema.org/draft-0", "http://json-schema.org/draft-0")
            draft = validator_for({"$schema": known}, default=used)
        except ValueError:
            draft = used
    # patterns are the provider's to read: Python knows others than JSON schemas have
    draft.check_schema(schema, format_checker=FormatChecker(formats=()))
    return draft


def _without_foreign_patterns(node: Any, *, of_names: bool = False) -> Any:
    """A schema without the patterns that Python cannot read, such as those with names of alphabets: what they ask for is not checked here."""
    if is_list(node):
        return [_without_foreign_patterns(item) for item in node]
    if not is_object(node):
        return node
    if of_names:
        return {name: _without_foreign_patterns(value) for name, value in node.items()}
    kept = {
        name: value if name in _DATA else _without_foreign_patterns(value, of_names=name in _OF_NAMES)
        for name, value in node.items()
    }
    if isinstance(kept.get("pattern"), str) and not _is_read(kept["pattern"]):
        del kept["pattern"]
    if is_object(kept.get("patternProperties")):
        kept["patternProperties"] = {name: value for name, value in kept["patternProperties"].items() if _is_read(name)}
    return kept


def _schemas(schema: object) -> Iterator[Mapping[str, Any]]:
    """All schemas in a schema."""
    pending = [(schema, False)]
    while pending:
        current, of_names = pending.pop()
        if is_list(current):
            pending.extend((item, False) for item in current)
        elif is_object(current) and of_names:
            pending.extend((value, False) for value in current.values())
        elif is_object(current):
            yield current
            pending.extend((value, name in _OF_NAMES) for name, value in current.items() if name not in _DATA)


def _is_read(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _references(node: object) -> Iterator[str]:
    """Those in data too: a refusal there is worth less than a reference that is missed."""
    pending = [node]
    while pending:
        current = pending.pop()
        if is_object(current):
            yield from (current[name] for name in ("$ref", "$dynamicRef") if isinstance(current.get(name), str))
            pending.extend(current.values())
        elif is_list(current):
            pending.extend(current)
