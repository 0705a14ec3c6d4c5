"""The files and the batches of all organizations, and how far a batch has come.

Field names and states: the SDK's FileCreateResponse and BatchCreateResponse; the form of the ids is unverified.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import anyio

from groq_fallback_mcp.simulator.replies import ApiError, fresh_id
from groq_fallback_mcp.simulator.wire import Payload

__all__ = ["ENDPOINT", "Batch", "FileStore"]

ENDPOINT = "/v1/chat/completions"
_MOMENTS = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
Purpose = Literal["batch", "batch_output"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of an organization."""

    id: str
    organization: str
    name: str
    content: bytes
    created_at: int
    purpose: Purpose

    def body(self) -> dict[str, Any]:
        """As the API describes it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "filename": self.name,
            "purpose": self.purpose,
        }


@dataclass(slots=True)
class FileStore:
    """All files, oldest first."""

    rows: dict[str, StoredFile] = field(default_factory=dict[str, StoredFile])

    def add(self, organization: str, name: str, content: bytes, *, purpose: Purpose, at: float) -> StoredFile:
        """Keep a file under a fresh id."""
        row = StoredFile(
            id=fresh_id("file"),
            organization=organization,
            name=name,
            content=content,
            created_at=int(at),
            purpose=purpose,
        )
        self.rows[row.id] = row
        return row

    def get(self, organization: str, id_: object) -> StoredFile:
        """A file of this organization. Raises ApiError 404."""
        row = self.rows.get(id_) if isinstance(id_, str) else None
        if row is None or row.organization != organization:
            raise ApiError(404, f"The file `{id_}` does not exist.", code="file_not_found")
        return row
