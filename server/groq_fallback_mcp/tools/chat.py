"""groq_chat: one question, or many, answered by the best models that can serve them now."""

from __future__ import annotations

from typing import Any

import anyio.to_thread

from groq_fallback_mcp.call import ChatRequest
from groq_fallback_mcp.catalog import Kind
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.images import image_parts
from groq_fallback_mcp.response_cache import Kept
from groq_fallback_mcp.tools.chat_arguments import ChatArguments, chat_request
from groq_fallback_mcp.tools.chat_many import answer_all
from groq_fallback_mcp.tools.chat_result import ChatResult, chat_reply
from groq_fallback_mcp.tools.result import error_reply
from groq_fallback_mcp.tools.result_bound import FOLDER, read_on, reading_on
from groq_fallback_mcp.tools.schema_check import SchemaCheck
from groq_fallback_mcp.tools.tool import Context, Reply, Tool

__all__ = ["GROQ_CHAT", "ChatArguments", "ChatResult"]


async def _handle(arguments: ChatArguments, context: Context) -> Reply:
    if arguments.rest is not None:
        return await _read_on(arguments.rest, context)
    images = tuple(await image_parts(arguments.images or (), context.folders))
    check = None if arguments.response_schema is None else SchemaCheck(dict(arguments.response_schema))
    if arguments.prompts is not None:
        requests = [chat_request(arguments, prompt=prompt, images=images) for prompt in arguments.prompts]
        return await answer_all(requests, context, check=check)
    return await _one(chat_request(arguments, images=images), arguments, context, check)


async def _one(request: ChatRequest, arguments: ChatArguments, context: Context, check: SchemaCheck | None) -> Reply:
    cached = _caches(arguments, context)
    if cached and context.cache is not None and (kept := await context.cache.get(request)) is not None:
        return _from_cache(kept)
    outcome = await context.engine.serve(request, progress=context.progress, check=check, repair=True)
    if isinstance(outcome, CallFailed):
        return error_reply(outcome)
    reply = chat_reply(
        outcome,
        structured_answer=request.schema is not None,
        searched=_searched(outcome, request, context),
        documents=arguments.document_titles(),
    )
    if cached and context.cache is not None and outcome.success.finish_reason != "length":
        await context.cache.put(request, text=reply.text, structured=reply.structured)
    return reply


async def _read_on(at: str, context: Context) -> Reply:
    """More of a result that was too long to return; nothing is sent."""
    page = await anyio.to_thread.run_sync(read_on, at, context.state / FOLDER)
    end = page.start + len(page.text)
    told = f"characters {page.start + 1:,} to {end:,} of {page.characters:,}"
    told += f"; next step: {reading_on(page.following)}" if page.following else "; this is the end"
    structured: dict[str, Any] = {"text": page.text, "start": page.start, "characters": page.characters}
    if page.following is not None:
        structured |= {"rest": page.following}
    return Reply(text=f"{page.text}\n\n[{told}]", structured=structured, body=page.text)


def _caches(arguments: ChatArguments, context: Context) -> bool:
    """Whether an answer may be one from before: asked for, or certain to be meant where nothing is left to chance."""
    if arguments.cache and context.cache is None:
        raise InputRefused(
            "cache is asked for, but no answers are kept",
            next_step="leave it out, or set GROQ_FALLBACK_CACHE_TTL_S to the seconds that answers are kept",
        )
    wanted = arguments.temperature == 0 if arguments.cache is None else arguments.cache
    return wanted and context.cache is not None


def _from_cache(kept: Kept) -> Reply:
    note = f"an answer kept {kept.age_s:.0f} s ago; nothing was sent"
    structured: dict[str, Any] = {**kept.structured, "cached": True, "cost_usd": "0.000000"}
    structured["notes"] = [*structured.get("notes", ()), note]
    return Reply(text=f"{kept.text}\nNote: {note}", structured=structured, body=str(structured.get("text", "")))


def _searched(answer: Answer, request: ChatRequest, context: Context) -> bool:
    row = context.engine.catalog.models.get(answer.model)
    return request.search is not None or request.code or (row is not None and row.kind is Kind.SYSTEM)


GROQ_CHAT = Tool(
    name="groq_chat",
    title="Ask Groq",
    description=(
        "Fast, cheap answer, summary or extraction from the best Groq model available now; falls back by itself on rate "
        "limits and outages. Also takes images, tools, search, documents, prompts. On error read retry_after_s."
    ),
    arguments=ChatArguments,
    handle=_handle,
)
