"""Short answers in this process: a small GGUF model through xllamacpp, SmolLM2 135M unless the user brings one.

The engine also opens a loopback port, which nobody is told of and a random key guards; it closes with the model.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from groq_fallback_mcp.call import ChatRequest, Failure, FailureKind, Outcome, Success, Usage
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.local.one_at_a_time import AbandonedError, Stopped, Turns
from groq_fallback_mcp.providers.local.weights import find_text_model, text_weights_command

__all__ = ["MOST_TOKENS", "LocalText", "TextEngine", "load_llama", "text_model_name"]

CONTEXT_TOKENS = 4_096
MOST_TOKENS = 512
TEMPERATURE = 0.2
# Tokens read between two looks at whether to stop: about a second of one thread with the small model.
BATCH_TOKENS = 256


class TextEngine(Protocol):
    """What is used of xllamacpp.Server. The callback gets each piece of the answer and returns True to stop."""

    def handle_chat_completions(self, params: dict[str, Any], callback: Callable[[Any], bool], /) -> object: ...


Load = Callable[[Path], TextEngine]


def load_llama(gguf: Path) -> TextEngine:
    """Load a model on one thread, about 0.5 s for the small one. Raises RuntimeError when it cannot be loaded."""
    llama = import_module("xllamacpp")
    params = llama.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx, params.n_parallel, params.n_predict = CONTEXT_TOKENS, 1, MOST_TOKENS
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = params.n_threads_http = 1
    params.n_gpu_layers = 0
    params.cache_ram_mib = 0  # old prompts would be kept in up to 8 GiB
    params.verbosity = -1  # standard output belongs to the MCP client
    params.ui = params.endpoint_slots = False
    params.api_keys = [secrets.token_hex(32)]
    engine: TextEngine = llama.Server(params)
    return engine


def text_model_name(gguf: Path) -> str:
    """The id of a model file in results: the shipped one has a name of its own."""
    return "local/smollm2-135m" if gguf.stem.startswith("SmolLM2-135M-Instruct") else f"local/{gguf.stem}"


def refuse_text(request: ChatRequest) -> Failure | None:
    """Why the local model cannot serve a request, None when it can."""
    message = None
    if request.tools or any(m.get("tool_calls") or m.get("role") == "tool" for m in request.messages):
        message = "the local text model does not support tools"
    elif any(_has_other_than_text(m.get("content")) for m in request.messages):
        message = "the local text model accepts text only, not images or audio"
    return None if message is None else _refused(FailureKind.UNSUPPORTED, message)


class LocalText:
    """The text model, loaded at the first request and kept until closed. One answer at a time."""

    def __init__(
        self,
        *,
        gguf: Path | None = None,
        find: Callable[[Path | None], Path | None] = find_text_model,
        load: Load = load_llama,
    ) -> None:
        self._gguf = gguf
        self._find = find
        self._load = load
        self._turns = Turns()
        self._started_engine: tuple[TextEngine, str] | None = None

    async def chat(self, request: ChatRequest, candidate: Candidate) -> Outcome:
        """Answer. Cancelling returns at once; the computation ends at its next token or batch of input."""
        refusal = refuse_text(request)
        if refusal is not None:
            return refusal
        try:
            return await self._turns.take(lambda stopped: self._answered(request, candidate, stopped))
        except AbandonedError:
            return _refused(FailureKind.CANCELLED, "the local text model has been closed")

    async def aclose(self) -> None:
        """Free the model's memory and its loopback port. Later requests are refused."""

        def release() -> None:
            self._started_engine = None

        await self._turns.close(release)

    def _answered(self, request: ChatRequest, candidate: Candidate, stopped: Stopped) -> Outcome:
        try:
            engine, model = self._started()
        except ConfigurationError as error:
            return _refused(FailureKind.MODEL_BLOCKED, str(error))
        except (ImportError, RuntimeError, OSError, ValueError) as error:
            return _refused(
                FailureKind.MODEL_BLOCKED,
                f"the local text model cannot be loaded: {_brief(error)}. Run `groq-fallback-mcp doctor`.",
            )
        answer = _Answer()

        def heard(piece: object) -> bool:
            answer.take(piece)
            return stopped()

        try:
            engine.handle_chat_completions(_body(request, candidate), heard)
        except (RuntimeError, ValueError) as error:
            # Its parser's word on a schema it cannot express, or on messages its template cannot hold.
            return _refused(FailureKind.UNSUPPORTED, f"the local text model cannot process this request: {_brief(error)}")
        if stopped():
            raise AbandonedError
        return answer.outcome(model, json_wanted=candidate.json_mode != "none")

    def _started(self) -> tuple[TextEngine, str]:
        if self._started_engine is None:
            gguf = self._find(self._gguf)
            if gguf is None:
                raise ConfigurationError(
                    "the local text model is not installed", next_step=f"Install it: {text_weights_command()}"
                )
            self._started_engine = (self._load(gguf), text_model_name(gguf))
        return self._started_engine


@dataclass(slots=True, kw_only=True)
class _Answer:
    """An answer that arrives in pieces, as OpenAI's streaming chunks."""

    text: list[str] = field(default_factory=list[str])
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    usage_reported: bool = False
    error: Mapping[str, Any] | None = None

    def take(self, piece: object) -> None:
        if not isinstance(piece, Mapping):
            return
        chunk = piece
        if chunk.get("error") is not None:
            error: object = chunk["error"]
            self.error = error if isinstance(error, Mapping) else {"message": str(error)}
        for choice in chunk.get("choices") or ():
            delta: Mapping[str, Any] = choice.get("delta") or {}
            self.text.append(delta.get("content") or "")
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        usage: Mapping[str, Any] | None = chunk.get("usage")
        if usage:
            details: Mapping[str, Any] = usage.get("prompt_tokens_details") or {}
            self.usage_reported = True
            self.usage = Usage(
                input_tokens=usage.get("prompt_tokens", 0),
                output_tokens=usage.get("completion_tokens", 0),
                cached_tokens=details.get("cached_tokens", 0),
            )

    def outcome(self, model: str, *, json_wanted: bool) -> Outcome:
        if self.error is not None:
            return _failure(self.error)
        text = "".join(self.text)
        if self.finish_reason is None:
            return Failure(kind=FailureKind.BAD_RESPONSE, message="the local text model stopped before finishing its answer")
        if json_wanted and not _is_json(text):
            return Failure(
                kind=FailureKind.GENERATION_FAILED,
                message=f"the local text model wrote no complete JSON (finish reason {self.finish_reason})",
            )
        return Success(
            model=model,
            text=text.strip(),
            finish_reason=self.finish_reason,
            usage=self.usage,
            usage_reported=self.usage_reported,
        )


def _body(request: ChatRequest, candidate: Candidate) -> dict[str, Any]:
    body: dict[str, Any] = {
        "messages": [dict(message) for message in request.messages],
        "max_tokens": min(candidate.max_tokens, MOST_TOKENS),
        "temperature": TEMPERATURE if request.temperature is None else request.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,  # pieces already while the input is read, so that a long one can be stopped
    }
    if candidate.json_mode != "none" and request.schema is not None:
        schema = {"name": "answer", "schema": dict(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif candidate.json_mode != "none":
        body["response_format"] = {"type": "json_object"}
    return body


def _failure(error: Mapping[str, Any]) -> Failure:
    if error.get("type") == "exceed_context_size_error":
        message = f"the input has {error.get('n_prompt_tokens', '?')} tokens, the local text model accepts {CONTEXT_TOKENS}"
        return Failure(kind=FailureKind.CONTEXT_TOO_LONG, message=message, sent=False)
    return Failure(
        kind=FailureKind.GENERATION_FAILED, message=f"the local text model failed: {str(error.get('message'))[:200]}"
    )


def _has_other_than_text(content: object) -> bool:
    if content is None or isinstance(content, str):
        return False
    return not isinstance(content, list) or any(not _is_text(part) for part in content)


def _is_text(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _refused(kind: FailureKind, message: str) -> Failure:
    return Failure(kind=kind, message=message, sent=False)


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
