"""A stand-in for one provider as a web application: its paths, keys, limits, errors and quirks."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from groq_fallback_mcp.call import FailureKind, Limit
from groq_fallback_mcp.catalog import Catalog, ProviderModelRow
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.simulator.generation import Generated, PlainText, TextEngine, estimate_tokens, json_tokens
from groq_fallback_mcp.simulator.other_providers.limits import Admitted, LimitMet, ProviderLimits
from groq_fallback_mcp.simulator.other_providers.on_this_machine import cut_to_window, local_routes, too_long
from groq_fallback_mcp.simulator.other_providers.refusals import (
    Refusal,
    limit_refusal,
    plain_refusal,
    with_kind,
    with_status,
)
from groq_fallback_mcp.simulator.other_providers.state import Planned, ProviderOptions, ProviderState
from groq_fallback_mcp.simulator.other_providers.strictness import check_request
from groq_fallback_mcp.simulator.replies import SIMULATED
from groq_fallback_mcp.simulator.tool_use import call_tokens, wanted_calls
from groq_fallback_mcp.simulator.wire import Messages, Payload, items, table

__all__ = ["base_path", "create_provider_app", "parse_planned"]

# What Cerebras reserves for an answer whose length is not bounded, and Cloudflare writes at most.
CEREBRAS_RESERVES = 16_384
CLOUDFLARE_DEFAULT = 256
DEFAULT_TOKENS = 1_024
HANG_S = 3_600.0
MOST_SEEN = 100
THOUGHT = "This is a simulated thought."
_REASONING_CONTENT = {"zai", "deepseek", "moonshot", "llamacpp"}
_LETTERS = string.ascii_letters + string.digits


def create_provider_app(
    name: str, options: ProviderOptions, *, catalog: Catalog, clock: Clock, text_engine: TextEngine | None = None
) -> Starlette:
    """The application; its `state.provider` is open to tests. Raises InputRefused for a provider or plan that is not there."""
    row = catalog.providers.get(name)
    if row is None:
        raise InputRefused(f"no provider {name!r} is in the catalog", next_step=f"use one of {', '.join(catalog.providers)}")
    plan = row.plan(options.plan)
    if plan is None:
        names = " or ".join(known.name for known in row.plans)
        raise InputRefused(f"{name} has no plan {options.plan!r}", next_step=f"use {names}")
    limits = ProviderLimits(row, plan.name, clock=clock, replaced=options.limits)
    faults = {model: list(planned) for model, planned in options.faults.items()}
    state = ProviderState(row=row, options=options, clock=clock, text=text_engine or PlainText(), limits=limits, faults=faults)
    base = base_path(row.base_url)
    routes = [
        Route(f"{base}/models", _guarded(state, _models)),
        Route(f"{base}/chat/completions", _guarded(state, _chat), methods=["POST"]),
        Route("/simulator/calls", _calls(state)),
        *local_routes(state),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_such_request})
    app.state.provider = state
    return app


def base_path(base_url: str) -> str:
    """The path that stands before `/chat/completions`."""
    return urlsplit(base_url).path.rstrip("/").replace("{account}", "simulated")


_Serve = Callable[[ProviderState, str, Request], Awaitable[Response]]


def _guarded(state: ProviderState, serve: _Serve) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await serve(state, _account(state, request), request)
        except Refusal as refusal:
            return refusal.response()

    return endpoint


def _account(state: ProviderState, request: Request) -> str:
    """Whose limits are spent: the key, or for those without one their address. Raises Refusal."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    free = state.row.key_env is None or state.row.key_optional
    if not key and "authorization" not in request.headers and free:
        return "address"
    if scheme.lower() != "bearer" or not key.strip() or key in state.options.refused_keys:
        refusal = with_kind(state.row, FailureKind.AUTHENTICATION)
        raise refusal or plain_refusal(state.row, "Invalid API key", status=401, code="invalid_api_key")
    return key.strip()


async def _models(state: ProviderState, account: str, request: Request) -> Response:
    del account, request
    return JSONResponse({"object": "list", "data": [_listed(state, row) for row in state.models]}, headers=SIMULATED)


def _listed(state: ProviderState, row: ProviderModelRow) -> dict[str, Any]:
    """A row of the list, with the fields by which each provider tells what it serves."""
    name = f"models/{row.wire_id}" if state.row.name == "gemini" else state.options.loaded or row.wire_id
    listed: dict[str, Any] = {"id": name, "object": "model", "owned_by": state.row.name}
    free = row.cost == "free"
    match state.row.name:
        case "openrouter":
            listed |= {
                "context_length": row.context_window,
                "pricing": {"prompt": "0" if free else "0.0000001", "completion": "0" if free else "0.0000004"},
                "supported_parameters": ["tools", "max_tokens"] if row.tools else ["max_tokens"],
            }
        case "kilo":
            listed |= {"context_length": row.context_window, "isFree": True}
        case "mistral":
            listed |= {"max_context_length": row.context_window}
        case "vllm":
            listed |= {"owned_by": "vllm", "max_model_len": state.options.window}
        case "llamacpp":
            listed |= {"owned_by": "llamacpp", "meta": {"n_ctx_train": 131_072}}
        case _:
            pass
    return listed


async def _chat(state: ProviderState, account: str, request: Request) -> Response:
    payload = await _payload(state, request)
    state.seen.append(payload)
    del state.seen[:-MOST_SEEN]
    row = _model(state, payload)
    # what is in the catalog by one name may be asked by another, where the server has only one model
    model = row.wire_id
    if (fault := state.next_fault(model)) is not None and fault.kind not in {"hang", "cut"}:
        state.count(model, fault.kind)
        raise with_status(state.row, int(fault.kind))
    messages = _messages(state, payload)
    check_request(state, payload, messages)
    if fault is not None and fault.kind == "hang":
        await state.clock.sleep(HANG_S)
    prompt = estimate_tokens(messages) + (json_tokens(payload["tools"]) if payload.get("tools") else 0)
    max_tokens = _max_tokens(state, row, payload)
    if (refusal := too_long(state, row, prompt, max_tokens)) is not None:
        state.count(model, str(refusal.status))
        raise refusal
    messages, prompt = cut_to_window(state, messages, prompt)
    admitted = _admitted(state, account, model, prompt, max_tokens)
    try:
        if state.options.seconds:
            await state.clock.sleep(state.options.seconds)
        body = await _completion(state, payload, messages, prompt, max_tokens)
    except BaseException:
        admitted.end()
        raise
    usage = table(body["usage"])
    used = usage["prompt_tokens"] + usage["completion_tokens"]
    admitted.settle(
        {
            Limit.TPM: used,
            Limit.TPH: used,
            Limit.TPD: used,
            Limit.ITPM: usage["prompt_tokens"],
            Limit.OTPM: usage["completion_tokens"],
        }
    )
    state.count(model, "200")
    headers = _headers(state, account, model) | SIMULATED
    if payload.get("stream") is True:
        events = _events(state, body, payload, admitted, cut=fault is not None)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)
    admitted.end()
    if fault is not None:
        whole = json.dumps(body).encode()
        return Response(whole[: len(whole) // 2], media_type="application/json", headers=headers)
    return JSONResponse(body, headers=headers)


def _admitted(state: ProviderState, account: str, model: str, prompt: int, max_tokens: int) -> Admitted:
    allowance = state.options.calls_a_day
    if allowance is not None and state.served >= allowance:
        state.count(model, "429")
        raise with_status(state.row, 429)
    tokens = float(prompt + max_tokens)
    cost = {
        Limit.RPM: 1.0,
        Limit.RPH: 1.0,
        Limit.RPD: 1.0,
        Limit.TPM: tokens,
        Limit.TPH: tokens,
        Limit.TPD: tokens,
        Limit.ITPM: float(prompt),
        Limit.OTPM: float(max_tokens),
    }
    found = state.limits.admit(account, model, cost)
    if isinstance(found, LimitMet):
        state.count(model, "429")
        refusal = limit_refusal(state.row, found, model, moment=state.clock.wall())
        refusal.headers |= _headers(state, account, model)
        raise refusal
    state.served += 1
    return found


async def _payload(state: ProviderState, request: Request) -> Payload:
    try:
        value: Any = await request.json()
    except (ValueError, RecursionError):
        raise plain_refusal(state.row, "The body is not JSON") from None
    if not isinstance(value, dict):
        raise plain_refusal(state.row, "The body is not a JSON object")
    return value


def _model(state: ProviderState, payload: Payload) -> ProviderModelRow:
    name = payload.get("model")
    found = next((row for row in state.models if row.wire_id == name), None)
    if found is None and state.row.server is not None and state.models and name in {state.options.loaded, None}:
        found = state.models[0]
    if found is None and state.row.name == "llamacpp":
        # it answers with the model it was started with, whatever the request names
        found = state.models[0]
    if found is None:
        refusal = with_kind(state.row, FailureKind.MODEL_GONE)
        raise refusal or plain_refusal(state.row, f"The model `{name}` does not exist", status=404, code="model_not_found")
    return found


def _messages(state: ProviderState, payload: Payload) -> Messages:
    messages = [table(message) for message in items(payload.get("messages"))]
    if not messages:
        raise plain_refusal(state.row, "messages must not be empty")
    return messages


def _max_tokens(state: ProviderState, row: ProviderModelRow, payload: Payload) -> int:
    given = payload.get("max_completion_tokens", payload.get("max_tokens"))
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 1):
        raise plain_refusal(state.row, f"max_tokens must be a positive integer, not {given!r}")
    most = row.max_completion_tokens
    if given is not None and most is not None and given > most:
        raise plain_refusal(state.row, f"max_tokens must be less than or equal to {most}")
    defaults = {"cerebras": min(CEREBRAS_RESERVES, most or CEREBRAS_RESERVES), "cloudflare": CLOUDFLARE_DEFAULT}
    return defaults.get(state.row.name, DEFAULT_TOKENS) if given is None else int(given)


async def _completion(
    state: ProviderState, payload: Payload, messages: Messages, prompt: int, max_tokens: int
) -> dict[str, Any]:
    calls = wanted_calls(payload, messages)
    message: dict[str, Any] = {"role": "assistant"}
    if calls:
        made = [_as_made_here(state, call, at) for at, call in enumerate(calls)]
        message |= {"content": None, "tool_calls": made}
        tokens, reason = min(call_tokens(calls), max_tokens), "tool_calls"
    else:
        said = await state.text.answer(messages, max_tokens=max_tokens, temperature=1.0)
        message["content"] = said.text
        tokens, reason = said.output_tokens, said.finish_reason
        _think(state, message, payload, said)
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(state.clock.wall()),
        "model": payload.get("model"),
        "system_fingerprint": "fp_simulated",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": usage,
    }


def _as_made_here(state: ProviderState, call: Mapping[str, Any], at: int) -> dict[str, Any]:
    """A tool call with the id and what else this provider's calls carry. Of calls at once Gemini signs only the first."""
    if state.row.name == "mistral":
        return {**call, "id": "".join(secrets.choice(_LETTERS) for _ in range(9))}
    if state.row.name == "gemini" and at == 0:
        signature = secrets.token_urlsafe(48)
        state.signatures.add(signature)
        return {**call, "extra_content": {"google": {"thought_signature": signature}}}
    return dict(call)


def _think(state: ProviderState, message: dict[str, Any], payload: Payload, said: Generated) -> None:
    """Its thoughts, where the request asks for them, in its own field."""
    wanted = any(payload.get(name) for name in ("reasoning_effort", "reasoning", "thinking"))
    if not wanted:
        return
    if state.row.name == "mistral":
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}
        message["content"] = [thinking, {"type": "text", "text": said.text}]
    else:
        message["reasoning_content" if state.row.name in _REASONING_CONTENT else "reasoning"] = THOUGHT


def _headers(state: ProviderState, account: str, model: str) -> dict[str, str]:
    """What it says of limits with every reply; OpenRouter only with a refusal."""
    stated = state.limits.stated(account, model)
    headers: dict[str, str] = {}
    for row in state.row.headers:
        if row.limit is None or row.limit not in stated:
            continue
        capacity, left, full_s = stated[row.limit]
        named = ((row.capacity, str(capacity)), (row.remaining, str(left)), (row.reset, f"{full_s:.2f}"))
        headers |= {name: value for name, value in named if name is not None}
    return headers


async def _events(
    state: ProviderState, body: Mapping[str, Any], payload: Payload, admitted: Admitted, *, cut: bool
) -> AsyncIterator[str]:
    """The answer as a stream; `cut` ends in the middle without a word."""
    choice = body["choices"][0]
    message = dict(choice["message"])
    base = {name: body[name] for name in ("id", "created", "model", "system_fingerprint")} | {"object": "chat.completion.chunk"}

    def chunk(delta: Mapping[str, Any], reason: str | None = None, **more: Any) -> str:
        choices = [{"index": 0, "delta": dict(delta), "finish_reason": reason}]
        return f"data: {json.dumps({**base, 'choices': choices, **more})}\n\n"

    try:
        if state.row.name in {"openrouter", "deepseek"}:
            yield f": {'OPENROUTER PROCESSING' if state.row.name == 'openrouter' else 'keep-alive'}\n\n"
        yield chunk({"role": "assistant", "content": ""})
        for name in ("reasoning", "reasoning_content"):
            if name in message:
                yield chunk({name: message[name]})
        deltas = _deltas(message)
        for number, delta in enumerate(deltas):
            if cut and number >= len(deltas) // 2:
                return
            yield chunk(delta)
        usage = {"usage": body["usage"]}
        # Mistral sends it unasked, with the last piece
        with_last = state.row.name == "mistral"
        yield chunk({}, choice["finish_reason"], **(usage if with_last else {}))
        if not with_last and table(payload.get("stream_options")).get("include_usage"):
            yield f"data: {json.dumps({**base, 'choices': [], **usage})}\n\n"
        yield "data: [DONE]\n\n"
    finally:
        admitted.end()


def _deltas(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    if message.get("tool_calls"):
        return [{"tool_calls": [{**call, "index": index}]} for index, call in enumerate(message["tool_calls"])]
    content = message.get("content")
    if not isinstance(content, str):
        return [{"content": [part]} for part in items(content)]
    words = content.split(" ")
    return [{"content": word if index == 0 else f" {word}"} for index, word in enumerate(words)]


def _calls(state: ProviderState) -> Callable[[Request], Awaitable[Response]]:
    async def calls(request: Request) -> Response:
        del request
        return JSONResponse({model: dict(counts) for model, counts in state.calls.items()})

    return calls


async def _no_such_request(request: Request, failure: Exception) -> Response:
    del request
    status = failure.status_code if isinstance(failure, HTTPException) else 500
    return JSONResponse({"error": {"message": "Not found (simulated)", "code": status}}, status_code=status, headers=SIMULATED)


def parse_planned(text: str) -> tuple[str, Planned]:
    """`MODEL=STATUS`, `MODEL=hang` or `MODEL=cut`, each with xCOUNT. Raises InputRefused for anything else."""
    model, _, rest = text.rpartition("=")
    kind, times, count = rest.partition("x")
    if not model or (times and not count.isdecimal()):
        raise InputRefused(f"invalid fault {text!r}", next_step="use MODEL=STATUS or MODEL=STATUSxCOUNT")
    if kind not in {"hang", "cut"} and not (kind.isdecimal() and 400 <= int(kind) <= 599):
        raise InputRefused(f"unknown fault {kind!r}", next_step="use hang, cut, or a status, e.g. 429")
    return model, Planned(kind=kind, count=int(count) if times else None)
