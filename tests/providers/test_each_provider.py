"""Every provider of the catalog behind its strict stand-in: its errors, its dialect, its limits."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from fake_clock import FakeClock
from fakes import CATALOG
from simulated_providers import NAMES, SimulatedProviders

from groq_fallback_mcp.call import ChatRequest, Failure, FailureKind, Limit, Outcome, Restrictions, Success
from groq_fallback_mcp.durations import seconds_until_day_ends
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.base import StreamOptions
from groq_fallback_mcp.simulator.other_providers import Planned, ProviderOptions

pytestmark = pytest.mark.anyio
K = FailureKind
TOOL = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Reads a file.",
        "strict": True,
        "parameters": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {"path": {"type": "string"}},
            "required": ["path"],
            "additionalProperties": False,
        },
    },
}
ASKS = ({"role": "system", "content": "You are an agent."}, {"role": "user", "content": "Call read_file for notes.txt."})


def chat(*messages: dict[str, Any], **more: Any) -> ChatRequest:
    """A request."""
    return ChatRequest(messages=messages or ({"role": "user", "content": "hi"},), **more)


async def candidates(world: SimulatedProviders, name: str, request: ChatRequest) -> list[Candidate]:
    """The models that would be asked there."""
    return [one for one in (await world.engine.plan(request)).candidates if one.provider == name]


async def asked(world: SimulatedProviders, name: str, request: ChatRequest, *, streamed: bool = False) -> Outcome:
    """What the first model of a provider says."""
    first = (await candidates(world, name, request))[0]
    stream = StreamOptions(longest_s=30.0, on_text=lambda _: None) if streamed else None
    return await world.providers[name].chat(request, first, timeout_s=30.0, stream=stream)


def with_call(request: ChatRequest, answer: Success, found: str = "The notes are empty.") -> list[dict[str, Any]]:
    """The conversation after a tool ran, as a client keeps it: what it does not know it loses."""
    calls = [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for call in answer.tool_calls
    ]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": found} for call in calls]
    return [*map(dict, request.messages), {"role": "assistant", "content": None, "tool_calls": calls}, *results]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("streamed", [False, True])
async def test_each_provider_answers_and_says_what_was_used(name: str, streamed: bool) -> None:
    """Labeled as simulated, with a label that survives."""
    outcome = await asked(
        SimulatedProviders(name), name, chat(temperature=0.2, seed=7, reasoning_effort="low"), streamed=streamed
    )
    assert isinstance(outcome, Success), outcome
    assert outcome.text.startswith("This is a simulated answer")
    assert outcome.simulated
    assert outcome.usage_reported
    assert outcome.usage.input_tokens > 0


# Where conversations mostly begin, and whose calls are the oddest; all others at night.
BEGIN = {"groq", "gemini", "mistral"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(*pair, marks=[] if pair[0] in BEGIN else pytest.mark.nightly)
        for pair in itertools.product([*NAMES, "groq"], NAMES)
    ],
)
async def test_a_conversation_begun_at_one_provider_goes_on_at_any_other(first: str, second: str) -> None:
    """A tool was called there and its result comes here, then a word of the user."""
    from groq_fallback_mcp.simulator import SimulatorOptions

    names = list(dict.fromkeys(name for name in (first, second) if name != "groq"))
    world = SimulatedProviders(*names, groq=SimulatorOptions(latency_scale=0.0) if first == "groq" else None)
    request = chat(*map(dict, ASKS), tools=(TOOL,), tool_choice="required", reasoning_effort="low")
    called = await asked(world, first, request)
    assert isinstance(called, Success), called
    assert called.tool_calls, called
    history = with_call(request, called)
    goes_on = chat(*history, tools=(TOOL,), parallel_tool_calls=True)
    answered = await asked(world, second, goes_on)
    assert isinstance(answered, Success), answered
    said = [*history, {"role": "assistant", "content": answered.text}, {"role": "user", "content": "And now?"}]
    last = await asked(world, second, chat(*said, tools=(TOOL,)), streamed=True)
    assert isinstance(last, Success), last


@pytest.mark.parametrize("name", [name for name in NAMES if CATALOG.providers[name].dialect.thought_signatures])
async def test_signatures_come_back_with_their_calls_though_the_client_lost_them(name: str) -> None:
    """And the stand-in refuses any that it did not give out."""
    world = SimulatedProviders(name)
    request = chat(*map(dict, ASKS), tools=(TOOL,), tool_choice="required")
    called = await asked(world, name, request)
    assert isinstance(called, Success)
    answered = await asked(world, name, chat(*with_call(request, called), tools=(TOOL,)))
    assert isinstance(answered, Success), answered
    sent = world.apps[name].state.provider.seen[-1]["messages"]
    given = next(message["tool_calls"][0]["extra_content"] for message in sent if message.get("tool_calls"))
    assert given["google"]["thought_signature"] in world.apps[name].state.provider.signatures


CASES = [
    pytest.param(name, number, id=f"{name}-{error.status}-{error.code or error.words or error.kind.value}")
    for name in NAMES
    for number, error in enumerate(CATALOG.providers[name].errors)
]


@pytest.mark.parametrize(("name", "number"), CASES)
async def test_each_error_of_the_catalog_is_blamed_on_whom_it_concerns(name: str, number: int) -> None:
    """As the provider sends it, over the wire: its kind, its scope, and the wait that it states or that its day has left."""
    row = CATALOG.providers[name]
    error = row.errors[number]
    world = SimulatedProviders(name)
    provider = world.apps[name].state.provider
    # the stand-in plays the first error of a status: let this one be it
    provider.row = row.model_copy(update={"errors": (error,)})
    request = chat()
    provider.faults["*"] = [Planned(kind=str(error.status), count=1)]
    outcome = await asked(world, name, request)
    assert isinstance(outcome, Failure), outcome
    assert (outcome.kind, outcome.scope) == (error.kind, error.scope)
    if error.wait == "none":
        assert outcome.retry_after_s is None
    elif error.wait == "day":
        assert outcome.retry_after_s == pytest.approx(seconds_until_day_ends(row.day_ends, world.clock.wall()))


SPENT = {K.NO_CREDIT, K.AUTHENTICATION, K.ORGANIZATION_REFUSED}


@pytest.mark.parametrize(("name", "number"), CASES)
async def test_after_each_error_another_provider_answers(name: str, number: int) -> None:
    """And what is out of the running is not asked again before its time; what is not to blame still is."""
    row = CATALOG.providers[name]
    error = row.errors[number]
    if error.kind is K.CONTENT_FILTERED:
        pytest.skip("what a filter refuses is sent to nobody else")
    other = "vllm" if name == "deepinfra" else "deepinfra"
    world = SimulatedProviders(name, other, prefer=())
    provider = world.apps[name].state.provider
    provider.row = row.model_copy(update={"errors": (error,)})
    provider.faults["*"] = [Planned(kind=str(error.status))]
    answer = await world.engine.serve(chat())
    assert isinstance(answer, Answer), answer
    assert answer.provider == other
    before = sum(world.calls(name).values())
    again = await world.engine.serve(chat())
    assert isinstance(again, Answer)
    more = sum(world.calls(name).values()) - before
    if error.scope == "provider" or error.kind in SPENT:
        assert more == 0


DOCUMENTED = [
    (row.name, limit.plan)
    for row in CATALOG.providers.values()
    for limit in row.limits
    if not limit.uncertain and row.name in NAMES
]


@pytest.mark.parametrize(("name", "plan"), list(dict.fromkeys(DOCUMENTED)))
async def test_no_call_is_refused_for_a_documented_limit(name: str, plan: str) -> None:
    """Calls come one after another for more than a minute, faster than most limits allow."""
    world = SimulatedProviders(name, options={name: ProviderOptions(plan=plan)})
    end = world.clock.monotonic() + 75
    served = 0
    while world.clock.monotonic() < end:
        outcome = await world.engine.serve(chat(max_tokens=200), longest_wait_s=0.5)
        served += isinstance(outcome, Answer)
        world.clock.advance(0.4)
    assert served > 0
    assert world.calls(name).get("429", 0) == 0, world.calls(name)


@pytest.mark.parametrize(
    ("name", "limits", "refusals"),
    [
        ("gemini", {Limit.RPM: 6}, {1}),
        ("gemini", {Limit.RPD: 9}, {1}),
        ("gemini", {Limit.ITPM: 60}, {1}),
        # stated in the headers of every answer: none at all
        ("cerebras", {Limit.TPM: 3_000}, {0}),
        # nothing in them says how much the limit is: one refusal a window
        ("together", {Limit.RPM: 6}, {1, 2, 3, 4}),
        ("deepinfra", {Limit.RPM: 6}, {1, 2, 3, 4}),
    ],
)
async def test_a_limit_nobody_documented_is_refused_once_a_window_at_most(
    name: str, limits: dict[Limit, int], refusals: set[int]
) -> None:
    """Three minutes of calls to one model; where the refusal names the limit, once for ever."""
    row = CATALOG.providers[name]
    plan = row.plans[0].name
    model = next(one for one in row.models if one.cost in {None, row.plans[0].cost})
    replaced = {model.wire_id: limits, **{limit.pool: limits for limit in row.limits if limit.pool}}
    world = SimulatedProviders(name, options={name: ProviderOptions(plan=plan, limits=replaced)})
    # as if the catalog knew none of them
    offer = world.offers[name]
    for known in offer.models.values():
        object.__setattr__(known, "documented", {})
        object.__setattr__(known, "pool", None)
    end = world.clock.monotonic() + 180
    while world.clock.monotonic() < end:
        await world.engine.serve(chat(model=model.id, max_tokens=200), longest_wait_s=0.5, deadline_s=5.0)
        world.clock.advance(2.0)
    assert world.apps[name].state.provider.calls[model.wire_id]["429"] in refusals


async def test_pools_of_two_providers_hold_in_one_ledger_for_several_processes() -> None:
    """Four engines, one ledger, the same stand-ins: not one refusal."""
    clock = FakeClock()
    first = SimulatedProviders("openrouter", "gemini", clock=clock)
    worlds = [first] + [
        SimulatedProviders("openrouter", "gemini", clock=clock, ledger=first.ledger, apps=first.apps) for _ in range(3)
    ]
    for number in range(160):
        await worlds[number % 4].engine.serve(chat(max_tokens=100), longest_wait_s=0.0)
        clock.advance(0.5)
    assert {name: first.calls(name).get("429", 0) for name in first.apps} == {"openrouter": 0, "gemini": 0}
    assert first.calls("openrouter")["200"] >= 20


async def test_a_day_that_is_spent_is_not_asked_again_before_midnight() -> None:
    """Cloudflare counts neurons, which nobody else can; it says so with a number."""
    world = SimulatedProviders("cloudflare", options={"cloudflare": ProviderOptions(calls_a_day=3)})
    for _ in range(6):
        await world.engine.serve(chat(), longest_wait_s=0.0)
    assert world.calls("cloudflare") == {"200": 3, "429": 1}
    failed = await world.engine.serve(chat(), longest_wait_s=0.0)
    assert isinstance(failed, CallFailed)
    assert failed.retry_after_s == pytest.approx(seconds_until_day_ends("UTC", world.clock.wall()), abs=5)


async def test_prompts_go_nowhere_that_trains_on_them_unless_allowed() -> None:
    """With data_policy = no-training only those remain that say they do not."""
    world = SimulatedProviders("gemini", "openrouter", "cloudflare", "llamacpp")
    plan = await world.engine.plan(chat(restrictions=Restrictions(no_training=True)))
    assert {candidate.provider for candidate in plan.candidates} == {"cloudflare", "llamacpp"}


def test_every_example_is_json_and_every_row_has_a_source() -> None:
    """Bodies as they come over the wire."""
    for row in CATALOG.providers.values():
        assert row.sources <= {*CATALOG.sources}
        for error in row.errors:
            json.loads(error.example)
