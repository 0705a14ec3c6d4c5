"""Laws of verdicts, charges and summaries that hold beyond the table of cases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.call import (
    USED_UP,
    Attempt,
    Exclusion,
    Failure,
    FailureKind,
    JsonMode,
    Limit,
    LimitReading,
    Outcome,
    QuotaSnapshot,
    ServiceTier,
    Success,
    Usage,
)
from groq_fallback_mcp.fallback.final_error import CallFailed, final_error
from groq_fallback_mcp.policy.verdict import (
    OUTAGE,
    Abort,
    Clamp,
    DropServiceTier,
    FallBack,
    NextProvider,
    RelaxSchema,
    RetrySame,
    Verdict,
    actual_cost,
    admitted_cost,
    backoff_s,
    health_of,
    judge,
)

K = FailureKind
kinds = st.sampled_from(list(FailureKind))
jitters = st.floats(0, 1, exclude_max=True)
waits = st.none() | st.floats(0, 86_400)
CLAIM = {Limit.RPM: 1.0, Limit.RPD: 1.0, Limit.TPM: 3000.0, Limit.TPD: 3000.0}


@given(kinds, st.booleans(), jitters, waits)
def test_no_failure_is_retried_for_ever(kind: FailureKind, alternative: bool, jitter: float, wait_s: float | None) -> None:
    """The third attempt at the latest ends with another verdict than the same again."""
    failure = Failure(kind=kind, message="x", retry_after_s=wait_s)
    assert not isinstance(
        judge(failure, times_tried=3, alternative=alternative, jitter=jitter, max_tokens=500), RetrySame | Clamp
    )


def failed(kind: FailureKind, **fields: Any) -> Failure:
    """A failure of this kind."""
    return Failure(kind=kind, message="x", **fields)


@pytest.mark.parametrize(
    ("failure", "times_tried", "alternative", "verdict"),
    [
        (failed(K.RATE_LIMITED), 1, True, FallBack(cooldown_s=10.0, may_return=True)),
        (failed(K.RATE_LIMITED, retry_after_s=17.4), 1, False, FallBack(cooldown_s=17.4, may_return=True)),
        (failed(K.RATE_LIMITED, retry_after_s=0.0), 1, True, FallBack(cooldown_s=0.05, may_return=True)),
        (failed(K.GENERATION_FAILED), 1, True, RetrySame(after_s=0.0)),
        (failed(K.GENERATION_FAILED), 2, False, FallBack()),
        (failed(K.UNPROCESSABLE), 1, False, RetrySame(after_s=0.0)),
        (failed(K.UNPROCESSABLE), 2, True, FallBack()),
        (failed(K.SERVER_ERROR), 1, True, FallBack(cooldown_s=1.5)),
        (failed(K.SERVER_ERROR), 1, False, RetrySame(after_s=0.375)),
        (failed(K.SERVER_ERROR), 2, False, RetrySame(after_s=0.75)),
        (failed(K.SERVER_ERROR), 3, False, FallBack(cooldown_s=1.5)),
        (failed(K.OVERLOADED), 1, False, RetrySame(after_s=0.375)),
        (failed(K.OVERLOADED), 2, False, FallBack(cooldown_s=1.5)),
        (failed(K.TIER_FULL), 2, False, FallBack(cooldown_s=1.5)),
        (failed(K.OVERLOADED, retry_after_s=4.0), 1, False, RetrySame(after_s=4.0)),
        (failed(K.OVERLOADED, retry_after_s=4.1), 1, False, FallBack(cooldown_s=4.1, may_return=True)),
        (failed(K.TIMED_OUT), 1, True, FallBack(cooldown_s=1.5)),
        (failed(K.TIMED_OUT, retry_after_s=9.0), 1, True, FallBack(cooldown_s=9.0)),
        (failed(K.CONNECTION_LOST), 1, True, FallBack()),
        (failed(K.MODEL_GONE), 1, True, FallBack(cooldown_s=3_600.0)),
        (failed(K.MODEL_BLOCKED), 1, True, FallBack(cooldown_s=3_600.0)),
        (failed(K.PAYLOAD_TOO_LARGE), 1, True, NextProvider(cooldown_s=0.0)),
        (failed(K.NO_CREDIT), 1, True, NextProvider(cooldown_s=300.0)),
        (failed(K.NETWORK_DENIED), 1, True, NextProvider(cooldown_s=60.0)),
        (failed(K.UNREACHABLE), 1, True, NextProvider(cooldown_s=5.0)),
        (failed(K.SCHEMA_REFUSED), 1, True, Abort()),
        (failed(K.SCHEMA_REFUSED, status=400), 1, True, Abort()),
        (failed(K.SCHEMA_REFUSED, status=500), 1, True, FallBack()),
    ],
    ids=lambda value: value.kind.value if isinstance(value, Failure) else None,
)
def test_a_failure_decides_what_is_next_and_how_long_the_model_is_left_alone(
    failure: Failure, times_tried: int, alternative: bool, verdict: Verdict
) -> None:
    """Pauses with a jitter of half: three quarters of the figure."""
    assert judge(failure, times_tried=times_tried, alternative=alternative, jitter=0.5, max_tokens=500) == verdict


@pytest.mark.parametrize("tier", ["flex", "auto", "performance"])
def test_a_full_tier_is_left_for_the_usual_one(tier: ServiceTier) -> None:
    """The same model answers at once there."""
    full = failed(K.TIER_FULL)
    assert judge(full, times_tried=1, alternative=True, jitter=0.5, service_tier=tier) == DropServiceTier()
    assert judge(failed(K.OVERLOADED), times_tried=1, alternative=True, jitter=0.5, service_tier=tier) == FallBack(
        cooldown_s=1.5
    )


@pytest.mark.parametrize("tier", ["on_demand", None])
def test_a_full_usual_tier_is_an_outage(tier: ServiceTier | None) -> None:
    """There is no other one to drop to."""
    full = failed(K.TIER_FULL)
    assert judge(full, times_tried=1, alternative=True, jitter=0.5, service_tier=tier) == FallBack(cooldown_s=1.5)


@given(st.sampled_from([K.AUTHENTICATION, K.BAD_REQUEST, K.MODEL_GONE, K.PAYLOAD_TOO_LARGE]), jitters, st.booleans())
def test_a_refusal_of_the_request_itself_is_never_repeated_on_the_same_model(
    kind: FailureKind, jitter: float, alternative: bool
) -> None:
    """401, 403, 400, 404, 413."""
    verdict = judge(Failure(kind=kind, message="x"), times_tried=1, alternative=alternative, jitter=jitter)
    assert not isinstance(verdict, RetrySame)


@given(jitters, waits)
def test_a_stated_wait_is_kept(jitter: float, wait_s: float | None) -> None:
    """A model is cooled_down at least as long as its provider asked."""
    for kind in (K.RATE_LIMITED, K.OVERLOADED, K.SERVER_ERROR):
        verdict = judge(Failure(kind=kind, message="x", retry_after_s=wait_s), times_tried=1, alternative=True, jitter=jitter)
        assert isinstance(verdict, FallBack)
        assert verdict.cooldown_s >= (wait_s or 0)
        assert verdict.cooldown_s > 0 or wait_s == 0
    alone = judge(
        Failure(kind=K.OVERLOADED, message="x", retry_after_s=wait_s), times_tried=1, alternative=False, jitter=jitter
    )
    pause_s = alone.after_s if isinstance(alone, RetrySame) else alone.cooldown_s if isinstance(alone, FallBack) else 0
    assert pause_s >= (wait_s or 0)
    # a long pause is not slept through: the model may return if nobody else is free sooner
    assert isinstance(alone, RetrySame) == (pause_s <= 4.0)
    assert isinstance(alone, RetrySame) or alone == FallBack(cooldown_s=pause_s, may_return=True)


@pytest.mark.parametrize("kind", [K.UNREACHABLE, K.NETWORK_DENIED, K.ORGANIZATION_REFUSED])
def test_when_groq_as_a_whole_refuses_the_next_provider_is_asked(kind: FailureKind) -> None:
    """And this one is left alone for a while."""
    verdict = judge(Failure(kind=kind, message="x"), times_tried=1, alternative=True, jitter=0)
    assert isinstance(verdict, NextProvider)
    assert verdict.cooldown_s > 0


@pytest.mark.parametrize("kind", [K.TIMED_OUT, K.CONNECTION_LOST, K.BAD_RESPONSE])
def test_a_lost_or_broken_answer_goes_to_the_next_model(kind: FailureKind) -> None:
    """Never the same upload twice without need."""
    assert isinstance(judge(Failure(kind=kind, message="x"), times_tried=1, alternative=False, jitter=0), FallBack)


@pytest.mark.parametrize(
    ("capacity", "alternative", "expected"),
    [
        (9_000, False, Clamp(max_tokens=1_000)),
        (9_000, True, FallBack(reduced_to=1_000)),
        (8_064, False, Clamp(max_tokens=64)),
        (8_063, False, FallBack()),
        (8_050, True, FallBack()),
        (10_000, False, FallBack()),
        (None, False, FallBack()),
    ],
)
def test_what_is_left_below_a_limit_must_be_of_use(capacity: float | None, alternative: bool, expected: object) -> None:
    """2,000 tokens asked, 10,000 requested in all. Another model may take them whole; this one is asked for less after it."""
    reading = LimitReading(limit=Limit.TPM, capacity=capacity, requested=10_000)
    failure = failed(K.LARGER_THAN_LIMIT, quota=QuotaSnapshot(readings=(reading,)))
    assert judge(failure, times_tried=1, alternative=alternative, jitter=0, max_tokens=2_000) == expected


def test_a_bound_on_max_tokens_is_clamped_once() -> None:
    """A second refusal goes to the next model."""
    failure = Failure(kind=K.MAX_TOKENS_TOO_LARGE, message="x", max_tokens_limit=16_384)
    assert judge(failure, times_tried=1, alternative=True, jitter=0, max_tokens=32_768) == Clamp(max_tokens=16_384)
    assert judge(failure, times_tried=2, alternative=True, jitter=0, max_tokens=32_768) == FallBack()


@pytest.mark.fault("B15")
@pytest.mark.parametrize(
    ("json_mode", "verdict"),
    [
        ("json_schema", RelaxSchema(json_mode="json_object")),
        ("json_object", RelaxSchema(json_mode="prompted")),
        ("prompted", Abort()),
        ("none", Abort()),
    ],
)
def test_a_refused_schema_is_sent_again_in_the_next_weaker_mode(json_mode: JsonMode, verdict: Verdict) -> None:
    """Until none was sent."""
    refused = failed(K.SCHEMA_REFUSED, status=400)
    assert judge(refused, times_tried=1, alternative=True, jitter=0.5, json_mode=json_mode) == verdict


@pytest.mark.covers("advice/Implement backoff")
@given(st.integers(-3, 5_000), jitters)
def test_backoff_doubles_up_to_its_cap_and_spreads_over_its_upper_half(failures: int, jitter: float) -> None:
    """Bounded for any count."""
    pause_s = backoff_s(failures, base_s=2, cap_s=60, jitter=jitter)
    ceiling = min(2 * 2 ** min(max(failures, 1) - 1, 10), 60)
    assert ceiling / 2 <= pause_s <= ceiling


def test_an_answer_is_charged_its_real_usage_without_cached_tokens() -> None:
    """Cached tokens do not count towards limits."""
    usage = Usage(input_tokens=1000, cached_tokens=900, output_tokens=50)
    settled = actual_cost(Success(model="m", text="x", usage=usage), CLAIM)
    assert settled == {Limit.RPM: 1, Limit.RPD: 1, Limit.TPM: 150, Limit.TPD: 150}


@pytest.mark.parametrize(
    ("usage", "settled"),
    [
        (Usage(input_tokens=400, cached_tokens=400), {Limit.TPM: 0, Limit.TPH: 0, Limit.ITPM: 0, Limit.OTPM: 0, Limit.ASH: 0}),
        (
            Usage(input_tokens=400, cached_tokens=100, output_tokens=7),
            {Limit.TPM: 307, Limit.TPH: 307, Limit.ITPM: 300, Limit.OTPM: 7, Limit.ASH: 0},
        ),
        (Usage(characters=250), {Limit.TPM: 250, Limit.TPH: 250, Limit.ITPM: 0, Limit.OTPM: 0, Limit.ASH: 0}),
        (Usage(audio_s=90.0), {Limit.TPM: 0, Limit.TPH: 0, Limit.ITPM: 0, Limit.OTPM: 0, Limit.ASH: 90}),
    ],
    ids=["all cached", "chat", "speech", "transcription"],
)
def test_a_limit_is_charged_in_what_it_counts(usage: Usage, settled: dict[Limit, float]) -> None:
    """Tokens in, out or both, seconds of audio; the characters of speech where others count tokens."""
    claimed = dict.fromkeys(settled, 5_000.0)
    assert actual_cost(Success(model="m", text="x", usage=usage), claimed) == settled


def test_an_answer_without_usage_keeps_its_claim() -> None:
    """What is not known is not given back."""
    assert actual_cost(Success(model="m", text="x", usage_reported=False), CLAIM) == CLAIM


@pytest.mark.parametrize(
    ("kind", "sent", "requests", "tokens"),
    [
        (K.TIMED_OUT, True, 1, 3000),
        (K.CONNECTION_LOST, True, 1, 3000),
        (K.BAD_RESPONSE, True, 1, 3000),
        (K.SERVER_ERROR, True, 1, 0),
        (K.RATE_LIMITED, True, 0, 0),
        (K.MODEL_GONE, True, 0, 0),
        (K.UNREACHABLE, False, 0, 0),
        (K.TIMED_OUT, False, 0, 0),
    ],
)
def test_a_failure_is_charged_what_the_provider_may_have_spent(
    kind: FailureKind, sent: bool, requests: float, tokens: float
) -> None:
    """A refusal spends nothing, a lost answer all of it, a 5xx the request."""
    settled = actual_cost(Failure(kind=kind, message="x", sent=sent), CLAIM)
    assert (settled[Limit.RPM], settled[Limit.TPM]) == (requests, tokens)


def test_answers_without_a_token_left_are_not_worth_a_repetition() -> None:
    """The same call would use them up again."""
    attempt = Attempt(provider="groq", model="m", sent=True, outcome="x", detail="why", kind=K.BAD_RESPONSE)
    last = Failure(kind=K.BAD_RESPONSE, message="bad upstream response: all 9 tokens were used", code=USED_UP)
    found = final_error(attempts=[attempt], exclusions=(), last=last, least_wait_s=3, out_of_time=False, deadline_s=50)
    assert (found.code, found.retry_after_s, "Raise max_tokens" in found.next_step) == ("bad_request", None, True)
    assert found.cause == "no model had tokens left for an answer (all 9 tokens were used)"


def summed(outcomes: list[FailureKind], *, wait_s: float | None = None, out_of_time: bool = False) -> CallFailed:
    """The error after these attempts."""
    attempts = [
        Attempt(provider="groq", model=f"m{i}", sent=True, outcome=kind.value, detail="why", kind=kind)
        for i, kind in enumerate(outcomes)
    ]
    last = Failure(kind=outcomes[-1], message="why") if outcomes else None
    return final_error(attempts=attempts, exclusions=(), last=last, least_wait_s=wait_s, out_of_time=out_of_time, deadline_s=50)


@pytest.mark.parametrize(
    ("outcomes", "wait_s", "code", "words"),
    [
        ([K.RATE_LIMITED, K.RATE_LIMITED], 12.5, "rate_limited", "Retry in 12.5s"),
        ([], 12.5, "no_provider", "Retry in 12.5s"),
        ([K.CONTEXT_TOO_LONG, K.PAYLOAD_TOO_LARGE], 0.0, "too_large", "split the file"),
        ([K.UNSUPPORTED], 0.0, "unsupported", "give another model"),
        ([K.RATE_LIMITED, K.AUTHENTICATION], 12.5, "rate_limited", "Retry in 12.5s"),
        ([K.AUTHENTICATION], 300.0, "authentication", "GROQ_API_KEY"),
        ([K.BAD_REQUEST], 0.0, "bad_request", "Fix the arguments"),
        ([K.UNREACHABLE], None, "unreachable", "Check the network"),
        ([K.TIMED_OUT, K.TIMED_OUT], None, "deadline", "Retry"),
        ([K.TIMED_OUT, K.UNREACHABLE], None, "unreachable", "Check the network"),
        ([K.SERVER_ERROR, K.RATE_LIMITED], None, "all_failed", "list_models"),
        ([K.SERVER_ERROR], 0.1, "all_failed", "Retry"),
    ],
)
def test_the_final_error_names_its_cause_and_the_next_step(
    outcomes: list[FailureKind], wait_s: float | None, code: str, words: str
) -> None:
    """One code, one cause, one next step."""
    failure = summed(outcomes, wait_s=wait_s)
    assert failure.code == code
    assert words in failure.next_step
    assert (failure.retry_after_s is None) == (
        wait_s is None or code in {"authentication", "bad_request", "too_large", "unsupported"}
    )


def test_the_key_of_another_provider_is_not_called_groq_s() -> None:
    """The next step names that provider."""
    attempt = Attempt(provider="mine", model="m", sent=True, outcome="authentication", detail="no", kind=K.AUTHENTICATION)
    failure = final_error(attempts=[attempt], exclusions=(), last=None, least_wait_s=1, out_of_time=False, deadline_s=50)
    assert "The provider mine cannot be used" in failure.cause
    assert "valid key of mine" in failure.next_step


@pytest.mark.parametrize(
    ("detail", "next_step"),
    [
        ("the daily budget of 9 tokens has 0 left", "GROQ_FALLBACK_BUDGET_USD_PER_DAY"),
        ("the gateway token ann has 0 of its daily budget of 9 tokens left", "have the gateway's owner raise"),
    ],
)
def test_an_exceeded_budget_says_who_can_raise_it(detail: str, next_step: str) -> None:
    """A token's user cannot change settings."""
    attempt = Attempt(provider="groq", model="m", sent=False, outcome="skipped", detail=detail, kind=K.OVER_BUDGET)
    found = final_error(attempts=[attempt], exclusions=(), last=None, least_wait_s=None, out_of_time=False, deadline_s=50)
    assert (found.code, next_step in found.next_step) == ("over_budget", True)


def test_running_out_of_time_is_said_with_the_deadline() -> None:
    """And what was tried."""
    failure = summed([K.TIMED_OUT], out_of_time=True)
    assert failure.code == "deadline"
    assert "deadline of 50 s" in failure.cause


def test_with_every_model_left_out_the_reasons_are_the_error() -> None:
    """Nothing was sent."""
    exclusion = Exclusion(provider="groq", model="m", reason="it does not accept images")
    failure = final_error(
        attempts=(), exclusions=[exclusion] * 9, last=None, least_wait_s=None, out_of_time=False, deadline_s=50
    )
    assert failure.code == "no_model"
    assert "m: it does not accept images" in failure.cause
    assert len(failure.exclusions) == 6


def test_models_passed_over_for_their_limits_alone_are_a_rate_limit() -> None:
    """Nothing had to be sent to know it."""
    attempt = Attempt(
        provider="groq", model="m", sent=False, outcome="skipped", detail="tokens per minute used up", kind=K.RATE_LIMITED
    )
    failure = final_error(attempts=[attempt], exclusions=(), last=None, least_wait_s=9.0, out_of_time=False, deadline_s=50)
    assert (failure.code, failure.retry_after_s) == ("rate_limited", 9.0)


@pytest.mark.parametrize("kind", sorted(OUTAGE))
def test_when_the_organization_s_retries_are_used_up_an_outage_says_that_the_provider_fails(kind: FailureKind) -> None:
    """The model is cooled_down for as long as its failures in a row say."""
    verdict = judge(
        Failure(kind=kind, message=""), times_tried=1, alternative=False, jitter=1.0, failures=4, retry_allowed=False
    )
    assert verdict == FallBack(cooldown_s=16.0, provider_failing=True)


@pytest.mark.parametrize(
    ("outcome", "health"),
    [
        (Success(model="m", text="x"), "up"),
        (Failure(kind=FailureKind.SERVER_ERROR, message=""), "down"),
        (Failure(kind=FailureKind.SERVER_ERROR, message="", sent=False), None),
        (Failure(kind=FailureKind.BAD_REQUEST, message=""), "up"),
        (Failure(kind=FailureKind.RATE_LIMITED, message=""), None),
        (Failure(kind=FailureKind.UNREACHABLE, message="", sent=False), None),
    ],
)
def test_an_outcome_says_whether_the_model_works(outcome: Outcome, health: str | None) -> None:
    """A refusal of a request is a sign of life, a rate limit is neither."""
    assert health_of(outcome) == health


def test_what_a_provider_charged_at_first_is_the_real_prompt_and_all_of_max_tokens() -> None:
    """Cached tokens do not count; nothing is known of failures, of audio, and without a usage."""
    claimed = {Limit.RPM: 1.0, Limit.TPM: 1500.0, Limit.ITPM: 500.0, Limit.OTPM: 1000.0}
    usage = Usage(input_tokens=400, cached_tokens=100, output_tokens=7)
    assert admitted_cost(Success(model="m", usage=usage), claimed, 1000) == {
        Limit.TPM: 1300.0,
        Limit.ITPM: 300.0,
        Limit.OTPM: 1000.0,
    }
    all_cached = Usage(input_tokens=400, cached_tokens=400, output_tokens=7)
    assert admitted_cost(Success(model="m", usage=all_cached), claimed, 1000)[Limit.ITPM] == 0
    assert admitted_cost(Failure(kind=FailureKind.TIMED_OUT, message=""), claimed, 1000) == {}
    assert admitted_cost(Success(model="m", usage_reported=False), claimed, 1000) == {}
    assert admitted_cost(Success(model="m", usage=usage), {Limit.ASH: 10.0}, 0) == {}


def test_a_call_that_the_budget_forbids_says_so_and_what_to_do() -> None:
    """Waiting does not help before the next day."""
    attempt = Attempt(
        provider="groq",
        model="m",
        sent=False,
        outcome="skipped",
        detail="the budget is spent",
        kind=FailureKind.OVER_BUDGET,
    )
    summed = final_error(attempts=[attempt], exclusions=[], last=None, least_wait_s=None, out_of_time=False, deadline_s=50)
    assert (summed.code, summed.cause, summed.retry_after_s) == (
        "over_budget",
        "nothing was sent because the budget is spent",
        None,
    )
    assert "GROQ_FALLBACK_BUDGET_USD_PER_DAY" in summed.next_step


def test_a_call_that_found_no_place_says_so_whatever_else_was_tried() -> None:
    """Nothing was sent; asking again at once would only lengthen the queue."""
    busy = Failure(kind=FailureKind.BUSY, message="64 requests of this server were in progress until the deadline", sent=False)
    assert isinstance(judge(busy, times_tried=1, alternative=True, jitter=0.5), Abort)
    summed = final_error(attempts=[], exclusions=[], last=busy, least_wait_s=0.0, out_of_time=False, deadline_s=50)
    assert (summed.code, summed.cause, summed.next_step) == (
        "busy",
        "64 requests of this server were in progress until the deadline",
        "Send fewer calls at once, then retry",
    )


def test_a_refusal_that_states_no_wait_at_all_still_lets_the_next_model_try_first() -> None:
    """Else the same model would be sent the call three times in a row."""
    verdict = judge(
        Failure(kind=FailureKind.RATE_LIMITED, message="x", retry_after_s=0.0), times_tried=1, alternative=True, jitter=0.0
    )
    assert isinstance(verdict, FallBack)
    assert verdict.cooldown_s > 0
