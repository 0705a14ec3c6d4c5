"""What servers other than Groq write into their errors: whose fault it is, and how long to wait."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes import GROQ_CHAT_MODELS, World
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.call import Attempt, ChatRequest, Failure, FailureKind
from groq_fallback_mcp.call.refusals import refusal
from groq_fallback_mcp.durations import format_duration, parse_reset, parse_retry_after, parse_written_duration
from groq_fallback_mcp.fallback.final_error import final_error
from groq_fallback_mcp.policy.plan import with_json_mode
from groq_fallback_mcp.policy.verdict import Abort, FallBack, judge
from groq_fallback_mcp.providers.classify import classify, classify_stream_error
from groq_fallback_mcp.providers.rate_limit_headers import stated_wait

NOW = 1_795_000_000.0
K = FailureKind
ERRORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "error_words.json").read_text(encoding="utf-8"))["errors"]


def kind_of(status: int, message: str, **fields: Any) -> FailureKind:
    """The kind of an error in OpenAI's form."""
    return classify(status, {}, json.dumps({"error": {"message": message, **fields}}), now_wall=NOW).kind


@pytest.mark.fault("B9", "B13", "B14", "B15", "C3", "C6")
@pytest.mark.parametrize("error", ERRORS, ids=[f"{error['kind']}-{number}" for number, error in enumerate(ERRORS)])
def test_an_error_is_known_by_its_words(error: dict[str, Any]) -> None:
    """In the wordings of two dozen providers and servers; error_words.json holds them."""
    sent = error["body"] if "body" in error else {"error": {"message": error["message"]}}
    found = classify(error["status"], {}, sent if isinstance(sent, str) else json.dumps(sent), now_wall=NOW)
    assert found.kind == K(error["kind"])


@pytest.mark.fault("B14", "C3")
@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "Invalid value: got null in 'Explain the free tier and rate limit of Groq'", K.BAD_REQUEST),
        (400, "1 validation error: [type=string_type, input_value='tokens per minute exceeded']", K.BAD_REQUEST),
        (400, "The user's prompt asks for: no API key header is needed", K.BAD_REQUEST),
        (500, "maximum requests per minute handler crashed", K.SERVER_ERROR),
    ],
)
def test_what_a_server_quotes_of_a_request_is_not_what_went_wrong(status: int, message: str, kind: FailureKind) -> None:
    """One bad prompt must not make every process wait for a model."""
    assert kind_of(status, message) is kind


@pytest.mark.fault("B15")
def test_a_server_that_breaks_on_a_grammar_nobody_asked_for_is_left() -> None:
    """Another one may answer."""
    failure = classify(500, {}, json.dumps({"error": {"message": "grammar worker crashed"}}), now_wall=NOW)
    assert isinstance(judge(failure, times_tried=1, alternative=True, jitter=0.0, json_mode="none"), FallBack)


@pytest.mark.fault("B14")
@pytest.mark.parametrize(
    ("message", "limit"),
    [
        ("`max_tokens` must be less than or equal to `16384`", 16_384),
        ("This model supports at most 16384 completion tokens", 16_384),
        ("You requested up to 4000 tokens, but can only afford 1500.", 1_500),
        ("the valid range of max_tokens is [1, 8192]", 8_192),
        ("max_tokens: 100000 > 8192, which is the maximum", 8_192),
        ("The maximum tokens you requested exceeds the model limit of 4096.", 4_096),
        ("maxOutputTokens value of 100000 but the supported range is from 1 (inclusive) to 8193 (exclusive)", 8_192),
        ("'max_tokens' or 'max_completion_tokens' is too large: 1. It has 30 input tokens (100000 > 32768 - 30).", 32_738),
        ("max_tokens (100000) is too large: prompt 20 + max_tokens > 8192", None),
    ],
)
def test_the_most_tokens_that_are_allowed_are_read(message: str, limit: int | None) -> None:
    """As far as a message says them; with them the same model answers at once."""
    found = classify(400, {}, json.dumps({"error": {"message": message}}), now_wall=NOW)
    assert (found.kind, found.max_tokens_limit) == (K.MAX_TOKENS_TOO_LARGE, limit)


@pytest.mark.fault("B14", "C3")
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"x-ms-retry-after-ms": "60000"}, 60),
        ({"x-ratelimit-reset-after": "30"}, 30),
        ({"ratelimit-reset": "60"}, 60),
        ({"ratelimit": "limit=10, remaining=0, reset=60"}, 60),
        ({"ratelimit": '"default";r=0;t=60'}, 60),
        ({"x-ratelimit-reset": str(NOW + 60)}, 60),
        ({"x-ratelimit-reset": "2026-11-18T11:07:40Z"}, 60),
        ({"x-ratelimit-reset": "1m"}, 60),
        ({"retry-after": "0", "x-ratelimit-reset": str(NOW + 60)}, 60),
        ({"anthropic-ratelimit-requests-reset": "2026-11-18T11:07:40Z"}, 60),
        ({"anthropic-ratelimit-tokens-remaining": "9", "anthropic-ratelimit-tokens-reset": "2026-11-18T11:07:40Z"}, None),
        ({"x-ratelimit-reset": "2026-13-45T99:00:00Z"}, None),
        ({"ratelimit-reset": "soon"}, None),
    ],
    ids=str,
)
def test_a_wait_is_read_from_the_headers_of_every_provider(headers: dict[str, str], seconds: float | None) -> None:
    """The later of two counts; that of a limit which is not used up does not."""
    found = classify(429, headers, json.dumps({"error": {"message": "slow"}}), now_wall=NOW).retry_after_s
    assert found == (None if seconds is None else pytest.approx(seconds, abs=0.01))


@pytest.mark.fault("B14", "C3")
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "slow", "retryAfter": 60}},
        {"error": {"message": "slow"}, "retry_after": "60s"},
        {"message": "slow", "retry_after_seconds": 60},
        {"error": {"message": "slow", "retry_after_ms": 60_000}},
        {"error": {"message": "slow", "metadata": {"retry_after": 60}}},
        {"error": {"message": "slow", "metadata": {"headers": {"Retry-After": "60"}}}},
        {"error": {"message": "slow", "metadata": {"headers": {"X-RateLimit-Reset": int((NOW + 60) * 1000)}}}},
        {"error": {"message": "slow", "resets_in_seconds": 60}},
        {"error": {"message": "slow", "resets_at": int(NOW + 60)}},
        {"error": {"message": "slow", "details": {"retryDelay": "60s"}}},
        [{"error": {"message": "slow", "details": [{"a": 1}, {"retryDelay": "60s"}]}}],
        {
            "error": {
                "message": "Provider returned error",
                "metadata": {"raw": '{"error": {"details": [{"retryDelay": "60s"}]}}'},
            }
        },
        {"error": {"message": "Provider returned error", "metadata": {"raw": '{"error": {"message": "try again in 60s"}}'}}},
        {"error": {"message": "Provider returned error", "metadata": {"raw": "Please retry after 60 seconds."}}},
        {"error": {"message": "Provider returned error", "metadata": {"raw": "{retry after 60 seconds"}}},
        {"retry_after": 60, "limits": [[[[[[[{"retry_after": 900}]]]]]]]},
    ],
    ids=str,
)
def test_a_wait_is_read_wherever_a_body_states_it(body: Any) -> None:
    """In the error or beside it, of a router or of the provider that it quotes; not too deep."""
    found = classify(429, {}, json.dumps(body), now_wall=NOW)
    assert (found.kind, found.retry_after_s) == (K.RATE_LIMITED, pytest.approx(60, abs=0.01))


@pytest.mark.fault("B14")
@pytest.mark.parametrize("field", [True, None, [], {}, "soon", -1, 1e30, "x" * 9_000], ids=lambda value: str(value)[:20])
def test_a_field_that_is_no_wait_is_none(field: object) -> None:
    """Nor does it make the reading fail."""
    assert (
        classify(429, {}, json.dumps({"error": {"message": "slow", "retry_after": field}}), now_wall=NOW).retry_after_s is None
    )


def test_only_so_much_of_a_body_is_looked_at_for_a_wait() -> None:
    """However many lists it holds."""
    body = {"rows": [[[i] for i in range(50)] for _ in range(50)], "error": {"message": "slow"}}
    assert classify(429, {}, json.dumps(body), now_wall=NOW).kind is K.RATE_LIMITED


@pytest.mark.fault("B14")
@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({"message": "Too many tokens per day, please wait before trying again."}, 3_600),
        ({"message": "Too many requests per minute"}, None),
    ],
    ids=str,
)
def test_a_limit_per_day_without_a_wait_is_asked_again_in_an_hour(error: dict[str, Any], seconds: float | None) -> None:
    """Asking each minute would cost a request each minute."""
    assert classify(429, {}, json.dumps({"error": error}), now_wall=NOW).retry_after_s == seconds


@pytest.mark.fault("B13")
@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "Context size has been exceeded."),
        (400, "request (53192 tokens) exceeds context size (50176 tokens)"),
        (400, "the request exceeds the available context size. try increasing the context size or enable context shift"),
        (
            400,
            "However, the model is loaded with context length of only 4096 tokens. Trying to keep the first 9 when context overflows",
        ),
        (400, "This model's maximum context length is 8192 tokens. However, you requested about 14429 tokens"),
        (400, "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length"),
        (400, "prompt is too long: 208310 tokens > 200000 maximum"),
        (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
        (400, "Requested tokens (9000) exceed context window of 2048"),
        (413, "too many tokens: the prompt has 9000"),
        (422, "Input is longer than the model's context length"),
    ],
)
def test_a_prompt_too_long_for_the_context_is_known_by_its_words(status: int, message: str) -> None:
    """Whatever the status: local servers answer 500."""
    assert kind_of(status, message) is K.CONTEXT_TOO_LONG


@pytest.mark.parametrize(
    ("status", "message", "fields", "kind"),
    [
        (400, "context is a bad name for a tool", {}, K.BAD_REQUEST),
        (500, "Internal server error", {}, K.SERVER_ERROR),
        (429, "Rate limit exceeded for context-free grammars", {}, K.RATE_LIMITED),
        (402, "Insufficient Balance", {}, K.NO_CREDIT),
        (402, "You requested up to 4000 tokens, but can only afford 1500.", {}, K.MAX_TOKENS_TOO_LARGE),
        (429, "You exceeded your current quota, please check your plan and billing details.", {}, K.NO_CREDIT),
        (429, "You exceeded your current quota, please check billing. Please retry in 34.07s.", {}, K.RATE_LIMITED),
        (403, "Key limit exceeded (total limit)", {}, K.NO_CREDIT),
        (403, "Forbidden", {}, K.ORGANIZATION_REFUSED),
        (429, "quota", {"code": "insufficient_quota"}, K.NO_CREDIT),
        (429, "quota", {"type": "insufficient_quota"}, K.NO_CREDIT),
        (400, "invalid schema for response format: minItems is not supported", {}, K.SCHEMA_REFUSED),
        (400, "response_format is not supported by this model", {}, K.SCHEMA_REFUSED),
        (
            400,
            "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
            {},
            K.MAX_TOKENS_TOO_LARGE,
        ),
    ],
)
def test_the_words_of_an_error_say_whose_fault_it_is(
    status: int, message: str, fields: dict[str, str], kind: FailureKind
) -> None:
    """More exactly than its status does."""
    assert kind_of(status, message, **fields) is kind


@pytest.mark.fault("C3")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 17.359s.", 17.359),
        ("try again in 9m38.016s", 578.016),
        ("Please retry in 34.07s.", 34.07),
        ("please try again after 27 seconds", 27.0),
        ("Try again in 6 hours.", 21_600.0),
        ("try again in 14 minutes and 24 seconds", 864.0),
        ("Resets in: 1h 2m", 3_720.0),
        ("retry-after: 12 secs", 12.0),
        ("wait for another 1 hr, 30 min", 5_400.0),
        ("Try again in about 250 milliseconds", 0.25),
        ("Try again in 3 days", 86_400.0),
        ("Try again in 400 days", None),
        ("retry your request 3 times", None),
        ("wait 7", None),
        ("Retry-After: 45", 45.0),
        ("Try again in 120.", 120.0),
        ("Wait for 3 requests", None),
        ("Expected available in 45 seconds.", 45.0),
        ("the limit will be lifted in 40 seconds", 40.0),
        ("please retry after 1,200 seconds", 1_200.0),
        ("Try again in 1h30", 5_400.0),
        ("try again after a minute", 60.0),
        ("Please try again in 1 week", 86_400.0),
        ("cooldown_time: 5.0", 5.0),
    ],
)
def test_a_wait_is_read_however_it_is_written(text: str, seconds: float | None) -> None:
    """At most a day; what no quota takes is not believed."""
    found = stated_wait(text)
    assert found == (None if seconds is None else pytest.approx(seconds))


@given(st.floats(0.001, 86_400))
def test_a_written_duration_survives_a_round_trip(seconds: float) -> None:
    """In the form that Groq writes."""
    assert parse_written_duration(format_duration(seconds)) == pytest.approx(seconds, abs=0.001)


@pytest.mark.fault("C3")
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (str(int((NOW + 300) * 1_000)), 300.0),
        (str(int(NOW + 300)), 300.0),
        ("300", 300.0),
        ("5m", 300.0),
        (str(int((NOW - 300) * 1_000)), None),
        ("nan", None),
        ("1e400", None),
        (None, None),
    ],
)
def test_the_moment_of_a_reset_is_read_in_every_unit(value: str | None, seconds: float | None) -> None:
    """Milliseconds or seconds since 1970, seconds from now, or a duration."""
    assert parse_reset(value, now_wall=NOW) == (None if seconds is None else pytest.approx(seconds, abs=1.0))


def test_a_retry_after_in_words_is_read() -> None:
    """As some proxies write it."""
    assert parse_retry_after("6 hours", now_wall=NOW) == 21_600.0
    assert parse_written_duration("soon") is None


@pytest.mark.fault("C3")
@pytest.mark.parametrize(
    "value",
    [
        {"detail": "the words"},
        {"detail": [{"loc": ["body"], "msg": "the words", "type": "value_error"}]},
        {"detail": {"message": "the words"}},
        {"errors": [{"code": 7003, "message": "the words"}]},
        {"success": False, "errors": ["the words"]},
        {"message": "the words", "object": "error"},
        {"error": "the words"},
        {"error": "Bad Request", "message": "the words", "statusCode": 400},
        [{"error": {"message": "the words"}}],
        {"error": {"error": {"message": "the words"}}},
        {"message": {"detail": [{"msg": "the words"}]}},
        {"title": "the words", "status": 400},
        {"error": {"message": "Provider returned error", "metadata": {"raw": "the words"}}},
        "the words",
    ],
    ids=str,
)
def test_the_words_of_an_error_are_found_in_every_form(value: object) -> None:
    """Of OpenAI, Cloudflare, FastAPI, Gemini, Mistral, vLLM, OpenRouter and plain text."""
    assert "the words" in classify(400, {}, json.dumps(value), now_wall=NOW).message


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"error": {"error": {"error": {"error": {"error": "x"}}}}},
        {"error": {}},
        {"error": None},
        {"message": 3},
        {"error": {"message": {"a": 1}}},
        {"a": 1},
    ],
)
def test_an_error_without_words_says_so_or_shows_what_came(value: object) -> None:
    """And nothing breaks on the way."""
    assert classify(400, {}, json.dumps(value), now_wall=NOW).message


@pytest.mark.parametrize("value", [{"code": 429}, {"code": "429"}, {"status_code": 429}])
def test_a_stream_s_error_has_its_status_in_a_field(value: dict[str, object]) -> None:
    """As a number or as text."""
    found = classify_stream_error(json.dumps({"error": {"message": "slow down", **value}}), now_wall=NOW)
    assert (found.kind, found.status) == (K.RATE_LIMITED, 429)


@pytest.mark.anyio
@pytest.mark.fault("B9", "B15")
@pytest.mark.parametrize("more", [{"tools": ({"type": "function", "function": {"name": "f"}},)}, {"code": True}])
async def test_json_is_asked_for_in_the_prompt_where_tools_are_open(more: dict[str, Any]) -> None:
    """Groq refuses JSON mode beside tools."""
    request = ChatRequest(messages=({"role": "user", "content": "x"},), schema={"type": "object"}, **more)
    plan = await World().engine.plan(request)
    assert {candidate.json_mode for candidate in plan.candidates} == {"prompted"}
    again = with_json_mode(with_json_mode(plan.candidates[0], "json_object"), "prompted")
    assert again.json_mode == "prompted"
    assert len([note for note in again.notes if "refused the JSON schema" in note]) == 1


def failed(kind: FailureKind, *, provider: str = "groq") -> Attempt:
    """An attempt that failed so."""
    return Attempt(provider=provider, model=GROQ_CHAT_MODELS[0], sent=True, outcome=kind.value, detail="so it is", kind=kind)


@pytest.mark.fault("C6", "B14")
@pytest.mark.parametrize(
    ("kind", "provider", "cause", "next_step"),
    [
        (K.ORGANIZATION_REFUSED, "groq", "Groq refuses this organization", "Do not call again; tell the user"),
        (K.NO_CREDIT, "groq", "Groq requires payment", "credit and billing at Groq"),
        (K.NO_CREDIT, "openrouter", "the provider openrouter requires payment", "billing at the provider openrouter"),
    ],
)
def test_what_only_a_person_can_mend_is_never_a_wait(kind: FailureKind, provider: str, cause: str, next_step: str) -> None:
    """Whatever pause the model was given."""
    found = final_error(
        attempts=[failed(kind, provider=provider)],
        exclusions=(),
        last=Failure(kind=kind, message="so it is"),
        least_wait_s=300.0,
        out_of_time=False,
        deadline_s=50.0,
    )
    assert (found.code, found.retry_after_s) == ("account_refused", None)
    assert cause in found.cause
    assert next_step in found.next_step


@pytest.mark.fault("B28")
@pytest.mark.parametrize(
    ("kind", "provider", "words"),
    [
        (K.AUTHENTICATION, "groq", "Groq refused the API key (401)"),
        (K.AUTHENTICATION, "openrouter", "the provider openrouter refused the API key"),
        (K.ORGANIZATION_REFUSED, "groq", "Groq refuses this organization"),
        (K.NO_CREDIT, "openrouter", "the provider openrouter requires payment"),
        (K.RATE_LIMITED, "groq", None),
    ],
)
def test_what_refuses_every_call_has_words_of_its_own(kind: FailureKind, provider: str, words: str | None) -> None:
    """The same in each command."""
    assert refusal(kind, provider) == words


@pytest.mark.fault("A8")
def test_a_filtered_answer_is_told_and_not_asked_for_again() -> None:
    """The same words would be filtered again."""
    filtered = Failure(kind=K.CONTENT_FILTERED, message="the provider's content filter withheld the answer")
    assert judge(filtered, times_tried=1, alternative=True, jitter=0.0) == Abort()
    found = final_error(
        attempts=[failed(K.CONTENT_FILTERED)],
        exclusions=(),
        last=filtered,
        least_wait_s=0.0,
        out_of_time=False,
        deadline_s=50.0,
    )
    assert (found.code, found.retry_after_s) == ("content_filtered", None)
    assert "Rephrase" in found.next_step
