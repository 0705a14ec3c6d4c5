"""What a model costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from groq_fallback_mcp.call import Usage

__all__ = ["FREE", "Price"]

Usd = Annotated[Decimal, Field(ge=0)]


class Price(BaseModel):
    """US dollars, in the unit the name says. What is not sold that way is absent.

    `cached_input_usd_per_mtok` is for the part of the prompt that the provider had in its cache; without it, cached input
    costs as much as any other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_usd_per_mtok: Usd | None = None
    cached_input_usd_per_mtok: Usd | None = None
    output_usd_per_mtok: Usd | None = None
    audio_usd_per_hour: Usd | None = None
    speech_usd_per_mchar: Usd | None = None

    def cost_usd(self, usage: Usage) -> Decimal | None:
        """What a call cost; None where what it used has no price."""
        if self.audio_usd_per_hour is not None:
            return Decimal(str(usage.audio_s)) * self.audio_usd_per_hour / 3600
        if self.speech_usd_per_mchar is not None:
            return usage.characters * self.speech_usd_per_mchar / 1_000_000
        if self.input_usd_per_mtok is None or self.output_usd_per_mtok is None:
            return None
        cached_price = self.input_usd_per_mtok if self.cached_input_usd_per_mtok is None else self.cached_input_usd_per_mtok
        cached = min(usage.cached_tokens, usage.input_tokens)
        prompt = (usage.input_tokens - cached) * self.input_usd_per_mtok + cached * cached_price
        return (prompt + usage.output_tokens * self.output_usd_per_mtok) / 1_000_000


FREE = Price(input_usd_per_mtok=Decimal(0), output_usd_per_mtok=Decimal(0))
