"""The engine with simulated providers behind a simulated Groq, or alone; in this process and on any clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx2
from starlette.applications import Starlette

from groq_fallback_mcp.catalog import Plan, load_catalog
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.fallback import CallTimeouts, FallbackEngine
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.providers.endpoints import endpoint_models, endpoint_of
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.providers.registry import ProviderRegistry
from groq_fallback_mcp.quota import Ledger, memory_ledger
from groq_fallback_mcp.settings import EndpointSettings
from groq_fallback_mcp.simulator import SimulatorOptions, create_app
from groq_fallback_mcp.simulator.generation import TextEngine
from groq_fallback_mcp.simulator.other_providers import ProviderOptions, base_path, create_provider_app

__all__ = ["CATALOG", "GROQ_PATH", "KEY", "SimulatedProviders"]

CATALOG = load_catalog()
GROQ_PATH = "/openai/v1"
KEY = "gsk_simulated"


class SimulatedProviders:
    """Providers by name, each behind its strict stand-in; `apps[name].state.provider` shows what it saw."""

    def __init__(
        self,
        *names: str,
        clock: Clock,
        ledger: Ledger | None = None,
        options: Mapping[str, ProviderOptions] | None = None,
        groq: SimulatorOptions | None = None,
        prefer: tuple[str, ...] = ("groq", "local", "free", "paid"),
        timeouts: CallTimeouts | None = None,
        apps: Mapping[str, Starlette] | None = None,
        models: Mapping[str, Mapping[str, str]] | None = None,
        text_engine: TextEngine | None = None,
        jitter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.clock = clock
        self.apps: dict[str, Starlette] = dict(apps or {})
        self.providers: dict[str, OpenAICompatible] = {}
        offers: list[ProviderModels] = []
        if groq is not None:
            if "groq" not in self.apps:
                self.apps["groq"] = create_app(groq, catalog=CATALOG, clock=self.clock, text_engine=text_engine)
            self.providers["groq"] = self._provider("groq", GROQ_PATH, row=None)
            offers.append(_groq(groq.plan))
        for name in names:
            row, chosen = CATALOG.providers[name], (options or {}).get(name, ProviderOptions())
            if name not in self.apps:
                self.apps[name] = create_provider_app(name, chosen, catalog=CATALOG, clock=self.clock, text_engine=text_engine)
            self.providers[name] = self._provider(name, base_path(row.base_url), row=row)
            given = EndpointSettings(name=name, preset=name, plan=chosen.plan, models=(models or {}).get(name, {}))
            offers.append(endpoint_models(endpoint_of(given, CATALOG), CATALOG))
        self.offers = {offer.name: offer for offer in offers}
        registry: Any = ProviderRegistry(
            providers=self.providers, models=offers, organizations={}, clock=self.clock, groq=None, cataloged=CATALOG.models
        )
        self.ledger = ledger or memory_ledger(self.clock)
        self.engine = FallbackEngine(
            catalog=CATALOG,
            registry=registry,
            ledger=self.ledger,
            clock=self.clock,
            timeouts=timeouts or CallTimeouts(),
            jitter=jitter,
            prefer=prefer,
        )

    def calls(self, name: str) -> dict[str, int]:
        """How often a provider answered with each status, all models together."""
        found: dict[str, int] = {}
        world = self.apps[name].state.world if name == "groq" else self.apps[name].state.provider
        for counts in world.calls.values():
            for status, count in counts.items():
                found[status] = found.get(status, 0) + count
        return found

    def _provider(self, name: str, path: str, *, row: Any) -> OpenAICompatible:
        return OpenAICompatible(
            name,
            base_url=f"http://simulated.test{path}",
            key=KEY,
            clock=self.clock,
            groq=name == "groq",
            row=row,
            transport=httpx2.ASGITransport(app=self.apps[name]),
        )


def _groq(plan: Plan) -> ProviderModels:
    models = {
        row.id: ProviderModel(row=row, wire_model=row.id, documented=CATALOG.limits(row.id, plan))
        for row in CATALOG.models.values()
    }
    return ProviderModels(name="groq", models=models, cataloged=True)
