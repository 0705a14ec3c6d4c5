"""Questions the rest of the project asks of the catalog. Pure look-ups; the date is always an argument."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from groq_fallback_mcp.call import Limit, Usage
from groq_fallback_mcp.catalog.provider_rows import ProviderRow
from groq_fallback_mcp.catalog.schema import (
    Advice,
    Endpoint,
    ErrorCodeRow,
    ErrorRow,
    HeaderRow,
    Kind,
    LimitRow,
    ModelRow,
    Plan,
    Practice,
    Sdk,
    Shutdown,
    SourceRow,
    Stage,
)

__all__ = ["Catalog"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The catalog with any overlay already laid over it.

    `limit_rows` keeps every row, older ones too; `limits` answers with the newest for a model and plan. Where an
    overlay states limits of a model on a plan, its row is the only one.
    """

    sources: Mapping[str, SourceRow]
    models: Mapping[str, ModelRow]
    shutdowns: Mapping[str, Shutdown]
    limit_rows: Sequence[LimitRow]
    practices: Mapping[str, Practice]
    advice: Sequence[Advice]
    headers: Sequence[HeaderRow]
    errors: Sequence[ErrorRow]
    endpoints: Sequence[Endpoint]
    sdks: Sequence[Sdk]
    error_codes: Sequence[ErrorCodeRow] = ()
    providers: Mapping[str, ProviderRow] = field(default_factory=dict[str, ProviderRow])

    def stage(self, model: str, on: date) -> Stage | None:
        """The stage of `model` on a day; None for a model the catalog does not know."""
        shutdown = self.shutdowns.get(model)
        if shutdown is not None and shutdown.on <= on:
            return Stage.RETIRED
        row = self.models.get(model)
        return None if row is None else row.stage

    def successor(self, model: str, on: date) -> str | None:
        """The first model down the line of successors that still answers on that day; None when the line ends."""
        seen = {model}
        current = model
        while (shutdown := self.shutdowns.get(current)) is not None and shutdown.on <= on:
            if shutdown.successor is None or shutdown.successor in seen:
                return None
            current = shutdown.successor
            seen.add(current)
        return None if current == model else current

    def limits(self, model: str, plan: Plan) -> Mapping[Limit, int]:
        """The documented limits of a model on a plan; empty when none are known."""
        row = self._newest_limits(model, plan)
        return {} if row is None else row.figures()

    def upload_mb(self, model: str, plan: Plan) -> int | None:
        """The largest audio file in MB that a model takes on a plan; None when not known."""
        row = self._newest_limits(model, plan)
        return None if row is None else row.upload_mb

    def by_kind(self, *kinds: Kind) -> Iterator[ModelRow]:
        """The models of these kinds, in the catalog's order."""
        return (row for row in self.models.values() if row.kind in kinds)

    def cost_usd(self, model: str, usage: Usage) -> Decimal | None:
        """What a call cost at the catalog's price; None where no price is known."""
        row = self.models.get(model)
        return None if row is None else row.price.cost_usd(usage)

    def _newest_limits(self, model: str, plan: Plan) -> LimitRow | None:
        rows = [row for row in self.limit_rows if row.model == model and row.plan == plan]
        return max(rows, key=lambda row: row.checked, default=None)
