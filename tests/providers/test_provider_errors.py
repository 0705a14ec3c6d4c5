"""The catalog's rows of errors and headers, each played as its provider sends it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any, Literal

import pytest

from groq_fallback_mcp.call import FailureKind, Limit, LimitReading
from groq_fallback_mcp.catalog import LimitHeader, ProviderError, ProviderRow, load_catalog
from groq_fallback_mcp.durations import seconds_until_day_ends
from groq_fallback_mcp.providers.classify import classify, classify_stream_error
from groq_fallback_mcp.providers.error_body import read_error
from groq_fallback_mcp.providers.rate_limit_headers import snapshot

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC).timestamp()
PROVIDERS = load_catalog().providers
ERRORS = [(row, error) for row in PROVIDERS.values() for error in row.errors]


def tells_its_status(row: ProviderError) -> bool:
    """Whether the body of an error says what its status is, or has a code that only one status has."""
    body = read_error(row.example, now_wall=0.0)
    return body.status == row.status or (row.code is not None and row.code.lower() in body.codes)


IN_A_200 = [(row, error) for row, error in ERRORS if tells_its_status(error)]
HEADERS = [(row, header) for row in PROVIDERS.values() for header in row.headers]
GEMINI = PROVIDERS["gemini"]


def example(provider: str, meaning: str) -> ProviderError:
    """The row whose meaning begins so."""
    return next(error for error in PROVIDERS[provider].errors if error.meaning.startswith(meaning))


@pytest.mark.parametrize(("row", "error"), ERRORS, ids=[f"{row.name}-{error.meaning}" for row, error in ERRORS])
def test_every_known_error_is_told_by_its_example(row: ProviderRow, error: ProviderError) -> None:
    """Its kind, who is out of the running, and until when."""
    found = classify(error.status, error.headers, error.example, now_wall=NOW, sender=row)

    assert (found.kind, found.scope) == (error.kind, error.scope)
    assert found.message
    assert not found.message.startswith("HTTP ")
    if error.wait == "none":
        assert found.retry_after_s is None
    elif error.wait == "day":
        assert found.retry_after_s == seconds_until_day_ends(row.day_ends, NOW)
    elif error.kind is FailureKind.RATE_LIMITED:
        assert found.retry_after_s


@pytest.mark.parametrize(("row", "error"), IN_A_200, ids=[f"{row.name}-{error.meaning}" for row, error in IN_A_200])
def test_an_error_inside_a_200_is_the_same_where_its_body_tells_which(row: ProviderRow, error: ProviderError) -> None:
    """Routers send them so once an answer has begun."""
    found = classify_stream_error(error.example, now_wall=NOW, sender=row)

    assert (found.kind, found.scope) == (error.kind, error.scope)


@pytest.mark.parametrize(("row", "header"), HEADERS, ids=[f"{row.name}-{header.capacity}" for row, header in HEADERS])
def test_every_known_header_is_read(row: ProviderRow, header: LimitHeader) -> None:
    """Its figures, and when the limit begins again where nothing is left."""
    limit = header.limit or Limit.RPM
    reset_s = seconds_until_day_ends(row.day_ends, NOW) if limit is Limit.RPD else 40.0
    given = {header.capacity: "100", header.remaining: "0", header.reset: f"{reset_s:.0f}"}
    headers = {name: value for name, value in given.items() if name is not None}
    remaining = None if header.remaining is None else 0.0

    found = classify(429, headers, '{"error": {"message": "slow down"}}', now_wall=NOW, sender=row)

    assert found.quota.readings == (LimitReading(limit=limit, capacity=100, remaining=remaining),)
    assert found.retry_after_s == (reset_s if header.reset else 60.0)


def test_what_sources_disagree_about_decides_nothing() -> None:
    """The provider's own answer does, as for everybody."""
    row = PROVIDERS["deepseek"]
    doubted = row.model_copy(update={"errors": tuple(error.model_copy(update={"uncertain": "x"}) for error in row.errors)})

    found = classify(422, {}, row.errors[1].example, now_wall=NOW, sender=doubted)

    assert row.errors[1].status == 422
    assert found == classify(422, {}, row.errors[1].example, now_wall=NOW, sender=None)


def test_gemini_s_limits_are_learned_from_the_refusal_that_names_them() -> None:
    """Google publishes none for a model and a plan."""
    per_day = classify(429, {}, example("gemini", "The requests of this day").example, now_wall=NOW, sender=GEMINI)
    per_minute = classify(429, {}, example("gemini", "A limit per minute").example, now_wall=NOW, sender=GEMINI)

    assert per_day.quota.readings == (LimitReading(limit=Limit.RPD, capacity=500, remaining=0),)
    assert per_minute.quota.readings == (LimitReading(limit=Limit.RPM, capacity=15, remaining=0),)
    assert per_minute.retry_after_s == pytest.approx(17.0)


def violations(*named: tuple[str, str]) -> str:
    """A refusal by Gemini for these quotas."""
    rows = [{"quotaId": id_, "quotaValue": value} for id_, value in named]
    return json.dumps([{"error": {"code": 429, "message": "You exceeded it", "details": [{"violations": rows}]}}])


def test_every_quota_of_one_refusal_is_read_and_tokens_are_those_of_the_input() -> None:
    """A refusal may name several."""
    body = violations(
        ("GenerateContentInputTokensPerModelPerMinute-FreeTier", "250000"),
        ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "0"),
        ("SomethingElsePerMonth", "7"),
        ("GenerateRequestsPerMinutePerProjectPerModel", "many"),
        ("", "5"),
    )

    found = classify(429, {}, body, now_wall=NOW, sender=GEMINI)

    assert found.quota.readings == (LimitReading(limit=Limit.ITPM, capacity=250_000, remaining=0),)


def test_an_endpoint_by_address_alone_waits_for_google_s_midnight_too() -> None:
    """Only Google names quotas by id, and its seconds to wait do not hold for a day."""
    body = violations(("GenerateRequestsPerDayPerProjectPerModel", "20"))

    found = classify(429, {"retry-after": "30"}, body, now_wall=NOW, sender=None)

    assert found.retry_after_s == seconds_until_day_ends("America/Los_Angeles", NOW) == 20 * 3600


@pytest.mark.parametrize(
    ("message", "seconds"),
    [("You exceeded your requests per day", 12 * 3600), ("Too many requests", 60), ("Try again in 7 seconds", 7)],
)
def test_a_refusal_of_another_provider_without_a_wait_is_for_a_minute_or_the_day(message: str, seconds: float) -> None:
    """Ten seconds, as at Groq, would be five refusals a minute."""
    body = json.dumps({"error": {"message": message}})

    assert classify(429, {}, body, now_wall=NOW, sender=None).retry_after_s == seconds


@pytest.mark.parametrize(
    ("sender", "seconds"),
    [(GEMINI, 20 * 3600), (PROVIDERS["mistral"], 12 * 3600), (None, 12 * 3600)],
    ids=["gemini", "mistral", "unknown"],
)
def test_a_limit_per_day_is_waited_for_until_the_provider_s_own_midnight(sender: ProviderRow | None, seconds: float) -> None:
    """Also where no quota is named by its id."""
    body = json.dumps({"error": {"message": "You exceeded your requests per day"}})

    assert classify(429, {}, body, now_wall=NOW, sender=sender).retry_after_s == seconds


@pytest.mark.parametrize(("reset", "seconds"), [(NOW + 3600, 3600), (0, 43_200)])
def test_a_day_s_limit_that_names_its_reset_is_waited_for_until_then(reset: float, seconds: float) -> None:
    """Without a reset to come, until the day ends."""
    headers = {"x-ratelimit-reset": f"{reset:.0f}"}
    body = json.dumps({"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-day"}})

    assert classify(429, headers, body, now_wall=NOW, sender=PROVIDERS["openrouter"]).retry_after_s == seconds


@pytest.mark.parametrize(
    ("status", "message", "scope"),
    [
        (429, "Rate limit exceeded: free-models-per-min", "pool"),
        (429, "Rate limit exceeded", "model"),
        (400, "Add 10 credits to raise free-models-per-day", "model"),
    ],
)
def test_the_free_models_of_a_router_by_address_alone_share_a_limit(status: int, message: str, scope: str) -> None:
    """The next one of them would be refused as well."""
    found = classify(status, {}, json.dumps({"error": {"message": message}}), now_wall=NOW, sender=None)

    assert found.scope == scope


@pytest.mark.parametrize(("sender", "seconds"), [("groq", None), (None, 7.66)])
def test_a_header_s_reset_is_a_wait_except_at_groq(sender: Literal["groq"] | None, seconds: float | None) -> None:
    """There it says when all of a limit is back; a part is back sooner."""
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7.66s"}
    body = json.dumps({"error": {"message": "Too many tokens"}})

    assert classify(429, headers, body, now_wall=NOW, sender=sender).retry_after_s == seconds


def test_the_later_of_body_and_header_is_waited_for() -> None:
    """Either may be of another limit."""
    body = json.dumps({"error": {"message": "slow", "retry_after": 46}})

    assert classify(429, {"retry-after": "10"}, body, now_wall=NOW, sender=None).retry_after_s == 46


@pytest.mark.parametrize(
    ("capacity", "remaining", "reset", "limit"),
    [
        ("60", "59", "1s", Limit.RPM),  # OpenAI: one a second comes back
        ("14400", "14399", "6s", Limit.RPD),  # Groq behind a proxy
        ("1000", "0", "6m0s", None),
        ("1000", "1000", "0s", None),
        ("1000", "999", None, None),
    ],
)
def test_requests_of_an_unknown_endpoint_are_counted_as_long_as_they_take_to_come_back(
    capacity: str, remaining: str, reset: str | None, limit: Limit | None
) -> None:
    """The same header is per day at Groq and per minute at OpenAI."""
    given = {"limit": capacity, "remaining": remaining, "reset": reset}
    headers = {f"x-ratelimit-{name}-requests": value for name, value in given.items() if value is not None}
    headers |= {"x-ratelimit-limit-tokens": "30000", "x-ratelimit-remaining-tokens": "29000"}

    readings = snapshot(headers, sender=None, now_wall=NOW).readings

    assert [reading.limit for reading in readings] == ([limit] if limit else []) + [Limit.TPM]


@pytest.mark.parametrize("before_s", [43_200.0, 3_600.0, 60.0])
def test_openrouter_s_headers_are_read_from_its_body_too(before_s: float) -> None:
    """There it says what this day's limit is, however soon the day ends."""
    error = example("openrouter", "The free requests of this day")
    day_ends = NOW + 43_200.0

    found = classify(429, {}, error.example, now_wall=day_ends - before_s, sender=PROVIDERS["openrouter"])

    assert found.quota.readings == (LimitReading(limit=Limit.RPD, capacity=50, remaining=0),)


def test_a_daily_limit_that_is_back_in_seconds_does_not_close_the_day() -> None:
    """Cerebras' requests a day come back bit by bit: only the seconds are waited for."""
    error, row = example("cerebras", "A limit on requests"), PROVIDERS["cerebras"]
    at_midnight = error.headers | {"x-ratelimit-reset-requests-day": "43200"}

    found = classify(429, error.headers, error.example, now_wall=NOW, sender=row)

    assert found.retry_after_s == pytest.approx(11.38)
    assert found.quota.readings == (LimitReading(limit=Limit.RPD, capacity=2400),)
    assert snapshot(at_midnight, sender=row, now_wall=NOW).readings[0].remaining == 0


@pytest.mark.parametrize(
    ("zone", "reset_s", "remaining"),
    [
        ("UTC", 43_200, 0),
        ("UTC", 43_080, 0),
        ("UTC", 43_079, None),
        ("America/Los_Angeles", 43_200, None),
        ("America/Los_Angeles", 72_000, 0),
    ],
)
def test_a_daily_limit_closes_the_day_when_it_begins_again_as_the_provider_s_day_ends(
    zone: str, reset_s: float, remaining: float | None
) -> None:
    """Two minutes more or less: clocks differ."""
    row = PROVIDERS["cerebras"].model_copy(update={"day_ends": zone})
    headers = {
        "x-ratelimit-limit-requests-day": "2400",
        "x-ratelimit-remaining-requests-day": "0",
        "x-ratelimit-reset-requests-day": str(reset_s),
    }

    readings = snapshot(headers, sender=row, now_wall=NOW).readings

    assert readings == (LimitReading(limit=Limit.RPD, capacity=2400, remaining=remaining),)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (410, "Gone for good", FailureKind.MODEL_GONE),
        (403, "Your plan does not include the model acme/one", FailureKind.MODEL_BLOCKED),
        (403, "Forbidden", FailureKind.ORGANIZATION_REFUSED),
        (402, "Payment required", FailureKind.NO_CREDIT),
    ],
)
def test_one_model_s_refusal_is_not_the_account_s(status: int, message: str, kind: FailureKind) -> None:
    """The others of the provider may still answer."""
    found = classify(status, {"retry-after": "5"}, json.dumps({"error": {"message": message}}), now_wall=NOW, sender=None)

    assert found.kind is kind
    if kind is FailureKind.NO_CREDIT:
        assert found.retry_after_s is None


@pytest.mark.parametrize(
    ("zone", "at", "seconds"),
    [
        ("UTC", datetime(2026, 11, 30, 23, 59, 30, tzinfo=UTC), 30.0),
        ("America/Los_Angeles", datetime(2026, 11, 30, 7, 0, tzinfo=UTC), 3600.0),
        ("America/Los_Angeles", datetime(2026, 11, 1, 7, 0, tzinfo=UTC), 25 * 3600.0),  # clocks go back
        ("America/Los_Angeles", datetime(2026, 3, 8, 8, 0, tzinfo=UTC), 23 * 3600.0),  # clocks go forward
        ("Mars/Olympus", datetime(2026, 11, 30, 23, 0, tzinfo=UTC), 3600.0),
    ],
)
def test_a_provider_s_day_ends_at_its_own_midnight(zone: str, at: datetime, seconds: float) -> None:
    """However many hours that day has."""
    assert seconds_until_day_ends(zone, at.timestamp()) == seconds


def test_every_row_of_a_provider_says_where_it_is_from() -> None:
    """An own source, or that of the provider; and no row claims to be newer than this catalog."""
    for row in PROVIDERS.values():
        parts: list[Any] = [*row.plans, *row.limits, *row.headers, *row.errors, *row.models]
        assert all(part.source in load_catalog().sources and part.checked <= date(2026, 11, 28) for part in parts), row.name
