"""The body of POST /v1/messages, as Claude Code and Anthropic's SDKs send it, brought into the form of a chat completion. Pure.

What only Anthropic's own models know is tolerated: cache markers, thinking and its signatures, context management, betas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from groq_fallback_mcp.call.openai_fields import object_of
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.gateway.chat_body import ChatBody, read_chat_body, with_hosted_tools
from groq_fallback_mcp.gateway.client_lists import CLAUDE_PREFIX
from groq_fallback_mcp.gateway.model_list import AUTO
from groq_fallback_mcp.gateway.refusals import InvalidBody, Refusal, invalid, renumbered
from groq_fallback_mcp.gateway.tool_names import function_name
from groq_fallback_mcp.json_types import is_list, stated_text
from groq_fallback_mcp.render import excerpt

__all__ = ["NO_THREADS", "read_messages_body"]

_SAME = ("max_tokens", "temperature", "top_p", "stream")
# Anthropic's own models have a name for each size; none of them is to be had here.
_OWN, _SMALL, FAST = "claude-", "haiku", "fast"
# What Claude Code tells Anthropic of itself at the beginning of the system prompt, where it would spoil what is cached.
_BILLING = "x-anthropic-billing-header"
# Fields that change what an answer is, and that only Anthropic's own models have.
_UNKNOWN = ("mcp_servers", "container", "fallbacks", "compaction")
_CHANGES = ("tool_addition", "tool_removal")
# The code by which Anthropic's SDKs know to send the whole conversation instead.
NO_THREADS = "thread_unsupported_request"
_EFFORTS = {"max": "high"}
# Blocks of what ran at Anthropic in an earlier turn: their results say nothing without their calls.
_HOSTED = ("server_tool_use", "_tool_result", "container_upload", "mcp_tool_use")


def read_messages_body(given: object, *, catalog: Catalog) -> ChatBody | Refusal:
    """The request behind a body, or what is wrong with it."""
    body = object_of(given)
    if body is None:
        return invalid("The body is not a JSON object. Send an object with model, max_tokens and messages")
    if not is_list(messages := body.get("messages")) or not messages:
        return invalid("messages must be a list with at least one message", param="messages")
    try:
        tools = _tools(body)
        chat, notes = _chat(body, messages, tools.functions)
    except InvalidBody as error:
        return error.refusal
    read = read_chat_body(chat, catalog=catalog)
    if isinstance(read, Refusal):
        return renumbered(read, [0] * (len(chat["messages"]) - len(messages)) + [*range(1, len(messages) + 1)])
    thinking = object_of(body.get("thinking")) or {}
    shows = stated_text(thinking, "type") in {"enabled", "adaptive"} and thinking.get("display") != "omitted"
    user = (object_of(body.get("metadata")) or {}).get("user_id")
    read = with_hosted_tools(replace(read, notes=tuple(notes)), searches=tools.searches, omitted=list(tools.omitted))
    return replace(read, names=(user,), include_reasoning=shows, tool_names=tools.renamed)


def _chat(body: Mapping[str, Any], messages: Sequence[object], functions: Sequence[Any]) -> tuple[dict[str, Any], list[str]]:
    """The body of a chat completion, and what was changed for it, in sentences."""
    if body.get("thread") is not None:
        message = "thread is not supported: nothing is stored here. Send the whole conversation in messages"
        raise InvalidBody(message, "thread", code=NO_THREADS)
    model, substituted = _model(body.get("model"))
    output = object_of(body.get("output_config")) or {}
    choice = object_of(body.get("tool_choice")) or {}
    chat: dict[str, Any] = {name: body[name] for name in _SAME if name in body}
    chat |= {
        "model": model,
        "messages": [*_system(body.get("system")), *(_message(message) for message in messages)],
        "stop": body.get("stop_sequences"),
        "tool_choice": _tool_choice(choice) if choice else body.get("tool_choice"),
        "parallel_tool_calls": False if choice.get("disable_parallel_tool_use") is True else None,
        "reasoning_effort": _EFFORTS.get(stated_text(output, "effort"), output.get("effort")),
        "response_format": output.get("format") or body.get("output_format"),
    }
    if functions or not is_list(body.get("tools")):
        chat["tools"] = functions or body.get("tools")
    notes = [substituted] if substituted else []
    notes += [f"The field {name} was omitted, as no model here knows it" for name in _UNKNOWN if body.get(name)]
    return {name: value for name, value in chat.items() if value is not None}, notes


def _model(given: object) -> tuple[object, str]:
    """The model that is asked, and what is said where it stands for another. None for none, which is auto."""
    if isinstance(given, str):
        given = given.removeprefix(CLAUDE_PREFIX)
    if not isinstance(given, str) or not given.startswith(_OWN):
        return given, ""
    stands_for = FAST if _SMALL in given else AUTO
    return stands_for, f"{excerpt(given)} is not available here, so {stands_for} was asked"


def _tool_choice(choice: Mapping[str, Any]) -> object:
    """As a table where it is a tool's name: one may be named none or auto."""
    if stated_text(choice, "type") != "tool":
        return choice
    return {"type": "function", "function": {"name": function_name(_name_of(choice))}}


def _name_of(given: object) -> str:
    return stated_text(object_of(given) or {}, "name")


def _system(given: object) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"role": "system", "content": given}] if given.strip() else []
    listed = given if is_list(given) else [given]
    blocks = [block for block in map(object_of, listed) if block]
    texts = [
        text
        for block in blocks
        if isinstance(text := block.get("text"), str) and text.strip() and not text.startswith(_BILLING)
    ]
    return [{"role": "system", "content": "\n\n".join(texts)}] if texts else []


def _message(given: object) -> object:
    """A message, with its blocks as a chat completion has them."""
    message = object_of(given)
    return given if message is None else {"role": message.get("role"), "content": _content(message.get("content"))}


def _content(content: object) -> object:
    """The blocks, each as the parts that a chat completion has for it."""
    return [part for block in content if not _is_hosted(block) for part in _parts(block)] if is_list(content) else content


def _is_hosted(given: object) -> bool:
    kind = stated_text(object_of(given) or {}, "type")
    return kind.startswith(_HOSTED) or kind.endswith(_HOSTED)


def _parts(given: object) -> list[Any]:  # noqa: PLR0911 - an arm a block
    block = object_of(given)
    if block is None:
        return [given]
    source = object_of(block.get("source")) or {}
    if stated_text(source, "type") == "file":
        message = "A file is named by its file_id, and no files are stored here. Send its content in source as base64"
        raise InvalidBody(message, "messages")
    match stated_text(block, "type"):
        case "tool_result":
            return [{**block, "content": _result(block)}]
        case "tool_use":
            return [{**block, "name": function_name(_name_of(block))}]
        case "document":
            return _document(block, source)
        case "tool_reference" | "tool_addition" | "tool_removal" as kind:
            name, _ = _changed_tool(block)
            return [_text(f"The tool {name} can {'no longer' if kind == 'tool_removal' else 'now'} be called.")]
        case "search_result":
            return [_text(f"{block.get('title') or ''}\n{block.get('source') or ''}"), *_listed(block.get("content"))]
        case "compaction":
            # what was said before, summed up
            return _listed(block.get("content"))
        case _:
            return [block]


def _result(block: Mapping[str, Any]) -> object:
    read = _content(block.get("content"))
    if block.get("is_error") is not True:
        return read
    # no other API has a field that says so
    if isinstance(read, list):
        return [_text("Error:"), *read]
    return f"Error: {read or 'no details'}"


def _document(block: Mapping[str, Any], source: Mapping[str, Any]) -> list[Any]:
    """A document whose text is here becomes text, with its title and context before it; any other is a file."""
    head = [_text(said) for said in (block.get("title"), block.get("context")) if isinstance(said, str) and said]
    match stated_text(source, "type"):
        case "text":
            return [*head, _text(str(source.get("data") or ""))]
        case "content":
            return [*head, *_listed(source.get("content"))]
        case "base64":
            data = f"data:{source.get('media_type')};base64,{source.get('data')}"
            return [{"type": "file", "file": {"file_data": data, "filename": str(block.get("title") or "document")}}]
        case _:
            message = (
                "A document is named by its address, which is not fetched here. Send its content in source as text or base64"
            )
            raise InvalidBody(message, "messages")


def _listed(content: object) -> list[Any]:
    read = _content(content)
    return list(read) if is_list(read) else [_text(str(read))] if read else []


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@dataclass(slots=True)
class _Tools:
    """The tools of a request: `offered` by name, of those with one name the last, as a definition that came later counts.

    `renamed` says what the client calls a function that has another name here; `omitted` are kinds that no model here knows.
    """

    offered: dict[str, Any] = field(default_factory=dict[str, Any])
    renamed: dict[str, str] = field(default_factory=dict[str, str])
    searches: bool = False
    omitted: dict[str, None] = field(default_factory=dict[str, None])

    @property
    def functions(self) -> Sequence[Any]:
        """As a chat completion has them, with what cannot be one, which its reader refuses."""
        return list(self.offered.values())

    def offer(self, tool: Mapping[str, Any]) -> None:
        """Take a tool for a function."""
        name = _name_of(tool)
        flat = function_name(name)
        if flat != name:
            self.renamed[flat] = name
        fields = {key: tool[key] for key in ("description", "strict") if tool.get(key) is not None}
        function = {"name": flat, **fields, "parameters": tool.get("input_schema")}
        self.keep({"type": "function", "function": function}, name=flat)

    def keep(self, entry: object, *, name: str = "") -> None:
        """Take an entry as it is. No function's name has a space."""
        self.offered[name or f"entry {len(self.offered)}"] = entry


def _tools(body: Mapping[str, Any]) -> _Tools:
    """The tools that can be called now.

    Deferred tools are offered once a search for tools has found them, or where there is none that could.
    """
    stated = body.get("tools")
    given: Sequence[Any] = stated if is_list(stated) else ()
    changed = _changed_tools(body.get("messages"))
    finds = any(_finds_tools(object_of(tool) or {}) for tool in given)
    tools = _Tools()
    for entry in (*given, *changed.defined.values()):
        tool = object_of(entry)
        kind = stated_text(tool or {}, "type")
        if tool is None:
            tools.keep(entry)
        elif kind.startswith("web_search"):
            tools.searches = True
        elif kind not in {"", "custom"}:
            tools.omitted[kind] = None
        elif changed.offers(tool, deferring=finds):
            tools.offer(tool)
    return tools


def _finds_tools(tool: Mapping[str, Any]) -> bool:
    """Whether the client itself searches for tools with it. Anthropic's own searches do not run here."""
    name = str(tool.get("name")).lower()
    return stated_text(tool, "type") in {"", "custom"} and "tool" in name and "search" in name


@dataclass(frozen=True, slots=True)
class _ChangedTools:
    """What a conversation has done to its tools: those that a search found or a message added, took away, or defined."""

    found: dict[str, None] = field(default_factory=dict[str, None])
    removed: dict[str, None] = field(default_factory=dict[str, None])
    defined: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def offers(self, tool: Mapping[str, Any], *, deferring: bool) -> bool:
        """Whether a tool can be called. `deferring`: those that are to be loaded later wait until they are found."""
        name = stated_text(tool, "name")
        return name not in self.removed and (not deferring or tool.get("defer_loading") is not True or name in self.found)

    def take(self, block: Mapping[str, Any]) -> None:
        """One block of a message."""
        kind = stated_text(block, "type")
        if kind not in {*_CHANGES, "tool_reference"}:
            return
        name, definition = _changed_tool(block)
        if not isinstance(name, str):
            return
        if kind == "tool_removal":
            # its definition stays, for when it is added again by its name
            self.removed[name] = None
            return
        self.removed.pop(name, None)
        self.found[name] = None
        if definition:
            self.defined[name] = definition


def _changed_tool(block: Mapping[str, Any]) -> tuple[object, dict[str, Any]]:
    """The name of the tool that a block is about, and its definition; empty where the block has none."""
    tool = object_of(block.get("tool")) or block
    definition = object_of(tool.get("definition")) or {}
    return tool.get("tool_name") or tool.get("name") or definition.get("name"), definition


def _changed_tools(messages: object) -> _ChangedTools:
    """What a conversation has done to its tools until now, in its order."""
    changed = _ChangedTools()
    for block in _blocks(messages):
        changed.take(block)
    return changed


def _blocks(value: object) -> Iterator[Mapping[str, Any]]:
    """The objects in a content, and in their contents: a message holds results, and a result parts."""
    for entry in value if is_list(value) else ():
        block = object_of(entry)
        if block is not None:
            yield block
            yield from _blocks(block.get("content"))
