"""Servers on this machine: what they say of what they have loaded, and what becomes of a prompt that is too long there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from groq_fallback_mcp.call import FailureKind
from groq_fallback_mcp.catalog import ProviderModelRow
from groq_fallback_mcp.simulator.other_providers.refusals import Refusal, plain_refusal, with_kind
from groq_fallback_mcp.simulator.other_providers.state import ProviderState
from groq_fallback_mcp.simulator.replies import SIMULATED
from groq_fallback_mcp.simulator.wire import Messages

__all__ = ["cut_to_window", "local_routes", "too_long"]


def too_long(state: ProviderState, row: ProviderModelRow, prompt: int, max_tokens: int) -> Refusal | None:
    """The refusal of a prompt that does not fit; None where it fits, or where the server cuts it and says nothing."""
    server = state.row.server
    if server is None:
        window = row.context_window
        return None if window is None or prompt <= window else _refused(state)
    if server.kind == "ollama":
        return None
    # vLLM reserves what may be written
    needed = prompt + max_tokens if server.kind == "vllm" else prompt
    return _refused(state) if needed > state.options.window else None


def cut_to_window(state: ProviderState, messages: Messages, prompt: int) -> tuple[Messages, int]:
    """What the model is shown: Ollama omits the beginning, and counts only the rest."""
    server = state.row.server
    if server is None or server.kind != "ollama" or prompt <= state.options.window:
        return messages, prompt
    return messages[-1:], state.options.window


def local_routes(state: ProviderState) -> Sequence[Route]:
    """The paths by which servers on this machine are told apart and say what they have loaded."""
    server = state.row.server
    model = state.options.loaded or (state.models[0].wire_id if state.models else "model")
    window = state.options.window
    match None if server is None else server.kind:
        case "llamacpp":
            return [
                _get("/health", {"status": "ok"}),
                _get(
                    "/props",
                    {
                        "default_generation_settings": {"n_ctx": window},
                        "model_path": model,
                        "build_info": "b0-simulated",
                        "total_slots": 1,
                    },
                ),
            ]
        case "ollama":
            return [
                _get(
                    "/api/tags",
                    {"models": [{"name": model, "model": model, "digest": "0" * 64, "details": {"family": "simulated"}}]},
                ),
                _get("/api/ps", {"models": [{"name": model, "model": model, "context_length": window}]}),
                _show({"parameters": f"num_ctx {window}", "capabilities": ["completion", "tools"], "model_info": {}}),
            ]
        case "lmstudio":
            loaded = {"id": model, "config": {"context_length": window}}
            return [
                _get(
                    "/api/v1/models",
                    {"models": [{"type": "llm", "key": model, "loaded_instances": [loaded], "max_context_length": 131_072}]},
                )
            ]
        case "vllm":
            return [_get("/health", None)]
        case _:
            return []


def _refused(state: ProviderState) -> Refusal:
    refusal = with_kind(state.row, FailureKind.CONTEXT_TOO_LONG)
    return refusal or plain_refusal(
        state.row, "This model's maximum context length is exceeded", status=400, code="context_length_exceeded"
    )


def _get(path: str, body: Mapping[str, Any] | None) -> Route:
    async def answer(request: Request) -> Response:
        del request
        return Response(headers=SIMULATED) if body is None else JSONResponse(dict(body), headers=SIMULATED)

    return Route(path, answer)


def _show(body: Mapping[str, Any]) -> Route:
    async def answer(request: Request) -> Response:
        del request
        return JSONResponse(dict(body), headers=SIMULATED)

    serve: Callable[[Request], Awaitable[Response]] = answer
    return Route("/api/show", serve, methods=["POST"])
