"""The smallest value a JSON schema admits, for answers that must fit one.

Covers what tools and agents write: types, properties, items, enum, const, bounds, local $ref, anyOf, oneOf, allOf.
Not `pattern`, `not`, `if`, or `dependentSchemas`: such a schema may be missed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

__all__ = ["example_of"]

WORD = "simulated"
DEEPEST = 24
_FORMATS = {
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "date-time": "2026-01-01T00:00:00Z",
    "email": "simulated@example.com",
    "uri": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "simulated.example",
}


def example_of(schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    """A value that satisfies `schema`. Strings say `simulated` where nothing else is demanded of them."""
    return _example(schema, schema, 0)


def _example(schema: object, root: Mapping[str, Any], depth: int) -> Any:  # noqa: ANN401, PLR0911 - a case for each type
    if not isinstance(schema, dict) or depth > DEEPEST:
        return None
    plain = _merged(cast("dict[str, Any]", schema), root, depth)
    if "const" in plain:
        return plain["const"]
    if options := plain.get("enum"):
        return options[0]
    for some in ("anyOf", "oneOf"):
        if options := plain.get(some):
            rest = {key: value for key, value in plain.items() if key != some}
            return _example(_both(rest, _merged(_simplest(options), root, depth)), root, depth + 1)
    match _type_of(plain):
        case "object":
            return _object(plain, root, depth)
        case "array":
            first = plain.get("prefixItems") or []
            count = max(plain.get("minItems", 0), 0)
            return [_example(first[i] if i < len(first) else plain.get("items", {}), root, depth + 1) for i in range(count)]
        case "string":
            return _string(plain)
        case "integer":
            return _number(plain, whole=True)
        case "number":
            return _number(plain, whole=False)
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return WORD


def _object(plain: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties: Mapping[str, Any] = plain.get("properties") or {}
    other = plain.get("additionalProperties")
    required: list[str] = list(plain.get("required") or ())
    spare = [name for name in properties if name not in required]
    missing = max(plain.get("minProperties", 0) - len(required), 0)
    extra = [f"{WORD}_{i}" for i in range(missing - len(spare[:missing]))]
    return {
        name: _example(properties.get(name, other if isinstance(other, dict) else {}), root, depth + 1)
        for name in (*required, *spare[:missing], *extra)
    }


def _string(plain: Mapping[str, Any]) -> str:
    text = _FORMATS.get(plain.get("format", ""), WORD)
    shortest, longest = plain.get("minLength", 0), plain.get("maxLength")
    while len(text) < shortest:
        text += f" {WORD}"
    return text if longest is None else text[: max(longest, 0)]


def _number(plain: Mapping[str, Any], *, whole: bool) -> float:
    step = plain.get("multipleOf") or (1 if whole else None)
    above = plain.get("exclusiveMinimum")
    least = plain.get("minimum", above)
    most = plain.get("maximum", plain.get("exclusiveMaximum"))
    value: float = 0 if least is None else least
    if least is None and most is not None and most <= 0:
        value = most
        if "exclusiveMaximum" in plain:
            value -= step or 1
    if step:
        value = (math.ceil(value / step) if least is not None else math.floor(value / step)) * step
    if above is not None and value <= above:
        if step:
            value += step
        else:
            value = above + 1 if most is None else (above + most) / 2
    return int(value) if whole else value


def _type_of(plain: Mapping[str, Any]) -> str | None:
    stated = plain.get("type")
    if isinstance(stated, list):
        return str(next((name for name in cast("list[str]", stated) if name != "null"), "null"))
    if stated is not None:
        return str(stated)
    if "properties" in plain or "required" in plain:
        return "object"
    return "array" if "items" in plain else None


def _merged(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
    """The schema with its $ref followed and its allOf laid together."""
    if depth > DEEPEST:
        return {}
    if isinstance(reference := schema.get("$ref"), str):
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _both(rest, _merged(_resolved(reference, root), root, depth + 1))
    merged: Mapping[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema.get("allOf") or ():
        merged = _both(merged, _merged(part, root, depth + 1))
    return merged


def _both(one: Mapping[str, Any], other: Mapping[str, Any]) -> Mapping[str, Any]:
    joined = {**other, **one}
    if "properties" in one and "properties" in other:
        joined["properties"] = {**other["properties"], **one["properties"]}
    if "required" in one and "required" in other:
        joined["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return joined


def _resolved(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part:
            found = cast("dict[str, Any]", found).get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _simplest(options: list[Any]) -> Mapping[str, Any]:
    """Null where it is allowed, which also ends schemas that hold themselves; else the first."""
    rows = [cast("dict[str, Any]", option) for option in options if isinstance(option, dict)]
    return next((row for row in rows if row.get("type") == "null"), rows[0] if rows else {})
