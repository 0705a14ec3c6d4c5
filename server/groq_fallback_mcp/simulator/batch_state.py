"""A batch and how far it has come. Fields and states: the SDK's BatchCreateResponse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anyio

from groq_fallback_mcp.simulator.wire import Payload

__all__ = ["ENDPOINT", "Batch"]

ENDPOINT = "/v1/chat/completions"
_MOMENTS = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


@dataclass(slots=True, kw_only=True)
class Batch:
    """A batch. `answers` and `failures` are lines of its output files."""

    id: str
    organization: str
    input_file_id: str
    window: str
    window_s: float
    created_s: float
    metadata: Any
    lines: list[Payload]
    errors: list[dict[str, Any]]
    status: str = "validating"
    done: int = 0
    answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    failures: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    moments: dict[str, int] = field(default_factory=dict[str, int])
    output_file_id: str | None = None
    error_file_id: str | None = None
    lock: anyio.Lock = field(default_factory=anyio.Lock)

    @property
    def ended(self) -> bool:
        return self.status in {"completed", "failed", "expired", "cancelled"}

    def body(self) -> dict[str, Any]:
        """As the API describes it."""
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": ENDPOINT,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input_file_id,
            "completion_window": self.window,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": int(self.created_s),
            "expires_at": int(self.created_s + self.window_s),
            **{f"{name}_at": self.moments.get(name) for name in _MOMENTS},
            "request_counts": {
                "total": len(self.lines),
                "completed": len(self.answers),
                "failed": len(self.failures),
            },
            "metadata": self.metadata,
        }
