"""Which model a conversation stays with after it had to leave the first one, so that every process of one ledger knows it."""

from __future__ import annotations

from collections.abc import Sequence

from groq_fallback_mcp.quota.ledger import ConversationModel
from groq_fallback_mcp.quota.records import KeptConversation, decode, encode
from groq_fallback_mcp.quota.store import Snapshot, Writes

__all__ = ["LIFE_S", "conversation_key", "conversation_model", "forget", "set_conversation_model"]

# After this long without a request a conversation starts over.
LIFE_S = 7_200.0
# Renew the record at most this often.
RENEWED_AFTER_S = 600.0


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
    kept = KeptConversation(model=model, until=snapshot.now + LIFE_S)
    return Writes(result=None, writes={key: encode(kept, expires_at=kept.until)})


def forget(snapshot: Snapshot, *, keys: Sequence[str]) -> Writes[None]:
    """Delete those records that are over; one may have been renewed since it was due."""
    over = [key for key in keys if _read(snapshot, key) is None]
    return Writes(result=None, writes=dict.fromkeys(over))


def _found(snapshot: Snapshot, conversation: str) -> KeptConversation | None:
    return _read(snapshot, conversation_key(conversation))


def _read(snapshot: Snapshot, key: str) -> KeptConversation | None:
    found = decode(KeptConversation, snapshot.bodies.get(key), key)
    # one that ends later than it could have been written for was written while the clock was ahead
    return found if found is not None and 0 < found.until - snapshot.now <= LIFE_S else None
