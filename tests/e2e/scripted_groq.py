"""A stand-in for Groq that plays an agent's model, with Groq's limits and headers, and one fault of the model that is asked first."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import anyio
import tiktoken
from e2e.scripted_model import LAST_WORDS, ToolCall
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import run_simulator
from groq_fallback_mcp.simulator.rate_limits import Charge, Limits

__all__ = ["FAULTS", "Fault", "ScriptedGroq"]

Fault = Literal["none", "429", "503", "hang", "cut in text", "cut in a call", "all limited"]
FAULTS: Sequence[Fault] = get_args(Fault)
ORGANIZATION = "org_scripted"
LIMITED_S = 8.0
"""How long every model is limited, from the first request on."""
RETRY_AFTER_S = 40.0
DEFAULT_MAX_TOKENS = 2_048
TOKENS_A_CHUNK = 4
SSE = "text/event-stream"


class _Cut(Exception):
    """Ends a stream in the middle: the server closes the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request of the gateway: which model, the status it got, and whether Groq's own accounting refused it."""

    model: str
    status: int
    refused: bool = False


@dataclass(slots=True, kw_only=True)
class ScriptedGroq:
    """Asks for `calls` one after the other, then says LAST_WORDS. `tpm`: tokens a minute of each model, 0 for no limit.

    The fault is that of the model that is first asked with tools: a title is not what an agent is there for.
    """

    calls: Sequence[ToolCall]
    fault: Fault = "none"
    tpm: int = 250_000
    tokens_per_s: float = 1_000.0
    asked: list[Asked] = field(default_factory=list[Asked])
    first_model: str | None = None
    _began_at: float = 0.0

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """What to set GROQ_BASE_URL to, while the block lasts."""
        models = load_catalog().models
        table = {Limit.TPM: self.tpm, Limit.RPD: 1_000} if self.tpm else {}
        limits = Limits(clock=SystemClock(), tables=dict.fromkeys(models, table))

        async def chat(request: Request) -> Response:
            return await self._answer(await request.json(), limits)

        async def listed(request: Request) -> Response:
            del request
            return JSONResponse({"object": "list", "data": [{"id": model, "object": "model"} for model in models]})

        routes = [
            Route("/openai/v1/chat/completions", chat, methods=["POST"]),
            Route("/openai/v1/models", listed),
        ]
        async with run_simulator(Starlette(routes=routes)) as running:
            yield running.base_url

    async def _answer(self, body: dict[str, Any], limits: Limits) -> Response:
        model: str = body["model"]
        if not self.asked:
            self._began_at = time.monotonic()
        if self.first_model is None and body.get("tools"):
            self.first_model = model
        fault = self.fault if model == self.first_model or self.fault == "all limited" else "none"
        limited_s = self._began_at + LIMITED_S - time.monotonic() if fault == "all limited" else RETRY_AFTER_S
        if fault in {"429", "all limited"} and limited_s > 0:
            return self._refuse(model, 429, _limited(model, limited_s), {"retry-after": str(math.ceil(limited_s))})
        if fault == "503":
            return self._refuse(model, 503, _error(f"{model} is currently over capacity. Please try again.", code=None))
        prompt = _tokens(body["messages"], body.get("tools") or [])
        most = body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_MAX_TOKENS
        charge = limits.admit(ORGANIZATION, model, {Limit.RPD: 1.0, Limit.TPM: float(prompt + most)})
        headers = limits.headers(ORGANIZATION, model)
        if not isinstance(charge, Charge):
            stated = {"retry-after": str(math.ceil(charge.wait_s))} if charge.status == 429 else {}
            error = _error(charge.message, code="rate_limit_exceeded", type_=charge.type)
            return self._refuse(model, charge.status, error, {**headers, **stated}, refused=True)
        self.asked.append(Asked(model=model, status=200))
        if fault == "hang":
            await anyio.sleep_forever()
        answer = self._stream(body, prompt, fault, charge, limits)
        return StreamingResponse(answer, media_type=SSE, headers=headers)

    def _refuse(
        self, model: str, status: int, body: Mapping[str, Any], headers: Mapping[str, str] = {}, *, refused: bool = False
    ) -> Response:
        self.asked.append(Asked(model=model, status=status, refused=refused))
        return JSONResponse(dict(body), status_code=status, headers=dict(headers))

    async def _stream(
        self, body: Mapping[str, Any], prompt: int, fault: Fault, charge: Charge, limits: Limits
    ) -> AsyncIterator[str]:
        model: str = body["model"]
        done = sum(message["role"] == "tool" for message in body["messages"])
        # an agent also asks for titles and the like, without tools
        call = self.calls[done] if body.get("tools") and done < len(self.calls) else None
        groq = {"id": "req_scripted"}
        text = "" if call is not None else LAST_WORDS
        if self.fault == "cut in text":
            # each model begins in words of its own, so that no other continues them
            text = f"This is {model} at step {done + 1} of the task, as it was asked for. {text}"
        yield _event(model, {"role": "assistant", "content": ""}, x_groq=groq)
        yield _event(model, {"reasoning": "The script says what comes next."})
        pieces = text.split(" ") if text else []
        for at, piece in enumerate(pieces):
            if fault == "cut in text" and at > len(pieces) // 2:
                raise _Cut
            await anyio.sleep(1 / self.tokens_per_s)
            yield _event(model, {"content": piece if at == 0 else f" {piece}"})
        if call is not None:
            arguments = json.dumps(call.arguments)
            function = {"name": call.name, "arguments": arguments}
            event = _event(
                model, {"tool_calls": [{"index": 0, "id": f"call_{done}", "type": "function", "function": function}]}
            )
            if fault == "cut in a call":
                yield event[: len(event) * 2 // 3]
                raise _Cut
            yield event
        elif fault == "cut in a call" and body.get("tools"):
            raise _Cut
        written = len(pieces) + (0 if call is None else _tokens(dict(call.arguments)))
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
            "prompt_tokens_details": {"cached_tokens": 0},
        }
        limits.settle(charge, {Limit.TPM: float(prompt + written)})
        yield _event(model, {}, "stop" if call is None else "tool_calls", x_groq={**groq, "usage": usage})
        if (body.get("stream_options") or {}).get("include_usage"):
            yield _data({**_head(model), "choices": [], "usage": usage})
        yield "data: [DONE]\n\n"


@cache
def _encoding() -> tiktoken.Encoding:
    """That of the gpt-oss models, but for a few special tokens; the file comes with LiteLLM."""
    # found, not imported: that takes seconds
    spec = find_spec("litellm")
    assert spec is not None
    assert spec.origin is not None
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(spec.origin).parent / "litellm_core_utils" / "tokenizers")
    return tiktoken.get_encoding("o200k_base")


def _tokens(*values: Any) -> int:
    """How many tokens the texts of some JSON have, about as a chat template writes them."""
    return len(_encoding().encode("".join(json.dumps(value, ensure_ascii=False) for value in values), disallowed_special=()))


def _limited(model: str, wait_s: float) -> Mapping[str, Any]:
    message = (
        f"Rate limit reached for model `{model}` in organization `{ORGANIZATION}` service tier `on_demand` on tokens per minute "
        f"(TPM): Limit 8000, Used 7900, Requested 4000. Please try again in {wait_s:.2f}s."
    )
    return _error(message, code="rate_limit_exceeded", type_="tokens")


def _error(message: str, *, code: str | None, type_: str = "internal_server_error") -> Mapping[str, Any]:
    return {"error": {"message": message, "type": type_, **({} if code is None else {"code": code})}}


def _head(model: str) -> dict[str, Any]:
    return {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1, "model": model}


def _event(model: str, delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _data({**_head(model), "choices": [choice], **more})


def _data(value: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"
