"""The second chance of an answer that broke the caller's schema: the same model sees what was wrong."""

from __future__ import annotations

from dataclasses import replace

from groq_fallback_mcp.call import AnyRequest, ChatRequest

__all__ = ["repaired"]

SHOWN_CHARS = 8_000


def repaired(request: AnyRequest, answer: str, fault: str) -> ChatRequest | None:
    """The request with the answer that was refused and why; None for what is no chat."""
    if not isinstance(request, ChatRequest):
        return None
    correction = f"That was refused: {fault}. Answer again with the corrected JSON value only."
    added = ({"role": "assistant", "content": answer[:SHOWN_CHARS]}, {"role": "user", "content": correction})
    return replace(request, messages=(*request.messages, *added))
