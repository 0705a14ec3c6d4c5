"""Tools: what a request may say of them, when the model calls the caller's own, and those that run at Groq.

Shapes: the SDK's ChatCompletionToolParam, FunctionDefinition, ChatCompletionToolChoiceOptionParam,
ChatCompletionToolMessageParam, ChatCompletionMessageToolCall, CompoundCustom, SearchSettings,
ChatCompletionMessage.ExecutedTool and UsageBreakdown. The texts of refusals other than tool_use_failed (facts page, section 3)
are in the style of Groq's, word for word unverified.

Which model has browser_search, code_interpreter or the tools of the compound systems is the catalog's; that compound-mini runs
one tool a request too. Unverified: the `type` of an executed tool (here the tool's own name), the format of `output`, and the
models behind compound. gpt-oss uses every tool it is given. A compound system searches the web, opens an address that the
question has, and runs code for a question about code or calculating: the simulator's own rule. Nothing is fetched or run.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from groq_fallback_mcp.catalog import Kind, ModelRow
from groq_fallback_mcp.simulator.generation import BYTES_PER_TOKEN
from groq_fallback_mcp.simulator.instances import instance_of, satisfies, schema_fault
from groq_fallback_mcp.simulator.replies import TOOL_USE_FAILED, failed_generation
from groq_fallback_mcp.simulator.wire import Messages, Payload, is_texts, items, table, text_of

__all__ = ["builtin_faults", "call_tokens", "executed_tools", "parts_by", "tool_faults", "wanted_calls"]

MODES = ("none", "auto", "required")
# FunctionDefinition.name: a-z, A-Z, 0-9, underscores and dashes, 64 at most
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
ANSWERING_MODEL = "openai/gpt-oss-120b"
PAGES = ("https://example.com/simulated", "https://example.org/simulated", "https://docs.example.com/simulated")
_CODE = re.compile(r"\b(code|python|calculate|compute)\b", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://\S+")
_SINGLE = "groq/compound-mini"


def tool_faults(payload: Payload, model: ModelRow, messages: Messages) -> Iterator[str]:
    """What Groq would not take of `tools`, `tool_choice` and the messages of tools."""
    tools = items(payload.get("tools"))
    for index, tool in enumerate(tools):
        yield from _of_a_tool(index, table(tool), model)
    choice = payload.get("tool_choice")
    named = table(table(choice).get("function")).get("name")
    if choice is not None and choice not in MODES and not isinstance(named, str):
        yield "'tool_choice' : value must be one of none, auto, required, or an object that names a function"
    elif choice == "required" and not tools:
        yield "`tool_choice` is `required` but no `tools` were given"
    elif isinstance(named, str) and named not in [function.get("name") for function in _functions(payload)]:
        yield f"`tool_choice` names the function `{named}`, which is not in `tools`"
    for index, message in enumerate(messages):
        if message.get("role") == "tool" and not isinstance(message.get("tool_call_id"), str):
            missing = f"'messages.{index}.tool_call_id' : property 'tool_call_id' is missing"
            yield f"'messages.{index}' : for 'role:tool' the following must be satisfied[({missing})]"


def wanted_calls(payload: Payload, messages: Messages) -> list[dict[str, Any]]:
    """The calls the model makes: where it must, or where the user's last words name a tool. None: it answers in text.

    Raises ApiError tool_use_failed where no arguments can be made up that fit the parameters.
    """
    functions, choice = _functions(payload), payload.get("tool_choice") or "auto"
    if not functions or choice == "none":
        return []
    if isinstance(choice, dict):
        name = table(table(payload.get("tool_choice")).get("function")).get("name")
        wanted = [function for function in functions if function["name"] == name]
    else:
        asked = text_of(messages[-1].get("content")) if messages[-1].get("role") == "user" else ""
        wanted = [function for function in functions if _mentions(asked, str(function["name"]))]
        if choice == "required" and not wanted:
            wanted = functions[:1]
    if payload.get("parallel_tool_calls") is False:
        wanted = wanted[:1]
    return [_call(function) for function in wanted]


def call_tokens(calls: list[dict[str, Any]]) -> int:
    """What the calls count as output."""
    return sum(len(json.dumps(call["function"])) // BYTES_PER_TOKEN + 1 for call in calls)


def _of_a_tool(index: int, tool: Payload, model: ModelRow) -> Iterator[str]:
    kinds = ("function", *model.capabilities.builtin_tools)
    if tool.get("type") not in kinds:
        yield f"'tools.{index}.type' : value must be one of {', '.join(kinds)}"
    elif tool["type"] == "function":
        function = table(tool.get("function"))
        name, parameters = function.get("name"), function.get("parameters")
        if not isinstance(name, str) or not _NAME.match(name):
            yield f"'tools.{index}.function.name' : value must be 1 to 64 letters, digits, underscores or dashes"
        if parameters is not None and (reason := schema_fault(parameters)) is not None:
            yield f"invalid JSON schema for tool {name}, tools[{index}].function.parameters: {reason}"


def _functions(payload: Payload) -> list[Payload]:
    tools = [table(tool) for tool in items(payload.get("tools"))]
    return [table(tool.get("function")) for tool in tools if tool.get("type") == "function"]


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def _call(function: Payload) -> dict[str, Any]:
    schema = function.get("parameters")
    arguments: Any = instance_of(schema) if schema else {}
    text = json.dumps(arguments)
    if schema and not satisfies(arguments, schema):
        raise failed_generation("tool_use_failed", TOOL_USE_FAILED, f"<function={function['name']}>{text}</function>")
    return {
        "id": f"call_{uuid.uuid4().hex[:24]}",
        "type": "function",
        "function": {"name": function["name"], "arguments": text},
    }


def builtin_faults(payload: Payload, model: ModelRow) -> Iterator[str]:
    """What Groq would not take of `compound_custom` and `search_settings`."""
    for name in ("compound_custom", "search_settings"):
        if payload.get(name) is not None and not isinstance(payload[name], dict):
            yield f"'{name}' : value must be an object"
    if payload.get("compound_custom") is not None and model.kind is not Kind.SYSTEM:
        yield "`compound_custom` is not supported with this model"
    enabled = table(table(payload.get("compound_custom")).get("tools")).get("enabled_tools")
    takes = model.capabilities.builtin_tools
    if enabled is not None and (not is_texts(enabled) or not set(items(enabled)) <= set(takes)):
        yield f"'compound_custom.tools.enabled_tools' : values must be among {', '.join(takes)}"
    settings = table(payload.get("search_settings"))
    for name in ("include_domains", "exclude_domains"):
        if settings.get(name) is not None and not is_texts(settings[name]):
            yield f"'search_settings.{name}' : value must be a list of strings"
    if settings.get("country") is not None and not isinstance(settings["country"], str):
        yield "'search_settings.country' : value must be a string"


def executed_tools(payload: Payload, model: ModelRow, messages: Messages) -> list[dict[str, Any]]:
    """What ran for this request, in order."""
    question = text_of(messages[-1].get("content"))
    return [
        {"index": index, "type": name} | _run(name, question, payload)
        for index, name in enumerate(_used(payload, model, question))
    ]


def parts_by(payload: Payload, model: ModelRow) -> Sequence[str]:
    """The models behind a system; none for a plain model."""
    if model.kind is not Kind.SYSTEM:
        return ()
    chosen = table(table(payload.get("compound_custom")).get("models"))
    names = [chosen.get("reasoning_model"), chosen.get("answering_model") or ANSWERING_MODEL]
    return [str(name) for name in names if name]


def _used(payload: Payload, model: ModelRow, question: str) -> list[str]:
    has = model.capabilities.builtin_tools
    if model.kind is not Kind.SYSTEM:
        given = [table(tool).get("type") for tool in items(payload.get("tools"))]
        return [name for name in has if name in given] if payload.get("tool_choice") != "none" else []
    enabled = table(table(payload.get("compound_custom")).get("tools")).get("enabled_tools")
    calls_for = {
        "visit_website": _ADDRESS.search(question) is not None,
        "code_interpreter": _CODE.search(question) is not None,
        "web_search": True,
    }
    used = [name for name, fits in calls_for.items() if fits and name in (has if enabled is None else items(enabled))]
    return used[:1] if model.id == _SINGLE else used


def _run(name: str, question: str, payload: Payload) -> dict[str, Any]:
    asked = " ".join(question.split())[:200]
    if name == "code_interpreter":
        text = "simulated output; no code was run"
        arguments = {"code": f"print({asked!r})  # simulated"}
        return {"arguments": json.dumps(arguments), "output": text, "code_results": [{"text": text}]}
    if name == "visit_website":
        found = _ADDRESS.search(question)
        page = {"title": "Simulated page", "url": PAGES[0], "content": "A simulated page; nothing was fetched."}
        arguments = {"url": found[0] if found else PAGES[0]}
        return {"arguments": json.dumps(arguments), "output": page["content"], "browser_results": [page]}
    results = list(_results(asked, payload))
    output = "\n".join(f"{row['title']} {row['url']}: {row['content']}" for row in results)
    searched: dict[str, Any] = {"results": results}
    if table(payload.get("search_settings")).get("include_images"):
        searched["images"] = [f"{PAGES[0]}.png"]
    return {"arguments": json.dumps({"query": asked}), "output": output, "search_results": searched}


def _results(asked: str, payload: Payload) -> Iterator[dict[str, Any]]:
    settings = table(payload.get("search_settings"))
    # the two lists outside of search_settings are the SDK's deprecated form
    only = items(settings.get("include_domains") or payload.get("include_domains"))
    never = items(settings.get("exclude_domains") or payload.get("exclude_domains"))
    country = settings.get("country")
    where = f" in {country}" if country else ""
    for number, url in enumerate(PAGES, start=1):
        host = url.split("/")[2]
        if (only and not _among(host, only)) or _among(host, never):
            continue
        yield {
            "title": f"Simulated result {number}",
            "url": url,
            "content": f"A simulated text about: {asked}{where}",
            "score": round(1 - number / 10, 2),
        }


def _among(host: str, domains: Sequence[object]) -> bool:
    bare = [str(domain).removeprefix("*.") for domain in domains]
    return any(host == domain or host.endswith(f".{domain}") for domain in bare)
