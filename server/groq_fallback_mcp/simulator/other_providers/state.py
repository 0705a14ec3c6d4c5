"""The state of a running stand-in for one provider."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import ProviderModelRow, ProviderRow
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.simulator.generation import TextEngine
from groq_fallback_mcp.simulator.other_providers.limits import ProviderLimits

__all__ = ["Planned", "ProviderOptions", "ProviderState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a model does instead of answering: an error of the catalog by its status, `cut` or `hang`; so many times, None for ever."""

    kind: str
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOptions:
    """`plan` is the catalog's first unless named. `limits` replace its figures, by model on the wire or pool.

    `window`: what a server on this machine has loaded its model with. `faults` by model on the wire, or `*`. `calls_a_day`: after so many
    calls the day's allowance is spent, where the provider measures it in units that no client knows. `refused_keys` get its 401 or 400.
    """

    plan: str | None = None
    limits: Mapping[str, Mapping[Limit, int]] = field(default_factory=dict[str, Mapping[Limit, int]])
    window: int = 32_768
    loaded: str | None = None
    faults: Mapping[str, Sequence[Planned]] = field(default_factory=dict[str, Sequence[Planned]])
    calls_a_day: int | None = None
    refused_keys: frozenset[str] = frozenset()
    seconds: float = 0.0
    """How long an answer takes."""


@dataclass(slots=True)
class ProviderState:
    """One provider with its accounts. `seen` are the bodies it was sent, the newest last."""

    row: ProviderRow
    options: ProviderOptions
    clock: Clock
    text: TextEngine
    limits: ProviderLimits
    calls: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    signatures: set[str] = field(default_factory=set[str])
    """Those it gave out with tool calls."""
    faults: dict[str, list[Planned]] = field(default_factory=dict[str, list[Planned]])
    served: int = 0
    seen: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    @property
    def models(self) -> Sequence[ProviderModelRow]:
        """The models it serves."""
        return self.row.models

    def count(self, model: str, outcome: str) -> None:
        """Count a call."""
        self.calls.setdefault(model, Counter())[outcome] += 1

    def next_fault(self, model: str) -> Planned | None:
        """The fault that a call meets, counted down."""
        for name in (model, "*"):
            waiting = self.faults.get(name, [])
            while waiting and waiting[0].count == 0:
                waiting.pop(0)
            if waiting:
                fault = waiting[0]
                if fault.count is not None:
                    waiting[0] = Planned(kind=fault.kind, count=fault.count - 1)
                return fault
        return None
