"""The scripted model in the dialects of other agents: Anthropic's Messages, OpenAI's Responses, Google's generateContent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from e2e.scripted_model import LAST_WORDS, ToolCall
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from groq_fallback_mcp.simulator import run_simulator

__all__ = ["GenerateContentModel", "MessagesModel", "ResponsesModel"]


@dataclass(slots=True, kw_only=True)
class MessagesModel:
    """Anthropic's Messages API, as Claude Code speaks it. Asks for `calls` one after the other."""

    calls: Sequence[ToolCall] = ()
    requests: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """The base URL while the block lasts."""
        routes = [
            Route("/v1/messages", self._complete, methods=["POST"]),
            Route("/v1/messages/count_tokens", _counted, methods=["POST"]),
            Route("/{rest:path}", _nothing, methods=["GET", "POST", "HEAD"]),
        ]
        async with run_simulator(Starlette(routes=routes)) as running:
            yield running.base_url

    @property
    def offered(self) -> list[str]:
        """The names of the tools that were offered."""
        return list(dict.fromkeys(tool["name"] for request in self.requests for tool in request.get("tools") or ()))

    @property
    def tool_results(self) -> list[str]:
        """What the agent showed its model as the results of its calls, in order."""
        longest = max(self.requests, key=lambda request: len(_results(request)), default={})
        return [_words(result.get("content")) for result in _results(longest)]

    async def _complete(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        self.requests.append(body)
        done = len(_results(body))
        call = self.calls[done] if body.get("tools") and done < len(self.calls) else None
        if not body.get("stream"):
            return JSONResponse(_message([_block(call, done)], "tool_use" if call else "end_turn"))
        return StreamingResponse(_message_events(call, done), media_type="text/event-stream")


@dataclass(slots=True, kw_only=True)
class ResponsesModel:
    """OpenAI's Responses API, as Codex speaks it. Asks for `calls` one after the other.

    Tools of a server stand in a namespace of its own; their names are written NAMESPACE/NAME here. A call must say both
    apart: Codex calls a flat name unsupported.
    """

    calls: Sequence[ToolCall] = ()
    requests: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """The base URL while the block lasts."""
        routes = [
            Route("/v1/responses", self._complete, methods=["POST"]),
            Route("/{rest:path}", _nothing, methods=["GET", "POST"]),
        ]
        async with run_simulator(Starlette(routes=routes)) as running:
            yield f"{running.base_url}/v1"

    @property
    def offered(self) -> list[str]:
        """The names of the tools that were offered."""
        named = [
            name
            for request in self.requests
            for tool in request.get("tools") or ()
            for name in (
                [f"{tool['name']}/{inner['name']}" for inner in tool["tools"]]
                if tool["type"] == "namespace"
                else [tool.get("name", tool["type"])]
            )
        ]
        return list(dict.fromkeys(named))

    @property
    def tool_results(self) -> list[str]:
        """What the agent showed its model as the results of its calls, in order."""
        longest = max(self.requests, key=lambda request: len(_outputs(request)), default={})
        return [_words(item.get("output")) for item in _outputs(longest)]

    async def _complete(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        self.requests.append(body)
        done = len(_outputs(body))
        call = self.calls[done] if body.get("tools") and done < len(self.calls) else None
        return StreamingResponse(_response_events(call, done), media_type="text/event-stream")


@dataclass(slots=True, kw_only=True)
class GenerateContentModel:
    """Google's generateContent, as Gemini CLI speaks it. Asks for `calls` one after the other."""

    calls: Sequence[ToolCall] = ()
    requests: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """The base URL while the block lasts."""
        routes = [Route("/v1beta/models/{call:path}", self._complete, methods=["POST"])]
        async with run_simulator(Starlette(routes=routes)) as running:
            yield running.base_url

    @property
    def offered(self) -> list[str]:
        """The names of the tools that were offered."""
        return list(dict.fromkeys(name for request in self.requests for name in _declared(request)))

    @property
    def tool_results(self) -> list[str]:
        """What the agent showed its model as the results of its calls, in order."""
        longest = max(self.requests, key=lambda request: len(_function_responses(request)), default={})
        return [_response_words(found["response"]) for found in _function_responses(longest)]

    async def _complete(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        self.requests.append(body)
        done = len(_function_responses(body))
        call = self.calls[done] if _declared(body) and done < len(self.calls) else None
        part = {"text": LAST_WORDS} if call is None else {"functionCall": {"name": call.name, "args": dict(call.arguments)}}
        answer = {
            "candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        }
        if not request.path_params["call"].endswith(":streamGenerateContent"):
            return JSONResponse(answer)
        return StreamingResponse(iter([f"data: {json.dumps(answer)}\r\n\r\n"]), media_type="text/event-stream")


def _declared(request: Mapping[str, Any]) -> list[str]:
    return [found["name"] for tool in request.get("tools") or () for found in tool.get("functionDeclarations", ())]


def _function_responses(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        part["functionResponse"]
        for content in request.get("contents", ())
        for part in content.get("parts", ())
        if "functionResponse" in part
    ]


def _response_words(response: Mapping[str, Any]) -> str:
    return str(response["output"]) if "output" in response else str(response["error"])


def _results(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        part
        for message in request.get("messages", ())
        if isinstance(message.get("content"), list)
        for part in message["content"]
        if part.get("type") == "tool_result"
    ]


def _outputs(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        item for item in request.get("input", ()) if item.get("type") in {"function_call_output", "custom_tool_call_output"}
    ]


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", part)) if isinstance(part, dict) else str(part) for part in content or ())


def _block(call: ToolCall | None, number: int) -> dict[str, Any]:
    if call is None:
        return {"type": "text", "text": LAST_WORDS}
    return {"type": "tool_use", "id": f"toolu_{number}", "name": call.name, "input": dict(call.arguments)}


def _message(content: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
    return {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": "claude-scripted",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def _message_events(call: ToolCall | None, number: int) -> Iterator[str]:
    def event(kind: str, **fields: Any) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"

    block = _block(call, number)
    empty = {**block, "text": ""} if call is None else {**block, "input": {}}
    delta = (
        {"type": "text_delta", "text": LAST_WORDS}
        if call is None
        else {"type": "input_json_delta", "partial_json": json.dumps(dict(call.arguments))}
    )
    yield event("message_start", message=_message([], None))
    yield event("content_block_start", index=0, content_block=empty)
    yield event("content_block_delta", index=0, delta=delta)
    yield event("content_block_stop", index=0)
    reason = "end_turn" if call is None else "tool_use"
    yield event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 1})
    yield event("message_stop")


def _response_events(call: ToolCall | None, number: int) -> Iterator[str]:
    def event(kind: str, **fields: Any) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"

    if call is None:
        part = {"type": "output_text", "text": LAST_WORDS, "annotations": []}
        item: dict[str, Any] = {
            "type": "message",
            "id": f"msg_{number}",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }
    else:
        namespace, _, name = call.name.rpartition("/")
        item = {
            "type": "function_call",
            "id": f"fc_{number}",
            "call_id": f"call_{number}",
            "name": name,
            "arguments": json.dumps(dict(call.arguments)),
            "status": "completed",
        }
        if namespace:
            item["namespace"] = namespace
    usage = {
        "input_tokens": 1,
        "output_tokens": 1,
        "total_tokens": 2,
        "input_tokens_details": None,
        "output_tokens_details": None,
    }
    response = {"id": f"resp_{number}", "object": "response", "status": "completed", "output": [item], "usage": usage}
    yield event("response.created", response={**response, "status": "in_progress", "output": []})
    yield event("response.output_item.done", output_index=0, item=item)
    yield event("response.completed", response=response)


async def _counted(request: Request) -> Response:
    del request
    return JSONResponse({"input_tokens": 1})


async def _nothing(request: Request) -> Response:
    del request
    return JSONResponse({})
