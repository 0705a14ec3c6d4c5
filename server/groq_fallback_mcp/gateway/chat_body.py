"""The body of POST /v1/chat/completions as agents send it, and the request behind it. Pure: tolerant in, strict out.

What Groq lacks and a client would notice (`n`, `logprobs`) is refused; what it would not notice is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from groq_fallback_mcp.call import ChatRequest, ReasoningEffort, Search
from groq_fallback_mcp.call.messages import read_messages
from groq_fallback_mcp.call.openai_fields import object_of, read_effort, read_schema, read_tool, read_tool_choice
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.gateway.model_list import AUTO
from groq_fallback_mcp.gateway.refusals import InvalidBody, Refusal, invalid
from groq_fallback_mcp.json_types import is_list, is_object, stated_text
from groq_fallback_mcp.render import excerpt

__all__ = ["MOST_KIND_CHARS", "MOST_MESSAGES", "MOST_TOOLS", "ChatBody", "read_chat_body", "with_hosted_tools"]

T = TypeVar("T")
MOST_TOOLS = 128
MOST_STOPS = 4
MOST_TOKENS = 1_000_000
MOST_MESSAGES = 10_000
MOST_KIND_CHARS = 40
_EFFORTS: tuple[ReasoningEffort, ...] = ("none", "default", "low", "medium", "high")
_TIERS: tuple[Literal["auto", "on_demand", "flex", "performance"], ...] = ("auto", "on_demand", "flex", "performance")
# Names that agents put before a model's, after the provider in their own configuration.
_PREFIXES = ("groq-fallback/", "groq/")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatBody:
    """A chat request, and in which form its answer is wanted."""

    request: ChatRequest
    stream: bool = False
    include_usage: bool = False
    """Whether the last chunk of a stream tells the usage."""
    include_reasoning: bool = True
    wants_function_call: bool = False
    """Whether the body offers `functions`, the form before `tools`: a call is answered in that form, one at a time."""
    has_open_calls: bool = False
    """Whether results of tools have come since the model's last words: it is in the middle of its turn, whatever a client adds."""
    names: tuple[object, ...] = ()
    """What the body calls the conversation or its user, the best first."""
    tool_names: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the client calls a function that has another name here."""
    notes: tuple[str, ...] = ()
    """What of the body was left out, in sentences."""


def read_chat_body(given: object, *, catalog: Catalog) -> ChatBody | Refusal:
    """The request behind a body, or what is wrong with it."""
    body = object_of(given)
    if body is None:
        return invalid("The body is not a JSON object. Send an object with model and messages")
    try:
        return _read(body, catalog)
    except InvalidBody as error:
        return error.refusal


def with_hosted_tools(read: ChatBody, *, searches: bool, omitted: Sequence[str]) -> ChatBody:
    """The request with what its client wants to run beside its own functions: a search of the web, where a model has one and no
    functions are offered. `omitted` are kinds of tools that no model here knows.
    """
    notes = [f"The tool {kind[:MOST_KIND_CHARS]} was omitted, as no model here knows it" for kind in omitted]
    request = read.request
    if searches and request.tools:
        notes.append("The tool web_search was omitted, as no model here searches beside other tools")
    elif searches:
        request = replace(request, search=Search(optional=True))
    return replace(read, request=request, notes=(*read.notes, *notes))


def _read(body: Mapping[str, Any], catalog: Catalog) -> ChatBody:
    _refuse_what_groq_lacks(body)
    messages = _messages(body)
    choice, tools = _allowed(body, _tools(body))
    model, use_case = _model(body, catalog)
    effort = read_effort(_text(body.get("reasoning_effort")) or _text((object_of(body.get("reasoning")) or {}).get("effort")))
    options = object_of(body.get("stream_options")) or {}
    is_older = bool(tools) and body.get("tools") is None
    request = ChatRequest(
        messages=messages,
        model=model,
        use_case=use_case,
        max_tokens=_max_tokens(body),
        temperature=_number(body, "temperature", 0.0, 2.0),
        top_p=_number(body, "top_p", 0.0, 1.0) or None,
        seed=_whole(body, "seed", -(2**63), 2**63 - 1),
        stop=_stops(body),
        reasoning_effort=next((known for known in _EFFORTS if known == effort), None),
        schema=_schema(body),
        tools=tools,
        tool_choice=_tool_choice(choice, tools),
        parallel_tool_calls=False if is_older else _flag(body, "parallel_tool_calls"),
        service_tier=next((known for known in _TIERS if known == body.get("service_tier")), None),
    )
    return ChatBody(
        request=request,
        stream=_flag(body, "stream") or False,
        include_usage=options.get("include_usage") is True,
        include_reasoning=body.get("include_reasoning") is not False and body.get("reasoning_format") != "hidden",
        wants_function_call=is_older,
        has_open_calls=_has_open_calls(messages),
        names=(body.get("prompt_cache_key"), body.get("user")),
    )


def _has_open_calls(messages: list[dict[str, Any]]) -> bool:
    roles = (str(message.get("role")) for message in reversed(messages))
    return next((role for role in roles if role in {"tool", "assistant"}), None) == "tool"


def _refuse_what_groq_lacks(body: Mapping[str, Any]) -> None:
    n = _whole(body, "n", 1, 128)
    if n is not None and n != 1:
        raise InvalidBody(f"n is {n}, and only 1 is supported. Send the request {n} times", "n")
    for name in ("logprobs", "top_logprobs"):
        if body.get(name):
            raise InvalidBody(f"{name} is not supported. Remove it", name)
    if object_of(body.get("audio")) is not None or (is_list(modes := body.get("modalities")) and "audio" in modes):
        raise InvalidBody(
            "Spoken answers are not supported here. Remove audio and modalities, or use /v1/audio/speech", "audio"
        )


def _messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    given = body.get("messages")
    if not is_list(given) or not given:
        raise InvalidBody("messages must be a list with at least one message", "messages")
    if len(given) > MOST_MESSAGES:
        raise InvalidBody(
            f"messages has {len(given):,} entries, and {MOST_MESSAGES:,} are allowed. Shorten the conversation", "messages"
        )
    try:
        read = read_messages(given)
    except ValueError as error:
        raise InvalidBody(f"Invalid messages: {error}", "messages") from None
    messages = [message for message in read if is_object(message)] if is_list(read) else []
    if not messages:
        raise InvalidBody("No message has content. Add a message with content", "messages")
    return messages


def _tools(body: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The functions; tools of other types run at one provider only, and nothing here could run them."""
    given = body.get("tools")
    if given is None and is_list(legacy := body.get("functions")):
        given = [{"function": function} for function in legacy]
    if given is None:
        return ()
    if not is_list(given):
        raise InvalidBody("tools must be a list", "tools")
    found: list[Mapping[str, Any]] = []
    for number, entry in enumerate(given, start=1):
        tool = object_of(read_tool(entry))
        if tool is None:
            raise InvalidBody(f"Tool {number} is not an object", "tools")
        if stated_text(tool, "type") not in {"", "function"}:
            continue
        name = _function_name(tool)
        if not isinstance(name, str) or not name:
            raise InvalidBody(f"Tool {number} has no function name", "tools")
        found.append(tool)
    if len(found) > MOST_TOOLS:
        raise InvalidBody(
            f"tools has {len(found)} functions, and Groq takes {MOST_TOOLS}. Turn off an MCP server or some of its tools",
            "tools",
        )
    return tuple(found)


def _allowed(body: Mapping[str, Any], tools: tuple[Mapping[str, Any], ...]) -> tuple[object, tuple[Mapping[str, Any], ...]]:
    """The choice, and the functions that it leaves: of `allowed_tools` those that it names, as Groq does not know that form."""
    given = body.get("tool_choice", body.get("function_call"))
    stated = object_of(given) or {}
    allowed = object_of(stated.get("allowed_tools")) if stated_text(stated, "type") == "allowed_tools" else None
    if allowed is None or not is_list(named := allowed.get("tools")):
        return given, tools
    names = [_function_name(read_tool(one)) for one in named]
    return allowed.get("mode"), tuple(tool for tool in tools if _function_name(tool) in names)


def _function_name(tool: object) -> object:
    return (object_of((object_of(tool) or {}).get("function")) or {}).get("name")


def _tool_choice(choice: object, tools: tuple[Mapping[str, Any], ...]) -> str | Mapping[str, Any] | None:
    given = read_tool_choice(choice)
    if given is None or not tools:
        return None
    named = object_of(given)
    if named is None:
        if isinstance(given, str):
            return given
        raise InvalidBody(f"tool_choice is {excerpt(given)}. Use none, auto, required or a function", "tool_choice")
    name = _function_name(named)
    if name not in [_function_name(tool) for tool in tools]:
        raise InvalidBody(f"tool_choice names {excerpt(name)}, which is not in tools", "tool_choice")
    return named


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    schema = read_schema(body.get("response_format") or None)
    if schema is None:
        return None
    read = object_of(schema)
    if read is None:
        raise InvalidBody(
            'response_format must be {"type": "text"}, {"type": "json_object"} or a json_schema', "response_format"
        )
    return read


def _model(body: Mapping[str, Any], catalog: Catalog) -> tuple[str | None, str | None]:
    """The model and the use case that a name stands for."""
    given = body.get("model", AUTO)
    if not isinstance(given, str) or not given.strip():
        raise InvalidBody("model must be a text. Use auto, or an id from /v1/models", "model")
    name = given.strip()
    for prefix in _PREFIXES:
        bare = name.removeprefix(prefix)
        if bare == AUTO:
            return None, None
        practice = catalog.practices.get(bare)
        if practice is not None and practice.tool == "groq_chat":
            return None, bare
    return name.removeprefix(_PREFIXES[0]), None


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    names = ("max_completion_tokens", "max_tokens", "max_output_tokens")
    return next((found for name in names if (found := _whole(body, name, 1, MOST_TOKENS)) is not None), None)


def _stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    given = body.get("stop")
    if given is None:
        return ()
    stops: list[object] = [given] if isinstance(given, str) else given if is_list(given) else [None]
    texts = tuple(stop for stop in stops if isinstance(stop, str))
    if len(texts) != len(stops) or len(texts) > MOST_STOPS:
        raise InvalidBody(f"stop must be a text or a list of at most {MOST_STOPS} texts", "stop")
    return texts


def _flag(body: Mapping[str, Any], name: str) -> bool | None:
    return _checked(body, name, lambda value: isinstance(value, bool), "true or false", bool)


def _whole(body: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    def fits(value: object) -> bool:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole and not isinstance(value, bool) and least <= int(value) <= most  # type: ignore[call-overload]

    return _checked(body, name, fits, f"a whole number from {least:,} to {most:,}", int)


def _number(body: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    def fits(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most

    return _checked(body, name, fits, f"a number from {least:g} to {most:g}", float)


def _checked(
    body: Mapping[str, Any], name: str, fits: Callable[[object], bool], what: str, made: Callable[[Any], T]
) -> T | None:
    value = body.get(name)
    if value is None:
        return None
    if not fits(value):
        raise InvalidBody(f"{name} is {excerpt(value)}, and must be {what}", name)
    return made(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
