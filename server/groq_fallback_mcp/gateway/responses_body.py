"""The body of POST /v1/responses, as Codex and OpenAI's SDKs send it, brought into the form of a chat completion. Pure.

Nothing is stored here, so each request must hold its whole conversation. Reasoning that a model once returned is for the model that
wrote it, and is not sent on. Tools in a namespace and custom tools become functions, whose calls are given back in their own form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from groq_fallback_mcp.call.openai_fields import object_of
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.gateway.chat_body import (
    MOST_KIND_CHARS,
    MOST_MESSAGES,
    MOST_TOOLS,
    ChatBody,
    read_chat_body,
    with_hosted_tools,
)
from groq_fallback_mcp.gateway.refusals import InvalidBody, Refusal, invalid, renumbered
from groq_fallback_mcp.gateway.tool_names import function_name, own_name
from groq_fallback_mcp.json_types import is_list, stated_text
from groq_fallback_mcp.render import excerpt

__all__ = ["NamedTool", "ResponsesBody", "read_responses_body"]

_STORED = ("previous_response_id", "conversation", "prompt")
_SEARCH = "web_search"
# The fields that a chat completion has by the same name.
_SAME = (
    *("model", "max_output_tokens", "temperature", "top_p", "parallel_tool_calls", "reasoning", "service_tier", "stream"),
    *("user", "prompt_cache_key", "top_logprobs"),
)
_FREE_INPUT = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class NamedTool:
    """What a function stands for: a tool of this name, perhaps in a namespace; `is_custom`: its input is a text and not an object."""

    name: str
    namespace: str | None = None
    is_custom: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesBody:
    """The request behind a body. `tools` says what each function stands for, `stated` are the body's own fields."""

    chat: ChatBody
    tools: Mapping[str, NamedTool]
    stated: Mapping[str, Any]


@dataclass(slots=True)
class _Tools:
    """The tools so far: as functions, by what they stand for, and the kinds that were left out."""

    functions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    named: dict[str, NamedTool] = field(default_factory=dict[str, NamedTool])
    flats: dict[NamedTool, str] = field(default_factory=dict[NamedTool, str])
    searches: bool = False
    left_out: dict[str, None] = field(default_factory=dict[str, None])

    def flat(self, tool: NamedTool) -> str:
        """The function that a tool is called by; a tool that was not offered gets one all the same, for calls of earlier turns."""
        return self.flats.get(tool) or self.flats.get(replace(tool, is_custom=not tool.is_custom)) or _flat_name(tool)

    def add(self, given: Mapping[str, Any], namespace: str | None = None) -> None:
        """One tool of the body."""
        kind, name = stated_text(given, "type"), given.get("name")
        if kind == "namespace" and is_list(inner := given.get("tools")):
            for one in inner:
                self.add(object_of(one) or {}, stated_text(given, "name"))
        elif kind.startswith(_SEARCH):
            self.searches = True
        elif kind == "function":
            tool = NamedTool(name if isinstance(name, str) else "", namespace)
            self._offer(tool, {key: given.get(key) for key in ("description", "parameters", "strict")})
        elif kind == "custom" and isinstance(name, str):
            said = [given.get("description"), _grammar(given)]
            description = "\n".join(text for text in said if isinstance(text, str) and text)
            self._offer(NamedTool(name, namespace, is_custom=True), {"description": description, "parameters": _FREE_INPUT})
        else:
            self.left_out[kind[:MOST_KIND_CHARS] or "without a type"] = None

    def _offer(self, tool: NamedTool, fields: Mapping[str, Any]) -> None:
        flat = _flat_name(tool)
        if self.named.get(flat) == tool:
            return
        if flat in self.named:
            # two that would be one function: a name, and the same made of a namespace and a name
            flat = own_name(flat, f"{tool.namespace} {tool.name} {tool.is_custom}")
        self.named[flat], self.flats[tool] = tool, flat
        stated = {key: value for key, value in fields.items() if value is not None}
        self.functions.append({"type": "function", "function": {"name": flat, **stated}})

    def only(self, allowed: Sequence[Mapping[str, Any]]) -> None:
        """Offer these tools alone. Raises InvalidBody for one that was not offered."""
        functions = [_named(one, self) for one in allowed if isinstance(one.get("name"), str)]
        unknown = next((name for name in functions if name not in self.named), None)
        if unknown is not None:
            raise InvalidBody(f"tool_choice names {excerpt(unknown)}, which is not in tools", "tool_choice")
        self.functions = [one for one in self.functions if one["function"]["name"] in functions]
        self.searches = self.searches and any(stated_text(one, "type").startswith(_SEARCH) for one in allowed)


def read_responses_body(given: object, *, catalog: Catalog) -> ResponsesBody | Refusal:
    """The request behind a body, or what is wrong with it."""
    body = object_of(given)
    if body is None:
        return invalid("The body is not a JSON object. Send an object with model and input")
    try:
        tools = _read_tools(body)
        left_out: dict[str, None] = {}
        messages, origins = _messages(body, tools, left_out)
        chat = {name: body[name] for name in _SAME if name in body}
        chat |= {"messages": messages, "response_format": (object_of(body.get("text")) or {}).get("format")}
        if (choice := _tool_choice(body, tools)) is not None:
            chat["tool_choice"] = choice
        if tools.functions:
            chat["tools"] = tools.functions
    except InvalidBody as error:
        return error.refusal
    read = read_chat_body(chat, catalog=catalog)
    if isinstance(read, Refusal):
        return renumbered(read, origins, entry="item")
    notes = [f"Input items of the type {kind} were omitted, as no model here reads them" for kind in left_out]
    chat_body = with_hosted_tools(replace(read, notes=tuple(notes)), searches=tools.searches, omitted=list(tools.left_out))
    return ResponsesBody(chat=chat_body, tools=tools.named, stated=body)


def _read_tools(body: Mapping[str, Any]) -> _Tools:
    for name in _STORED:
        if body.get(name):
            message = f"{name} is not supported: nothing is stored here. Send the whole conversation in input"
            raise InvalidBody(message, name)
    if body.get("background") is True:
        raise InvalidBody(
            "background is not supported: nothing is stored here. Remove it, and wait for the answer", "background"
        )
    tools = _Tools()
    stated = body.get("tools")
    if stated is not None and not is_list(stated):
        raise InvalidBody("tools must be a list", "tools")
    for number, given in enumerate(stated or (), start=1):
        tool = object_of(given)
        if tool is None:
            raise InvalidBody(f"Tool {number} is not an object", "tools")
        tools.add(tool)
        if len(tools.functions) > MOST_TOOLS:
            message = f"tools has more than {MOST_TOOLS} functions, the most that Groq takes. Turn off an MCP server or some of its tools"
            raise InvalidBody(message, "tools")
    return tools


def _messages(body: Mapping[str, Any], tools: _Tools, left_out: dict[str, None]) -> tuple[list[dict[str, Any]], list[int]]:
    """The messages, and the number of the item that each began with."""
    messages: list[dict[str, Any]] = []
    origins: list[int] = []
    instructions = body.get("instructions")
    if isinstance(instructions, str) and instructions.strip():
        messages.append({"role": "system", "content": instructions})
    for number, item in enumerate(_items(body), start=1):
        kind = stated_text(item, "type")
        if kind in {"", "message"}:
            _said(messages, {"role": item.get("role"), "content": _content(item.get("content"))})
        elif kind in {"function_call", "custom_tool_call"}:
            _called(messages, item, tools)
        elif kind in {"function_call_output", "custom_tool_call_output"}:
            output = _content(item.get("output"))
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": output})
        elif kind == "item_reference":
            message = f"Item {number} of input refers to a stored item, and nothing is stored here. Send the item itself"
            raise InvalidBody(message, "input")
        elif kind != "reasoning":
            left_out[kind[:MOST_KIND_CHARS]] = None
        origins += [number] * (len(messages) - len(origins))
    return messages, origins


def _items(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    stated = body.get("input")
    items: list[Any] = (
        [{"role": "user", "content": stated}] if isinstance(stated, str) else list(stated) if is_list(stated) else []
    )
    if items and is_list(instructions := body.get("instructions")):
        items = [*instructions, *items]
    if not items:
        raise InvalidBody("input must be a text, or a list with at least one item", "input")
    if len(items) > MOST_MESSAGES:
        message = f"input has {len(items):,} items, and {MOST_MESSAGES:,} are allowed. Shorten the conversation"
        raise InvalidBody(message, "input")
    read = [object_of(item) for item in items]
    if None in read:
        raise InvalidBody(f"Item {read.index(None) + 1} of input is not an object", "input")
    return [item for item in read if item is not None]


def _said(messages: list[dict[str, Any]], message: dict[str, Any]) -> None:
    """Words of the model after its calls belong before them: results follow calls directly."""
    last = messages[-1] if messages else {}
    if message["role"] != "assistant" or not last.get("tool_calls"):
        messages.append(message)
        return
    said = [part for content in (last["content"], message["content"]) if content for part in _listed(content)]
    last["content"] = said or None


def _listed(content: Any) -> list[Any]:
    return content if is_list(content) else [{"type": "text", "text": content}]


def _called(messages: list[dict[str, Any]], item: Mapping[str, Any], tools: _Tools) -> None:
    """A call belongs to the words that the model said before it."""
    if not messages or messages[-1].get("role") != "assistant":
        messages.append({"role": "assistant", "content": None})
    is_custom = item.get("type") == "custom_tool_call"
    tool = NamedTool(str(item.get("name") or ""), stated_text(item, "namespace") or None, is_custom=is_custom)
    arguments = json.dumps({"input": item.get("input") or ""}) if is_custom else item.get("arguments")
    call = {"id": item.get("call_id"), "type": "function", "function": {"name": tools.flat(tool), "arguments": arguments}}
    messages[-1].setdefault("tool_calls", []).append(call)


def _content(content: object) -> object:
    if not is_list(content):
        return content
    return [_part(part) for part in content]


def _part(given: object) -> object:
    part = object_of(given)
    if part is None:
        return given
    match stated_text(part, "type"):
        case "refusal":
            return {"type": "text", "text": part.get("refusal") or ""}
        case "input_image" if not part.get("image_url"):
            message = "An image is named by its file_id, and no files are stored here. Send it as a data URL in image_url"
            raise InvalidBody(message, "input")
        case "input_file":
            if part.get("file_data") is None:
                message = "A file is named by its id or address, and no files are stored here. Send it in file_data"
                raise InvalidBody(message, "input")
            return {"type": "file", "file": {name: part.get(name) for name in ("file_data", "filename")}}
        case _:
            return part


def _tool_choice(body: Mapping[str, Any], tools: _Tools) -> object:
    stated = body.get("tool_choice")
    choice = object_of(stated)
    if choice is None:
        return stated
    kind, name = stated_text(choice, "type"), choice.get("name")
    if kind == "allowed_tools" and is_list(allowed := choice.get("tools")):
        tools.only([object_of(one) or {} for one in allowed])
        return choice.get("mode")
    if isinstance(name, str) and kind in {"function", "custom"}:
        # as a table: a tool may be named none or auto
        return {"type": "function", "function": {"name": _named(choice, tools)}}
    return "auto"


def _named(choice: Mapping[str, Any], tools: _Tools) -> str:
    name, namespace = str(choice.get("name") or ""), stated_text(choice, "namespace") or None
    return tools.flat(NamedTool(name, namespace, is_custom=stated_text(choice, "type") == "custom"))


def _flat_name(tool: NamedTool) -> str:
    """The function that a tool is by its name and namespace."""
    if tool.namespace is None:
        return function_name(tool.name)
    return function_name(f"{tool.namespace}{'' if tool.namespace.endswith('__') else '__'}{tool.name}")


def _grammar(given: Mapping[str, Any]) -> str:
    stated = object_of(given.get("format")) or {}
    definition = stated.get("definition")
    if not isinstance(definition, str):
        return ""
    syntax = stated_text(stated, "syntax")
    return f"Its input must match this {f'{syntax} ' if syntax else ''}grammar:\n{definition}"
