"""Groq's batches: many requests in a file, answered within a day or a week for half the price.

Shapes: groq.types.BatchCreateParams, BatchCreateResponse and FileCreateResponse of the official SDK; the lines of the files
are OpenAI's, which Groq's documentation takes over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from groq_fallback_mcp.call import Failure, Outcome, QuotaSnapshot
from groq_fallback_mcp.providers.classify import classify
from groq_fallback_mcp.providers.json_fields import bad_response, json_object, mapping, rows, text_of, whole
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.providers.openai_wire import chat_outcome

__all__ = ["FILE_BYTES", "BatchState", "Batches", "batch_file", "read_answers"]

ENDPOINT = "/v1/chat/completions"
TIMEOUT_S = 60.0
# The facts page: JSONL of at most 100 MB, taken at the lesser meaning of it; answers are about as long.
FILE_BYTES = 100 * 1000 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchState:
    """A batch as Groq tells it. Times are Unix seconds; `finished`: nothing more will come."""

    id: str
    status: str
    total: int = 0
    completed: int = 0
    failed: int = 0
    created_at: int | None = None
    expires_at: int | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    faults: tuple[str, ...] = field(default=())

    @property
    def finished(self) -> bool:
        return self.status in {"completed", "failed", "expired", "cancelled"}


class Batches:
    """Batches at one provider. Every method returns a Failure for whatever goes wrong."""

    def __init__(self, provider: OpenAICompatible) -> None:
        self._provider = provider

    async def submit(self, content: bytes, *, window: str) -> BatchState | Failure:
        """Begin a batch with what `batch_file` made."""
        files = {"file": ("batch.jsonl", content, "application/jsonl")}
        sent = await self._provider.send("POST", "/files", timeout_s=TIMEOUT_S, data={"purpose": "batch"}, files=files)
        if isinstance(sent, Failure):
            return sent
        stored = json_object(sent.body)
        if isinstance(stored, Failure):
            return stored
        file_id = text_of(stored.get("id"))
        if file_id is None:
            return bad_response("a file without an id")
        body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": window}
        return await self._state("POST", "/batches", json=body)

    async def look(self, id_: str) -> BatchState | Failure:
        """How far a batch has come."""
        return await self._state("GET", f"/batches/{quote(id_, safe='')}")

    async def cancel(self, id_: str) -> BatchState | Failure:
        """Stop a batch; what was answered by then stays."""
        return await self._state("POST", f"/batches/{quote(id_, safe='')}/cancel")

    async def all(self) -> tuple[BatchState, ...] | Failure:
        """The organization's batches, newest first."""
        reply = await self._provider.send("GET", "/batches", timeout_s=TIMEOUT_S)
        value = reply if isinstance(reply, Failure) else json_object(reply.body)
        if isinstance(value, Failure):
            return value
        found = [_read_state(row) for row in rows(value.get("data"))]
        return tuple(state for state in found if isinstance(state, BatchState))

    async def content(self, file_id: str) -> bytes | Failure:
        """The lines of a file of answers."""
        path = f"/files/{quote(file_id, safe='')}/content"
        reply = await self._provider.send("GET", path, timeout_s=TIMEOUT_S, most_bytes=FILE_BYTES)
        return reply if isinstance(reply, Failure) else reply.body

    async def _state(self, method: str, path: str, **content: Any) -> BatchState | Failure:
        reply = await self._provider.send(method, path, timeout_s=TIMEOUT_S, **content)
        value = reply if isinstance(reply, Failure) else json_object(reply.body)
        return value if isinstance(value, Failure) else _read_state(value)


def batch_file(bodies: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The file of a batch of chat requests: their bodies by the id that each answer is found by again."""
    lines = (
        json.dumps({"custom_id": id_, "method": "POST", "url": ENDPOINT, "body": body}, ensure_ascii=False)
        for id_, body in bodies.items()
    )
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def read_answers(content: bytes, *, model: str, now_wall: float) -> dict[str, Outcome]:
    """The outcomes in a file of answers or errors, by the id of the request. Lines that cannot be read are outcomes too."""
    found: dict[str, Outcome] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        value = json_object(line)
        if isinstance(value, Failure):
            found[f"line {number}"] = value
            continue
        found[text_of(value.get("custom_id")) or f"line {number}"] = _outcome(value, model, now_wall)
    return found


def _outcome(line: Mapping[str, Any], model: str, now_wall: float) -> Outcome:
    response = mapping(line.get("response"))
    error = mapping(line.get("error"))
    if response is None:
        return classify(500 if error is None else 400, {}, json.dumps({"error": error or {}}), now_wall=now_wall)
    status, body = whole(response.get("status_code")) or 200, mapping(response.get("body")) or {}
    if status >= 400:
        return classify(status, {}, json.dumps(dict(body)), now_wall=now_wall)
    return chat_outcome(body, model=model, quota=QuotaSnapshot(), simulated=False)


def _read_state(value: Mapping[str, Any]) -> BatchState | Failure:
    id_, status = text_of(value.get("id")), text_of(value.get("status"))
    if id_ is None or status is None:
        return bad_response("a batch without id or status")
    counts = mapping(value.get("request_counts")) or {}
    return BatchState(
        id=id_,
        status=status,
        total=whole(counts.get("total")) or 0,
        completed=whole(counts.get("completed")) or 0,
        failed=whole(counts.get("failed")) or 0,
        created_at=whole(value.get("created_at")),
        expires_at=whole(value.get("expires_at")),
        output_file_id=text_of(value.get("output_file_id")),
        error_file_id=text_of(value.get("error_file_id")),
        faults=_faults(value),
    )


def _faults(value: Mapping[str, Any]) -> tuple[str, ...]:
    found: Sequence[Mapping[str, Any]] = rows((mapping(value.get("errors")) or {}).get("data"))
    return tuple((text_of(row.get("message")) or "?")[:200] for row in found[:5])
