"""Simulated providers on the clock of a test."""

from __future__ import annotations

from typing import Any

from benchmarks.providers.simulated import CATALOG
from benchmarks.providers.simulated import SimulatedProviders as OnAnyClock
from fake_clock import FakeClock

__all__ = ["NAMES", "SimulatedProviders"]

# Those that chat in the catalog; a proxy's models are those behind it.
NAMES = [name for name, row in CATALOG.providers.items() if row.models and name != "litellm"]


class SimulatedProviders(OnAnyClock):
    """See there; with a clock of its own where none is given."""

    clock: FakeClock

    def __init__(self, *names: str, clock: FakeClock | None = None, **more: Any) -> None:
        super().__init__(*names, clock=clock or FakeClock(), **more)
