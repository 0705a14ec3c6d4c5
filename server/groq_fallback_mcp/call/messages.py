"""A conversation as clients replay it, brought into the form that every OpenAI-compatible endpoint takes. Pure.

Agents and frameworks (LangChain, Vercel's AI SDK, Anthropic, Gemini, Ollama, OpenAI's Responses) send back what a model
once returned, each in its own form and with fields that one provider gives and another refuses: reasoning, refusals, cache
markers, names, ids. Endpoints agree on `role`, `content`, `tool_calls` and `tool_call_id`, so only these are kept. Groq
refuses `messages[].name` and `reasoning_content` with 400.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from groq_fallback_mcp.json_types import is_list, stated_text
from groq_fallback_mcp.render import excerpt

__all__ = ["called_function", "read_messages", "stated_calls"]

ROLES = ("system", "user", "assistant", "tool", "developer", "function")
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "tool": "tool",
    "function": "tool",
    "tool_result": "tool",
    "ipython": "tool",
}
# What a message may hold besides its role and content; what is not read is of use to nobody but its client.
_KNOWN = {
    *("role", "content", "parts", "images", "data", "tool_calls", "tool_call_id", "function_call", "name", "type", "id"),
    *("call_id", "arguments", "output", "toolCallId", "tool_use_id", "tool_name", "toolName", "is_error", "artifact"),
    *("reasoning", "reasoning_content", "reasoning_details", "thinking", "thinking_blocks", "refusal", "annotations"),
    *("cache_control", "executed_tools", "citations", "audio", "index", "status", "provider_specific_fields"),
    *("finish_reason", "stop_reason", "stop_sequence", "logprobs", "metadata", "model", "usage", "created_at", "timestamp"),
    *("additional_kwargs", "response_metadata", "usage_metadata", "invalid_tool_calls", "example", "prefix", "partial"),
    *("providerOptions", "providerMetadata", "experimental_providerMetadata", "createdAt", "toolInvocations", "weight"),
}
_THINKING = {"thinking", "reasoning", "redacted_thinking", "step-start"}
_TEXTS = {"text", "input_text", "output_text", "markdown"}
# Gemini's text has no type. An object with other fields is what a tool returned.
_UNTYPED = {"text", "thought", "thoughtSignature"}
_CALLS = {"tool_use", "tool-call", "tool_call", "function_call"}
_RESULTS = {"tool_result", "tool-result", "function_call_output"}
# What endpoints know of a content part, by its type.
_KEPT_PARTS = {"input_audio": "input_audio", "document": "document", "file": "file"}
# How an image begins in base64 where nothing says what it is.
_IMAGE_BEGINNINGS = {"/9j/": "image/jpeg", "iVBOR": "image/png", "R0lGOD": "image/gif", "UklGR": "image/webp"}
_RESULT_IDS = ("tool_call_id", "toolCallId", "tool_use_id", "call_id")
_NAMES = ("name", "tool_name", "toolName")


def read_messages(given: object) -> object:
    """The messages in OpenAI's form; nothing that a model should read is lost. What is no list is returned as it is.

    Calls without an id get one, and results without one belong to the calls in their order. Raises ValueError that names the
    message and what is wrong with it.
    """
    if not isinstance(given, list):
        return given
    read = _Conversation()
    for number, entry in enumerate(given, start=1):
        try:
            read.take(entry)
        except _UnreadableError as error:
            message = f"in message {number}, {error}"
            raise ValueError(message) from None
    return _with_images_after_results(read.messages)


def _with_images_after_results(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Images in the results of tools, at the beginning of what the user says next: only there do providers take or see them."""
    moved: list[dict[str, Any]] = []
    images: list[Any] = []
    for message in messages:
        if message["role"] == "tool":
            result, found = _without_images(message)
            images += found
            moved.append(result)
        elif images and message["role"] == "user":
            content = message.get("content")
            said = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
            moved.append({**message, "content": [*_introduced(images), *said]})
            images = []
        else:
            moved += [{"role": "user", "content": _introduced(images)}] if images else []
            moved.append(message)
            images = []
    return [*moved, {"role": "user", "content": _introduced(images)}] if images else moved


def _introduced(images: Sequence[Any]) -> list[Any]:
    return [{"type": "text", "text": "Images in the results above, in their order:"}, *images]


def _without_images(result: dict[str, Any]) -> tuple[dict[str, Any], Sequence[Any]]:
    content = result.get("content")
    parts: Sequence[Any] = content if isinstance(content, list) else ()
    images = [part for part in parts if part["type"] == "image_url"]
    if not images:
        return result, ()
    others = [part for part in parts if part["type"] != "image_url"]
    return {**result, "content": _as_text(others) if others else "The result is an image, which follows."}, images


def stated_calls(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The calls of tools in a message, as they are stated: a list, one alone, a text of JSON, the older `function_call`, or parts."""
    stated: object = message.get("tool_calls")
    stated = _loaded(stated) if isinstance(stated, str) else stated
    one = _mapping(stated)
    rows = _mappings(stated) if one is None else [one]
    legacy = _mapping(message.get("function_call"))
    if not rows and legacy:
        # the result of such a call names the function, so its id is the name
        rows.append({"id": legacy.get("name"), "index": 0, "function": legacy})
    return rows or [_mapping(row.get("functionCall")) or row for row in _mappings(message.get("content")) if _is_call(row)]


def called_function(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `name` and the `arguments` of one call, in whatever form it is stated; None where they are missing."""
    fields = next((found for at in ("function", "custom") if (found := _mapping(row.get(at))) is not None), row)
    given = next((fields[at] for at in ("arguments", "args", "input", "parameters") if fields.get(at) is not None), None)
    return {"name": fields.get("name") or fields.get("toolName"), "arguments": given}


class _UnreadableError(ValueError):
    """Why an entry cannot be a message."""


@dataclass(slots=True)
class _Conversation:
    """Messages so far. `_open` are the ids of the calls whose results have not come yet, in order; `_waiting` the same by what a
    result may name: the id as it was stated, or the function.
    """

    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _open: dict[str, None] = field(default_factory=dict[str, None])
    _waiting: dict[tuple[str, str], deque[str]] = field(default_factory=dict[tuple[str, str], deque[str]])
    _calls: int = 0

    def take(self, entry: object) -> None:
        """One entry, which may stand for no message (reasoning alone), or for several (results in one message)."""
        if isinstance(entry, str) and not entry.lstrip().startswith(("{", "[")):
            entry = {"role": "user", "content": entry}
        if not isinstance(entry, Mapping):
            raise _UnreadableError(f"an object with role and content is required (got {excerpt(entry)})")
        message = entry
        kind = _kind(message)
        if kind == "reasoning" and "role" not in message:
            return
        if kind in _RESULTS and "role" not in message:
            self._result(message, message.get("output", message.get("content")))
        elif kind in _CALLS and "role" not in message:
            self._called([message])
        else:
            self._message(_unpacked(message))

    def _message(self, message: Mapping[str, Any]) -> None:
        role = _role(message)
        unknown = set(message) - _KNOWN
        if unknown:
            raise _UnreadableError(f"unknown key {excerpt(min(unknown))}; give role and content")
        content = message.get("content")
        results = [row for row in _mappings(content) if _is_result(row)]
        for row in results:
            found = _mapping(row.get("functionResponse")) or row
            self._result(found, next((found[at] for at in ("content", "output", "result", "response") if at in found), None))
        if results and is_list(content):
            content = [row for row in content if not _is_result(_mapping(row) or {})]
            if not content:
                return
        if role == "tool":
            self._result(message, content)
        elif role == "assistant":
            self._answer(message, content)
        else:
            self.messages.append({"role": role, "content": _checked(_with_images(_read_content(content), message))})

    def _answer(self, message: Mapping[str, Any], content: object) -> None:
        calls = stated_calls(message)
        if isinstance(content, list):
            parts = content
            content = [part for part in parts if not _is_call(_mapping(part) or {})]
        read = _read_content(content) if content != [] else None
        refusal = message.get("refusal")
        if read is None and not calls:
            said = any(message.get(name) for name in ("reasoning", "reasoning_content", "thinking", "refusal")) or content == []
            if not said and message.get("tool_calls") is None:
                raise _UnreadableError("content is missing")
            read = refusal if isinstance(refusal, str) else ""
        self.messages.append({"role": "assistant", "content": read})
        if calls:
            self._called(calls, fresh=True)

    def _called(self, rows: Sequence[Mapping[str, Any]], *, fresh: bool = False) -> None:
        """Calls of the assistant's last message; calls that stand alone get one, together."""
        if not fresh and not (self.messages and self.messages[-1].get("tool_calls")):
            self.messages.append({"role": "assistant", "content": None})
        calls = self.messages[-1].setdefault("tool_calls", [])
        for row in rows:
            function = called_function(row)
            name, arguments = str(function.get("name") or ""), function.get("arguments")
            text = arguments.strip() if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
            stated = str(row.get("call_id") or row.get("toolCallId") or row.get("id") or "")
            id_ = self._opened(stated, name)
            call = {"id": id_, "type": "function", "function": {"name": name, "arguments": text or "{}"}}
            # what Gemini gave with its call and wants back; no other provider is sent it
            extra = _mapping(row.get("extra_content"))
            calls.append({**call, "extra_content": dict(extra)} if extra else call)

    def _opened(self, stated: str, name: str) -> str:
        """The id of a call: as stated, unless it has none or one that still waits for its result."""
        self._calls += 1
        id_ = stated or f"call_{self._calls}"
        while id_ in self._open:
            id_ = f"{id_}_{self._calls}"
        self._open[id_] = None
        for wanted in {("id", id_), ("id", stated), ("name", name)}:
            self._waiting.setdefault(wanted, deque()).append(id_)
        return id_

    def _result(self, row: Mapping[str, Any], content: object) -> None:
        """The result of a call: by its id, else by the name of the function, else of the first call without one."""
        stated = next((str(row[name]) for name in _RESULT_IDS if row.get(name)), "")
        named = next((str(row[name]) for name in _NAMES if row.get(name)), "")
        found = self._named(stated, named)
        if found is None and not (stated or named):
            raise _UnreadableError("a tool's result needs the tool_call_id of its call")
        id_ = found or stated or named
        self._open.pop(id_, None)
        self.messages.append({"role": "tool", "content": _as_text(_result_content(content)), "tool_call_id": id_})

    def _named(self, stated: str, named: str) -> str | None:
        """The open call that a result means."""
        for wanted in (("id", stated), ("name", stated), ("name", named)):
            waiting = self._waiting.get(wanted) if wanted[1] else None
            while waiting:
                if waiting[0] in self._open:
                    return waiting[0]
                waiting.popleft()
        return None if stated or named else next(iter(self._open), None)


def _role(message: Mapping[str, Any]) -> str:
    stated = message.get("role")
    # LangChain has the role in the type
    stated = message.get("type") if stated is None and message.get("type") != "message" else stated
    role = _ROLES.get(stated.strip().lower()) if isinstance(stated, str) else None
    if role is None:
        raise _UnreadableError(f"role must be one of {', '.join(ROLES)} (got {excerpt(message.get('role'))})")
    return role


def _unpacked(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message where LangChain has its fields one level deeper, or where Gemini and Vercel call the content `parts`."""
    data = message.get("data")
    if isinstance(data, Mapping) and "content" not in message:
        message = {**{name: value for name, value in message.items() if name != "data"}, **data}
    if message.get("content") is None and isinstance(message.get("parts"), list):
        message = {**message, "content": message["parts"]}
    return message


def _checked(content: object) -> object:
    """The content of a message that must have one."""
    if content is None:
        raise _UnreadableError("content is missing")
    if not (content.strip() if isinstance(content, str) else content):
        raise _UnreadableError("content is empty")
    return content


def _read_content(content: object) -> object:
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        given = content
        part = _part(given)
        # one part, or an object that was to be read as text
        known = part is None or part["type"] != "text" or isinstance(given.get("text"), str)
        return ([] if part is None else [part]) if known else json.dumps(given, ensure_ascii=False)
    if not isinstance(content, list):
        raise _UnreadableError(f"content must be text or a list of parts (got {excerpt(content)})")
    parts = content
    if not all(isinstance(part, str | Mapping) for part in parts):
        return json.dumps(parts, ensure_ascii=False)
    read = [part for part in map(_part, parts) if part is not None]
    return read or ""


def _part(part: str | Mapping[str, Any]) -> dict[str, Any] | None:
    """A content part without what only one provider knows, such as cache_control; None for one that says nothing."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = _kind(part)
    if kind in _THINKING or (kind in _TEXTS and part.get("text") is None):
        return None
    url = _image_url(part, kind)
    if url is not None:
        return {"type": "image_url", "image_url": url}
    if isinstance(part.get("text"), str) and (kind in _TEXTS or set(part) <= _UNTYPED):
        return {"type": "text", "text": part["text"]}
    kept = _KEPT_PARTS.get(kind)
    if kept is None or kept not in part:
        return {"type": "text", "text": json.dumps(part, ensure_ascii=False)}
    return {"type": kind, kept: part[kept]}


def _image_url(part: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    """The address of an image in OpenAI's form, of a part in anybody's."""
    stated = part.get("image_url")
    if isinstance(stated, str):
        return {"url": stated}
    if isinstance(stated, Mapping):
        if not isinstance(stated.get("url"), str):
            raise _UnreadableError(f"image_url must have a url that is text (got {excerpt(stated)})")
        return dict(stated)
    source = next((found for at in ("inlineData", "inline_data", "source") if (found := _mapping(part.get(at)))), part)
    media_type = next(
        (source[name] for name in ("media_type", "mimeType", "mime_type", "mediaType") if isinstance(source.get(name), str)), ""
    )
    if not (kind == "image" or media_type.startswith("image/")):
        return None
    data = next((source[name] for name in ("url", "data", "image") if isinstance(source.get(name), str)), None)
    return None if data is None else {"url": _address(data, media_type)}


def _address(data: str, media_type: str = "") -> str:
    """An address or a data URL; of base64 alone, a data URL."""
    if data.startswith(("data:", "http://", "https://")):
        return data
    known = next((kind for begin, kind in _IMAGE_BEGINNINGS.items() if data.startswith(begin)), "image/png")
    return f"data:{media_type if media_type.startswith('image/') else known};base64,{data}"


def _with_images(content: object, message: Mapping[str, Any]) -> object:
    """The content with the images that Ollama's form has beside it."""
    stated: object = message.get("images") or []
    listed = stated if isinstance(stated, list) else [stated]
    images = [image for image in listed if isinstance(image, str)]
    if len(images) < len(listed):
        raise _UnreadableError(f"images must be a list of base64 strings (got {excerpt(stated)})")
    if not images:
        return content
    parts: list[Any] = (
        [{"type": "text", "text": content}] if isinstance(content, str) else [*content] if is_list(content) else []
    )
    return [*parts, *({"type": "image_url", "image_url": {"url": _address(image)}} for image in images)]


def _result_content(content: object) -> object:
    given = _mapping(content)
    if given is not None and set(given) == {"type", "value"}:
        # Vercel's AI SDK
        content = given["value"]
    if content is None or isinstance(content, str | list | Mapping):
        return _read_content(content)
    return json.dumps(content)


def _as_text(content: object) -> object:
    """A tool's result as one string, which some endpoints insist on; a list where it holds more than text."""
    if content is None:
        return ""
    if not isinstance(content, list):
        return content
    parts = content
    return "\n".join(part["text"] for part in parts) if all(part["type"] == "text" for part in parts) else parts


def _kind(row: Mapping[str, Any]) -> str:
    return stated_text(row, "type")


def _is_call(row: Mapping[str, Any]) -> bool:
    return _kind(row) in _CALLS or "functionCall" in row


def _is_result(row: Mapping[str, Any]) -> bool:
    return _kind(row) in _RESULTS or "functionResponse" in row


def _mapping(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None


def _mappings(value: object) -> list[Mapping[str, Any]]:
    rows = value if isinstance(value, list) else []
    return [row for row in map(_mapping, rows) if row is not None]


def _loaded(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
