"""What calls cost: money in whole picodollars, so that sums are exact in every store, and totals per day and model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, Decimal

__all__ = [
    "OF_TOKEN",
    "REOPENING",
    "REOPEN_BUDGET",
    "UNCHECKED_BUDGET",
    "UNKNOWN_PRICE",
    "UNKNOWN_SPENDING",
    "ZERO_SPEND",
    "Budget",
    "DayTotals",
    "Spend",
    "picodollars",
    "usd",
]

PICO = Decimal(10) ** 12
REOPEN_BUDGET = "groq-fallback-mcp limits --reopen-budget"
UNKNOWN_SPENDING = (
    "the ledger was damaged and today's spending is unknown, so the daily budget counts as used up until midnight UTC"
)
REOPENING = f"Run `{REOPEN_BUDGET}` to count today's unknown spending as nothing, or wait for midnight UTC"
UNCHECKED_BUDGET = "the budget cannot be checked while the quota store cannot be used"
UNKNOWN_PRICE = "its price is unknown"
# How the objection of a gateway token's own budget begins.
OF_TOKEN = "the gateway token "  # noqa: S105 - words


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """The cost of a call, or the most it can cost. `picousd` is None where no price is known."""

    input_tokens: int = 0
    output_tokens: int = 0
    audio_s: float = 0.0
    picousd: int | None = 0

    @property
    def tokens(self) -> int:
        """All tokens, as a budget counts them."""
        return self.input_tokens + self.output_tokens


ZERO_SPEND = Spend()


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What one model took in a day. `unpriced_calls` are those whose cost is not known."""

    calls: int = 0
    unpriced_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    audio_s: float = 0.0
    picousd: int = 0

    def plus(self, spent: Spend) -> Total:
        """The total with one more call."""
        return Total(
            calls=self.calls + 1,
            unpriced_calls=self.unpriced_calls + (spent.picousd is None),
            input_tokens=self.input_tokens + spent.input_tokens,
            output_tokens=self.output_tokens + spent.output_tokens,
            audio_s=self.audio_s + spent.audio_s,
            picousd=self.picousd + (spent.picousd or 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTotals:
    """A day's totals by `provider/model`, and what calls under way may still cost.

    `losses`: how often what was spent until then was lost with the ledger. `accepted_losses`: how many of those the user has
    chosen to count as nothing. `refused`: calls that limits or budgets refused, where these are the totals of one caller.
    """

    models: Mapping[str, Total] = field(default_factory=dict[str, Total])
    held_tokens: int = 0
    held_picousd: int = 0
    losses: int = 0
    accepted_losses: int = 0
    refused: int = 0

    @property
    def calls(self) -> int:
        """All calls that were answered."""
        return sum(total.calls for total in self.models.values())

    @property
    def unknown(self) -> bool:
        """Whether more was spent than is known here."""
        return self.losses > self.accepted_losses

    @property
    def tokens(self) -> int:
        """All tokens spent."""
        return sum(total.input_tokens + total.output_tokens for total in self.models.values())

    @property
    def picousd(self) -> int:
        """All money spent."""
        return sum(total.picousd for total in self.models.values())

    def holding(self, spend: Spend, sign: int = 1) -> DayTotals:
        """The totals with a call under way more, or less."""
        return replace(
            self,
            held_tokens=max(self.held_tokens + sign * spend.tokens, 0),
            held_picousd=max(self.held_picousd + sign * (spend.picousd or 0), 0),
        )

    def plus(self, model: str, spent: Spend) -> DayTotals:
        """The totals with a finished call."""
        return replace(self, models={**self.models, model: self.models.get(model, Total()).plus(spent)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that may be spent in a UTC day; None where there is no bound."""

    tokens: int | None = None
    picousd: int | None = None

    @property
    def bounded(self) -> bool:
        """Whether there is anything to hold to."""
        return self.tokens is not None or self.picousd is not None

    def objection(self, totals: DayTotals, spend: Spend, *, token: str | None = None) -> str | None:
        """Why a call that may cost `spend` is not sent, in words for people; None when it may be.

        Calls under way count with the most they can cost, so that no number of processes spends more than the budget.
        `token` is the name of the gateway token whose budget it is, None for everybody's.
        """
        if spend == ZERO_SPEND or not self.bounded:
            return None
        if totals.unknown:
            return UNKNOWN_SPENDING
        return self._tokens_objection(totals, spend, token) or self._price_objection(totals, spend, token)

    def _tokens_objection(self, totals: DayTotals, spend: Spend, token: str | None) -> str | None:
        if self.tokens is None:
            return None
        left = self.tokens - totals.tokens - totals.held_tokens
        if spend.tokens <= left:
            return None
        return _exceeded(token, f"{self.tokens} tokens", str(max(left, 0)), f"use {spend.tokens}")

    def _price_objection(self, totals: DayTotals, spend: Spend, token: str | None) -> str | None:
        if self.picousd is None:
            return None
        if spend.picousd is None:
            whose = "a budget in USD is set" if token is None else f"{OF_TOKEN}{token} has a budget in USD"
            return f"{UNKNOWN_PRICE} and {whose}"
        left = self.picousd - totals.picousd - totals.held_picousd
        if spend.picousd <= left:
            return None
        return _exceeded(token, f"{usd(self.picousd)} USD", str(usd(max(left, 0))), f"cost {usd(spend.picousd)}")


def _exceeded(token: str | None, budget: str, left: str, could: str) -> str:
    if token is None:
        return f"the daily budget of {budget} has {left} left and this call could {could}"
    return f"{OF_TOKEN}{token} has {left} of its daily budget of {budget} left until midnight UTC and this call could {could}"


def picodollars(amount: Decimal) -> int:
    """US dollars in whole picodollars, rounded up."""
    return int((amount * PICO).to_integral_value(rounding=ROUND_CEILING))


def usd(picousd: int) -> Decimal:
    """Picodollars as US dollars, with six decimals."""
    return (Decimal(picousd) / PICO).quantize(Decimal("0.000001"))
