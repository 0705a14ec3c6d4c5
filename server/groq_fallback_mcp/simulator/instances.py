"""A small JSON value that satisfies a schema, whose strings say that they are simulated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from groq_fallback_mcp.json_types import is_list, is_object

__all__ = ["instance_of", "satisfies", "schema_fault"]

WORD = "simulated"
DEEPEST = 24
Node = Mapping[str, Any]


def schema_fault(schema: Node | bool) -> str | None:
    """Why this is no JSON schema; None when it is one."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return error.message
    return None


def satisfies(value: object, schema: Node | bool) -> bool:
    """Whether the value fits. References outside the schema are not followed, so nothing fits them."""
    validator: Any = Draft202012Validator(schema, registry=Registry())
    try:
        return not any(validator.iter_errors(value))
    except (Unresolvable, RecursionError):
        return False


def instance_of(schema: object) -> Any:
    """A value for the keywords in common use; `pattern`, `not` and the like are not minded, so check with `satisfies`."""
    return _instance(schema, schema, 0)


def _instance(schema: object, root: object, depth: int) -> Any:  # noqa: PLR0911 - JSON out, one branch a JSON type
    if not is_object(schema) or depth > DEEPEST:
        return WORD
    node = _resolved(schema, root)
    if "const" in node:
        return node["const"]
    if node.get("enum"):
        return node["enum"][0]
    if options := node.get("anyOf") or node.get("oneOf"):
        rest = {name: value for name, value in node.items() if name not in {"anyOf", "oneOf"}}
        return _instance(_merged([rest, _resolved(_choice(options, depth), root)]), root, depth + 1)
    match _kind(node):
        case "object":
            return _object(node, root, depth)
        case "array":
            return _array(node, root, depth)
        case "integer" | "number" as kind:
            return _number(node, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _text(node)


def _choice(options: Sequence[Any], depth: int) -> Node:
    """The first branch; where branches nest deeply, the one that ends them."""
    nodes: list[Node] = [option for option in options if is_object(option)]
    if not nodes:
        return {}
    return (
        nodes[0]
        if depth < DEEPEST // 4
        else min(nodes, key=lambda node: "$ref" in node or node.get("type") in {"object", "array"})
    )


def _resolved(node: Node, root: object) -> Node:
    """The node with its `$ref` into the same document followed and its `allOf` joined."""
    for _ in range(DEEPEST):
        reference = node.get("$ref")
        parts: Sequence[Any] = node.get("allOf") or []
        if not isinstance(reference, str) and not parts:
            break
        rest = {name: value for name, value in node.items() if name not in {"$ref", "allOf"}}
        joined: list[Node] = [part for part in parts if is_object(part)]
        node = _merged([rest, *([_pointed(reference, root)] if isinstance(reference, str) else []), *joined])
    return node


def _pointed(reference: str, root: object) -> Node:
    target: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        target = target.get(name) if is_object(target) else None
    return target if is_object(target) else {}


def _merged(nodes: Sequence[Node]) -> Node:
    merged: dict[str, Any] = {}
    for node in nodes:
        properties = {**merged.get("properties", {}), **node.get("properties", {})}
        required = [*merged.get("required", []), *node.get("required", [])]
        merged |= node
        if properties:
            merged["properties"] = properties
        if required:
            merged["required"] = required
    return merged


def _kind(node: Node) -> str | None:
    kind = node.get("type")
    if is_list(kind):
        return next(iter(kind), None)
    if kind is None:
        return "object" if "properties" in node else "array" if "items" in node else None
    return str(kind)


def _object(node: Node, root: object, depth: int) -> dict[str, Any]:
    properties: Node = node.get("properties") or {}
    required: Sequence[str] = node.get("required") or ()
    # what is not required is left out once it could go on for ever
    names = [name for name in properties if name in required or depth < DEEPEST // 4]
    names += [name for name in required if name not in properties]
    extra = node.get("additionalProperties")
    value = {name: _instance(properties.get(name, extra), root, depth + 1) for name in names}
    for index in range(len(value), int(node.get("minProperties", 0))):
        value[f"{WORD}_{index}"] = _instance(extra, root, depth + 1)
    return value


def _array(node: Node, root: object, depth: int) -> list[Any]:
    least = int(node.get("minItems", 0))
    count = max(least, min(1, int(node.get("maxItems", 1))) if depth < DEEPEST // 4 else 0)
    first: Sequence[Any] = node.get("prefixItems") or ()
    value = [_instance(schema, root, depth + 1) for schema in first[: max(count, len(first))]]
    items = node.get("items")
    choices: Sequence[Any] = (items.get("enum") or ()) if is_object(items) else ()
    while len(value) < count:
        index = len(value)
        value.append(choices[index] if index < len(choices) else _instance(items, root, depth + 1))
    return value


def _number(node: Node, *, whole: bool) -> int | float:
    least, most, step = node.get("minimum"), node.get("maximum"), node.get("multipleOf")
    if (above := node.get("exclusiveMinimum")) is not None:
        least = max(above + (1 if whole else 0.5), above if least is None else least)
    if (below := node.get("exclusiveMaximum")) is not None:
        most = min(below - (1 if whole else 0.5), below if most is None else most)
    value = 1 if least is None or least <= 1 else least
    if most is not None and value > most:
        value = most if least is None or least <= most else (least + most) / 2
    if step:
        value = math.ceil(value / step) * step
        value = value - step if most is not None and value > most else value
    if not whole:
        return float(value)
    return math.ceil(value) if least is not None and value == least else math.floor(value)


def _text(node: Node) -> str:
    least, most = int(node.get("minLength", 0)), node.get("maxLength")
    text = WORD * max(math.ceil(least / len(WORD)), 1)
    wanted = max(least, len(WORD))
    return text[: wanted if most is None else max(min(wanted, int(most)), least)]
