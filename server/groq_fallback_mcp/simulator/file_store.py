"""The files of all organizations. Field names: the SDK's FileCreateResponse; the form of the ids is unverified."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from groq_fallback_mcp.simulator.replies import ApiError, fresh_id

__all__ = ["FileStore", "StoredFile"]

Purpose = Literal["batch", "batch_output"]


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
