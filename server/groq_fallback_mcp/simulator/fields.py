"""What Groq refuses in a chat request before it is admitted, in Groq's words: values, images, unknown fields.

Images, known: image_url.url is an address or base64 data (the SDK's ImageURL), images per model (catalog, from the model
pages). Unverified, from memory of the console's vision page: 4 MB for a request with base64 (413), 20 MB for one with addresses
(400), and the texts. Nothing is fetched, so of an image behind an address the size of its URL alone can count.

Unknown fields: Groq refuses them, where other endpoints read past them. Those it has: the parameter types of the official SDK
(groq 1.7.0), and `stream_options`. The words of a refusal are real ones, from public reports (musistudio/claude-code-router
#193, SimonSchubert/Kai #265, ServiceStack/llms #17, fanenr/chatbot #21). That an empty list of tool calls and a call without a
function are refused follows from the types; the words are unverified.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from groq_fallback_mcp.catalog import Kind, ModelRow, Plan
from groq_fallback_mcp.json_types import is_object
from groq_fallback_mcp.simulator.answer import document_faults
from groq_fallback_mcp.simulator.generation import estimate_tokens
from groq_fallback_mcp.simulator.instances import schema_fault
from groq_fallback_mcp.simulator.replies import ApiError
from groq_fallback_mcp.simulator.tool_use import builtin_faults, tool_faults
from groq_fallback_mcp.simulator.wire import Messages, Payload, items, table

__all__ = ["SCORE_TOKENS", "answer_form", "check_fields", "checked_max_tokens", "checked_messages"]

DEFAULT_MAX_TOKENS = 2_048
SCORE_TOKENS = 8
MOST_STOPS = 4
MOST_TOOLS = 128
REFUSED_FIELDS = ("logprobs", "logit_bias", "top_logprobs")
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
TIERS = ("auto", "on_demand", "flex", "performance")
MEGABYTE = 1_048_576
BASE64_MB = 4
URLS_MB = 20
_DATA = re.compile(r"data:image/[\w.+-]+;base64,(?P<data>.*)\Z", re.DOTALL)
_SCHEMES = ("https://", "http://")
_REQUEST = {
    *("citation_options", "compound_custom", "disable_tool_validation", "documents", "exclude_domains", "frequency_penalty"),
    *("function_call", "functions", "include_domains", "include_reasoning", "logit_bias", "logprobs", "max_completion_tokens"),
    *("max_tokens", "messages", "metadata", "model", "n", "parallel_tool_calls", "presence_penalty", "reasoning_effort"),
    *("reasoning_format", "response_format", "search_settings", "seed", "service_tier", "stop", "store", "stream"),
    *("stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user"),
}
_MESSAGE = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "function_call", "reasoning", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
    "function": {"role", "content", "name"},
}
_PART = {"text": {"type", "text"}, "image_url": {"type", "image_url"}, "document": {"type", "document"}}
_TOOL_CALL = {"id", "type", "function"}


def checked_messages(payload: Payload) -> Messages:
    """The messages. Raises ApiError where there are none or one is none."""
    rows = items(payload.get("messages"))
    if not rows:
        raise ApiError(400, "'messages' : minimum number of items is 1")
    for index, row in enumerate(rows):
        if table(row).get("role") not in ROLES:
            raise ApiError(400, f"'messages.{index}' : discriminator property 'role' has invalid value")
    return rows


def check_fields(payload: Payload, model: ModelRow, messages: Messages, headers: Mapping[str, str], plan: Plan) -> None:
    """Raises ApiError for the first field that this model, this plan, or any, does not take."""
    _check_image_size(messages)
    for faults in (
        _unknown_field_faults(payload, messages),
        _of_the_model(payload, model, messages),
        _of_any_model(payload, messages, plan),
        _of_json_mode(payload),
        _of_the_form(payload),
        tool_faults(payload, model, messages),
        builtin_faults(payload, model),
        document_faults(payload),
    ):
        for fault in faults:
            raise ApiError(400, fault, headers=headers)


def checked_max_tokens(payload: Payload, model: ModelRow, messages: Messages, headers: Mapping[str, str]) -> int:
    """The bound of the completion. Raises ApiError where it, or it with the messages, is too large for the model."""
    name = "max_completion_tokens" if payload.get("max_completion_tokens") is not None else "max_tokens"
    wanted = payload.get(name)
    bound = model.max_completion_tokens
    if wanted is None:
        default = SCORE_TOKENS if model.kind is Kind.GUARD else DEFAULT_MAX_TOKENS
        wanted = min(default, bound or default)
    elif not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
        raise ApiError(400, f"'{name}' : value must be an integer of at least 1", headers=headers)
    elif bound is not None and wanted > bound:
        message = (
            f"`{name}` must be less than or equal to `{bound}`, the maximum value for `{name}` is less than the "
            "`context_window` for this model"
        )
        raise ApiError(400, message, headers=headers, param=name)
    # a guard writes a number whatever it may write, so its context is for what it judges
    written = 0 if model.kind is Kind.GUARD else wanted
    if model.context_window is not None and estimate_tokens(messages) + written > model.context_window:
        message = "Please reduce the length of the messages or completion."
        raise ApiError(400, message, code="context_length_exceeded", param="messages", headers=headers)
    return wanted


def answer_form(payload: Payload) -> tuple[str, Any]:
    """`text`, `json_object` or `json_schema`, and the schema where there is one."""
    form: object = payload.get("response_format") or {}
    if not is_object(form):
        return "", None
    return str(form.get("type", "text")), table(form.get("json_schema")).get("schema")


def _of_the_model(payload: Payload, model: ModelRow, messages: Messages) -> Iterator[str]:
    if model.kind not in {Kind.CHAT, Kind.SYSTEM, Kind.GUARD}:
        yield f"The model `{model.id}` does not support chat completions"
    if payload.get("tools") and not model.capabilities.tools:
        yield "`tool calling` is not supported with this model"
    yield from _image_faults(model, messages)
    takes: Sequence[str] = model.capabilities.reasoning
    if payload.get("reasoning_effort") is not None and payload["reasoning_effort"] not in takes:
        values = ", ".join(f"`{value}`" for value in takes)
        yield f"`reasoning_effort` must be one of {values}" if takes else "`reasoning_effort` is not supported with this model"


def _of_any_model(payload: Payload, messages: Messages, plan: Plan) -> Iterator[str]:
    yield from (f"property '{name}' is unsupported" for name in REFUSED_FIELDS if payload.get(name))
    for index, message in enumerate(messages):
        if message.get("name") is not None:
            yield f"property 'messages.{index}.name' is unsupported"
    if payload.get("n") not in (None, 1):
        yield "'n' : number must be at most 1"
    if payload.get("service_tier") not in (None, *TIERS):
        yield "'service_tier' : value must be one of " + ", ".join(TIERS)
    if payload.get("service_tier") == "performance" and plan == "free":
        # that it is sold to paying customers alone is the console's; the text is unverified
        yield "service_tier `performance` is not available for this organization"
    for name, most in (("stop", MOST_STOPS), ("tools", MOST_TOOLS)):
        if len(items(payload.get(name))) > most:
            yield f"'{name}' : maximum number of items is {most}"


def _of_json_mode(payload: Payload) -> Iterator[str]:
    """Both in the words of public reports: vercel/ai #16540 and BerriAI/litellm #4804."""
    if answer_form(payload)[0] not in {"json_object", "json_schema"}:
        return
    if payload.get("tools") or payload.get("functions"):
        yield "json mode cannot be combined with tool/function calling"
    if payload.get("stream") is True:
        yield "`response_format` does not support streaming"


def _of_the_form(payload: Payload) -> Iterator[str]:
    kind, schema = answer_form(payload)
    if kind not in {"text", "json_object", "json_schema"}:
        yield "'response_format.type' : value must be one of text, json_object, json_schema"
    if kind == "json_schema":
        if not is_object(schema):
            yield "'response_format.json_schema.schema' : property is missing or not an object"
        elif (reason := schema_fault(schema)) is not None:
            yield f"invalid JSON schema for response_format: {reason}"
    reasoning = payload.get("reasoning_format")
    if reasoning is not None and payload.get("include_reasoning") is not None:
        yield "`include_reasoning` and `reasoning_format` cannot be given together"
    if reasoning not in (None, "hidden", "raw", "parsed"):
        yield "'reasoning_format' : value must be one of hidden, raw, parsed"
    if reasoning == "raw" and (kind != "text" or payload.get("tools")):
        yield "`reasoning_format` must be `parsed` or `hidden` when using JSON mode or tools"


def _image_faults(model: ModelRow, messages: Messages) -> Iterator[str]:
    """What is wrong with the images of the messages."""
    found = list(_images(messages))
    most = model.capabilities.max_images
    if found and not model.capabilities.vision:
        yield f"messages[{found[0][0]}].content must be a string: images are not supported with this model"
    if most is not None and len(found) > most:
        yield f"Too many images provided. This model supports up to {most} images"
    for index, url in found:
        if url is None:
            yield f"'messages.{index}.content' : property 'image_url.url' is missing"
        elif not url.startswith(_SCHEMES) and not _is_image_data(url):
            yield f"'messages.{index}.content' : invalid base64 url"


def _check_image_size(messages: Messages) -> None:
    """Raises ApiError for images that are too large together."""
    urls = [url for _, url in _images(messages) if url is not None]
    inline = sum(len(url) for url in urls if not url.startswith(_SCHEMES))
    if inline > BASE64_MB * MEGABYTE:
        raise ApiError(413, "Request Entity Too Large", code="request_too_large")
    if sum(len(url) for url in urls) > URLS_MB * MEGABYTE:
        raise ApiError(400, f"a request with images must be at most {URLS_MB} MB")


def _images(messages: Messages) -> Iterator[tuple[int, str | None]]:
    """Each image with the index of its message; None where it has no URL."""
    for index, message in enumerate(messages):
        for part in items(message.get("content")):
            if table(part).get("type") == "image_url":
                url = table(table(part).get("image_url")).get("url")
                yield index, url if isinstance(url, str) else None


def _is_image_data(url: str) -> bool:
    found = _DATA.match(url)
    if found is None or not found["data"]:
        return False
    try:
        base64.b64decode(found["data"], validate=True)
    except binascii.Error:
        return False
    return True


def _unknown_field_faults(payload: Payload, messages: Messages) -> Iterator[str]:
    """What Groq refuses of the fields of a request and of its messages."""
    yield from _unsupported(payload, _REQUEST)
    for index, message in enumerate(messages):
        role = str(message["role"])
        place = f"'messages.{index}'"
        faults = [f"({place} : {fault})" for fault in _unsupported(message, _MESSAGE[role])]
        faults += [f"('messages.{index}.{name} : {fault})" for name, fault in _inner_faults(message)]
        if faults:
            yield f"{place} : for 'role:{role}' the following must be satisfied[{', '.join(faults)}]"


def _inner_faults(message: Payload) -> Iterator[tuple[str, str]]:
    for number, part in enumerate(items(message.get("content"))):
        kind = str(table(part).get("type"))
        if kind not in _PART:
            yield f"content.{number}.type'", f"value must be one of {', '.join(_PART)}"
        else:
            yield from ((f"content.{number}'", fault) for fault in _unsupported(table(part), _PART[kind]))
    calls = message.get("tool_calls")
    if calls is not None and not items(calls):
        yield "tool_calls'", "minimum number of items is 1"
    for number, call in enumerate(items(calls)):
        yield from ((f"tool_calls.{number}'", fault) for fault in _unsupported(table(call), _TOOL_CALL))
        function = table(table(call).get("function"))
        if not isinstance(function.get("name"), str):
            yield f"tool_calls.{number}.function'", "property 'function' is missing"
        elif not isinstance(function.get("arguments"), str):
            yield f"tool_calls.{number}.function.arguments'", "value must be a string"


def _unsupported(fields: Payload, known: Collection[str]) -> Iterator[str]:
    for name in fields:
        if name not in known:
            close = get_close_matches(name, sorted(known), n=1, cutoff=0.5)
            yield f"property '{name}' is unsupported" + (f", did you mean '{close[0]}'?" if close else "")
