"""The error of a call that no model answered: its code, its cause, and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from groq_fallback_mcp.call import USED_UP, WHOLE_PROVIDER, Attempt, Exclusion, Failure, FailureKind, Limit, SizeLimit
from groq_fallback_mcp.call.refusals import LOCAL_ONLY, NO_API_KEY
from groq_fallback_mcp.command import install_command
from groq_fallback_mcp.fallback.final_error import CallFailed, final_error, key_note
from groq_fallback_mcp.quota.budget import UNCHECKED_BUDGET, UNKNOWN_SPENDING

K = FailureKind
MISSING = f"{NO_API_KEY}: GROQ_API_KEY is not set"


def attempt(kind: FailureKind | None, detail: str = "why", *, provider: str = "groq") -> Attempt:
    """An attempt that ended so."""
    outcome = "answered" if kind is None else kind.value
    return Attempt(provider=provider, model="m", sent=True, outcome=outcome, detail=detail, kind=kind)


def summed(*attempts: Attempt, last: Failure | None = None, **fields: Any) -> CallFailed:
    """The error after these attempts."""
    usual: dict[str, Any] = {"exclusions": (), "least_wait_s": None, "out_of_time": False, "deadline_s": 50.0}
    return final_error(attempts=attempts, last=last, **{**usual, **fields})


SPENT = "the daily budget of 9 tokens has 0 left"
OWN_SPENT = "the gateway token ann has 0 of its daily budget of 9 tokens left"
RAISE_BUDGET = "Lower max_tokens, wait for the next UTC day, or raise GROQ_FALLBACK_BUDGET_USD_PER_DAY or GROQ_FALLBACK_BUDGET_TOKENS_PER_DAY"
DOCTOR = "`groq-fallback-mcp doctor` shows what"
SET_KEY = "Run `groq-fallback-mcp key set`, or export GROQ_API_KEY where the MCP client starts this server"
REPLACE_KEY = "Copy a valid key from console.groq.com/keys, then run `groq-fallback-mcp key set` or export GROQ_API_KEY"


@pytest.mark.parametrize(
    ("attempts", "code", "cause", "next_step"),
    [
        (
            [attempt(K.OVER_BUDGET, SPENT)],
            "over_budget",
            f"nothing was sent because {SPENT}",
            RAISE_BUDGET,
        ),
        (
            [attempt(K.OVER_BUDGET, OWN_SPENT)],
            "over_budget",
            f"nothing was sent because {OWN_SPENT}",
            "Lower max_tokens, wait for midnight UTC, or have the gateway's owner raise the token's budget",
        ),
        (
            [attempt(K.OVER_BUDGET, UNKNOWN_SPENDING)] * 3,
            "over_budget",
            f"nothing was sent because {UNKNOWN_SPENDING}",
            "Run `groq-fallback-mcp limits --reopen-budget` to count today's unknown spending as nothing, or wait for midnight UTC",
        ),
        (
            [attempt(K.OVER_BUDGET, UNCHECKED_BUDGET)],
            "over_budget",
            f"nothing was sent because {UNCHECKED_BUDGET}",
            "Run `groq-fallback-mcp doctor`, which shows what is wrong with the quota store",
        ),
        (
            [attempt(K.OVER_BUDGET, "its price is unknown and a budget in USD is set")],
            "over_budget",
            "nothing was sent because its price is unknown and a budget in USD is set",
            "Give a model whose price is known from list_models, or replace the budget in USD by one in tokens",
        ),
        (
            [attempt(K.OVER_BUDGET, SPENT), attempt(K.OVER_BUDGET, "its price is unknown and a budget in USD is set")],
            "over_budget",
            f"nothing was sent because {SPENT}",
            RAISE_BUDGET,
        ),
        (
            [attempt(K.AUTHENTICATION, MISSING)],
            "authentication",
            "No Groq API key is set",
            f"{SET_KEY}; {DOCTOR} is set",
        ),
        (
            [attempt(K.AUTHENTICATION, "Invalid API Key")],
            "authentication",
            "Groq refused the API key (401)",
            f"{REPLACE_KEY}; {DOCTOR} is set",
        ),
        (
            [attempt(K.AUTHENTICATION, "no", provider="first"), attempt(K.AUTHENTICATION, "bad key", provider="mine")],
            "authentication",
            "The provider mine cannot be used (bad key)",
            f"Set a valid key of mine where the client starts; {DOCTOR} is missing",
        ),
        (
            [attempt(K.ORGANIZATION_REFUSED, 'it is "restricted"')],
            "account_refused",
            "Groq refuses this organization with \"it is 'restricted'\"",
            "Do not call again; tell the user, who can contact the support of Groq",
        ),
        (
            [attempt(K.ORGANIZATION_REFUSED), attempt(K.NO_CREDIT, "top up", provider="mine"), attempt(K.MODEL_GONE)],
            "account_refused",
            'the provider mine requires payment with "top up"',
            "Do not call again; tell the user to check credit and billing at the provider mine",
        ),
        (
            [attempt(K.NO_CREDIT), attempt(K.UNSUPPORTED), attempt(K.CONTEXT_TOO_LONG)],
            "account_refused",
            'Groq requires payment with "why"',
            "Do not call again; tell the user to check credit and billing at Groq",
        ),
        (
            [attempt(K.NO_CREDIT), attempt(K.TIMED_OUT)],
            "all_failed",
            "all available models failed",
            "Retry, or give another model from list_models",
        ),
        (
            [attempt(K.UNSUPPORTED, "no tools"), attempt(K.UNSUPPORTED, "no images")],
            "unsupported",
            "no model can do this (no images)",
            "Change what the reason names, or give another model from list_models",
        ),
        (
            [attempt(K.CONTEXT_TOO_LONG), attempt(K.PAYLOAD_TOO_LARGE), attempt(K.LARGER_THAN_LIMIT)],
            "too_large",
            "the request is larger than any model accepts",
            "Shorten the messages, split the file, or lower max_tokens",
        ),
        ([attempt(K.TIMED_OUT)], "deadline", "no model answered in time", "Retry, or send less at once"),
        (
            [attempt(K.TIMED_OUT), attempt(K.UNREACHABLE), attempt(K.CONNECTION_LOST), attempt(K.NETWORK_DENIED)],
            "unreachable",
            "no provider could be reached",
            "Check the network and GROQ_BASE_URL, then retry",
        ),
        (
            [attempt(K.RATE_LIMITED), attempt(K.SERVER_ERROR)],
            "all_failed",
            "all available models failed",
            "Retry, or give another model from list_models",
        ),
        (
            [],
            "no_provider",
            "no configured provider can serve this",
            f"Set GROQ_API_KEY, or add a provider to config.toml; {DOCTOR} is missing",
        ),
    ],
)
def test_what_the_attempts_ended_with_is_the_cause_and_says_what_to_do(
    attempts: list[Attempt], code: str, cause: str, next_step: str
) -> None:
    """Where no wait is known."""
    found = summed(*attempts)
    assert (found.code, found.cause, found.next_step, found.retry_after_s) == (code, cause, next_step, None)
    assert found.attempts == tuple(attempts)


@pytest.mark.parametrize(
    ("last", "code", "cause", "next_step"),
    [
        (
            Failure(kind=K.BAD_REQUEST, message='value "x" must be\na string'),
            "bad_request",
            "the provider rejected the request with \"value 'x' must be a string\"",
            "Fix the arguments; the same call would fail again",
        ),
        (
            Failure(kind=K.CONTENT_FILTERED, message="withheld"),
            "content_filtered",
            'a model\'s content filter withheld the answer with "withheld"',
            "Rephrase the request; the same request would be filtered again",
        ),
        (
            Failure(kind=K.BAD_RESPONSE, message="bad upstream response: all 9 tokens were used", code=USED_UP),
            "bad_request",
            "no model had tokens left for an answer (all 9 tokens were used)",
            "Raise max_tokens; models that reason use some of them before they answer",
        ),
        (
            Failure(kind=K.BUSY, message="64 requests were in progress", sent=False),
            "busy",
            "64 requests were in progress",
            "Send fewer calls at once, then retry",
        ),
    ],
)
def test_what_would_end_every_attempt_alike_is_told_whatever_came_before(
    last: Failure, code: str, cause: str, next_step: str
) -> None:
    """By the last failure alone."""
    found = summed(attempt(K.RATE_LIMITED), last=last)
    assert (found.code, found.cause, found.next_step) == (code, cause, next_step)


@pytest.mark.parametrize(
    ("kinds", "least_wait_s", "cause", "next_step"),
    [
        (
            [K.RATE_LIMITED],
            12.41,
            "all available models are rate limited",
            "Retry in 12.5s, lower max_tokens, or see check_limits",
        ),
        (
            [K.RATE_LIMITED],
            0.5,
            "all available models are rate limited",
            "Retry in 500ms, lower max_tokens, or see check_limits",
        ),
        ([K.RATE_LIMITED], 0.4, "all available models are rate limited", "Retry later"),
        (
            [K.RATE_LIMITED, K.AUTHENTICATION],
            3.0,
            "all available models are rate limited or failed",
            "Retry in 3s, lower max_tokens, or see check_limits",
        ),
        ([K.SERVER_ERROR], 3.0, "all available models failed", "Retry in 3s"),
    ],
)
def test_a_wait_of_half_a_second_or_more_is_said(
    kinds: list[FailureKind], least_wait_s: float, cause: str, next_step: str
) -> None:
    """Rounded up to a tenth; a program reads it to the end."""
    found = summed(*(attempt(kind) for kind in kinds), least_wait_s=least_wait_s)
    assert (found.cause, found.next_step, found.retry_after_s) == (cause, next_step, least_wait_s)


@pytest.mark.parametrize(
    "kind", [K.OVER_BUDGET, K.AUTHENTICATION, K.NO_CREDIT, K.CONTEXT_TOO_LONG, K.UNSUPPORTED, K.ORGANIZATION_REFUSED]
)
def test_what_time_does_not_mend_has_no_wait(kind: FailureKind) -> None:
    """Though the model may be asked again then."""
    found = summed(attempt(kind), least_wait_s=30.0)
    assert found.retry_after_s is None
    assert "Retry" not in found.next_step


def test_a_call_that_ran_out_of_time_says_its_deadline_and_what_it_had_met() -> None:
    """With the wait that is known."""
    found = summed(attempt(K.SERVER_ERROR), out_of_time=True, least_wait_s=2.0)
    assert found.code == "deadline"
    assert found.cause == "no model answered within the deadline of 50 s; all available models failed"
    assert (found.next_step, found.retry_after_s) == ("Retry in 2s", 2.0)


def test_a_provider_without_a_key_is_the_cause_only_where_no_other_was_tried() -> None:
    """Else every failure would be that of a key that was never needed."""
    without_key = attempt(K.AUTHENTICATION, MISSING)
    assert summed(without_key, attempt(K.SERVER_ERROR, provider="mine")).code == "all_failed"
    assert summed(without_key, attempt(None, provider="mine")).code == "authentication"
    refused = attempt(K.AUTHENTICATION, "Invalid API Key")
    assert summed(refused, attempt(K.SERVER_ERROR, provider="mine")).code == "authentication"


def test_models_that_are_left_out_for_one_reason_are_told_together() -> None:
    """Three reasons with three names each, and six of them in all."""

    def excluded(model: str, reason: str, provider: str = "groq") -> Exclusion:
        return Exclusion(provider=provider, model=model, reason=reason)

    exclusions = [
        *(excluded(f"m{number}", "no images") for number in range(4)),
        excluded(WHOLE_PROVIDER, "not allowed", "mine"),
        excluded("m5", "too small"),
        excluded("m6", "too dear"),
    ]
    found = summed(exclusions=exclusions, least_wait_s=9.0)
    assert (found.code, found.retry_after_s) == ("no_model", None)
    assert found.cause == "no model can take this request (m0, m1, m2: no images; mine: not allowed; m5: too small)"
    assert found.next_step == ("Drop what the reasons name, or choose another model with list_models")
    assert found.exclusions == tuple(exclusions[:6])


def test_a_call_that_may_not_leave_a_machine_without_a_model_names_the_extra() -> None:
    """Another model elsewhere would not help; where something runs here, its own reason counts."""
    elsewhere = [Exclusion(provider=name, model=WHOLE_PROVIDER, reason=LOCAL_ONLY) for name in ("groq", "mine")]
    found = summed(exclusions=elsewhere)
    assert found.code == "no_model"
    assert f"Run `{install_command('local')}` for a local model" in found.next_step
    assert "list_models" not in found.next_step
    here = Exclusion(provider="ollama", model="m", reason="it does not accept images")
    assert "list_models" in summed(exclusions=[*elsewhere, here]).next_step


@pytest.mark.parametrize(
    ("attempts", "note"),
    [
        ([attempt(K.AUTHENTICATION, MISSING)], f"No Groq API key is set, so Groq was not used. {SET_KEY}."),
        (
            [attempt(K.AUTHENTICATION, MISSING), attempt(K.AUTHENTICATION, "Invalid API Key")],
            f"Groq refused the API key (401), so Groq was not used. {REPLACE_KEY}.",
        ),
        ([attempt(K.AUTHENTICATION, "no", provider="mine")], None),
        ([attempt(K.TIMED_OUT)], None),
    ],
)
def test_an_answer_without_groq_says_what_is_wrong_with_its_key(attempts: list[Attempt], note: str | None) -> None:
    """By what came last of it."""
    assert key_note(attempts) == note


def size(provider: str, tokens: int, *, limit: Limit | None = Limit.TPM, documented: int | None = None) -> SizeLimit:
    """A limit that a request exceeded."""
    return SizeLimit(provider=provider, model="m", tokens=tokens, limit=limit, documented=documented)


@pytest.mark.parametrize(
    ("sizes", "takes", "told", "step"),
    [
        pytest.param(
            [size("groq", 8_000)], False, "groq/m takes 8,000 tokens per minute", "Shorten the prompt, or add", id="stated"
        ),
        pytest.param(
            [size("groq", 8_000)],
            True,
            "groq/m takes 8,000 tokens per minute",
            "Shorten the prompt, use Groq's Developer plan (GROQ_FALLBACK_PLAN=developer), or add",
            id="a-larger-plan",
        ),
        pytest.param(
            [size("groq", 8_000, documented=250_000)],
            True,
            "groq/m takes 8,000 tokens per minute",
            "Shorten the prompt, set GROQ_FALLBACK_PLAN to your account's plan (the configured plan's limit is 250,000), or add",
            id="another-plan-than-configured",
        ),
        pytest.param(
            [size("gemini", 9_000, documented=10_000)],
            False,
            "gemini/m takes 9,000 tokens per minute",
            "Shorten the prompt, set `plan` of gemini in config.toml to your account's plan",
            id="of-another-provider",
        ),
        pytest.param(
            [size("ollama", 4_000, limit=None), size("groq", 6_000), size("groq", 8_000)],
            False,
            "groq/m takes 8,000 tokens per minute, ollama/m has a window of 4,000 tokens",
            "Shorten the prompt, or add",
            id="the-largest-of-each-provider",
        ),
    ],
)
def test_a_request_that_is_too_large_is_told_what_each_provider_takes(
    sizes: list[SizeLimit], takes: bool, told: str, step: str
) -> None:
    """And what helps: the plan that is configured, a larger one, another provider."""
    exclusions = tuple(Exclusion(provider=one.provider, model=one.model, reason="too small", size=one) for one in sizes)
    found = summed(exclusions=exclusions, larger_plan_takes=lambda _: takes)
    assert (found.code, found.retry_after_s) == ("too_large", None)
    assert f"({told})" in found.cause
    assert found.next_step.startswith(step)
    assert found.next_step.endswith("another provider with `groq-fallback-mcp providers add`")


@pytest.mark.parametrize(
    ("detail", "step"),
    [
        ("its price is unknown and a budget in USD is set", "Give a model whose price is known from list_models"),
        (UNCHECKED_BUDGET, "Run `groq-fallback-mcp doctor`"),
        (UNKNOWN_SPENDING, "Run `groq-fallback-mcp limits --reopen-budget`"),
    ],
)
def test_what_a_budget_objects_to_says_its_own_way_out(detail: str, step: str) -> None:
    """A raised budget helps none of these."""
    found = summed(attempt(K.OVER_BUDGET, detail))
    assert found.code == "over_budget"
    assert found.next_step.startswith(step)
