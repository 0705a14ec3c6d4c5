"""A stand-in for the model of a coding agent: it asks for the tool calls it was given, then says one sentence."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from groq_fallback_mcp.simulator import run_simulator

__all__ = ["LAST_WORDS", "ScriptedModel", "ToolCall"]

LAST_WORDS = "The script ends here."


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call the agent is to make; `name` as the agent lists it."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class ScriptedModel:
    """Asks for `calls` one after the other and records every request. `on_request` runs while the agent waits.

    Its first message asks for `at_once` of them.
    """

    calls: Sequence[ToolCall] = ()
    at_once: int = 1
    on_request: Callable[[], None] | None = None
    requests: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """The base URL of the model while the block lasts."""
        app = Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])
        async with run_simulator(app) as running:
            yield f"{running.base_url}/v1"

    @property
    def conversation(self) -> Sequence[Mapping[str, Any]]:
        """The messages of the last request that offered tools: all that the agent showed its model."""
        return next(request["messages"] for request in reversed(self.requests) if request.get("tools"))

    @property
    def system_prompt(self) -> str:
        return "\n".join(_text(message) for message in self.conversation if message["role"] == "system")

    @property
    def tool_results(self) -> list[str]:
        """What the agent showed its model as the results of its calls, in order."""
        return [_text(message) for message in self.conversation if message["role"] == "tool"]

    @property
    def tools(self) -> Mapping[str, Mapping[str, Any]]:
        """The tools the agent offered, by name."""
        return {tool["function"]["name"]: tool["function"] for request in self.requests for tool in request.get("tools") or ()}

    @property
    def offered(self) -> list[str]:
        """The names of the tools that were offered."""
        return list(self.tools)

    async def _complete(self, request: Request) -> StreamingResponse:
        body: dict[str, Any] = await request.json()
        self.requests.append(body)
        if self.on_request is not None:
            self.on_request()
        done = sum(message["role"] == "tool" for message in body["messages"])
        # an agent also asks for titles and the like, without tools
        calls = self.calls[done : done + 1 if done else self.at_once] if body.get("tools") else ()
        return StreamingResponse(_stream(calls, number=done), media_type="text/event-stream")


def _stream(calls: Sequence[ToolCall], *, number: int) -> Iterator[str]:
    if not calls:
        yield _chunk({"role": "assistant", "content": LAST_WORDS})
        yield _chunk({}, finish_reason="stop")
    else:
        entries = [
            {
                "index": index,
                "id": f"call_{number + index}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for index, call in enumerate(calls)
        ]
        yield _chunk({"role": "assistant", "content": None, "tool_calls": entries})
        yield _chunk({}, finish_reason="tool_calls")
    yield "data: [DONE]\n\n"


def _chunk(delta: Mapping[str, Any], *, finish_reason: str | None = None) -> str:
    chunk = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "fake-model",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2} if finish_reason else None,
    }
    return f"data: {json.dumps(chunk)}\n\n"


def _text(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "\n".join(str(part.get("text", "")) for part in content)
