"""What is shown, of what is known: one value for every view."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import pytest

from groq_fallback_mcp.call import AttemptRecord, CallOrigin, CallRecord, CallUnderWay, Limit
from groq_fallback_mcp.catalog.drift import Drift
from groq_fallback_mcp.dashboard.overview import DAYS, MOST_CALLS, MOST_GROUPS, Facts, hours_before, overview, sums_of
from groq_fallback_mcp.quota.history import SECONDS_BOUNDS, CallTotals, HourTotals, ModelTotals
from groq_fallback_mcp.tools.check_limits import CheckLimitsResult, LimitEntry, ModelDetails, Spending

AT = datetime(2026, 11, 29, 21, 30, tzinfo=UTC).timestamp()
SPENT = Spending(day="2026-11-29", calls=0, tokens=0, usd="0", unpriced_calls=0)


def limits(*models: ModelDetails, degraded: str | None = None, spent: Spending = SPENT) -> CheckLimitsResult:
    """What check_limits says."""
    return CheckLimitsResult(tokens=1_500, store="sqlite", place="/state", degraded=degraded, spent=spent, models=models)


def model(name: str = "m1", *entries: LimitEntry, **fields: object) -> ModelDetails:
    """A model's limits."""
    return ModelDetails(model=name, provider="groq", in_flight=0, limits=entries, **fields)  # type: ignore[arg-type]


def counts(**at: int) -> tuple[int, ...]:
    """A histogram with counts at indices, as `at_3=2`."""
    places = {int(name.removeprefix("at_")): count for name, count in at.items()}
    return tuple(places.get(index, 0) for index in range(len(SECONDS_BOUNDS)))


def test_with_nothing_known_every_section_is_there_and_empty() -> None:
    """A view need not look for what may be missing."""
    shown = overview(Facts(at=AT, limits=limits()))
    assert set(asdict(shown)) == {"now", "calls", "cost", "health"}
    assert (shown.now.models, shown.now.under_way, shown.calls.calls, shown.health.models) == ([], [], [], [])
    assert [(day.name, day.calls) for day in shown.cost.days][-1] == ("2026-11-29", 0)
    assert len(shown.cost.days) == DAYS
    assert shown.health.drift is None
    json.dumps(asdict(shown))


def test_a_degraded_ledger_shows_in_what_is_now_and_in_health() -> None:
    """It is said where one looks first, and where one looks for it."""
    shown = overview(Facts(at=AT, limits=limits(degraded="disk full")))
    assert (shown.now.degraded, shown.health.degraded) == ("disk full", "disk full")


def test_a_limit_has_what_is_left_of_it_and_when_it_is_full() -> None:
    """What a server took that was not seen does not show as less than nothing."""
    entry = LimitEntry(limit=Limit.TPM, capacity=8_000, level=-20, refill_per_s=133, full_in_s=60.1, knowledge="observed")
    shown = overview(Facts(at=AT, limits=limits(model("m1", entry, next_call_in_s=11.0, blocked_by="rate limited"))))
    (of_model,) = shown.now.models
    assert (of_model.model, of_model.available, of_model.next_call_in_s) == ("groq/m1", True, 11.0)
    (limit,) = of_model.limits
    assert (limit.name, limit.level, limit.capacity, limit.full_in_s) == ("tokens per minute", 0.0, 8_000, 60.1)


def test_a_call_shows_who_made_it_and_each_model_that_was_tried() -> None:
    """The newest is first, of a bounded number."""
    attempts = (
        AttemptRecord(provider="groq", model="m1", outcome="rate_limited", status=429, duration_s=0.1),
        AttemptRecord(provider="groq", model="m2", outcome="answered", begun_s=0.1, duration_s=0.6, first_token_s=0.15),
    )
    origin = CallOrigin(client="kilo", caller="ann", endpoint="/v1/messages")
    calls = [
        CallRecord(id=str(number), started_at=AT - number, origin=origin, provider="groq", model="m2", attempts=attempts)
        for number in range(MOST_CALLS + 1)
    ]
    shown = overview(Facts(at=AT, limits=limits(), calls=calls)).calls
    assert ([call.id for call in shown.calls[:2]], len(shown.calls), shown.more) == (["0", "1"], MOST_CALLS, True)
    first = shown.calls[0]
    assert (first.client, first.model, [one.model for one in first.attempts]) == (
        "ann · kilo",
        "groq/m2",
        ["groq/m1", "groq/m2"],
    )
    assert [one.first_token_s for one in first.attempts] == [None, 0.15]


def test_calls_under_way_show_the_oldest_first_and_their_way_in_where_no_client_is_known() -> None:
    """One that hangs stands on top."""
    calls = [
        CallUnderWay(id="new", started_at=AT, origin=CallOrigin(endpoint="command line")),
        CallUnderWay(id="old", started_at=AT - 9, origin=CallOrigin(client="kilo")),
    ]
    shown = overview(Facts(at=AT, limits=limits(), under_way=calls)).now.under_way
    assert [(call.id, call.client, call.model) for call in shown] == [("old", "kilo", ""), ("new", "command line", "")]


def test_cost_adds_up_by_day_model_and_client() -> None:
    """The dearest is first; what has no price is counted apart."""

    def totals(provider: str, client: str, picousd: int, **more: int) -> CallTotals:
        return CallTotals(provider=provider, model="m", client=client, calls=2, answered=2, picousd=picousd, **more)  # type: ignore[arg-type]

    hours = [
        HourTotals(
            hour="2026-11-28T23", calls=(totals("groq", "kilo", 10**12, saved=1), totals("local", "kilo", 0, unpriced=2))
        ),
        HourTotals(hour="2026-11-29T00", calls=(totals("groq", "cline", 3 * 10**12, input_tokens=70, output_tokens=7),)),
        HourTotals(hour="2026-11-29T21", calls=(CallTotals(calls=3, failed={"rate_limited": 2, "cancelled": 1}),)),
    ]
    spent = SPENT.model_copy(update={"usd": "3.0", "budget_usd": "2.5", "incomplete": "The ledger was damaged"})
    cost = overview(Facts(at=AT, limits=limits(spent=spent), hours=[sums_of(hour) for hour in hours])).cost
    assert [(day.name, day.usd, day.calls) for day in cost.days[-2:]] == [("2026-11-28", 1.0, 4), ("2026-11-29", 3.0, 5)]
    assert [(row.name, row.usd) for row in cost.models] == [("groq/m", 4.0), ("no model answered", 0.0), ("local/m", 0.0)]
    assert [row.name for row in cost.clients] == ["cline", "kilo", "unknown"]
    assert (cost.total.calls, cost.total.answered, cost.total.saved, cost.total.cancelled, cost.total.unpriced) == (
        9,
        6,
        1,
        1,
        2,
    )
    assert (cost.failed, cost.total.tokens) == ({"rate_limited": 2}, 77)
    assert (cost.budget.usd, cost.budget.usd_limit, cost.budget.tokens_limit) == (3.0, 2.5, None)
    assert cost.budget.incomplete == "The ledger was damaged."


def test_groups_are_bounded() -> None:
    """A client may call itself anything."""
    calls = tuple(CallTotals(client=f"client {number}", calls=1) for number in range(MOST_GROUPS + 9))
    cost = overview(Facts(at=AT, limits=limits(), hours=[sums_of(HourTotals(hour="2026-11-29T21", calls=calls))])).cost
    assert len(cost.clients) == MOST_GROUPS


@pytest.mark.parametrize(
    ("histogram", "half", "most"),
    [
        (counts(), None, None),
        (counts(at_0=1), 0.1, 0.1),
        (counts(at_0=50, at_3=45, at_9=5), 0.1, 0.5),
        (counts(at_2=1, at_15=9), 60.0, 60.0),
    ],
)
def test_a_latency_is_the_bound_within_which_a_share_came(
    histogram: Sequence[int], half: float | None, most: float | None
) -> None:
    """What took longer than all bounds shows as the last one."""
    one = ModelTotals(provider="groq", model="m", answered=1, durations=tuple(histogram), first_tokens=counts())
    (health,) = overview(
        Facts(at=AT, limits=limits(), hours=[sums_of(HourTotals(hour="2026-11-29T20", models=(one,)))])
    ).health.models
    assert (health.whole.half_s, health.whole.most_s, health.first_token.half_s) == (half, most, None)


def test_health_is_of_the_last_day_and_blames_no_model_for_what_a_client_cancelled() -> None:
    """A model that is cooling down is there though it was not called."""
    hours = [
        HourTotals(hour="2026-11-28T21", models=(ModelTotals(provider="groq", model="old", answered=5),)),
        HourTotals(
            hour="2026-11-28T22", models=(ModelTotals(provider="groq", model="m", answered=1, failed={"cancelled": 2}),)
        ),
        HourTotals(hour="2026-11-29T21", models=(ModelTotals(provider="groq", model="m", failed={"timed_out": 3}),)),
    ]
    cooling = model("m9", cooldown_s=30.0, cooldown_reason="unavailable")
    health = overview(Facts(at=AT, limits=limits(cooling, model("idle")), hours=[sums_of(hour) for hour in hours])).health
    assert [(one.model, one.sent, dict(one.failed)) for one in health.models] == [
        ("groq/m", 6, {"timed_out": 3}),
        ("groq/m9", 0, {}),
    ]
    assert (health.models[1].cooldown_s, health.models[1].cooldown_reason) == (30.0, "unavailable")


def test_drift_is_none_where_nothing_is_known_and_empty_where_both_agree() -> None:
    """So that nobody takes the one for the other."""
    agreed = overview(Facts(at=AT, limits=limits(), drift=Drift(shut_down={}))).health.drift
    differs = overview(Facts(at=AT, limits=limits(), drift=Drift(unknown=("new",), shut_down={}))).health.drift
    assert (agreed, differs) == ({}, {"live but not in the catalog": ("new",)})


def test_an_update_of_the_catalog_is_advised_only_where_it_has_something_to_write() -> None:
    """A model that outlives its last day is used all the same."""
    found = (
        Drift(unknown=("new",), shut_down={}),
        Drift(not_live=("old",), shut_down={}),
        Drift(still_live=("old",), shut_down={}),
    )
    healths = [overview(Facts(at=AT, limits=limits(), drift=one)).health for one in (None, *found)]
    assert [health.catalog_update for health in healths] == [False, True, True, False]


def test_the_hours_are_those_of_whole_days_of_utc() -> None:
    """The last is the one that has begun."""
    hours = hours_before(AT)
    assert (hours[0], hours[-1], len(hours)) == ("2026-11-16T00", "2026-11-29T21", (DAYS - 1) * 24 + 22)
