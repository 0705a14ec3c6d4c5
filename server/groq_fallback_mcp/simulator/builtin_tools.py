"""Tools that run at Groq: browser_search and code_interpreter of gpt-oss, and those of the compound systems.

Shapes: the SDK's ChatCompletionToolParam, CompoundCustom, SearchSettings, ChatCompletionMessage.ExecutedTool and UsageBreakdown;
which model has which tool is the catalog's; that compound-mini runs one tool a request too. Unverified: the `type` of an
executed tool (here the tool's own name), the format of `output`, the models behind compound, and the texts of refusals.

gpt-oss uses every tool it is given. A compound system searches the web, opens an address that the question has, and runs code
for a question about code or calculating: the simulator's own rule. Nothing is fetched and nothing is run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from groq_fallback_mcp.catalog import Kind, ModelRow
from groq_fallback_mcp.simulator.wire import Messages, Payload, is_texts, items, table, text_of

__all__ = ["builtin_faults", "executed_tools", "parts_by"]

ANSWERING_MODEL = "openai/gpt-oss-120b"
PAGES = ("https://example.com/simulated", "https://example.org/simulated", "https://docs.example.com/simulated")
_CODE = re.compile(r"\b(code|python|calculate|compute)\b", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://\S+")
_SINGLE = "groq/compound-mini"


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
