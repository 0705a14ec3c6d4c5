"""How a client starts the server: the one source of every manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from groq_fallback_mcp.settings import Settings

__all__ = ["Launch"]

_SLACK_S = 10
_DEADLINE_S: float = Settings.model_fields["deadline_s"].default


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """The command, its environment and the name it goes by.

    `name` comes before each tool's name in most clients. The time-out leaves the server's own deadline some room, so
    that a late answer is the server's clear error and not the client's; the hard one is for clients that do not restart it
    on progress, and leaves work of many calls its minutes. The key is never part of `env`: each client
    has a way of its own to hand over a secret.
    """

    name: str = "groq"
    command: tuple[str, ...] = ("groq-fallback-mcp",)
    key: str = "GROQ_API_KEY"
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({"GROQ_FALLBACK_DEADLINE_S": f"{_DEADLINE_S:g}"}))
    timeout_s: int = math.ceil(_DEADLINE_S) + _SLACK_S
    hard_timeout_s: int = 600
