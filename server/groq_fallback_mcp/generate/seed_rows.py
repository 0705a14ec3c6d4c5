"""Each row of the seed document, and by which tool and command it is reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from groq_fallback_mcp.catalog import Catalog, Kind, ModelRow

__all__ = ["SEED", "SeedRow", "seed_rows"]

SEED = "groq-api-seed-2026-02-13"
_TOOL = {
    Kind.CHAT: "groq_chat",
    Kind.SYSTEM: "groq_chat",
    Kind.SPEECH_TO_TEXT: "transcribe",
    Kind.TEXT_TO_SPEECH: "speak",
    Kind.GUARD: "screen",
}
_COMMAND = {"groq_chat": "chat", "transcribe": "transcribe", "speak": "speak", "screen": "screen"}
_ENDPOINT_COMMAND = {"models": "models", "chat/completions": "chat", "audio/transcriptions": "transcribe"}
_ADVICE = {
    "Monitor headers": ("check_limits", "limits"),
    "Implement backoff": ("every tool", "simulate --fault '*=503x1'"),
    "Cache responses": ("groq_chat", "chat"),
    "Batch requests": ("groq_chat `prompts`, batch_submit", "call batch_submit"),
    "Small model": ("groq_chat", "chat --use-case fast"),
    "Prompt caching": ("groq_chat", "chat"),
    "Bounded answers": ("groq_chat", "chat --max-tokens 200"),
    "Turbo transcription": ("transcribe", "transcribe"),
    "Usual window": ("list_models", "models"),
    "Largest window": ("list_models", "models --retired"),
    "Token usage": ("groq_chat", "chat --json"),
    "Streaming": ("groq_chat", "chat"),
    "RateLimitError": ("every tool", "simulate --fault '*=429'"),
    "APIConnectionError": ("every tool", "doctor"),
    "APIError": ("every tool", "simulate --fault '*=500'"),
}


@dataclass(frozen=True, slots=True)
class SeedRow:
    """A row by the name that test markers give it, its words, and how it is reached."""

    name: str
    words: str
    tool: str
    command: str


def seed_rows(catalog: Catalog) -> Iterator[SeedRow]:
    """All rows, in the order of the document."""
    yield from (_model(row) for row in catalog.models.values() if row.source == SEED)
    yield from _limits(catalog)
    yield from _interface(catalog)
    yield from _errors(catalog)
    yield from _practices(catalog)
    for sdk in catalog.sdks:
        if sdk.source == SEED:
            yield SeedRow(f"sdks/{sdk.package}", f"SDK {sdk.package} ({sdk.language})", "the simulator", "simulate")
    yield SeedRow("sdks/openai", "OpenAI's SDK with another base URL", "the simulator", "simulate")


def _limits(catalog: Catalog) -> Iterator[SeedRow]:
    for row in catalog.limit_rows:
        if row.source == SEED:
            yield SeedRow(f"limits/{row.model}", f"Rate limits of {row.model}", "check_limits", f"limits --model {row.model}")
    for told in catalog.headers:
        if told.source == SEED:
            yield SeedRow(f"headers/{told.header}", f"Header {told.header}", "check_limits", "limits")


def _interface(catalog: Catalog) -> Iterator[SeedRow]:
    yield SeedRow("api/base_url", "Base URL", "every tool", "doctor")
    yield SeedRow("api/authentication", "Authentication", "every tool", "doctor, key set")
    for row in catalog.endpoints:
        if row.source == SEED:
            command = _ENDPOINT_COMMAND[row.path]
            yield SeedRow(f"endpoints/{row.path}", f"{row.method} {row.path}", row.reached_by, command)
    yield SeedRow(
        "litellm/prefix", "LiteLLM Integration: the prefix groq/", "groq_chat", "chat --model groq/openai/gpt-oss-20b"
    )


def _errors(catalog: Catalog) -> Iterator[SeedRow]:
    for row in catalog.errors:
        if row.source == SEED:
            yield SeedRow(f"statuses/{row.status}", f"Status {row.status}: {row.meaning}", "every tool", "simulate --fault")
    for code in catalog.error_codes:
        if code.source == SEED:
            yield SeedRow(f"codes/{code.code}", f"{code.title or code.code}: {code.code}", "every tool", "simulate --fault")


def _practices(catalog: Catalog) -> Iterator[SeedRow]:
    for row in catalog.practices.values():
        if row.source == SEED:
            command = f"chat --use-case {row.use_case}" if row.tool == "groq_chat" else row.tool
            yield SeedRow(f"practices/{row.use_case}", f"Practice 1, {row.title}", row.tool, command)
    numbers = {"rate_limits": 2, "cost": 3, "context_window": 4, "errors": 5}
    for advice in catalog.advice:
        if advice.source == SEED:
            tool, command = _ADVICE[advice.title]
            yield SeedRow(f"advice/{advice.title}", f"Practice {numbers[advice.topic]}, {advice.title}", tool, command)


def _model(model: ModelRow) -> SeedRow:
    tool = _TOOL[model.kind]
    return SeedRow(f"models/{model.id}", f"Model {model.id}", tool, f"{_COMMAND[tool]} --model {model.id}")
