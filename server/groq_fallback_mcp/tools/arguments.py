"""From a client's raw arguments to a tool's: read as they are meant, refused with what is wrong and what is valid.

Clients send what their model, their schema or their framework makes of an argument: a list as a JSON string, null, an empty
string or list for what was omitted, one value for a list of one. Each reads as the same argument.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.json_types import is_list, is_object
from groq_fallback_mcp.render import capitalized, clean, clean_text, excerpt, sentence
from groq_fallback_mcp.tools.tool import Arguments

__all__ = ["parse"]

_ABSENT = object()
# A list inside a string inside a string: some clients encode the whole of what they were given once more.
MOST_ENCODED = 3
MOST_FAULTS = 4
# What some clients put around all arguments.
_WRAPPERS = {"arguments", "args", "input", "params", "parameters", "kwargs"}
# What languages other than JSON write for nothing.
_NOTHING = {"null", "none", "nil", "undefined"}
# Other spellings of choices, each taken only where the choice exists.
_SPELLED = {
    "webvtt": "vtt",
    "txt": "text",
    "plain": "text",
    "text/plain": "text",
    "subrip": "srt",
    "subtitles": "srt",
    "verbosejson": "verbose_json",
    "json_verbose": "verbose_json",
    "words": "word",
    "segments": "segment",
    "1d": "24h",
}
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?\Z")
_FENCED = re.compile(r"```\w{0,20}\n(.*)\n```\Z", re.DOTALL)
_NUMBERS = (int, float, Decimal)


def parse(arguments: type[Arguments], raw: Mapping[str, Any]) -> Arguments:
    """Validated arguments. Raises InputRefused that names each fault, the value and what is valid."""
    try:
        read = _read_fields(arguments, _without_wrapper(arguments, raw))
        return arguments.model_validate(read)
    except ValidationError as error:
        faults = [_fault(arguments, dict(detail)) for detail in error.errors()[:MOST_FAULTS]]
        raise InputRefused(
            " ".join(map(sentence, faults)), next_step=f"use only the arguments {', '.join(arguments.model_fields)}"
        ) from None
    except _NoNumberError as error:
        raise InputRefused(str(error), next_step=f"use only the arguments {', '.join(arguments.model_fields)}") from None


class _NoNumberError(ValueError):
    """Why a value that another language counts as a number is none here."""


def _without_wrapper(arguments: type[Arguments], raw: Mapping[str, Any]) -> Mapping[str, Any]:
    given = {name: value for name, value in raw.items() if name != "_meta"}
    name, inner = next(iter(given.items()), ("", None))
    if len(given) == 1 and name in _WRAPPERS - set(arguments.model_fields) and is_object(inner):
        given = inner
    return _by_present_names(arguments, given)


def _by_present_names(arguments: type[Arguments], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments without old names; where both are given, the present name counts."""
    renamed = {new: given[old] for old, new in arguments.old_names.items() if old in given and _says_nothing(given.get(new))}
    return {name: value for name, value in given.items() if name not in arguments.old_names} | renamed


def _read_fields(model: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, value in given.items():
        field = model.model_fields.get(name)
        if field is None:
            read[clean_text(name)] = clean(value)
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise _NoNumberError(f"invalid {name} {value}. A number must be finite")
        found = _read(field.annotation, clean(value), required=field.is_required())
        if isinstance(found, bool) and not {bool, Any} & set(_members(field.annotation)):
            raise _NoNumberError(f"invalid {name} {str(found).lower()}. Expected a number or text")
        if found is not _ABSENT:
            read[name] = found
    return read


def _read(annotation: Any, value: Any, *, required: bool) -> Any:
    """The value as it is meant where this type is wanted; _ABSENT where it says that nothing was given."""
    if not required and _says_nothing(value):
        return _ABSENT
    wanted = _members(annotation)
    lists = [member for member in wanted if get_origin(member) in {list, tuple, Sequence}]
    if is_list(value) and not lists:
        value = _one_of_list(value, text=str in wanted)
    if isinstance(value, int | float) and not isinstance(value, bool) and wanted == [str]:
        value = str(value)
    if isinstance(value, str) and not _takes_any_text(wanted):
        named = _literal(wanted, value)
        value = _meant(wanted, value) if named is None else named
        words = named is None and isinstance(value, str) and not lists and value.strip().lower() in _NOTHING
        if not required and (words or _says_nothing(value)):
            return _ABSENT
    for member in lists:
        given = value if is_list(value) else [value]
        inner = get_args(member)[0]
        items = [_read(inner, item, required=True) for item in given if item is not None]
        return _ABSENT if not required and all(item == "" for item in items) else items
    for member in wanted:
        if is_object(value) and isinstance(member, type) and issubclass(member, BaseModel):
            return _read_fields(member, value)
    return value


def _one_of_list(given: list[Any], *, text: bool) -> Any:
    """The one value of a list, where one is wanted; the text of a list of text parts."""
    if len(given) == 1 and not isinstance(given[0], dict):
        return given[0]
    return _joined_text(given) if text else given


def _says_nothing(value: object) -> bool:
    return value is None or value in ("", [], {})


def _joined_text(parts: list[Any]) -> Any:
    """The text of a list of text parts; the list itself where it holds anything else."""
    found = [part.get("text") if is_object(part) else None for part in parts]
    texts = [text for text in found if isinstance(text, str)]
    return "\n".join(texts) if texts and len(texts) == len(parts) else parts


def _meant(wanted: Sequence[Any], value: str) -> Any:
    """What a text stands for, where not any text is wanted: a choice, a number, a list, an object."""
    decoded = _decoded(value)
    if isinstance(decoded, str):
        named = _literal(wanted, decoded)
        if named is not None:
            return named
    if decoded is None or any(_fits(member, decoded) for member in wanted):
        return decoded
    if any(member in _NUMBERS for member in wanted):
        plain = value.strip().lstrip("$")
        return plain.replace(",", "") if _THOUSANDS.match(plain) else plain
    return (
        value.strip().lower()
        if bool in wanted and value.strip().lower() in {"true", "false", "yes", "no", "on", "off"}
        else value
    )


def _members(annotation: Any) -> list[Any]:
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
    """The choice that a text is in another case or spelling, or with spaces around it."""
    known = [option for member in wanted if get_origin(member) is Literal for option in get_args(member)]
    plain = value.strip().lower().lstrip(".")
    spelled = {plain, plain.replace("-", "_").replace(" ", "_"), _SPELLED.get(plain, plain)}
    return next((option for option in known if isinstance(option, str) and option in spelled), None)


def _fits(member: Any, value: object) -> bool:
    """Whether what a string holds is of a kind that the string itself was not."""
    origin = get_origin(member)
    if origin in {list, tuple, Sequence}:
        inner = get_args(member)[0]
        if not is_list(value):
            return is_object(value) and str not in _members(inner) and any(_fits(one, value) for one in _members(inner))
        # a text that happens to be JSON stays a text where texts are wanted
        return str not in _members(inner) or all(isinstance(item, str) for item in value)
    if isinstance(member, type) and issubclass(member, BaseModel) and is_object(value):
        wanted = {name for name, field in member.model_fields.items() if field.is_required()}
        # a text that happens to be an object, as a document may be, is not its fields
        return wanted <= value.keys() and (not wanted or value.keys() <= member.model_fields.keys())
    if origin is dict or (isinstance(member, type) and issubclass(member, BaseModel | dict)):
        return isinstance(value, dict)
    return isinstance(value, bool | int | float)


def _decoded(text: str) -> object:
    """What a JSON string holds, also where it was encoded twice or in a code fence; the text itself where it is not JSON."""
    fenced = _FENCED.match(text.strip()) if text.lstrip().startswith("```") else None
    value: object = fenced[1] if fenced else text
    for _ in range(MOST_ENCODED):
        if not isinstance(value, str):
            break
        try:
            value = clean(json.loads(value, parse_constant=_no_constant))
        except (ValueError, RecursionError):
            break
    return value


def _no_constant(name: str) -> object:
    """Python's reader takes NaN and Infinity, which are no JSON."""
    raise ValueError(name)


def _fault(arguments: type[Arguments], detail: Mapping[str, Any]) -> str:
    location = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        close = get_close_matches(location, list(arguments.model_fields), n=1)
        return f"unknown argument {excerpt(location)}" + (f", did you mean {close[0]!r}?" if close else "")
    if detail["type"] == "missing":
        return f"the argument {location!r} is missing"
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "value_error" and isinstance(detail["input"], list):
        # it has named what is wrong in the list
        return message
    return (
        f"invalid {excerpt(location, quoted=False)} {excerpt(detail['input'])}. {capitalized(message)}" if location else message
    )
