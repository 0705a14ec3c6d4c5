"""One streamed answer: nothing is sent until a model really answers, and what was sent stays true.

Before the first text or whole tool call every failure is the next model's chance, and the client still gets a real status. After
it, an answer that starts over elsewhere goes on only where it repeats what is visible; else the stream ends in an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum, auto

import anyio

from groq_fallback_mcp.call import Attempt
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.redaction import settled_end

__all__ = ["Diverged", "HeldText"]

# What a model writes where its template leaks: nothing of it is an answer, so from its beginning on text waits for the whole.
_MARKUP = (
    "<think",
    "<seed:think>",
    "◁think▷",
    "<tool_call",
    "<function",
    "<|",
    "<\uff5c",
    "[TOOL_CALLS]",
    "[THINK]",
    "<reasoning",
    "<thought",
)
_LONGEST = max(len(mark) for mark in _MARKUP)


class Diverged(Enum):
    """That an answer, started over, is not the one that the client has begun to read."""

    DIVERGED = auto()


class HeldText:
    """Follows a call, and says which text may be sent. Text is held `hold_s` seconds from its first piece on, or until released."""

    def __init__(self, *, hold_s: float, clock: Callable[[], float]) -> None:
        self.candidate: Candidate | None = None
        self.reasoning: list[str] = []
        self.diverged = False
        self._hold_s = hold_s
        self._clock = clock
        self._changed = asyncio.Event()
        self._is_taken = False
        self._text: list[str] = []
        self._sent: list[str] = []
        self._replayed = ""
        self._began_at: float | None = None

    @property
    def has_shown(self) -> bool:
        """Whether the client has seen any of the answer."""
        return bool(self._sent)

    def attempt_started(self, candidate: Candidate, earlier: Sequence[Attempt]) -> None:
        """A model is tried."""
        del earlier
        self.candidate = candidate
        self.attempt_failed()
        # what it must repeat before anything of it is new
        self._replayed = "".join(self._sent)

    def attempt_failed(self) -> None:
        """What it wrote and nobody has seen is forgotten, however long another is waited for."""
        self._text, self.reasoning, self._began_at = [], [], None

    def text_received(self, text: str) -> None:
        """More of the answer."""
        if self._replayed:
            same = min(len(text), len(self._replayed))
            if text[:same] != self._replayed[:same]:
                self.diverged = True
                self.wake()
                return
            text, self._replayed = text[same:], self._replayed[same:]
        if not text:
            return
        if self._began_at is None:
            self._began_at = self._clock()
        self._text.append(text)
        self._is_taken = False
        self.wake()

    def reasoning_received(self, text: str) -> None:
        """Held until text begins: before it a restart is free."""
        if not self._sent:
            self.reasoning.append(text)

    def waiting(self, seconds: float) -> None:
        """Nothing is sent meanwhile: the client has no answer yet, so it can still get another status."""

    def held_s(self) -> float | None:
        """Seconds until text may be sent, 0 for now; None where there is none."""
        if self._began_at is None or not self._text:
            return None
        return max(self._began_at + self._hold_s - self._clock(), 0.0)

    def take(self) -> str:
        """The text to send now. What may be the beginning of markup or of a secret is kept back."""
        text, self._is_taken = "".join(self._text), True
        if not self._sent and not text.strip():
            return ""
        end = _safe_end(text)
        self._text = [text[end:]] if end < len(text) else []
        if end:
            self._sent.append(text[:end])
        return text[:end]

    def rest_of(self, whole: str) -> str | Diverged:
        """What is missing of the accepted answer."""
        sent = "".join(self._sent)
        if self._replayed:
            return Diverged.DIVERGED
        if whole.startswith(sent):
            return whole[len(sent) :]
        # the answer without the spaces around it, or without a mark at its end
        if sent.strip().startswith(whole.strip()) or whole.startswith(sent.lstrip()):
            return whole[len(sent.lstrip()) :]
        # the same model's words, of which our reading took some for thoughts when the client had seen them
        return "".join(self._text)

    async def changed(self) -> None:
        """Wait until more has come, or until what is held may be sent."""
        if not self._changed.is_set():
            # of what was taken only the beginning of a mark is left, which waits for more
            left_s = None if self._is_taken else self.held_s()
            if left_s is None:
                await self._changed.wait()
            else:
                with anyio.move_on_after(left_s):
                    await self._changed.wait()
        self._changed.clear()

    def wake(self) -> None:
        """End the wait for a change."""
        self._changed.set()


def _safe_end(text: str) -> int:
    found = [at for mark in _MARKUP if (at := text.find(mark)) >= 0]
    if not found and (end := settled_end(text)) < len(text):
        return end
    end = min(found, default=len(text))
    # a mark may be cut at the end of what has come so far
    for size in range(min(_LONGEST - 1, end), 0, -1):
        tail = text[end - size : end]
        if any(mark.startswith(tail) for mark in _MARKUP) and end == len(text):
            return end - size
    return end
