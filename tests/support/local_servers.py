"""Servers on this machine as their documentation describes them, with their silent cutting: Ollama, LM Studio, llama.cpp, vLLM.

A prompt counts a token a word, which is about what the estimate of a prompt makes of short English words.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from groq_fallback_mcp.catalog import Catalog, load_catalog
from groq_fallback_mcp.simulator import run_simulator

__all__ = ["FakeServer", "LlamaCpp", "LmStudio", "Model", "Ollama", "Vllm", "catalog_with_ports", "running"]

CALL = {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a.py"}'}}


@dataclass(slots=True, kw_only=True)
class Model:
    """A model of a fake server. `window` is what it is loaded with, None where it is not loaded."""

    id: str
    window: int | None = None
    num_ctx: int | None = None
    trained: int = 131_072
    tools: bool = True
    vision: bool = False
    embeds: bool = False
    cloud: bool = False


@dataclass(kw_only=True)
class FakeServer:
    """A server that answers chats with what it read. `asked` are the paths of all requests, `keys` what came with them."""

    models: list[Model] = field(default_factory=list[Model])
    asked: list[str] = field(default_factory=list[str])
    keys: list[str] = field(default_factory=list[str])
    chats: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def app(self) -> Starlette:
        """The server as an application."""
        return Starlette(routes=[Route("/{path:path}", self._handle, methods=["GET", "POST"])])

    async def _handle(self, request: Request) -> Response:
        path = request.url.path
        self.asked.append(path)
        self.keys.append(request.headers.get("authorization", ""))
        body: dict[str, Any] = json.loads(await request.body() or b"{}") if request.method == "POST" else {}
        if path == "/v1/chat/completions":
            self.chats.append(body)
            return self.chat(body)
        found = self.facts(path, body)
        return JSONResponse({"error": "Unexpected endpoint or method"}, 404) if found is None else found

    def facts(self, path: str, body: dict[str, Any]) -> Response | None:
        """What it says of itself at a path; None for 404."""
        raise NotImplementedError

    def chat(self, body: dict[str, Any]) -> Response:
        """The answer to a chat."""
        raise NotImplementedError

    def named(self, id_: str) -> Model | None:
        """The model of this name."""
        return next((model for model in self.models if model.id == id_), None)


@dataclass(kw_only=True)
class Ollama(FakeServer):
    """Cuts what does not fit and answers all the same; a model that is not loaded gets `default_window`."""

    default_window: int = 4_096

    def facts(self, path: str, body: dict[str, Any]) -> Response | None:
        match path:
            case "/api/tags":
                return JSONResponse({"models": [self._tag(model) for model in self.models]})
            case "/api/ps":
                loaded = [{**self._tag(one), "context_length": one.window} for one in self.models if one.window is not None]
                return JSONResponse({"models": loaded})
            case "/api/show":
                model = self.named(body["model"])
                return JSONResponse({"error": "model not found"}, 404) if model is None else JSONResponse(self._shown(model))
            case _:
                return None

    def chat(self, body: dict[str, Any]) -> Response:
        model = self.named(body["model"])
        if model is None:
            return _error(404, f"model '{body['model']}' not found", "not_found_error")
        if body.get("tools") and not model.tools:
            return _error(400, f"registry.ollama.ai/library/{model.id} does not support tools", "api_error")
        model.window = model.num_ctx or model.window or self.default_window
        return _answer(body, model.id, min(_tokens(body), model.window))

    def _tag(self, model: Model) -> dict[str, Any]:
        tag: dict[str, Any] = {
            "name": model.id,
            "model": model.id,
            "modified_at": "2026-11-20T10:00:00Z",
            "size": 4_661_224_676,
            "digest": f"digest of {model.id} {model.num_ctx}",
            "details": {"format": "gguf", "family": "qwen3", "parameter_size": "8B", "quantization_level": "Q4_K_M"},
        }
        return {**tag, "remote_host": "https://ollama.com:443", "remote_model": model.id} if model.cloud else tag

    def _shown(self, model: Model) -> dict[str, Any]:
        able = ["embedding"] if model.embeds else ["completion", *["tools"] * model.tools, *["vision"] * model.vision]
        parameters = 'temperature                    0.7\nstop                           "<|im_end|>"'
        if model.num_ctx is not None:
            parameters = f"num_ctx                        {model.num_ctx}\n{parameters}"
        info = {"general.architecture": "qwen3", "qwen3.context_length": model.trained}
        return {"parameters": parameters, "model_info": info, "capabilities": able}


@dataclass(kw_only=True)
class LmStudio(FakeServer):
    """Refuses what does not fit with a plain string; in a stream it ends without a text. `newer`: version 0.4 or later."""

    newer: bool = True

    def facts(self, path: str, body: dict[str, Any]) -> Response | None:
        del body
        if path == "/api/v1/models" and self.newer:
            return JSONResponse({"models": [self._row(model) for model in self.models]})
        if path == "/api/v0/models":
            return JSONResponse({"object": "list", "data": [self._old_row(model) for model in self.models]})
        return None

    def chat(self, body: dict[str, Any]) -> Response:
        model = self.named(body["model"])
        if model is None or model.window is None:
            return _error(404, f"Model not found: {body['model']}", "invalid_request_error")
        tokens = _tokens(body)
        if tokens < model.window:
            return _answer(body, model.id, tokens)
        if body.get("stream"):
            return _answer(body, model.id, 0, text="")
        cause = f"(n_keep: {tokens}>= n_ctx: {model.window})"
        words = f"The number of tokens to keep from the initial prompt is greater than the context length {cause}. "
        more = "Try to load the model with a larger context length, or provide a shorter input"
        return JSONResponse({"error": words + more}, 400)

    def _row(self, model: Model) -> dict[str, Any]:
        instances = [{"id": model.id, "config": {"context_length": model.window, "flash_attention": True}}]
        return {
            "type": "embedding" if model.embeds else "llm",
            "publisher": "lmstudio-community",
            "key": model.id,
            "loaded_instances": instances if model.window is not None else [],
            "max_context_length": model.trained,
            "capabilities": {"vision": model.vision, "trained_for_tool_use": model.tools},
        }

    def _old_row(self, model: Model) -> dict[str, Any]:
        row: dict[str, Any] = {
            "id": model.id,
            "object": "model",
            "type": "embeddings" if model.embeds else "vlm" if model.vision else "llm",
            "state": "not-loaded" if model.window is None else "loaded",
            "max_context_length": model.trained,
            "capabilities": ["tool_use"] if model.tools else [],
        }
        return row if model.window is None else {**row, "loaded_context_length": model.window}


@dataclass(kw_only=True)
class LlamaCpp(FakeServer):
    """Answers with the model it was started with, whatever a request names. `loading`: it answers 503."""

    loading: bool = False

    def facts(self, path: str, body: dict[str, Any]) -> Response | None:
        del body
        if self.loading:
            return _error(503, "Loading model", "unavailable_error")
        if path == "/props":
            settings = {"params": {"n_predict": -1}, "n_ctx": self.models[0].window}
            return JSONResponse({"default_generation_settings": settings, "total_slots": 1, "build_info": "b7777-abc"})
        if path == "/v1/models":
            meta = {"n_ctx_train": self.models[0].trained}
            row = {"id": f"/models/{self.models[0].id}.gguf", "object": "model", "owned_by": "llamacpp", "meta": meta}
            return JSONResponse({"object": "list", "data": [row]})
        return None

    def chat(self, body: dict[str, Any]) -> Response:
        model, tokens = self.models[0], _tokens(body)
        if self.loading:
            return _error(503, "Loading model", "unavailable_error")
        if model.window is not None and tokens >= model.window:
            message = f"request ({tokens} tokens) exceeds the available context size ({model.window} tokens), try increasing it"
            stated = {"n_prompt_tokens": tokens, "n_ctx": model.window}
            return JSONResponse(
                {"error": {"code": 400, "message": message, "type": "exceed_context_size_error", **stated}}, 400
            )
        return _answer(body, model.id, tokens)


@dataclass(kw_only=True)
class Vllm(FakeServer):
    """Reserves max_tokens. `owner`: what its list says it is."""

    owner: str = "vllm"

    def facts(self, path: str, body: dict[str, Any]) -> Response | None:
        del body
        if path != "/v1/models":
            return None
        rows = [{"id": one.id, "object": "model", "owned_by": self.owner, "max_model_len": one.window} for one in self.models]
        return JSONResponse({"object": "list", "data": rows})

    def chat(self, body: dict[str, Any]) -> Response:
        model = self.named(body["model"])
        if model is None:
            return _error(404, f"The model `{body['model']}` does not exist.", "NotFoundError")
        tokens = _tokens(body)
        if model.window is not None and tokens + body.get("max_tokens", 0) > model.window:
            words = f"This model's maximum context length is {model.window} tokens. However, you requested more."
            return _error(400, words, "BadRequestError")
        return _answer(body, model.id, tokens)


@asynccontextmanager
async def running(server: FakeServer, *, port: int = 0) -> AsyncGenerator[int]:
    """The server on loopback until the block ends; its port."""
    async with run_simulator(server.app(), port=port) as running_:
        yield running_.port


def catalog_with_ports(**ports: int) -> Catalog:
    """The catalog, whose local servers are looked for at these ports only: those that are not named, nowhere."""
    catalog = load_catalog()
    providers = {
        name: row
        if row.server is None
        else row.model_copy(update={"server": row.server.model_copy(update={"ports": (ports[name],) if name in ports else ()})})
        for name, row in catalog.providers.items()
    }
    from dataclasses import replace

    return replace(catalog, providers=providers)


def _tokens(body: dict[str, Any]) -> int:
    return sum(len(str(message.get("content")).split()) for message in body["messages"])


def _answer(body: dict[str, Any], model: str, read: int, *, text: str | None = None) -> Response:
    words = f"{model} read {read} tokens" if text is None else text
    called = bool(body.get("tools")) and text is None
    message = (
        {"role": "assistant", "content": None, "tool_calls": [CALL]} if called else {"role": "assistant", "content": words}
    )
    finish = "tool_calls" if called else "stop"
    usage = {"prompt_tokens": read, "completion_tokens": 5, "total_tokens": read + 5}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return JSONResponse({"id": "c", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage})
    calls = {"tool_calls": [{"index": 0, **CALL}]}
    pieces: list[dict[str, Any]] = [calls] if called else [{"content": f"{word} "} for word in words.split()]
    chunks = [{"id": "c", "model": model, "choices": [{"index": 0, "delta": piece, "finish_reason": None}]} for piece in pieces]
    chunks.append({"id": "c", "model": model, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": usage})
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return StreamingResponse(iter([*lines, "data: [DONE]\n\n"]), media_type="text/event-stream")


def _error(status: int, message: str, type_: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": type_, "code": status}}, status)
