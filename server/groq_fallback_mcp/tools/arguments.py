"""From a client's raw arguments to a tool's: read as they are meant, refused with what is wrong and what is valid.

Clients send what their model, their schema or their framework makes of an argument: a list as a JSON string, null, an empty
string or list for what was left out, one value for a list of one. Each reads as the same argument.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.render import clean, excerpt
from groq_fallback_mcp.tools.tool import Arguments

__all__ = ["parse"]

_ABSENT = object()
# A list inside a string inside a string: some clients encode the whole of what they were given once more.
MOST_ENCODED = 2
MOST_FAULTS = 4


def parse(arguments: type[Arguments], raw: Mapping[str, Any]) -> Arguments:
    """Validated arguments. Raises InputRefused that names each fault, the value and what is valid."""
    read = _read_fields(arguments, clean(dict(raw)))
    try:
        return arguments.model_validate(read)
    except ValidationError as error:
        faults = [_fault(arguments, dict(detail)) for detail in error.errors()[:MOST_FAULTS]]
        raise InputRefused("; ".join(faults), next_step=f"valid arguments: {', '.join(arguments.model_fields)}") from None


def _read_fields(model: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, value in given.items():
        field = model.model_fields.get(name)
        found = value if field is None else _read(field.annotation, value, required=field.is_required())
        if found is not _ABSENT:
            read[name] = found
    return read


def _read(annotation: Any, value: Any, *, required: bool) -> Any:  # noqa: ANN401 - whatever JSON holds
    """The value as it is meant where this type is wanted; _ABSENT where it says that nothing was given."""
    if not required and (value is None or value in ("", [])):
        return _ABSENT
    wanted = _members(annotation)
    if isinstance(value, str) and not _takes_any_text(wanted):
        named = _literal(wanted, value)
        if named is not None:
            return named
        decoded = _decoded(value)
        if decoded is None and not required:
            return _ABSENT
        if any(_fits(member, decoded) for member in wanted):
            value = decoded
    for member in wanted:
        origin = get_origin(member)
        if origin in {list, tuple, Sequence}:
            items = cast("list[Any]", value) if isinstance(value, list) else [cast("Any", value)]
            inner = get_args(member)[0]
            return [_read(inner, item, required=True) for item in items]
        if isinstance(value, dict) and isinstance(member, type) and issubclass(member, BaseModel):
            return _read_fields(member, cast("dict[str, Any]", value))
    return cast("Any", value)


def _members(annotation: Any) -> list[Any]:  # noqa: ANN401 - a type
    """What a value may be: the members of a union, without None and what is annotated to them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return [found for member in get_args(annotation) if member is not NoneType for found in _members(member)]
    return [annotation]


def _takes_any_text(wanted: Sequence[Any]) -> bool:
    return str in wanted


def _literal(wanted: Sequence[Any], value: str) -> str | None:
    """The literal that a text is in another case, or with spaces around it."""
    known = [option for member in wanted if get_origin(member) is Literal for option in get_args(member)]
    return next((option for option in known if isinstance(option, str) and option == value.strip().lower()), None)


def _fits(member: Any, value: object) -> bool:  # noqa: ANN401 - a type
    """Whether what a string holds is of a kind that the string itself was not."""
    origin = get_origin(member)
    if origin in {list, tuple, Sequence}:
        inner = get_args(member)[0]
        if not isinstance(value, list):
            return isinstance(value, dict) and str not in _members(inner)
        # a text that happens to be JSON stays a text where texts are wanted
        return str not in _members(inner) or all(isinstance(item, str) for item in cast("list[object]", value))
    if origin is dict or (isinstance(member, type) and issubclass(member, BaseModel | dict)):
        return isinstance(value, dict)
    return isinstance(value, bool | int | float)


def _decoded(text: str) -> object:
    """What a JSON string holds, also where it was encoded twice; the text itself where it is not JSON."""
    value: object = text
    for _ in range(MOST_ENCODED):
        if not isinstance(value, str):
            break
        try:
            value = clean(json.loads(value))
        except (ValueError, RecursionError):
            break
    return value


def _fault(arguments: type[Arguments], detail: Mapping[str, Any]) -> str:
    location = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        close = get_close_matches(location, list(arguments.model_fields), n=1)
        return f"unknown argument {excerpt(location)}" + (f", did you mean {close[0]!r}?" if close else "")
    if detail["type"] == "missing":
        return f"the argument {location!r} is missing"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"{excerpt(location, quoted=False)}: {message} (got {excerpt(detail['input'])})" if location else message
