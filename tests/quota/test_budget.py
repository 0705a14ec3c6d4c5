"""Money in whole picodollars, totals by day and model, and budgets that cannot be exceeded."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.quota.budget import (
    UNKNOWN_SPENDING,
    ZERO_SPEND,
    Budget,
    DayTotals,
    Spend,
    Total,
    picodollars,
    usd,
)

spends = st.builds(
    Spend, input_tokens=st.integers(0, 10**6), output_tokens=st.integers(0, 10**6), picousd=st.integers(0, 10**13)
)


def test_money_is_rounded_up_to_picodollars_and_shown_in_microdollars() -> None:
    """A token of gpt-oss-20b costs 75,000 picodollars."""
    assert picodollars(Decimal("0.075") / 1_000_000) == 75_000
    assert picodollars(Decimal("0.04") / 3600) == 11_111_112
    assert usd(1_234_567_890_000) == Decimal("1.234568")


def test_totals_add_up_by_model_and_calls_without_a_price_are_counted_apart() -> None:
    """Tokens count in any case."""
    totals = DayTotals().plus("groq/a", Spend(input_tokens=1, output_tokens=2, picousd=7, audio_s=3))
    totals = totals.plus("groq/a", Spend(input_tokens=1, picousd=None)).plus("groq/b", Spend(output_tokens=5, picousd=1))
    totals = totals.plus("groq/b", Spend(picousd=1))
    assert (totals.tokens, totals.picousd, totals.calls) == (9, 9, 4)
    assert totals.models["groq/a"] == Total(calls=2, unpriced_calls=1, input_tokens=2, output_tokens=2, audio_s=3, picousd=7)
    assert totals.models["groq/b"] == Total(calls=2, output_tokens=5, picousd=2)


def test_a_call_under_way_whose_price_is_unknown_holds_its_tokens_alone() -> None:
    """What it costs cannot be known."""
    held = DayTotals().holding(Spend(input_tokens=5, picousd=None))
    assert (held.held_tokens, held.held_picousd) == (5, 0)


@pytest.mark.parametrize(
    ("budget", "spend", "objection"),
    [
        (Budget(), Spend(input_tokens=10**9, picousd=None), None),
        (Budget(tokens=100), Spend(input_tokens=40, output_tokens=10), None),
        (Budget(tokens=100), Spend(input_tokens=41, output_tokens=10), "the daily budget of 100 tokens has 50 left and this call could use 51"),
        (Budget(tokens=40), Spend(input_tokens=1), "the daily budget of 40 tokens has 0 left and this call could use 1"),
        (Budget(picousd=10**12), Spend(picousd=5 * 10**11), None),
        (Budget(picousd=10**12), Spend(picousd=6 * 10**11), "the daily budget of 1.000000 USD has 0.500000 left and this call could cost 0.600000"),
        (Budget(picousd=10**12), Spend(input_tokens=1, picousd=None), "its price is unknown and a budget in USD is set"),
        (Budget(tokens=0, picousd=0), ZERO_SPEND, None),
    ],
)  # fmt: skip
def test_a_budget_objects_to_what_might_exceed_it(budget: Budget, spend: Spend, objection: str | None) -> None:
    """With what is spent and what calls under way may still cost; what costs nothing is never refused."""
    spent = Spend(input_tokens=30, picousd=3 * 10**11)
    totals = DayTotals().plus("groq/a", spent).holding(Spend(output_tokens=20, picousd=2 * 10**11))
    assert budget.objection(totals, spend) == objection
    assert budget.bounded == (budget != Budget())


@pytest.mark.parametrize(
    ("budget", "spend", "objection"),
    [
        (Budget(tokens=100), Spend(input_tokens=60), "the gateway token ann has 50 of its daily budget of 100 tokens left until midnight UTC and this call could use 60"),
        (Budget(picousd=10**12), Spend(picousd=10**12), "the gateway token ann has 0.700000 of its daily budget of 1.000000 USD left until midnight UTC and this call could cost 1.000000"),
        (Budget(picousd=10**12), Spend(input_tokens=1, picousd=None), "its price is unknown and the gateway token ann has a budget in USD"),
        (Budget(tokens=100), Spend(input_tokens=50), None),
    ],
)  # fmt: skip
def test_the_budget_of_a_token_objects_in_its_name(budget: Budget, spend: Spend, objection: str | None) -> None:
    """And says when it starts again."""
    totals = DayTotals().plus("groq/a", Spend(input_tokens=50, picousd=3 * 10**11))
    assert budget.objection(totals, spend, token="ann") == objection
    assert totals.calls == 1


@pytest.mark.fault("B8")
def test_a_day_whose_spending_is_not_known_has_no_budget_left() -> None:
    """Where there is one: what was lost may have been all of it."""
    lost, some = DayTotals(losses=1), Spend(input_tokens=1)
    assert Budget(tokens=10).objection(lost, some) == UNKNOWN_SPENDING
    assert Budget(tokens=10).objection(DayTotals(losses=1, accepted_losses=1), some) is None
    assert Budget().objection(lost, some) is None
    assert Budget(tokens=10).objection(lost, ZERO_SPEND) is None


@given(st.integers(0, 10**6), st.integers(0, 10**13), st.lists(st.tuples(spends, st.floats(0, 1)), max_size=20))
def test_whoever_asks_first_never_spends_more_than_the_budget(
    tokens: int, picousd: int, calls: list[tuple[Spend, float]]
) -> None:
    """Calls cost at most what they were held for."""
    budget, totals = Budget(tokens=tokens, picousd=picousd), DayTotals()
    for most, share in calls:
        if budget.objection(totals, most) is not None:
            continue
        totals = totals.holding(most)
        assert most.picousd is not None
        spent = Spend(
            input_tokens=int(most.input_tokens * share),
            output_tokens=int(most.output_tokens * share),
            picousd=int(most.picousd * share),
        )
        totals = totals.holding(most, -1).plus("m", spent)
    assert totals.tokens <= tokens
    assert totals.picousd <= picousd
    assert (totals.held_tokens, totals.held_picousd) == (0, 0)
