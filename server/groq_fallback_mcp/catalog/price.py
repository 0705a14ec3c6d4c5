"""What a model costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Price"]

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
