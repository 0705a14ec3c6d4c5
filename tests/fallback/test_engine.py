"""The loop: who is asked, what it costs, how long it takes, and what is told at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import anyio
import pytest
from effort import times
from fakes import GROQ_CHAT_MODELS, Sent, World, answer, failure, provider_models, rate_limited
from hypothesis import given, settings
from hypothesis import strategies as st

from groq_fallback_mcp.call import Attempt as CallAttempt
from groq_fallback_mcp.call import (
    AudioLink,
    AudioRequest,
    ChatRequest,
    Failure,
    FailureKind,
    Limit,
    LimitReading,
    Outcome,
    Pool,
    QuotaSnapshot,
    Restrictions,
    Success,
)
from groq_fallback_mcp.errors import InputRefused, ModelNotAllowed
from groq_fallback_mcp.fallback import Answer, CallTimeouts, FallbackEngine, attempt
from groq_fallback_mcp.fallback.attempt import ANSWERED
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.policy.model_choice import ProviderModels
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.quota import OWNER, Caller, Claim, ModelQuota, caller_day
from groq_fallback_mcp.quota.budget import Budget
from groq_fallback_mcp.quota.store_ledger import utc_day

pytestmark = pytest.mark.anyio
K = FailureKind
FIRST, SECOND, THIRD = GROQ_CHAT_MODELS


def ask(prompt: str = "hi", **fields: object) -> ChatRequest:
    """A chat request."""
    return ChatRequest(messages=({"role": "user", "content": prompt},), **fields)  # type: ignore[arg-type]


async def served(world: World, request: ChatRequest | None = None) -> Answer:
    """The answer, which must be one."""
    outcome = await world.engine.serve(request or ask())
    assert isinstance(outcome, Answer), outcome
    return outcome


async def refused(world: World, request: ChatRequest | None = None) -> CallFailed:
    """The error, which must be one."""
    outcome = await world.engine.serve(request or ask())
    assert isinstance(outcome, CallFailed), outcome
    return outcome


def shared_limits() -> ProviderModels:
    """A provider whose two free models share their limits, and its paid one."""
    offered = provider_models("other", ("a:free", "b:free", "paid"))
    pool = Pool(name="free models", documented={})
    models = {name: replace(one, pool=pool if name.endswith(":free") else None) for name, one in offered.models.items()}
    return replace(offered, models=models)


@pytest.mark.parametrize(
    ("scope", "tried"), [("model", ["a:free", "b:free"]), ("pool", ["a:free", "paid"]), ("provider", ["a:free"])]
)
async def test_a_limit_cools_down_all_that_share_it(scope: Literal["model", "pool", "provider"], tried: list[str]) -> None:
    """An exhausted pool is not tried again with its next model."""
    world = World([shared_limits()])
    world.providers["other"].script("a:free", replace(rate_limited(3_600.0), scope=scope))

    await world.engine.serve(ask(model="a:free"))

    assert world.providers["other"].asked == tried


async def test_the_first_model_of_the_chain_answers() -> None:
    """One request, one attempt."""
    world = World()
    result = await served(world)
    assert (result.model, world.groq.asked, len(result.attempts)) == (FIRST, [FIRST], 1)
    assert result.cost_usd is not None
    assert result.cost_usd > 0


@pytest.mark.covers("advice/Monitor headers")
async def test_a_429_costs_no_wait_and_the_next_call_leaves_that_model_alone() -> None:
    """The second model answers at once; the first is asked again when its time has come, not before."""
    world = World()
    world.groq.script(FIRST, rate_limited(17.0), answer("back"))
    result = await served(world)
    assert (result.model, world.clock.slept) == (SECOND, [])
    assert [(a.model, a.outcome, a.status) for a in result.attempts] == [
        (FIRST, "rate_limited", 429),
        (SECOND, "answered", None),
    ]
    again = await served(world)
    assert (again.model, world.groq.asked) == (SECOND, [FIRST, SECOND, SECOND])
    assert [(a.model, a.sent) for a in again.attempts] == [(FIRST, False), (SECOND, True)]
    assert again.attempts[0].retry_after_s == pytest.approx(17.0, abs=1.0)
    world.clock.advance(18.0)
    assert (await served(world)).success.text == "back"


async def test_an_unstated_rate_limit_benches_the_model_for_a_while() -> None:
    """No retry-after, no figures."""
    world = World()
    world.groq.script(FIRST, rate_limited(None), answer())
    await served(world)
    await served(world)
    assert world.groq.asked == [FIRST, SECOND, SECOND]


async def test_when_every_model_is_limited_for_a_short_time_the_call_waits() -> None:
    """Nothing else could serve before the deadline."""
    world = World()
    for model, wait_s in ((FIRST, 9.0), (SECOND, 4.0), (THIRD, 30.0)):
        world.groq.script(model, rate_limited(wait_s), answer(model))
    result = await served(world)
    assert result.success.text == SECOND
    assert sum(world.clock.slept) == pytest.approx(4.0, abs=0.5)


async def test_when_every_wait_ends_after_the_deadline_the_error_comes_at_once() -> None:
    """With the time to come back."""
    world = World()
    world.groq.default = rate_limited(120.0)
    result = await refused(world)
    assert (result.code, world.clock.slept, len(result.attempts)) == ("rate_limited", [], 3)
    assert result.retry_after_s == pytest.approx(120.0, abs=1.0)
    assert "Retry in 1m59." in result.next_step


async def test_a_call_larger_than_what_is_left_goes_elsewhere_before_it_fails() -> None:
    """Admission is decided before attempt."""
    world = World([provider_models("groq", [FIRST, SECOND], documented={Limit.TPM: 3000})])
    world.groq.default = answer(tokens=2900)
    assert (await served(world)).model == FIRST
    result = await served(world)
    assert (result.model, world.groq.asked) == (SECOND, [FIRST, SECOND])
    assert result.attempts[0].detail == "tokens per minute used up"


async def test_unused_tokens_are_given_back() -> None:
    """The claim is the prompt and all of max_tokens, the charge is what was used."""
    world = World([provider_models("groq", [FIRST], documented={Limit.TPM: 3000})])
    world.groq.default = answer(tokens=100)
    await served(world)
    await served(world)
    assert world.groq.asked == [FIRST, FIRST]
    quota = await quota_of(world)
    assert quota.buckets[Limit.TPM].level_at(world.clock.wall()) == pytest.approx(2800, abs=20)
    assert quota.calls_in_flight == 0


async def test_a_short_wait_for_groq_comes_before_a_lesser_provider_and_a_long_one_after() -> None:
    """max_wait_s decides."""
    for wait_s, provider in ((1.5, "groq"), (2.5, "mine")):
        world = World([provider_models("groq", [FIRST]), provider_models("mine", ["my-model"])])
        world.groq.script(FIRST, rate_limited(wait_s), answer())
        assert (await served(world)).provider == provider


async def test_near_the_deadline_a_call_that_finds_a_place_is_sent_and_not_told_busy() -> None:
    """Nothing else is under way."""
    world = World(timeouts=CallTimeouts(deadline_s=attempt.LEAST_TURN_S))
    assert isinstance(await world.engine.serve(ask()), Answer)


@pytest.mark.parametrize("kind", [K.AUTHENTICATION, K.ORGANIZATION_REFUSED, K.NETWORK_DENIED, K.UNREACHABLE])
async def test_when_groq_as_a_whole_refuses_the_next_provider_answers(kind: FailureKind) -> None:
    """One request to Groq, and none in the next call."""
    world = World([provider_models("groq", [FIRST, SECOND]), provider_models("mine", ["my-model"])])
    world.groq.default = failure(kind)
    assert (await served(world)).provider == "mine"
    assert (await served(world)).provider == "mine"
    assert world.groq.asked == [FIRST]


async def test_a_bad_request_is_told_to_the_caller_at_once() -> None:
    """No other model, no other provider."""
    world = World([provider_models("groq", [FIRST, SECOND]), provider_models("mine", ["my-model"])])
    world.groq.default = failure(K.BAD_REQUEST)
    result = await refused(world)
    assert (result.code, world.groq.asked, world.providers["mine"].asked) == ("bad_request", [FIRST], [])
    assert result.retry_after_s is None


async def test_an_unreachable_groq_is_no_rate_limit_now_or_in_the_next_call() -> None:
    """Nor is a missing key; each error names its own cause as long as the pause lasts."""
    for kind, code in ((K.UNREACHABLE, "unreachable"), (K.AUTHENTICATION, "authentication"), (K.MODEL_GONE, "all_failed")):
        world = World([provider_models("groq", [FIRST])])
        world.groq.default = failure(kind, sent=False)
        assert [(await refused(world)).code for _ in range(2)] == [code, code]


async def test_a_long_pause_asked_for_by_an_overloaded_model_is_not_slept_through() -> None:
    """The error comes at once, with the time to come back; a model that is free sooner serves."""
    world = World([provider_models("groq", [FIRST])])
    world.groq.default = failure(K.OVERLOADED, status=503, retry_after_s=600.0)
    result = await refused(world)
    assert (world.clock.slept, result.retry_after_s) == ([], pytest.approx(600, abs=1))
    world = World([provider_models("groq", [FIRST, SECOND])])
    world.groq.script(SECOND, rate_limited(3.0), answer("soon"))
    await served(world, ask(model=FIRST))
    world.groq.script(FIRST, failure(K.OVERLOADED, status=503, retry_after_s=40.0))
    world.groq.script(SECOND, rate_limited(3.0), answer("soon"))
    assert (await served(world)).success.text == "soon"
    assert sum(world.clock.slept) < 10


async def test_one_pause_comes_before_a_lesser_provider() -> None:
    """A 503 of Groq's only model is tried once more before a small local model stands in."""
    world = World([provider_models("groq", [FIRST]), provider_models("local", ["local/smollm2-135m"])])
    world.groq.script(FIRST, failure(K.OVERLOADED, status=503), answer("from groq"))
    assert (await served(world)).provider == "groq"


async def test_short_waits_for_a_better_provider_do_not_add_up_beyond_their_bound() -> None:
    """Other calls may take the slot again and again."""
    world = World([provider_models("groq", [FIRST]), provider_models("local", ["local/smollm2-135m"])])
    world.groq.default = rate_limited(1.5)
    result = await served(world)
    assert result.provider == "local"
    assert sum(world.clock.slept) <= 2.0


async def test_what_another_provider_refuses_says_nothing_about_the_request() -> None:
    """A wrong path of config.toml looks like a bad request."""
    world = World(
        [
            provider_models("groq", [FIRST]),
            provider_models("mine", ["my-model"]),
            provider_models("local", ["local/smollm2-135m"]),
        ]
    )
    world.groq.default = rate_limited(120.0)
    world.providers["mine"].default = failure(K.BAD_REQUEST, status=404)
    assert (await served(world)).provider == "local"


async def test_models_that_cannot_serve_leave_the_whole_time_to_the_one_that_can() -> None:
    """An attempt is cut short only for somebody else."""
    world = World()
    for model in (SECOND, THIRD):
        world.groq.script(model, failure(K.MODEL_GONE))
        await served(world, ask(model=model))
    world.groq.took_s = 25.0
    assert (await served(world)).model == FIRST


async def test_a_clamp_stays_when_its_model_is_asked_again() -> None:
    """A limit in between does not bring the old bound back."""
    world = World([provider_models("groq", [FIRST])])
    world.groq.script(
        FIRST, failure(K.MAX_TOKENS_TOO_LARGE, status=400, max_tokens_limit=500), rate_limited(3.0), answer("kept")
    )
    await served(world, ask(max_tokens=1500))
    assert [call.candidate.max_tokens for call in world.groq.calls] == [1500, 500, 500]


async def test_a_failing_progress_report_costs_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client may be past caring for it."""
    monkeypatch.setattr("groq_fallback_mcp.fallback.progress.HEARTBEAT_S", 0.001)
    monkeypatch.setattr("groq_fallback_mcp.fallback.progress.POLL_S", 0.001)
    world = World()
    tried = anyio.Event()

    async def progress(done: float, total: float, message: str) -> None:
        tried.set()
        raise RuntimeError(message)

    world.groq.before = tried.wait
    with anyio.fail_after(5):
        assert isinstance(await world.engine.serve(ask(), progress=progress), Answer)


async def test_a_hanging_model_leaves_time_for_the_next() -> None:
    """One attempt takes at most its share of the deadline."""
    world = World()
    world.groq.took_s = 1e9
    result = await refused(world)
    assert result.code == "deadline"
    assert len(set(world.groq.asked)) >= 2
    assert world.groq.timeouts[0] == 20.0


@given(
    st.lists(
        st.sampled_from([K.RATE_LIMITED, K.SERVER_ERROR, K.OVERLOADED, K.TIMED_OUT, K.MODEL_GONE, K.GENERATION_FAILED, None]),
        max_size=30,
    ),
    st.sampled_from([0.01, 1.0, 7.0, 40.0]),
    st.sampled_from([5.0, 50.0]),
)
@settings(deadline=None, max_examples=times(150))
def test_no_call_outlives_its_deadline_whatever_happens(
    kinds: list[FailureKind | None], took_s: float, deadline_s: float
) -> None:
    """AttemptSender, pauses and waits together; no model more than three times; every reservation settled."""

    async def run() -> None:
        world = World(timeouts=CallTimeouts(deadline_s=deadline_s, attempt_timeout_s=20, max_wait_s=2))
        outcomes = iter(kinds)
        world.groq.took_s = took_s

        def next_outcome() -> None:
            kind = next(outcomes, None)
            world.groq.default = answer() if kind is None else rate_limited(3.0) if kind is K.RATE_LIMITED else failure(kind)

        world.groq.before = next_outcome
        started = world.clock.monotonic()
        await world.engine.serve(ask())
        assert world.clock.monotonic() - started <= deadline_s + 0.01
        assert all(world.groq.asked.count(model) <= 3 for model in world.groq.asked)
        quotas = await world.ledger.peek([world.engine.claim(c) for c in (await world.engine.plan(ask())).candidates])
        assert all(quota.calls_in_flight == 0 for quota in quotas)

    anyio.run(run)


@given(st.lists(st.sampled_from([K.RATE_LIMITED, K.SERVER_ERROR, K.BAD_RESPONSE, K.MODEL_GONE]), min_size=3, max_size=3))
@settings(deadline=None, max_examples=times(60))
def test_falling_back_never_repeats_a_model_while_another_is_left(kinds: list[FailureKind]) -> None:
    """The first three attempts go to three models."""

    async def run() -> None:
        world = World()
        for model, kind in zip(GROQ_CHAT_MODELS, kinds, strict=True):
            world.groq.script(model, rate_limited(30.0) if kind is K.RATE_LIMITED else failure(kind))
        await world.engine.serve(ask())
        assert sorted(world.groq.asked[:3]) == sorted(GROQ_CHAT_MODELS)

    anyio.run(run)


async def test_a_model_that_hangs_is_left_as_soon_as_its_own_earlier_answers_allow() -> None:
    """Five seconds, and not the twenty of the settings."""
    world = World()
    for _ in range(5):
        assert (await served(world)).model == FIRST
    started = world.clock.monotonic()
    world.groq.script(FIRST, failure(K.TIMED_OUT))
    assert (await served(world)).model == SECOND
    assert world.groq.timeouts[-2:] == [5.0, 20.0]
    assert world.clock.monotonic() - started < 6


async def test_another_provider_s_model_is_not_held_to_the_speed_it_has_at_groq() -> None:
    """Its answer in one piece may take longer than its earlier ones did."""
    world = World([provider_models("mine", [FIRST]), provider_models("other", [SECOND])])
    for _ in range(5):
        await served(world, ask(max_tokens=1_000))
    await served(world, ask(max_tokens=1_000))
    assert world.providers["mine"].timeouts[-1] == 20.0


async def test_a_model_that_is_gone_is_not_asked_in_the_next_call() -> None:
    """Benched for an hour."""
    world = World()
    world.groq.script(FIRST, failure(K.MODEL_GONE, status=404))
    await served(world)
    await served(world)
    assert world.groq.asked == [FIRST, SECOND, SECOND]


async def test_a_request_that_is_too_large_goes_where_it_fits_and_the_limit_is_learnt() -> None:
    """A 413 on tokens per minute is no 429."""
    world = World()
    reading = LimitReading(limit=Limit.TPM, capacity=1000, requested=2100)
    world.groq.script(FIRST, failure(K.LARGER_THAN_LIMIT, status=413, quota=QuotaSnapshot(readings=(reading,))), answer())
    result = await served(world)
    assert (result.model, world.groq.asked) == (SECOND, [FIRST, SECOND])
    assert (await served(world)).model == FIRST
    assert world.groq.calls[-1].candidate.max_tokens < 1000
    assert (await served(world, ask(max_tokens=2000))).model == SECOND


async def test_a_larger_limit_that_was_learnt_lets_larger_requests_through() -> None:
    """A developer's key under the free plan's table."""
    world = World()
    large = ask("word " * 7_500, model=FIRST)
    assert (await refused(world, large)).code == "too_large"
    reading = LimitReading(limit=Limit.TPM, capacity=250_000, remaining=249_000)
    world.groq.script(FIRST, answer(quota=QuotaSnapshot(readings=(reading,))))
    await served(world)
    assert (await served(world, large)).model == FIRST


async def test_a_bound_on_max_tokens_is_kept_and_told() -> None:
    """The same model at once with less."""
    world = World()
    world.groq.script(FIRST, failure(K.MAX_TOKENS_TOO_LARGE, status=400, max_tokens_limit=512), answer())
    result = await served(world)
    assert [call.candidate.max_tokens for call in world.groq.calls] == [2048, 512]
    assert "lowered to 512" in result.notes[-1]


async def test_an_answer_the_check_refuses_is_tried_once_more_then_elsewhere() -> None:
    """Such as JSON that breaks its schema."""
    world = World()
    world.groq.script(FIRST, answer("bad"))
    world.groq.script(SECOND, answer("good"))

    def check(success: Success) -> Failure | None:
        return failure(K.GENERATION_FAILED) if success.text == "bad" else None

    outcome = await world.engine.serve(ask(), check=check)
    assert isinstance(outcome, Answer)
    assert (outcome.model, world.groq.asked) == (SECOND, [FIRST, FIRST, SECOND])


async def abandon(world: World, engine: FallbackEngine, request: ChatRequest) -> None:
    """A call that is cancelled while its answer is awaited."""
    started = anyio.Event()

    async def hang() -> None:
        started.set()
        await anyio.sleep_forever()

    world.groq.before = hang
    async with anyio.create_task_group() as group:
        group.start_soon(engine.serve, request)
        await started.wait()
        group.cancel_scope.cancel()


async def quota_of(world: World) -> ModelQuota:
    """What the ledger has of the model that is asked first."""
    return (await world.ledger.peek([world.engine.claim((await world.engine.plan(ask())).candidates[0])]))[0]


async def test_a_cancelled_call_gives_its_reservation_back() -> None:
    """Nothing was answered, nothing is charged."""
    world = World([provider_models("groq", [FIRST], documented={Limit.TPM: 3000})])
    await abandon(world, world.engine, ask())
    quota = await quota_of(world)
    assert (quota.calls_in_flight, quota.buckets[Limit.TPM].level) == (0, 3000)


async def test_a_call_that_a_caller_abandons_counts_as_used() -> None:
    """The provider may have answered it: otherwise a caller that abandons calls seems to have used nothing, and goes first."""
    world = World([provider_models("groq", [FIRST], documented={Limit.TPM: 3000})])
    engine = world.engine.for_caller(Caller(name="ann", budget=Budget(tokens=10_000)), Restrictions())
    await abandon(world, engine, ask(max_tokens=500))
    quota = await quota_of(world)
    assert (quota.calls_in_flight, quota.buckets[Limit.TPM].level < 2_500) == (0, True)
    day = caller_day(utc_day(world.clock.wall()), "ann")
    assert (await world.ledger.spending([day]))[day].tokens > 500


async def test_a_bug_in_a_provider_gives_the_reservation_back_too() -> None:
    """Exceptions are for bugs, and must not leak quota."""
    world = World([provider_models("groq", [FIRST], documented={Limit.TPM: 3000})])

    def fail() -> None:
        message = "bug"
        raise RuntimeError(message)

    world.groq.before = fail
    with pytest.raises(RuntimeError):
        await world.engine.serve(ask())
    quota = await quota_of(world)
    assert (quota.calls_in_flight, quota.buckets[Limit.TPM].level) == (0, 3000)


async def test_without_any_model_the_error_says_why() -> None:
    """Nothing is sent."""
    world = World([])
    assert (await refused(world)).code == "no_provider"
    world = World([provider_models("mine", ["my-model"])])
    assert (await refused(world, ask(schema={"type": "object"}))).code == "no_model"


async def test_unknown_names_are_refused_before_anything_is_sent() -> None:
    """As bad input, not as a failed call."""
    world = World()
    with pytest.raises(InputRefused):
        await world.engine.serve(ask(model="no-such-model"))
    assert world.groq.asked == []


async def test_transcription_falls_between_the_two_whispers() -> None:
    """Each has its own audio seconds."""
    world = World()
    world.groq.script("whisper-large-v3-turbo", rate_limited(60.0))
    outcome = await world.engine.serve(AudioRequest(audio=AudioLink(url="https://example.com/a.wav")))
    assert isinstance(outcome, Answer)
    assert world.groq.asked == ["whisper-large-v3-turbo", "whisper-large-v3"]


async def test_limits_in_an_answer_s_headers_hold_for_the_next_call() -> None:
    """The organization's other traffic counts."""
    world = World()
    reading = LimitReading(limit=Limit.TPM, capacity=8000, remaining=100)
    world.groq.script(FIRST, answer(quota=QuotaSnapshot(readings=(reading,))))
    await served(world)
    await served(world)
    assert world.groq.asked == [FIRST, SECOND]


async def test_a_probe_asks_one_model_once_and_takes_in_what_it_tells() -> None:
    """No fallback."""
    world = World()
    reading = LimitReading(limit=Limit.TPM, capacity=250_000, remaining=249_000)
    world.groq.script(SECOND, answer(quota=QuotaSnapshot(readings=(reading,))))
    assert isinstance(await world.engine.probe(SECOND), Success)
    assert world.groq.asked == [SECOND]
    quota = (await world.ledger.peek([world.engine.claim((await world.engine.plan(ask(model=SECOND))).candidates[0])]))[0]
    assert quota.buckets[Limit.TPM].capacity == 250_000
    world.groq.script(SECOND, rate_limited(60.0))
    await world.engine.serve(ask(model=SECOND))
    assert "tokens per minute" in str(await world.engine.probe(SECOND))


async def test_a_running_call_reports_what_it_is_doing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients restart their time-outs on progress."""
    monkeypatch.setattr("groq_fallback_mcp.fallback.progress.HEARTBEAT_S", 0.001)
    monkeypatch.setattr("groq_fallback_mcp.fallback.progress.POLL_S", 0.001)
    world = World()
    reported: list[tuple[float, float, str]] = []
    heard = anyio.Event()

    async def progress(done: float, total: float, message: str) -> None:
        reported.append((done, total, message))
        heard.set()

    world.groq.before = heard.wait
    with anyio.fail_after(5):
        outcome = await world.engine.serve(ask(), progress=progress)
    assert isinstance(outcome, Answer)
    assert reported[0][1:] == (50.0, f"trying {FIRST}")


async def test_a_call_that_could_exceed_the_budget_is_not_sent_and_a_free_model_answers() -> None:
    """Nothing is asked of Groq; without a local model the error says what to do."""
    budget = Budget(tokens=1_000)
    world = World([provider_models("groq", [FIRST]), provider_models("local", ["local/smollm2-135m"])], budget=budget)
    result = await served(world, ask(max_tokens=2_000))
    assert (result.provider, world.groq.asked) == ("local", [])
    assert result.attempts[0].detail.startswith("the daily budget of 1000 tokens has 1000 left and this call could use 2")
    alone = World([provider_models("groq", [FIRST])], budget=budget)
    error = await refused(alone, ask(max_tokens=2_000))
    assert (error.code, error.retry_after_s, alone.groq.asked) == ("over_budget", None, [])
    assert (await served(alone, ask(max_tokens=500))).model == FIRST


@pytest.mark.parametrize("status", [200, 503])
async def test_an_answer_that_is_refused_here_was_generated_and_counts(status: int) -> None:
    """With the most that it could cost; one that was never generated costs nothing."""
    world = World([provider_models("groq", [FIRST])], budget=Budget(tokens=10_000))
    kind = K.BAD_RESPONSE if status == ANSWERED else K.OVERLOADED
    world.groq.script(FIRST, *[failure(kind, status=status)] * 3)
    await refused(world, ask(max_tokens=500))
    day = utc_day(world.clock.wall())
    totals = (await world.ledger.spending([day]))[day]
    assert (totals.tokens > 500, totals.held_tokens) == (status == ANSWERED, 0)


async def test_after_an_outage_one_call_tests_the_model_while_the_others_go_elsewhere() -> None:
    """And each failure in a row doubles the pause."""
    world = World([provider_models("groq", [FIRST, SECOND])])
    world.groq.script(FIRST, *[failure(K.OVERLOADED, status=503)] * 3, answer("well again"))
    pauses = []
    for _ in range(3):
        await served(world)
        quota = await quota_of(world)
        assert quota.cooldown is not None
        pauses.append(round(quota.cooldown.until - quota.cooldown.since, 3))
        world.clock.advance(pauses[-1] + 1)
    assert pauses == [1.0, 2.0, 4.0]
    first_asked = [0]

    async def meanwhile() -> None:
        world.groq.before = None
        first_asked[0] = world.groq.asked.count(FIRST)
        assert (await served(world)).model == SECOND

    world.groq.before = meanwhile
    assert (await served(world)).success.text == "well again"
    assert world.groq.asked.count(FIRST) == first_asked[0] == 4


async def test_a_storm_of_errors_is_not_answered_with_a_storm_of_retries() -> None:
    """Requests per call stay near one once the organization's retries are used up."""
    world = World([provider_models("groq", [FIRST, SECOND, THIRD]), provider_models("mine", ["my-model"])])
    world.groq.default = failure(K.SERVER_ERROR, status=500)
    calls = 40
    for _ in range(calls):
        assert (await served(world)).provider == "mine"
        world.clock.advance(61)
    assert len(world.groq.asked) <= 1.2 * calls


async def test_used_up_retries_keep_a_call_from_models_that_failed_but_not_from_one_that_is_well() -> None:
    """A provider's last answer may be old because nobody asked, or because this machine's clock went forward."""
    world = World([provider_models("groq", [FIRST, SECOND, THIRD])])
    broken = failure(K.SERVER_ERROR, status=500)
    for model in (FIRST, SECOND):
        world.groq.script(model, *[broken] * 20)
    for _ in range(8):
        assert (await served(world)).model == THIRD
        world.clock.advance(120)
    # one that was limited since has not failed
    limited = failure(K.RATE_LIMITED, status=429)
    await world.engine.ledger.cool_down(world.engine.key("groq", THIRD), 5, "rate limited", limit=None, kind=limited.kind)
    world.clock.advance(120)
    before = len(world.groq.asked)
    assert (await served(world)).model == THIRD
    assert world.groq.asked[before:] == [FIRST, THIRD]


async def test_more_calls_than_are_sent_at_once_wait_for_their_turn_and_are_told_busy_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call that never got its turn is not blamed on the model, and gives its quota back."""
    monkeypatch.setattr(attempt, "SENT_AT_ONCE", 1)
    world = World(timeouts=CallTimeouts(deadline_s=attempt.LEAST_TURN_S + 0.1))
    go_on = anyio.Event()
    world.groq.before = go_on.wait
    outcomes: list[Answer | CallFailed] = []

    async def hold() -> None:
        outcomes.append(await world.engine.serve(ask()))

    async with anyio.create_task_group() as group:
        group.start_soon(hold)
        await anyio.wait_all_tasks_blocked()
        busy = await world.engine.serve(ask())
        assert isinstance(busy, CallFailed)
        assert (busy.code, [attempt.sent for attempt in busy.attempts]) == ("busy", [False])
        go_on.set()
    assert isinstance(outcomes[0], Answer)
    assert isinstance(await world.engine.serve(ask()), Answer)
    assert len(world.groq.calls) == 2


@pytest.mark.parametrize("kind", [K.AUTHENTICATION, K.ORGANIZATION_REFUSED, K.NO_CREDIT, K.NETWORK_DENIED, K.MODEL_GONE])
async def test_where_everybody_rests_by_our_own_caution_one_is_asked_all_the_same(kind: FailureKind) -> None:
    """A key, a permission or a network may be mended at any moment; until then each call costs one request."""
    world = World([provider_models("groq", [FIRST, SECOND])])
    world.groq.default = failure(kind, status=403)
    await refused(world)
    asked = len(world.groq.asked)
    error = await refused(world)
    assert len(world.groq.asked) == asked + 1
    assert error.attempts[-1].sent is True
    world.groq.default = answer("mended")
    assert (await served(world)).success.text == "mended"
    assert (await served(world)).success.text == "mended"


NOT_MENDED = {
    K.AUTHENTICATION: "authentication",
    K.ORGANIZATION_REFUSED: "account_refused",
    K.NO_CREDIT: "account_refused",
    K.NETWORK_DENIED: "unreachable",
    K.MODEL_GONE: "all_failed",
    K.MODEL_BLOCKED: "all_failed",
}


@pytest.mark.fault("A9")
@pytest.mark.parametrize(("kind", "code"), NOT_MENDED.items())
async def test_a_call_of_an_hour_does_not_wait_for_what_time_does_not_mend(kind: FailureKind, code: str) -> None:
    """Jobs have such deadlines. Each call ends at once with the right error; what is mended meanwhile serves at once."""
    world = World([provider_models("groq", [FIRST, SECOND])])
    world.groq.default = failure(kind, status=403)
    for _ in range(3):
        result = await world.engine.serve(ask(), deadline_s=3_600.0)
        assert isinstance(result, CallFailed)
        assert (result.code, result.retry_after_s) == (code, None)
        assert all(attempt.retry_after_s is None for attempt in result.attempts)
    world.groq.default = answer("mended")
    result = await world.engine.serve(ask(), deadline_s=3_600.0)
    assert isinstance(result, Answer)
    assert sum(world.clock.slept) < 1


@pytest.mark.fault("A9")
async def test_a_call_of_an_hour_waits_for_a_limit_beside_a_refused_key() -> None:
    """The other provider is free sooner than the key's pause is over, and later than it."""
    for wait_s in (30.0, 600.0):
        world = World([provider_models("groq", [FIRST]), provider_models("mine", ["my-model"])])
        world.groq.default = failure(K.AUTHENTICATION, status=401)
        world.providers["mine"].script("my-model", rate_limited(wait_s), answer("later"))
        result = await world.engine.serve(ask(), deadline_s=3_600.0)
        assert isinstance(result, Answer)
        assert sum(world.clock.slept) == pytest.approx(wait_s, abs=2)
        assert world.groq.asked == [FIRST]


async def test_a_limit_is_not_passed_over_for_want_of_others() -> None:
    """Nor is a model that rests tried instead of saying when the limited one is free."""
    world = World([provider_models("groq", [FIRST, SECOND])])
    world.groq.script(FIRST, rate_limited(600.0))
    world.groq.script(SECOND, failure(K.MODEL_GONE, status=404))
    await refused(world)
    asked = len(world.groq.asked)
    error = await refused(world)
    assert (error.code, len(world.groq.asked)) == ("rate_limited", asked)


async def test_one_attempt_of_a_long_job_takes_no_longer_than_a_call_may() -> None:
    """It may hang, and the job lasts an hour; what it reserved is given up on as soon, should the process die."""
    world = World([provider_models("groq", [FIRST])])
    world.groq.took_s = 10_000.0
    outcome = await world.engine.serve(ask(), deadline_s=3_600.0)
    assert isinstance(outcome, CallFailed)
    assert max(world.groq.timeouts) <= CallTimeouts().deadline_s


class Seen:
    """What an observer of a call is shown."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def attempt_started(self, candidate: Candidate, earlier: Sequence[CallAttempt]) -> None:
        """A model, and how those before it fared."""
        self.events.append((candidate.model, [(one.model, one.sent, one.outcome) for one in earlier]))

    def text_received(self, text: str) -> None:
        """A piece of the answer."""
        self.events.append(text)

    has_shown = False

    def reasoning_received(self, text: str) -> None:
        """What a model thinks is no part of its answer."""

    def attempt_failed(self) -> None:
        """The text before this is void."""
        self.events.append("failed")

    def waiting(self, seconds: float) -> None:
        """Seconds until a model may be tried."""
        self.events.append(seconds)


async def test_an_observer_sees_each_attempt_and_its_text() -> None:
    """Text of an attempt that failed is followed by the next attempt, which knows of it."""
    world, seen = World(), Seen()

    def reply(call: Sent) -> Outcome:
        assert call.stream is not None
        assert call.stream.on_text is not None
        call.stream.on_text(f"from {call.model}")
        return failure(K.CONNECTION_LOST) if call.model == FIRST else answer()

    world.groq.reply = reply
    outcome = await world.engine.serve(ask(), observer=seen)
    assert isinstance(outcome, Answer)
    lost = (FIRST, True, "connection_lost")
    assert seen.events[:3] == [(FIRST, []), f"from {FIRST}", "failed"]
    assert seen.events[-2:] == [(SECOND, [lost] * seen.events.count("failed")), f"from {SECOND}"]


async def test_an_observer_sees_a_wait_and_which_models_are_limited() -> None:
    """The skipped ones are among the earlier attempts."""
    world, seen = World([provider_models("groq", [FIRST])]), Seen()
    world.groq.script(FIRST, rate_limited(3.0), answer())
    assert isinstance(await world.engine.serve(ask(), observer=seen), Answer)
    assert [event for event in seen.events if isinstance(event, float)] == [pytest.approx(3.0, abs=0.5)]
    assert seen.events[-1] == (FIRST, [(FIRST, True, "rate_limited")])


@pytest.mark.parametrize(
    ("fields", "seconds"), [({}, 20.0), ({"on_this_machine": True}, 60.0), ({"first_token_s": 45.0}, 45.0)]
)
async def test_a_provider_that_is_slow_to_begin_is_waited_for(fields: dict[str, object], seconds: float) -> None:
    """A server of this machine reads a long prompt, NVIDIA's queue is long; others get the usual time, and the next model its share."""
    offers = [replace(provider_models("slow", ("a",)), **fields), provider_models("other", ("b",))]  # type: ignore[arg-type]
    world = World(offers, timeouts=CallTimeouts(deadline_s=100.0))
    await served(world)
    assert world.providers["slow"].timeouts == [pytest.approx(seconds)]


async def test_a_call_for_one_provider_is_told_what_that_one_lacks() -> None:
    """The others are excluded for one reason, which is given once."""
    world = World([*(provider_models(name, [FIRST]) for name in ("groq", "mine")), provider_models("empty", [])])
    error = await refused(world, ask(restrictions=Restrictions(providers=("empty",))))
    assert error.code == "no_model"
    assert "groq, mine: this call may use only empty; empty: its list of models cannot be read" in error.cause


async def test_models_that_serve_only_by_name_are_not_looked_up_for_other_calls() -> None:
    """A list of thousands costs nothing. Where its server is down a call for that provider alone would ask all of them in turn."""
    many = provider_models("far", [f"m{number}" for number in range(2_000)])
    world = World([replace(many, by_name_only=frozenset(list(many.models)[8:]))])
    looked_up: list[int] = []
    peek = world.ledger.peek

    async def counted(claims: Sequence[Claim], *, caller: Caller | None = None) -> Sequence[ModelQuota]:
        looked_up.append(len(claims))
        return await peek(claims, caller=caller)

    world.ledger.peek = counted  # type: ignore[method-assign]
    await world.engine.plan(ask())
    await world.engine.plan(ask(model="m1000"))
    await world.engine.plan(ask(restrictions=Restrictions(providers=("far",))))
    await world.engine.plan(ask(model="m1000", restrictions=Restrictions(providers=("far",))))
    assert looked_up == [8, 9, 8, 9]


@pytest.mark.parametrize(("scope", "resting"), [("model", {"a"}), ("pool", {"a", "b"}), ("provider", {"a", "b", "c"})])
async def test_a_refusal_rests_those_whom_its_limit_holds_for(scope: str, resting: set[str]) -> None:
    """And where nobody knows the pool, the model alone."""
    pool = Pool(name="free models", documented={})
    offer = provider_models("other", ("a", "b", "c"))
    models = {name: replace(model, pool=pool if name != "c" else None) for name, model in offer.models.items()}
    for known in (True, False):
        world = World([replace(offer, models=models if known else offer.models), provider_models("last", ("z",))])
        world.providers["other"].script("a", failure(K.RATE_LIMITED, scope=scope, retry_after_s=600.0))
        await served(world)
        waits = await world.engine.waits(
            [one for one in (await world.engine.plan(ask())).candidates if one.provider == "other"]
        )
        found = {name for name, wait in zip(("a", "b", "c"), waits, strict=True) if wait is not None}
        assert found == (resting if known or scope == "provider" else {"a"})


async def test_a_server_that_stopped_is_not_called_unknown() -> None:
    """A call that may use it alone says that nothing serves it, and not that it was never there."""
    world = World([provider_models("groq", [FIRST])])
    world.engine.registry._providers = {**world.providers, "ollama": world.groq}
    error = await refused(world, ask(restrictions=Restrictions(providers=("ollama",))))
    assert error.code == "no_model"


async def test_an_engine_for_a_caller_counts_what_it_uses_and_what_is_refused() -> None:
    """By its name; the engine that it was made of goes on as it was, with the same models and times."""
    world = World()
    caller = Caller(name="ann", budget=Budget(tokens=200))
    engine = world.engine.for_caller(caller, Restrictions(models=(SECOND,)))
    found = await engine.serve(ask(max_tokens=20))
    assert isinstance(found, Answer)
    assert found.model == SECOND
    refused_call = await engine.serve(ask(max_tokens=400))
    assert isinstance(refused_call, CallFailed)
    assert (refused_call.code, "the gateway token ann has" in refused_call.cause) == ("over_budget", True)
    with pytest.raises(ModelNotAllowed, match=f"may not use the model {FIRST}. Use {SECOND}"):
        await engine.serve(ask(model=FIRST))
    assert (await served(world)).model == FIRST
    day = caller_day(utc_day(world.clock.wall()), "ann")
    totals = (await world.ledger.spending([day]))[day]
    assert (totals.calls, totals.refused, totals.held_tokens) == (1, 2, 0)


async def test_batch_work_of_a_caller_yields_and_without_callers_nothing_changes() -> None:
    """It keeps the caller's restrictions."""
    engine = World().engine
    assert engine.yielding() is engine
    own = engine.for_caller(OWNER, Restrictions(no_preview=True))
    assert own.yielding().caller == replace(OWNER, yields=True)
    assert own.yielding().restricted(ask()).restrictions.no_preview


MISSING_KEY = replace(failure(K.AUTHENTICATION, sent=False), message="no API key: GROQ_API_KEY is not set")


@pytest.mark.parametrize(
    ("kind", "code"),
    {
        K.PAYLOAD_TOO_LARGE: "too_large",
        K.SERVER_ERROR: "all_failed",
        K.TIMED_OUT: "deadline",
        K.UNREACHABLE: "unreachable",
        K.NO_CREDIT: "account_refused",
    }.items(),
)
async def test_a_missing_key_is_not_the_cause_where_another_provider_failed(kind: FailureKind, code: str) -> None:
    """A user of other providers alone would be shown a 401 for an outage, and an agent would give up."""
    world = World([provider_models("groq", [FIRST]), provider_models("mine", ["my-model"])])
    world.groq.default = MISSING_KEY
    world.providers["mine"].default = failure(kind, status=503)
    assert (await refused(world)).code == code


async def test_the_refused_key_of_another_provider_is_named_beside_a_missing_key() -> None:
    """It is the one that was used."""
    world = World([provider_models("groq", [FIRST]), provider_models("mine", ["my-model"])])
    world.groq.default = MISSING_KEY
    world.providers["mine"].default = failure(K.AUTHENTICATION, status=401)
    result = await refused(world)
    assert (result.code, "provider mine" in result.cause) == ("authentication", True)


@pytest.mark.parametrize("others", [0, 1])
async def test_a_request_larger_than_the_real_limit_is_sent_again_with_fewer_tokens(others: int) -> None:
    """A free key under the developer plan's table: the refusal's own figures say what fits, not our estimate."""
    documented = {Limit.TPM: 12_000}
    world = World([provider_models("groq", GROQ_CHAT_MODELS[: 1 + others], documented=documented)])
    reading = LimitReading(limit=Limit.TPM, capacity=8_000, requested=9_000)
    too_large = failure(K.LARGER_THAN_LIMIT, status=413, quota=QuotaSnapshot(readings=(reading,)))
    for model in GROQ_CHAT_MODELS[: 1 + others]:
        world.groq.script(model, too_large, answer(tokens=8_000))

    result = await served(world, ask("word " * 3_200, max_tokens=5_000))

    assert world.groq.calls[-1].candidate.max_tokens == 4_000
    assert "lowered to 4000" in result.notes[-1]


@pytest.mark.parametrize(("longest_wait_s", "deadline_s"), [(0.0, None), (None, 1.6), (1.0, None)])
async def test_a_wait_too_long_for_the_call_keeps_it_from_no_other_provider(
    longest_wait_s: float | None, deadline_s: float | None
) -> None:
    """Short as it is, for a call that has time for it."""
    world = World([provider_models("groq", [FIRST]), provider_models("other", [FIRST])])
    await served(world)
    await world.ledger.cool_down(world.engine.key("groq", FIRST), 1.5, "limited", limit=Limit.RPM, kind=K.RATE_LIMITED)

    outcome = await world.engine.serve(ask(), longest_wait_s=longest_wait_s, deadline_s=deadline_s)

    assert isinstance(outcome, Answer), outcome
    assert outcome.provider == "other"


@pytest.mark.parametrize("kind", [K.BAD_REQUEST, K.CANCELLED, K.REMOTE_TOOL_AUTHENTICATION])
@pytest.mark.parametrize("status", [429, 500])
async def test_what_another_endpoint_refuses_is_not_taken_for_the_caller_s_fault(kind: FailureKind, status: int) -> None:
    """A wrong path in config.toml looks the same, and the provider that failed is well again soon."""
    world = World([provider_models("groq", [FIRST]), provider_models("other", [FIRST])])
    world.groq.script(FIRST, rate_limited(30.0) if status == 429 else failure(K.SERVER_ERROR, status=500))
    world.providers["other"].script(FIRST, failure(kind, status=404))

    found = await world.engine.serve(ask(), deadline_s=20.0)

    assert isinstance(found, CallFailed)
    assert found.code == ("rate_limited" if status == 429 else "all_failed")
    assert "Fix the arguments" not in found.next_step
    # the endpoint that refused is free, and would refuse again
    assert found.retry_after_s is not None
    assert found.retry_after_s > 1


async def test_a_refusal_by_the_only_provider_is_the_caller_s_fault() -> None:
    """Nothing else is known of it."""
    world = World([provider_models("other", [FIRST])])
    world.providers["other"].script(FIRST, failure(K.BAD_REQUEST, status=400))
    assert (await refused(world)).code == "bad_request"


@pytest.mark.parametrize("watched", [False, True])
async def test_an_answer_that_broke_off_counts_in_the_budget_whether_or_not_it_is_watched(watched: bool) -> None:
    """Long answers are streamed though nobody watches them."""
    world = World([provider_models("groq", [FIRST])], budget=Budget(tokens=1_000_000))

    def break_off(sent: Sent) -> Outcome:
        assert sent.stream is not None
        assert sent.stream.on_progress is not None
        sent.stream.on_progress(3)
        return failure(K.CONNECTION_LOST)

    world.groq.reply = break_off

    async def told(done: float, total: float, sentence: str) -> None:
        pass

    outcome = await world.engine.serve(ask(max_tokens=5_000, model=FIRST), progress=told if watched else None)

    assert isinstance(outcome, CallFailed)
    day = utc_day(world.clock.wall())
    assert (await world.ledger.spending([day]))[day].tokens >= 5_000
