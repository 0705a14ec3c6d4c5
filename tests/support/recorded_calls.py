"""Calls of the history, as tests of its readers need them."""

from __future__ import annotations

from decimal import Decimal

from groq_fallback_mcp.call import ANSWERED, AttemptRecord, CallOrigin, CallRecord, Usage


def call(name: object, at: float, **fields: object) -> CallRecord:
    """A call that was answered by the second model that was tried."""
    attempts = (
        AttemptRecord(provider="groq", model="m1", outcome="rate_limited", status=429, duration_s=0.1),
        AttemptRecord(provider="groq", model="m2", outcome=ANSWERED, begun_s=0.1, duration_s=0.6, first_token_s=0.15),
    )
    known: dict[str, object] = {
        "origin": CallOrigin(endpoint="/v1/messages", client="agent", caller="ann"),
        "provider": "groq",
        "model": "m2",
        "fallback": True,
        "duration_s": 0.7,
        "usage": Usage(input_tokens=100, output_tokens=20),
        "cost_usd": Decimal("0.000123"),
        "attempts": attempts,
        **fields,
    }
    return CallRecord(id=str(name), started_at=at, **known)  # type: ignore[arg-type]
