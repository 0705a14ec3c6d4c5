"""The record of a call: what listeners hear when it ends, in whatever way, and what they see while it is under way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import anyio
import pytest
from fakes import GROQ_CHAT_MODELS, World, failure, provider_models, rate_limited

from groq_fallback_mcp.call import CallOrigin, CallRecord, ChatRequest, FailureKind, client_name, trace_context
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.quota import Caller

pytestmark = pytest.mark.anyio
FIRST, SECOND, THIRD = GROQ_CHAT_MODELS
WORDS = "the words of the prompt"


@dataclass
class Heard:
    """Keeps what it hears."""

    started: int = 0
    records: list[CallRecord] = field(default_factory=list[CallRecord])

    def call_started(self) -> None:
        self.started += 1

    def call_ended(self, record: CallRecord) -> None:
        self.records.append(record)


def ask(**fields: object) -> ChatRequest:
    return ChatRequest(messages=({"role": "user", "content": WORDS},), **fields)  # type: ignore[arg-type]


async def test_a_record_tells_each_attempt_and_who_answered() -> None:
    heard = Heard()
    world = World(listeners=[heard])
    world.groq.script(FIRST, rate_limited(60.0))
    origin = CallOrigin(endpoint="/v1/messages", client="agent", session="s1")
    await world.engine.for_caller(Caller(name="alice")).with_origin(origin).serve(ask())
    (record,) = heard.records
    assert (record.outcome, record.model, record.fallback, record.kind) == ("answered", SECOND, True, "chat")
    assert [(one.model, one.outcome, one.status) for one in record.attempts] == [
        (FIRST, "rate_limited", 429),
        (SECOND, "answered", None),
    ]
    assert record.origin == replace(origin, caller="alice")
    assert record.started_at == pytest.approx(world.clock.wall(), abs=1)
    assert record.usage.output_tokens > 0
    assert heard.started == 1


async def test_a_record_has_no_word_of_the_prompt_the_answer_or_the_error() -> None:
    heard = Heard()
    world = World(listeners=[heard])
    world.groq.script(FIRST, replace(failure(FailureKind.SERVER_ERROR), message=f"upstream said {WORDS}"))
    await world.engine.serve(ask())
    shown = repr(heard.records)
    assert "answered" in shown
    assert "words" not in shown
    assert "upstream said" not in shown


async def test_a_call_that_fails_is_recorded_with_its_code() -> None:
    heard = Heard()
    world = World([provider_models("groq", [FIRST])], listeners=[heard])
    world.groq.script(FIRST, failure(FailureKind.AUTHENTICATION))
    await world.engine.serve(ask())
    (record,) = heard.records
    assert (record.outcome, record.model) == ("authentication", "")


async def test_a_cancelled_call_is_seen_under_way_and_then_recorded() -> None:
    heard = Heard()
    world = World(listeners=[heard])
    started = anyio.Event()

    async def hang() -> None:
        started.set()
        await anyio.sleep_forever()

    world.groq.before = hang
    async with anyio.create_task_group() as group:
        group.start_soon(world.engine.with_origin(CallOrigin(endpoint="groq_chat")).serve, ask())
        await started.wait()
        (call,) = world.engine.under_way
        assert (call.model, call.origin.endpoint, call.attempts) == (FIRST, "groq_chat", 1)
        group.cancel_scope.cancel()
    (record,) = heard.records
    assert record.outcome == "cancelled"
    assert [(one.model, one.outcome) for one in record.attempts] == [(FIRST, "cancelled")]
    assert not world.engine.under_way


async def test_a_bug_is_not_taken_for_a_client_that_left() -> None:
    heard = Heard()
    world = World(listeners=[heard])

    async def fail() -> None:
        raise RuntimeError

    world.groq.before = fail
    with pytest.raises(RuntimeError):
        await world.engine.serve(ask())
    (record,) = heard.records
    assert record.outcome == "internal"
    assert [one.outcome for one in record.attempts] == ["internal"]


async def test_a_listener_that_fails_costs_neither_the_call_nor_what_others_hear() -> None:
    """Neither when a call begins nor when it ends."""

    class Failing(Heard):
        def call_started(self) -> None:
            raise RuntimeError

        def call_ended(self, record: CallRecord) -> None:
            raise RuntimeError(record.id)

    heard = Heard()
    world = World(listeners=[Failing(), heard])
    assert isinstance(await world.engine.serve(ask()), Answer)
    assert [record.outcome for record in heard.records] == ["answered"]


async def test_waits_and_beginnings_are_told_in_seconds_of_the_call() -> None:
    heard = Heard()
    world = World([provider_models("groq", [FIRST])], listeners=[heard])
    world.groq.script(FIRST, rate_limited(3.0))
    await world.engine.serve(ask())
    (record,) = heard.records
    assert record.waited_s >= 3.0
    assert record.attempts[-1].begun_s >= 3.0
    assert record.duration_s >= record.attempts[-1].begun_s


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ("Kilo-Code/5.2.0 (linux; x64)", "Kilo-Code"),
        ("claude-cli/2.1.0 (external, cli)", "claude-cli"),
        ("", ""),
        ("(nothing)", ""),
        ("\x1b[31mred/1", "red"),
        ("a" * 500, "a" * 40),
        ("gsk_abcdefghijklmnop", "gsk_"),
    ],
)
async def test_the_name_of_a_client_is_its_product(stated: str, name: str) -> None:
    assert client_name(stated) == name


PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        ({"traceparent": PARENT}, {"traceparent": PARENT, "tracestate": ""}),
        ({"traceparent": PARENT, "tracestate": "a=1"}, {"traceparent": PARENT, "tracestate": "a=1"}),
        ({"traceparent": PARENT, "tracestate": "a" * 2_000_000}, {"traceparent": PARENT, "tracestate": ""}),
        ({"traceparent": PARENT, "tracestate": 7}, {"traceparent": PARENT, "tracestate": ""}),
        ({"traceparent": "CANARY", "tracestate": "a=1"}, {}),
        ({"traceparent": PARENT + "\n"}, {}),
        ({"traceparent": None}, {}),
        ({}, {}),
    ],
)
async def test_only_a_trace_context_that_is_one_is_taken(stated: dict[str, object], kept: dict[str, str]) -> None:
    assert trace_context(stated) == kept


async def test_a_long_chain_of_failures_leaves_a_record_of_bounded_length() -> None:
    heard = Heard()
    offers = [provider_models(f"p{number}", [FIRST]) for number in range(40)]
    world = World(offers, listeners=[heard])
    for provider in world.providers.values():
        provider.script(FIRST, failure(FailureKind.SERVER_ERROR))
    await world.engine.serve(ask())
    assert len(heard.records[0].attempts) <= 16
