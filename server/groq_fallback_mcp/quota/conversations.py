"""Which model a conversation stays with after it had to leave the first one, so that every process of one ledger knows it."""

from __future__ import annotations

from dataclasses import dataclass

from groq_fallback_mcp.quota.ledger import ConversationModel
from groq_fallback_mcp.quota.records import decode, encode
from groq_fallback_mcp.quota.store import Snapshot, Writes

__all__ = ["LIFE_S", "conversation_key", "conversation_model", "set_conversation_model"]

# A conversation that was silent for so long begins anew.
LIFE_S = 7_200.0
# So often at most is it written that a conversation goes on.
RENEWED_AFTER_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """`until` is Unix seconds."""

    model: ConversationModel
    until: float


def conversation_key(conversation: str) -> str:
    """Where a conversation's model is kept."""
    return f"conversation/{conversation}"


def conversation_model(snapshot: Snapshot, *, conversation: str) -> Writes[ConversationModel | None]:
    """The model that a conversation stays with; None where it is with its first, or was silent too long."""
    found = _found(snapshot, conversation)
    return Writes(result=None if found is None else found.model)


def set_conversation_model(snapshot: Snapshot, *, conversation: str, model: ConversationModel | None) -> Writes[None]:
    """Let it stay with a model for LIFE_S from now; None for its first."""
    key = conversation_key(conversation)
    if model is None:
        return Writes(result=None, writes={key: None} if key in snapshot.bodies else {})
    found = _found(snapshot, conversation)
    if found is not None and found.model == model and found.until - snapshot.now > LIFE_S - RENEWED_AFTER_S:
        return Writes(result=None)
    kept = _Kept(model=model, until=snapshot.now + LIFE_S)
    return Writes(result=None, writes={key: encode(kept, expires_at=kept.until)})


def _found(snapshot: Snapshot, conversation: str) -> _Kept | None:
    key = conversation_key(conversation)
    found = decode(_Kept, snapshot.bodies.get(key), key)
    # one that ends later than it could have been written for was written while the clock was ahead
    return found if found is not None and 0 < found.until - snapshot.now <= LIFE_S else None
