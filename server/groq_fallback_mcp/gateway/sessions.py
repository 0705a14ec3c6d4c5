"""Which conversation a request belongs to, and which model it stays with: its prompt is cached there, and its style is known.

A conversation leaves its model for a limit or an outage, stays with the other until the agent's turn is over, and then goes
back to the first: never back and forth within a turn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.json_types import stated_text
from groq_fallback_mcp.quota import ConversationModel

__all__ = ["preferred_model", "session_key", "stays_after"]

# In this order: what the client says of its conversation, then of its user.
_HEADERS = ("x-session-affinity", "x-session-id", "session-id", "x-claude-code-session-id")
KEY_CHARS = 16


def session_key(
    headers: Mapping[str, str], *, names: Sequence[object], model: object, messages: Sequence[object], caller: str = ""
) -> str:
    """A short name of the conversation: from what the client calls it, else from how it begins. Another model is another one,
    and so is another caller: two tokens never share a conversation.

    `names` is what the body calls the conversation or its user, the best first; what is no text is none.
    """
    stated = [headers.get(name) for name in _HEADERS] + list(names)
    named = next((value for value in stated if isinstance(value, str) and value), None)
    begins = named if named is not None else _beginning(messages)
    text = json.dumps([model, begins, *([caller] if caller else [])], default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:KEY_CHARS]


def preferred_model(stays: ConversationModel | None, *, has_open_calls: bool) -> tuple[str, str] | None:
    """The (provider, model) to try first; None for the first of the plan, to which a conversation returns at the beginning of a turn."""
    return (stays.provider, stays.model) if stays is not None and (has_open_calls or stays.starts_over) else None


def stays_after(answer: Answer, *, stayed: ConversationModel | None) -> ConversationModel | None:
    """The model that a conversation stays with after an answer; None where it is with its first."""
    if stayed is not None and (answer.provider, answer.model) == (stayed.provider, stayed.model):
        return stayed
    return ConversationModel(provider=answer.provider, model=answer.model) if answer.fallback else None


def _beginning(messages: Sequence[object]) -> object:
    """The system message and the first of the user: they stay while a conversation grows."""
    roles = [(stated_text(message, "role"), message.get("content")) for message in messages if isinstance(message, Mapping)]
    system = next((content for role, content in roles if role in {"system", "developer"}), None)
    return [system, next((content for role, content in roles if role == "user"), None)]
