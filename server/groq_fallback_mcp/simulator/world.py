"""The state of a running simulator: limits, faults still to come, and counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import Catalog, ModelRow, Stage
from groq_fallback_mcp.clock import Clock, today
from groq_fallback_mcp.simulator.batch_state import Batch, FileStore
from groq_fallback_mcp.simulator.generation import SpeechEngine, TextEngine
from groq_fallback_mcp.simulator.options import Fault, SimulatorOptions
from groq_fallback_mcp.simulator.prompt_cache import PromptCache
from groq_fallback_mcp.simulator.rate_limits import Charge, Limits
from groq_fallback_mcp.simulator.replies import ApiError
from groq_fallback_mcp.simulator.wire import Payload, table

__all__ = ["ORGANIZATION", "World"]

ORGANIZATION = "org_simulated"


@dataclass(slots=True)
class World:
    """One Groq, with its organizations."""

    options: SimulatorOptions
    catalog: Catalog
    clock: Clock
    text: TextEngine
    speech: SpeechEngine
    limits: Limits
    cache: PromptCache
    files: FileStore = field(default_factory=FileStore)
    batches: dict[str, Batch] = field(default_factory=dict[str, Batch])
    faults: dict[str, list[Fault]] = field(default_factory=dict[str, list[Fault]])
    calls: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])

    def organization(self, authorization: str | None) -> str:
        """Whose key it is. Raises ApiError 401 in Groq's words."""
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key.startswith("gsk_") or key in self.options.refused_keys:
            raise ApiError(401, "Invalid API Key", code="invalid_api_key")
        return self.options.organizations.get(key, ORGANIZATION)

    def model(self, name: object) -> ModelRow:
        """A model that answers today. Raises ApiError 404 in Groq's words, for retired and unknown ones alike."""
        row = self.catalog.models.get(name) if isinstance(name, str) else None
        if row is None or not self._answers(row):
            message = f"The model `{name}` does not exist or you do not have access to it."
            raise ApiError(404, message, code="model_not_found")
        return row

    def live(self) -> list[ModelRow]:
        """The models of the live list."""
        return [row for row in self.catalog.models.values() if self._answers(row)]

    def _answers(self, row: ModelRow) -> bool:
        return self.options.keep_retired or self.catalog.stage(row.id, today(self.clock)) is not Stage.RETIRED

    def admit(self, organization: str, model: str, cost: Mapping[Limit, float]) -> Charge:
        """Charge the buckets. Raises ApiError 429 or 413 with Groq's text and headers."""
        admitted = self.limits.admit(organization, model, cost)
        if isinstance(admitted, Charge):
            return admitted
        # a 429 on requests per minute was seen without the headers for tokens
        but = frozenset({Limit.TPM}) if admitted.limit is Limit.RPM else frozenset[Limit]()
        headers = self.limits.headers(organization, model, but=but)
        if admitted.status == 429 and self.options.send_retry_after:
            headers["retry-after"] = str(int(-(-admitted.wait_s // 1)))
        raise ApiError(admitted.status, admitted.message, code="rate_limit_exceeded", type=admitted.type, headers=headers)

    def next_fault(self, model: str, payload: Payload) -> Fault | None:
        """The fault this call meets, counted down; one that cannot befall such a call waits for another."""
        for name in (model, "*"):
            waiting = self.faults.get(name, [])
            while waiting:
                fault = waiting[0]
                if fault.count is not None and fault.count <= 0:
                    waiting.pop(0)
                    continue
                if not _befalls(fault, payload):
                    break
                if fault.count is not None:
                    waiting[0] = Fault(kind=fault.kind, seconds=fault.seconds, count=fault.count - 1)
                return fault
        return None

    def count(self, model: str, outcome: str) -> None:
        """Count a call."""
        self.calls.setdefault(model, Counter())[outcome] += 1

    def reset(self) -> None:
        """Full buckets, no counts, no files, the faults of the options."""
        self.limits.reset()
        self.cache.reset()
        self.files.rows.clear()
        self.batches.clear()
        self.calls.clear()
        self.faults = {model: list(faults) for model, faults in self.options.faults.items()}


def _befalls(fault: Fault, payload: Payload) -> bool:
    """Only the flex tier can be full, only who has tools can fail to call one, only who writes JSON can write it badly."""
    match fault.kind:
        case "498":
            return payload.get("service_tier") == "flex"
        case "tool_use_failed":
            return bool(payload.get("tools"))
        case "json_validate_failed":
            return table(payload.get("response_format")).get("type") in ("json_object", "json_schema")
        case _:
            return True
