"""Every row of the error table with its real text, and what follows from it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.call import Failure, FailureKind, Limit, LimitReading
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.policy.verdict import Abort, Clamp, FallBack, NextProvider, RetrySame, Verdict, judge
from groq_fallback_mcp.providers.classify import classify, classify_stream_error
from groq_fallback_mcp.providers.rate_limit_headers import (
    read_headers,
    read_quotas,
    resets_of_spent,
    snapshot,
    stated_wait,
)

NOW = 1_790_000_000.0


def body(message: str, *, code: str | None = None, type_: str = "invalid_request_error", **more: object) -> str:
    """An error body in Groq's shape."""
    error = {"message": message, "type": type_} | ({"code": code} if code else {}) | more
    return json.dumps({"error": error})


@dataclass(frozen=True, kw_only=True)
class Case:
    """One response and all that should follow: its kind, and the verdict with and without another model to ask."""

    name: str
    status: int
    body: str
    kind: FailureKind
    verdict: type[Verdict]
    alone: type[Verdict]
    headers: dict[str, str] = field(default_factory=dict)
    attempts: int = 1


K = FailureKind
TPM_413 = (
    "Request too large for model `M` in organization `org_01abc` service tier `on_demand` on tokens per minute (TPM): "
    "Limit 12000, Requested 14137, please reduce your message size and try again."
)
TPM_429 = (
    "Rate limit reached for model `M` in organization `org_01abc` service tier `on_demand` on tokens per minute (TPM): "
    "Limit 6000, Used 5914, Requested 1822. Please try again in 17.359s. Need more tokens?"
)
CASES = [
    Case(
        name="a failed tool call is tried once more",
        status=400,
        body=body("Failed to call a function. Please adjust your prompt. See 'failed_generation'", code="tool_use_failed"),
        kind=K.GENERATION_FAILED,
        verdict=RetrySame,
        alone=RetrySame,
    ),
    Case(
        name="a tool call that failed twice goes to the next model",
        status=400,
        body=body("Failed to call a function.", code="tool_use_failed"),
        kind=K.GENERATION_FAILED,
        verdict=FallBack,
        alone=FallBack,
        attempts=2,
    ),
    Case(
        name="failed JSON is tried once more",
        status=400,
        body=body(
            "Failed to generate JSON. Please adjust your prompt.",
            code="json_validate_failed",
            failed_generation="model_not_found",
        ),
        kind=K.GENERATION_FAILED,
        verdict=RetrySame,
        alone=RetrySame,
    ),
    Case(
        name="a decommissioned model is cooled_down",
        status=400,
        body=body("The model `X` has been decommissioned and is no longer supported.", code="model_decommissioned"),
        kind=K.MODEL_GONE,
        verdict=FallBack,
        alone=FallBack,
    ),
    Case(
        name="a missing model is cooled_down",
        status=404,
        body=body("The model `X` does not exist or you do not have access to it.", code="model_not_found"),
        kind=K.MODEL_GONE,
        verdict=FallBack,
        alone=FallBack,
    ),
    Case(
        name="a missing model is told by its text where there is no code",
        status=404,
        body=body("The model `X` does not exist or you do not have access to it."),
        kind=K.MODEL_GONE,
        verdict=FallBack,
        alone=FallBack,
    ),
    Case(
        name="the seed document's text for a missing model",
        status=404,
        body=body("Model 'invalid-model' not found", code="model_not_found"),
        kind=K.MODEL_GONE,
        verdict=FallBack,
        alone=FallBack,
    ),
    Case(
        name="a context that is too long goes to another model",
        status=400,
        body=body("Please reduce the length of the messages or completion.", code="context_length_exceeded"),
        kind=K.CONTEXT_TOO_LONG,
        verdict=FallBack,
        alone=FallBack,
    ),
    Case(
        name="a context that is too long is told by its text too",
        status=400,
        body=body("Please reduce the length of the messages or completion."),
        kind=K.CONTEXT_TOO_LONG,
        verdict=FallBack,
        alone=FallBack,
    ),
    Case(
        name="max_tokens above the bound is clamped",
        status=400,
        body=body("`max_tokens` must be less than or equal to `16384`, the maximum value for `max_tokens` is less than"),
        kind=K.MAX_TOKENS_TOO_LARGE,
        verdict=Clamp,
        alone=Clamp,
    ),
    Case(
        name="terms that were not accepted bench the model",
        status=400,
        body=body(
            "The model `X` requires terms acceptance. Please have the org admin accept the terms", code="model_terms_required"
        ),
        kind=K.MODEL_BLOCKED,
        verdict=FallBack,
        alone=FallBack,
    ),
    Case(
        name="a missing capability goes to another model",
        status=400,
        body=body("`tool calling` is not supported with this model"),
        kind=K.UNSUPPORTED,
        verdict=FallBack,
        alone=FallBack,
    ),
    Case(
        name="an image sent to a model that reads none goes to another model",
        status=400,
        body=body("messages[1].content must be a string"),
        kind=K.UNSUPPORTED,
        verdict=FallBack,
        alone=FallBack,
    ),
    Case(
        name="a model that does not chat goes to another model",
        status=400,
        body=body("The model `whisper-large-v3` does not support chat completions"),
        kind=K.UNSUPPORTED,
        verdict=FallBack,
        alone=FallBack,
    ),
    Case(
        name="a wrong reasoning value goes to another model",
        status=400,
        body=body("`reasoning_effort` must be one of `low`, `medium`, or `high`"),
        kind=K.UNSUPPORTED,
        verdict=FallBack,
        alone=FallBack,
    ),
    *(
        Case(
            name=f"{code} ends asking Groq",
            status=400,
            body=body("Organization has been restricted.", code=code),
            kind=K.ORGANIZATION_REFUSED,
            verdict=NextProvider,
            alone=NextProvider,
        )
        for code in ("organization_restricted", "blocked_api_access", "spend_limit_reached")
    ),
    Case(
        name="any other 400 is told to the caller",
        status=400,
        body=body("'messages.0.content' : value must be a string"),
        kind=K.BAD_REQUEST,
        verdict=Abort,
        alone=Abort,
    ),
    Case(
        name="a wrong key ends asking Groq",
        status=401,
        body=body("Invalid API Key", code="invalid_api_key"),
        kind=K.AUTHENTICATION,
        verdict=NextProvider,
        alone=NextProvider,
    ),
    Case(
        name="a 401 without a body ends asking Groq",
        status=401,
        body="",
        kind=K.AUTHENTICATION,
        verdict=NextProvider,
        alone=NextProvider,
    ),
    *(
        Case(
            name=f"{code} benches the model",
            status=403,
            body=body("The model `X` is blocked at the organization level. Please have the org admin enable it.", code=code),
            kind=K.MODEL_BLOCKED,
            verdict=FallBack,
            alone=FallBack,
        )
        for code in ("model_permission_blocked_org", "model_permission_blocked_project")
    ),
    Case(
        name="a 403 page of the network is no bad key",
        status=403,
        body="<html><head><title>Access denied</title></head><body>error code: 1010</body></html>",
        kind=K.NETWORK_DENIED,
        verdict=NextProvider,
        alone=NextProvider,
    ),
    Case(
        name="a 403 that speaks of network settings is no bad key",
        status=403,
        body=body("Access denied. Please check your network settings."),
        kind=K.NETWORK_DENIED,
        verdict=NextProvider,
        alone=NextProvider,
    ),
    Case(
        name="any other 403 ends asking Groq",
        status=403,
        body=body("Forbidden"),
        kind=K.ORGANIZATION_REFUSED,
        verdict=NextProvider,
        alone=NextProvider,
    ),
    Case(
        name="a wrong path is told to the caller",
        status=404,
        body=body("Not Found"),
        kind=K.BAD_REQUEST,
        verdict=Abort,
        alone=Abort,
    ),
    Case(
        name="413 on tokens goes to a model where it fits, or asks for less",
        status=413,
        body=body(TPM_413, code="rate_limit_exceeded", type_="tokens"),
        kind=K.LARGER_THAN_LIMIT,
        verdict=FallBack,
        alone=Clamp,
    ),
    Case(
        name="413 on tokens without figures goes to the next model",
        status=413,
        body=body("Request too large", code="rate_limit_exceeded", type_="tokens"),
        kind=K.LARGER_THAN_LIMIT,
        verdict=FallBack,
        alone=FallBack,
    ),
    Case(
        name="a file that is too large is not sent again",
        status=413,
        body=body("Request Entity Too Large", code="request_too_large"),
        kind=K.PAYLOAD_TOO_LARGE,
        verdict=NextProvider,
        alone=NextProvider,
    ),
    Case(
        name="a 413 of a proxy is a file that is too large",
        status=413,
        body="<html>413 Request Entity Too Large</html>",
        kind=K.PAYLOAD_TOO_LARGE,
        verdict=NextProvider,
        alone=NextProvider,
    ),
    Case(name="422 once more", status=422, body=body("x"), kind=K.UNPROCESSABLE, verdict=RetrySame, alone=RetrySame),
    Case(name="422 twice", status=422, body=body("x"), kind=K.UNPROCESSABLE, verdict=FallBack, alone=FallBack, attempts=2),
    Case(name="424", status=424, body=body("mcp auth"), kind=K.REMOTE_TOOL_AUTHENTICATION, verdict=Abort, alone=Abort),
    Case(
        name="429 goes to the next model",
        status=429,
        body=body(TPM_429, code="rate_limit_exceeded", type_="tokens"),
        kind=K.RATE_LIMITED,
        verdict=FallBack,
        alone=FallBack,
        headers={"retry-after": "18"},
    ),
    Case(
        name="429 that can never fit is no wait",
        status=429,
        body=body(
            "Rate limit reached for model `M` in organization `org_01abc` service tier `on_demand` on tokens per minute (TPM): "
            "Limit 7000, Used 0, Requested 12903. Please try again in 50.6s.",
            code="rate_limit_exceeded",
            type_="tokens",
        ),
        kind=K.LARGER_THAN_LIMIT,
        verdict=FallBack,
        alone=Clamp,
    ),
    Case(
        name="a full flex tier",
        status=498,
        body=body("Flex tier is full", code="capacity_exceeded"),
        kind=K.TIER_FULL,
        verdict=FallBack,
        alone=RetrySame,
    ),
    Case(name="499", status=499, body="", kind=K.CANCELLED, verdict=Abort, alone=Abort),
    *(
        Case(
            name=f"{status} is retried only when nothing else can serve",
            status=status,
            body="<html>Bad</html>",
            kind=K.SERVER_ERROR,
            verdict=FallBack,
            alone=RetrySame,
        )
        for status in (500, 502, 504)
    ),
    Case(name="500 three times", status=500, body="", kind=K.SERVER_ERROR, verdict=FallBack, alone=FallBack, attempts=3),
    Case(
        name="503 is retried only when nothing else can serve",
        status=503,
        body=body("M is currently over capacity. Please try again and back off exponentially.", type_="internal_server_error"),
        kind=K.OVERLOADED,
        verdict=FallBack,
        alone=RetrySame,
    ),
    Case(name="503 twice", status=503, body="", kind=K.OVERLOADED, verdict=FallBack, alone=FallBack, attempts=2),
    Case(name="408", status=408, body="", kind=K.SERVER_ERROR, verdict=FallBack, alone=RetrySame),
    Case(name="402", status=402, body="", kind=K.NO_CREDIT, verdict=NextProvider, alone=NextProvider),
    Case(name="418", status=418, body="", kind=K.BAD_REQUEST, verdict=Abort, alone=Abort),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_row_of_the_error_table_leads_to_its_verdict(case: Case) -> None:
    """Kind and verdict, with another model to ask and without."""
    failure = classify(case.status, case.headers, case.body, now_wall=NOW)
    assert failure.kind == case.kind
    for alternative, expected in ((True, case.verdict), (False, case.alone)):
        verdict = judge(failure, times_tried=case.attempts, alternative=alternative, jitter=0.5, max_tokens=32_768)
        assert type(verdict) is expected
    assert failure.status == case.status
    assert "org_01abc" not in failure.message


def test_the_429_text_gives_the_exact_wait_and_the_figures() -> None:
    """retry-after is rounded, the text is exact; both are kept, the later wait counts."""
    failure = classify(429, {"retry-after": "17"}, body(TPM_429, type_="tokens", code="rate_limit_exceeded"), now_wall=NOW)
    assert failure.retry_after_s == pytest.approx(17.359)
    assert failure.quota.readings[0] == LimitReading(
        limit=Limit.TPM, capacity=6000, remaining=86, requested=1822, wait_s=pytest.approx(17.359)
    )


def test_a_wait_that_is_stated_outweighs_the_reset_of_a_limit() -> None:
    """The reset may be that of another limit."""
    headers = {"retry-after": "20", "x-ratelimit-reset": "60"}
    assert classify(429, headers, body("slow down"), now_wall=NOW).retry_after_s == 20


@pytest.mark.parametrize(
    ("status", "headers", "message", "wait_s"),
    [
        (500, {"retry-after": "7"}, "upstream failed", 7),
        (500, {"retry-after-ms": "1500"}, "upstream failed", 1.5),
        (500, {"retry-after": "7"}, "upstream failed, retry after 9 seconds", 9),
        (500, {}, "upstream failed, retry after 9 seconds", None),
        (500, {"ratelimit-reset": "60"}, "upstream failed", None),
        (503, {}, "M is over capacity. Please try again in 9 seconds.", 9),
        (529, {}, "Overloaded. Please try again in 9 seconds.", 9),
    ],
)
def test_words_are_a_wait_only_of_a_failure_that_a_wait_mends(
    status: int, headers: dict[str, str], message: str, wait_s: float | None
) -> None:
    """Of any other failure a header must say it: its text may quote the request."""
    assert classify(status, headers, body(message), now_wall=NOW).retry_after_s == wait_s


@pytest.mark.parametrize(("status", "readings"), [(400, 1), (413, 1), (429, 1), (401, 0), (500, 0), (503, 0)])
def test_figures_are_those_of_a_limit_only_where_a_limit_refuses(status: int, readings: int) -> None:
    """Any other failure may quote a text about limits."""
    assert len(classify(status, {}, body(TPM_429), now_wall=NOW).quota.readings) == readings


@pytest.mark.parametrize(
    ("text", "type_", "limit"),
    [
        ("on requests per minute (RPM): Limit 30, Used 30, Requested 1. Please try again in 2s", "requests", Limit.RPM),
        (
            "on tokens per day (TPD): Limit 100000, Used 99800, Requested 869. Please try again in 9m38.016s",
            "tokens",
            Limit.TPD,
        ),
        (
            "on seconds of audio per hour (ASPH): Limit 7200, Used 7182, Requested 23. Please try again in 2.5s",
            "asph",
            Limit.ASH,
        ),
        (
            "on seconds of audio per day (ASPD): Limit 28800, Used 28800, Requested 600. Please try again in 30m0s",
            "aspd",
            Limit.ASD,
        ),
        ("on : Limit 6000, Used 5914, Requested 1822. Please try again in 17.36s", "tokens", Limit.TPM),
        ("on : Limit 100000, Used 99800, Requested 869. Please try again in 9m38.016s", "tokens", Limit.TPD),
        ("on : Limit 30, Used 30, Requested 1. Please try again in 2s", "requests", Limit.RPM),
        ("on : Limit 1000, Used 1000, Requested 1. Please try again in 1m26.4s", "requests", Limit.RPD),
        ("on : Limit 7200, Used 7182, Requested 23. Please try again in 2.5s", "audio", Limit.ASH),
        ("on : Limit 28800, Used 28800, Requested 600. Please try again in 30m0s", "audio", Limit.ASD),
        ("on : Limit 7200, Used 7182, Requested 23. Please try again in 2.5s", "seconds", Limit.ASH),
        ("on : Limit 28800, Used 28800, Requested 600. Please try again in 30m0s", "audio_seconds", Limit.ASD),
        ("on : Limit 1000, Requested 1001. Please try again in 8s", "requests", Limit.RPD),
        ("on tokens per minute (TPM): Limit 6000, Used 5914, Requested 1822... Please try again in 17.36s", "", Limit.TPM),
    ],
)
def test_the_limit_is_named_by_the_text_or_told_by_its_arithmetic(text: str, type_: str, limit: Limit) -> None:
    """The metric is sometimes empty; then type and wait say which limit it was."""
    failure = classify(429, {}, body(f"Rate limit reached for model `M` {text}", type_=type_), now_wall=NOW)
    assert [reading.limit for reading in failure.quota.readings] == [limit]


@pytest.mark.parametrize(
    ("status", "requested", "kind"),
    [
        (413, 6001, K.LARGER_THAN_LIMIT),
        (429, 6001, K.LARGER_THAN_LIMIT),
        (429, 6000, K.RATE_LIMITED),
        (400, 6001, K.BAD_REQUEST),
    ],
)
def test_only_what_exceeds_a_whole_limit_never_fits(status: int, requested: int, kind: FailureKind) -> None:
    """Whatever code the response has; a request of the whole limit can be waited for."""
    text = f"Over the limit on tokens per minute (TPM): Limit 6000, Used 0, Requested {requested}."
    assert classify(status, {}, body(text, type_="tokens"), now_wall=NOW).kind == kind


@pytest.mark.parametrize(("status", "kind"), [(403, K.CONTENT_FILTERED), (400, K.BAD_REQUEST)])
def test_a_filter_that_names_what_it_saw_refused_the_content(status: int, kind: FailureKind) -> None:
    """With a 403; else the same model without those words would be thought blocked."""
    refusal = body("The model provider declined your input", metadata={"reasons": ["violence"]})
    assert classify(status, {}, refusal, now_wall=NOW).kind == kind


@pytest.mark.parametrize("code", ["rate_limit_exceeded", "RateLimitReached", "too_many_requests"])
def test_a_code_of_a_limit_that_refills_outweighs_words_about_money(code: str) -> None:
    """Its text may end with an offer to pay."""
    text = "Limit reached. More credits let you go on."
    assert classify(429, {}, body(text, code=code), now_wall=NOW).kind == K.RATE_LIMITED
    assert classify(429, {}, body(text), now_wall=NOW).kind == K.NO_CREDIT


@pytest.mark.parametrize(
    ("excess", "wait", "limit"),
    [(1, "7.2s", Limit.RPM), (1, "7.2005s", Limit.RPD), (0, "7.3s", Limit.RPM)],
)
def test_a_wait_of_more_than_two_hours_for_the_whole_limit_is_one_per_day(excess: int, wait: str, limit: Limit) -> None:
    """A thousand requests that are back in 7,200 s are counted per minute or per hour; without an excess the wait says nothing."""
    text = f"on : Limit 1000, Used {999 + excess}, Requested 1. Please try again in {wait}"
    reading = classify(429, {}, body(text, type_="requests"), now_wall=NOW).quota.readings[0]
    assert (reading.limit, reading.remaining, reading.requested) == (limit, 1 - excess, 1)


@pytest.mark.parametrize(
    ("used", "reset_s", "limit"),
    [
        (1, 1.2, Limit.RPM),
        (1, 1.3, None),
        (1, 71, None),
        (1, 72, Limit.RPD),
        (50, 60, Limit.RPM),
        (50, 3_600, Limit.RPD),
        (100, 60, Limit.RPM),
        (0, 0, None),
    ],
)
def test_requests_of_an_unknown_provider_are_counted_per_what_brings_all_of_them_back(
    used: int, reset_s: float, limit: Limit | None
) -> None:
    """Within two minutes per minute, from two hours on per day, between nobody knows. Of a hundred."""
    stated = {"limit": "100", "remaining": str(100 - used), "reset": f"{reset_s}s"}
    headers = {f"x-ratelimit-{name}-requests": value for name, value in stated.items()}
    expected = [] if limit is None else [LimitReading(limit=limit, capacity=100, remaining=100 - used)]
    assert list(read_headers(headers, sender=None, now_wall=NOW)) == expected


@pytest.mark.parametrize("missing", ["limit", "remaining", "reset"])
def test_requests_of_an_unknown_provider_need_all_three_figures(missing: str) -> None:
    """Else nobody knows per how long they are counted."""
    stated = {"limit": "100", "remaining": "99", "reset": "1s"}
    headers = {f"x-ratelimit-{name}-requests": value for name, value in stated.items() if name != missing}
    assert read_headers(headers, sender=None, now_wall=NOW) == ()


def test_requests_in_groq_s_headers_are_per_day_however_soon_they_are_back() -> None:
    """One of 14,400 takes six seconds."""
    headers = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "6s",
    }
    expected = (LimitReading(limit=Limit.RPD, capacity=14_400, remaining=0),)
    assert read_headers(headers) == snapshot(headers).readings == expected


def test_only_the_reset_of_a_limit_that_is_used_up_is_waited_for() -> None:
    """Requests are left here."""
    headers = {
        "x-ratelimit-remaining-requests": "5",
        "x-ratelimit-reset-requests": "300s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "7s",
    }
    assert resets_of_spent(headers, sender=None, now_wall=NOW) == [7.0]


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("try again in 1 day", 86_400),
        ("try again in 2 days", 86_400),
        ("try again in 31 days", 86_400),
        ("try again in 32 days", None),
        ("wait one minute", 60),
        ("resets in 1h30", 5_400),
        ("retry after 1,200 seconds", 1_200),
    ],
)
def test_a_written_wait_counts_for_a_day_at_most_and_beyond_a_month_not_at_all(text: str, wait_s: float | None) -> None:
    """It is looked at again after a day; nothing refills once in two months."""
    assert stated_wait(text) == wait_s


@pytest.mark.parametrize(
    ("quota", "limit"),
    [
        ("GenerateContentInputTokensPerModelPerMinute-FreeTier", Limit.ITPM),
        ("GenerateRequestsPerMinutePerProjectPerModel", Limit.RPM),
        ("GenerateRequestsPerDayPerProjectPerModel", Limit.RPD),
        ("GenerateContentInputTokensPerModelPerDay", None),
        ("GenerateRequestInputTokensPerDay", None),
        ("SessionsPerMinute", None),
        ("SessionsPerDay", None),
    ],
)
def test_google_s_ids_say_what_is_counted(quota: str, limit: Limit | None) -> None:
    """What has no bucket here is passed over."""
    expected = () if limit is None else (LimitReading(limit=limit, capacity=20, remaining=0),)
    assert read_quotas([(quota, "20")]) == expected


@pytest.mark.parametrize(
    ("value", "capacity"),
    [("0.5", 0.5), ("12.", 12), ("1e12", 1e12), ("1.1e12", None), ("-1", None), ("nan", None), ("inf", None), ("many", None)],
)
def test_a_header_that_cannot_be_true_is_skipped(value: str, capacity: float | None) -> None:
    """What stands beside it still counts."""
    headers = {"x-ratelimit-limit-tokens": value, "x-ratelimit-remaining-tokens": "0"}
    assert read_headers(headers) == (LimitReading(limit=Limit.TPM, capacity=capacity, remaining=0),)


def test_the_seed_document_s_429_text_is_read_too() -> None:
    """`2 seconds`, where the real texts have `2s`; what is shown says neither the wait nor the organization twice."""
    text = "Rate limit exceeded. Please try again in 2 seconds."
    failure = classify(429, {}, body(text, code="rate_limit_exceeded", type_="rate_limit_error"), now_wall=NOW)
    assert (failure.kind, failure.retry_after_s, failure.message) == (K.RATE_LIMITED, 2.0, "Rate limit exceeded.")
    shown = classify(429, {}, body(TPM_429, type_="tokens"), now_wall=NOW).message
    assert shown == "tokens per minute (TPM): Limit 6000, Used 5914, Requested 1822."


@pytest.mark.parametrize(
    "text",
    [
        "on : Limit 30, Used 30, Requested 1.",
        "on : Limit 0, Used 0, Requested 1. Please try again in 2s",
        "on tokens per minute (TPM): Limit 0, Used 0, Requested 1. Please try again in 2s",
        "on tokens per minute (TPM): Limit 6000, Used 0, Requested 9999999999999. Please try again in 2s",
        "slow down",
    ],
)
def test_a_429_without_usable_figures_still_is_a_rate_limit(text: str) -> None:
    """No reading, but the same kind."""
    failure = classify(429, {"retry-after": "3"}, body(text, type_="unheard_of"), now_wall=NOW)
    assert (failure.kind, failure.retry_after_s, failure.quota.readings) == (K.RATE_LIMITED, 3.0, ())


def test_figures_in_the_message_win_over_headers_for_the_same_limit() -> None:
    """Other limits of the headers are kept."""
    headers = {
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "5999",
        "x-ratelimit-limit-requests": "1000",
        "x-ratelimit-remaining-requests": "921",
        "x-ratelimit-limit-audio-seconds": "not a number",
    }
    failure = classify(429, headers, body(TPM_429, type_="tokens"), now_wall=NOW)
    assert {(r.limit, r.remaining) for r in failure.quota.readings} == {(Limit.TPM, 86.0), (Limit.RPD, 921.0)}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (
            '{"error":{"message":"Failed to generate JSON","code":"json_validate_failed","status_code":400}}',
            K.GENERATION_FAILED,
        ),
        ('{"error":{"message":"M is currently over capacity."}}', K.OVERLOADED),
        ('{"error":"over capacity"}', K.OVERLOADED),
        ('"something broke"', K.SERVER_ERROR),
        ("not json at all", K.SERVER_ERROR),
        ("[1]", K.SERVER_ERROR),
        ('{"error":{"message":"odd","status_code":"400"}}', K.BAD_REQUEST),
        ('{"error":{"message":"odd","status_code":9000}}', K.SERVER_ERROR),
    ],
)
def test_an_error_inside_a_stream_is_an_error(data: str, kind: FailureKind) -> None:
    """It arrives after a 200, as an object or a bare string."""
    assert classify_stream_error(data, now_wall=NOW).kind == kind


def test_a_long_upstream_text_is_cut_and_an_empty_one_is_named() -> None:
    """What people see stays short and never empty."""
    assert classify(500, {}, body("x" * 10_000), now_wall=NOW).message == "x" * 299 + "…"
    assert classify(500, {}, body("x" * 300), now_wall=NOW).message == "x" * 300
    assert classify(502, {}, "", now_wall=NOW).message == "HTTP 502 without an error text"


def test_keys_and_organization_ids_never_reach_the_message() -> None:
    """A proxy may echo the Authorization header."""
    message = classify(
        400, {}, body("Bearer gsk_abcdefghij12345 of org_01abcdef is bad: gsk_abcdefghij12345"), now_wall=NOW
    ).message
    assert "abcdefghij" not in message
    assert "01abcdef" not in message


@given(
    st.integers(400, 599),
    st.text(max_size=300),
    st.dictionaries(st.sampled_from(["retry-after", "x-ratelimit-limit-tokens"]), st.text(max_size=20)),
)
def test_no_response_makes_the_classifier_raise(status: int, text: str, headers: dict[str, str]) -> None:
    """Whatever comes is a failure of some kind, with a finite wait."""
    failure = classify(status, headers, text, now_wall=NOW)
    assert isinstance(failure, Failure)
    assert failure.retry_after_s is None or 0 <= failure.retry_after_s <= 86_400


@pytest.mark.parametrize(
    ("error", "window"),
    [
        (
            {
                "message": "request (5031 tokens) exceeds the available context size (2048 tokens), try increasing it",
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 5_031,
                "n_ctx": 2_048,
            },
            2_048,
        ),
        ({"message": "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it"}, 4_096),
        (
            (
                "The number of tokens to keep from the initial prompt is greater than the context length"
                " (n_keep: 5000>= n_ctx: 4096). Try to load the model with a larger context length"
            ),
            4_096,
        ),
        ({"message": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens"}, 8_192),
        ({"message": "Please reduce the length of the messages or completion."}, None),
    ],
)
def test_a_refusal_of_a_prompt_too_long_teaches_the_window_that_it_names(error: object, window: int | None) -> None:
    """llama.cpp in a field or in words, LM Studio in a plain string, vLLM and OpenAI in words."""
    failure = classify(400, {}, json.dumps({"error": error}), now_wall=NOW)
    assert (failure.kind, failure.context_window) == (FailureKind.CONTEXT_TOO_LONG, window)


def test_a_window_that_another_refusal_mentions_is_not_learned() -> None:
    """vLLM's, of an answer too long for what the prompt leaves."""
    text = (
        "'max_tokens' or 'max_completion_tokens' is too large: 100000. This model's maximum context length is 32768 tokens and "
        "your request has 30 input tokens (100000 > 32768 - 30)."
    )
    failure = classify(400, {}, body(text), now_wall=NOW)
    assert (failure.kind, failure.max_tokens_limit, failure.context_window) == (K.MAX_TOKENS_TOO_LARGE, 32_738, None)


@pytest.mark.parametrize("code", ["model_decommissioned", None])
def test_a_failure_keeps_the_code_of_its_error(code: str | None) -> None:
    """For logs, and for what decides by it."""
    assert classify(400, {}, body("The model `X` has been decommissioned.", code=code), now_wall=NOW).code == code


def test_a_cut_user_turn_that_breaks_ollama_s_template_is_a_prompt_too_long() -> None:
    """It answers 500 and says that no user query was found."""
    assert classify(500, {}, '{"error": {"message": "no user query found in messages"}}', now_wall=NOW).kind is (
        FailureKind.CONTEXT_TOO_LONG
    )


@pytest.mark.parametrize(
    ("name", "headers", "body", "least_s"),
    [
        (
            "anthropic",
            {"anthropic-ratelimit-requests-reset": "1970-01-01T00:00:00Z"},
            {"error": {"type": "rate_limit_error"}},
            60,
        ),
        ("openrouter", {"x-ratelimit-reset": "0"}, {"error": {"code": 429, "message": "free-models-per-day"}}, 3_600),
    ],
)
def test_a_reset_that_is_over_does_not_mean_at_once(
    name: str, headers: dict[str, str], body: dict[str, object], least_s: float
) -> None:
    """This machine's clock may be ahead: the refused call would be sent again without a pause, and counted each time."""
    found = classify(429, headers, json.dumps(body), now_wall=1_795_900_000.0, sender=load_catalog().providers[name])
    assert found.retry_after_s is not None
    assert found.retry_after_s >= least_s
