"""Which conversation a request belongs to, and which model it stays with: its prompt is cached there, and its style is known.

A conversation leaves its model for a limit or an outage, stays with the other until the agent's turn is over, and then goes
back to the first: never back and forth within a turn.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.fallback import Answer

__all__ = ["Sessions", "session_key"]

LIFE_S = 7_200.0
MOST = 10_000
# In this order: what the client says of its conversation, then of its user.
_HEADERS = ("x-session-affinity", "x-session-id", "session-id", "x-claude-code-session-id")
_FIELDS = ("prompt_cache_key", "user")
KEY_CHARS = 16
Identity = tuple[str, str]


def session_key(headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """A short name of the conversation: from what the client calls it, else from how it begins. Another model is another one."""
    stated = [headers.get(name) for name in _HEADERS] + [body.get(name) for name in _FIELDS]
    named = next((value for value in stated if isinstance(value, str) and value), None)
    begins = named if named is not None else _beginning(body.get("messages"))
    text = json.dumps([body.get("model"), begins], default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:KEY_CHARS]


@dataclass(frozen=True, slots=True)
class _Session:
    first: Identity
    """The model that a turn begins with."""
    current: Identity
    used_at: float


class Sessions:
    """Remembers up to MOST conversations, for LIFE_S seconds after their last answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def preferred(self, key: str, *, has_open_calls: bool) -> Identity | None:
        """The (provider, model) to ask first: the last one within a turn, at the beginning of a turn the first."""
        session = self._sessions.get(key)
        if session is None or self._clock.monotonic() - session.used_at > LIFE_S:
            return None
        return session.current if has_open_calls else session.first

    def answered(self, key: str, answer: Answer) -> None:
        """A model has answered."""
        now = self._clock.monotonic()
        current = (answer.provider, answer.model)
        known = self._sessions.pop(key, None)
        if known is None or now - known.used_at > LIFE_S:
            planned = answer.attempts[0] if answer.fallback and answer.attempts else answer
            known = _Session((planned.provider, planned.model), current, now)
        self._sessions[key] = replace(known, current=current, used_at=now)
        self._forget_the_oldest()

    def took_over(self, key: str, model: Identity) -> None:
        """An answer broke off in the client's sight, and `model` was the one to go on: the conversation starts over with it."""
        self._sessions.pop(key, None)
        self._sessions[key] = _Session(model, model, self._clock.monotonic())
        self._forget_the_oldest()

    def _forget_the_oldest(self) -> None:
        while len(self._sessions) > MOST:
            self._sessions.popitem(last=False)


def _beginning(messages: object) -> object:
    """The system message and the first of the user: they stay while a conversation grows."""
    if not isinstance(messages, list):
        return None
    roles = [(message.get("role"), message.get("content")) for message in messages if isinstance(message, Mapping)]
    system = next((content for role, content in roles if role in {"system", "developer"}), None)
    return [system, next((content for role, content in roles if role == "user"), None)]
