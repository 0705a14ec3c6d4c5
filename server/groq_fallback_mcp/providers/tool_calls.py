"""The calls of tools in a message, in all the forms that providers give them. Pure, but for the ids of calls without one.

OpenAI's form is a list `tool_calls` of `{"id", "type": "function", "function": {"name", "arguments"}}` with the arguments as a
text of JSON. Others send one call instead of a list, the list as a text, the older `function_call`, flat calls, arguments as
an object, or the call as a part of the content; templates leak into names, and a failed parser leaves a call in the text.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from groq_fallback_mcp.call import Failure, FailureKind
from groq_fallback_mcp.call.messages import called_function, stated_calls
from groq_fallback_mcp.json_types import is_object
from groq_fallback_mcp.providers.answer_text import json_text
from groq_fallback_mcp.providers.json_fields import text_of
from groq_fallback_mcp.render import excerpt

__all__ = ["extra_content", "function_name", "is_written_call", "read_calls"]

# Put before the name of a function by Harmony, Kimi and Gemini.
_NAMESPACES = ("functions.", "function.", "default_api.", "tools.", "tool.")
# Kimi numbers its calls in their names: `functions.f:0`.
_NUMBER = re.compile(r":\d{1,4}\Z")
_WORD_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
# How a model writes a call where nobody parses it: Hermes and Qwen, Mistral, Llama, Kimi, DeepSeek, Anthropic.
_WRITTEN = re.compile(
    r"^[ \t]{0,8}(?:<tool_call>\s{0,8}[{<]|<tool_calls>\s{0,8}[\[{<]|\[TOOL_CALLS\]|<\|python_tag\|>|<function=[\w.-]+>"
    "|<\\|tool_calls?_(?:section_)?begin\\|>|<\uff5ctool\u2581calls?\u2581begin\uff5c>|<\uff5cDSML\uff5c"
    r"|<(?:antml:)?function_calls>\s{0,8}<)",
    re.MULTILINE,
)
# Of values in a row; a stream that repeats its arguments holds two.
_MOST_VALUES = 4
_DECODER = json.JSONDecoder()


def read_calls(message: Mapping[str, Any], tools: Sequence[str]) -> tuple[dict[str, Any], ...] | Failure:
    """The calls as `{"id", "name", "arguments"}`: ids that differ, names of `tools` where they can be told, arguments as the
    text of a JSON object. `extra_content` is what the provider wants back with a call, where it gives something.

    A call whose arguments are none is the failure of a generation: half a call must never be carried out.
    """
    calls: list[dict[str, Any]] = []
    ids: set[str] = set()
    for row in stated_calls(message):
        function = called_function(row)
        name = function_name(text_of(function.get("name")) or "", tools)
        arguments = _arguments(function.get("arguments"))
        if arguments is None:
            return Failure(
                kind=FailureKind.GENERATION_FAILED,
                message=f"the model called {excerpt(name)} with arguments that are not a JSON object",
                status=200,
            )
        # agents tell calls apart by it, in all of a conversation
        id_ = text_of(row.get("id")) or f"call_{secrets.token_hex(8)}"
        while id_ in ids:
            id_ = f"{id_}_{len(calls)}"
        ids.add(id_)
        call: dict[str, Any] = {"id": id_, "name": name, "arguments": arguments}
        calls.append(call if (extra := extra_content(row)) is None else {**call, "extra_content": extra})
    return tuple(calls)


def function_name(name: str, known: Sequence[str]) -> str:
    """The name of a called function without what leaks into it: `functions.f<|channel|>commentary` -> `f`.

    A namespace or number is a part of the name where the functions that are `known` have it.
    """
    plain = name.split("<|", 1)[0].strip().strip("\"'`")
    for spelled in (plain, *_without_namespace(plain)):
        if spelled in known:
            return spelled
    # LM Studio rewrites names
    rewritten = [name for name in known if _snake_case(name) == plain]
    return rewritten[0] if len(rewritten) == 1 else plain


def extra_content(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a provider wants back with a call, such as Gemini's thought signature; None where it gives nothing."""
    extra = row.get("extra_content")
    return extra if is_object(extra) and extra else None


def is_written_call(text: str) -> bool:
    """Whether a text is, or ends in, the call of a tool that nobody parsed."""
    found = _WRITTEN.search(text)
    return found is not None and text.count("```", 0, found.start()) % 2 == 0


def _snake_case(name: str) -> str:
    return _WORD_ENDS.sub("_", name).strip("_").lower()


def _without_namespace(name: str) -> Iterator[str]:
    unnumbered = _NUMBER.sub("", name)
    yield unnumbered
    for prefix in _NAMESPACES:
        if unnumbered.startswith(prefix):
            yield unnumbered.removeprefix(prefix)


def _arguments(given: object) -> str | None:
    """The text of the JSON object that a call gives, None where it gives none."""
    if isinstance(given, Mapping):
        return json.dumps(given, ensure_ascii=False)
    text = given.strip() if isinstance(given, str) else "" if given is None else None
    if text in {"", "null"}:
        return "{}"
    if text is None:
        return None
    # almost every call is this one
    if text.startswith("{") and isinstance(_loaded(text), dict):
        return text
    return _only_object(text)


def _only_object(text: str) -> str | None:
    """The one object in a text: encoded twice, in a code fence, behind an empty one, or repeated."""
    inner = _loaded(text)
    if isinstance(inner, str):
        return inner if isinstance(_loaded(inner), dict) else None
    fenced = json_text(text)
    if isinstance(_loaded(fenced), dict):
        return fenced
    found: list[dict[str, Any]] = []
    at = 0
    while at < len(text) and len(found) < _MOST_VALUES:
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        found.append(value)
        at += len(text) - at - len(text[at:].lstrip())
    given = [value for value in found if value] or found[:1]
    return json.dumps(given[0], ensure_ascii=False) if given and all(value in ({}, given[0]) for value in found) else None


def _loaded(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
