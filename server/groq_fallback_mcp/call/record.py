"""The record of a call: who asked, which models were tried, how it ended and what it took. Never a word of its prompt or answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, Protocol

from groq_fallback_mcp.call.outcomes import Usage
from groq_fallback_mcp.redaction import sanitize_message

__all__ = [
    "ANSWERED",
    "CANCELLED",
    "AttemptRecord",
    "CallKind",
    "CallListener",
    "CallOrigin",
    "CallRecord",
    "CallUnderWay",
    "client_name",
    "trace_context",
]

CallKind = Literal["chat", "transcription", "speech"]
ANSWERED = "answered"
CANCELLED = "cancelled"
NO_USAGE = Usage()
MOST_CLIENT_CHARS = 40
# As W3C's trace context says: anything else is nobody's trace.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
_TRACESTATE = re.compile(r"[\x20-\x7e]{0,512}\Z")
# A program's name, up to its version: what else a client says of itself is of no use to a reader.
_PRODUCT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOrigin:
    """Where a call comes from.

    `endpoint` is a tool's name, or a path of the gateway such as /v1/messages. `client` is what the program calls itself, `caller` the
    name of its gateway token, `session` a hash that stands for the conversation. `traceparent` and `tracestate` are the W3C trace
    context that came with it. All are empty where nothing is known.
    """

    endpoint: str = ""
    client: str = ""
    caller: str = ""
    session: str = ""
    traceparent: str = ""
    tracestate: str = ""

    @property
    def untraced(self) -> CallOrigin:
        """The same without its trace context: where it is kept that is of no use, and the client chose its text."""
        return replace(self, traceparent="", tracestate="")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """A model that was tried, or skipped (`sent` false).

    `outcome` is "answered", a failure kind, "skipped", "cancelled", or "internal" for a fault of ours; `reason` is the kind of failure
    that it is skipped for, or that is behind another outcome. Seconds: `begun_s` since the beginning of the call, `duration_s` of the
    attempt, `first_token_s` until its first token, None where nothing was streamed or no provider said.
    """

    provider: str
    model: str
    outcome: str
    sent: bool = True
    reason: str = ""
    status: int | None = None
    begun_s: float = 0.0
    duration_s: float = 0.0
    first_token_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """A call that has ended.

    `started_at` is Unix seconds. `outcome` is "answered", the code of the error that the caller got, "cancelled" or "internal". `provider` and
    `model` answered, and are empty where none did. `fallback`: another model than the first choice answered. `waited_s` was spent
    waiting for limits. `cost_usd` is None where no price is known.
    """

    id: str
    started_at: float
    kind: CallKind = "chat"
    origin: CallOrigin = CallOrigin()
    use_case: str = ""
    requested_model: str = ""
    outcome: str = ANSWERED
    provider: str = ""
    model: str = ""
    fallback: bool = False
    waited_s: float = 0.0
    duration_s: float = 0.0
    first_token_s: float | None = None
    usage: Usage = NO_USAGE
    cost_usd: Decimal | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    simulated: bool = False

    @property
    def ended_at(self) -> float:
        """Unix seconds. The history is in this order: a followed log can show a call only when it has ended."""
        return self.started_at + self.duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUnderWay:
    """A call that has not ended. `doing` is what goes on now, in words; `model` is tried, and empty while none is."""

    id: str
    started_at: float
    kind: CallKind = "chat"
    origin: CallOrigin = CallOrigin()
    provider: str = ""
    model: str = ""
    doing: str = ""
    attempts: int = 0


class CallListener(Protocol):
    """Hears of calls of the engine, in their tasks: it must not block. A fault of one costs neither the call nor what others hear."""

    def call_started(self) -> None:
        """A call has begun; `FallbackEngine.under_way` has it."""
        ...

    def call_ended(self, record: CallRecord) -> None:
        """A call has ended, in whatever way."""
        ...


def client_name(stated: str) -> str:
    """The name of the program in what a client calls itself, as `kilo` in `kilo/5.2 (linux)`; empty where there is none."""
    found = _PRODUCT.match(sanitize_message(stated[:200]))
    return "" if found is None else found[0][:MOST_CLIENT_CHARS].strip()


def trace_context(stated: Mapping[str, object]) -> Mapping[str, str]:
    """The trace context among headers, or in MCP's `_meta`, as the fields of a CallOrigin; nothing where it is not well-formed."""
    parent, state = stated.get("traceparent"), stated.get("tracestate")
    if not isinstance(parent, str) or not _TRACEPARENT.match(parent):
        return {}
    return {"traceparent": parent, "tracestate": state if isinstance(state, str) and _TRACESTATE.match(state) else ""}
