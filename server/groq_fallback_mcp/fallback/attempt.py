"""One attempt: its turn, the provider's call, and the settlement of what was reserved, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from groq_fallback_mcp.call import AnyRequest, AudioRequest, Failure, FailureKind, Outcome, SpeechRequest, Success
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.fallback.record import spent_on
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.policy.settlement import actual_cost, admitted_cost, health_of
from groq_fallback_mcp.policy.streaming import streams
from groq_fallback_mcp.providers.base import AudioCall, ChatCall, SpeechCall
from groq_fallback_mcp.providers.registry import ProviderRegistry
from groq_fallback_mcp.quota import Ledger, Reservation, Settlement, SettleResult

__all__ = ["Pick", "Sender", "Terms"]

# As many as the pool of connections holds: beyond it a call would wait there, and time out as if Groq were slow.
SENT_AT_ONCE = 64
LEAST_TURN_S = 0.25


@dataclass(frozen=True, slots=True)
class Pick:
    """A candidate to ask, with what is reserved for it."""

    candidate: Candidate
    reservation: Reservation


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for one attempt. `deadline` is monotonic; `timeout_s` is asked when its turn has come, before it or never.

    With `told` an answer in text is streamed, and it is called with the number of its pieces so far; a stream ends after
    `longest_s` seconds.
    """

    deadline: float
    timeout_s: Callable[[], Awaitable[float]]
    longest_s: float
    told: Callable[[int], None] | None = None


class Sender:
    """Sends what was reserved, SENT_AT_ONCE at a time."""

    def __init__(self, *, registry: ProviderRegistry, ledger: Ledger, clock: Clock, catalog: Catalog) -> None:
        self._registry = registry
        self._ledger = ledger
        self._clock = clock
        self._catalog = catalog
        self._places = anyio.Semaphore(SENT_AT_ONCE)

    async def send(self, picked: Pick, request: AnyRequest, terms: Terms) -> tuple[Outcome, SettleResult]:
        """The outcome, with the reservation settled by it; given back when there is none."""
        candidate, reservation = picked.candidate, picked.reservation
        standing = SettleResult()
        try:
            outcome = await self._in_turn(candidate, request, terms)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._ledger.release(reservation)
            raise
        # a cancellation between the two must not leave the reservation open
        with anyio.CancelScope(shield=True):
            settlement = Settlement(
                actual=actual_cost(outcome, reservation.cost),
                admitted=admitted_cost(outcome, reservation.cost, candidate.max_tokens),
                snapshot=outcome.quota,
                health=health_of(outcome),
                prompt=(candidate.estimated_tokens, outcome.usage.input_tokens) if isinstance(outcome, Success) else None,
                spent=spent_on(candidate, outcome, self._catalog),
            )
            standing = await self._ledger.settle(reservation, settlement)
        return outcome, standing

    async def _in_turn(self, candidate: Candidate, request: AnyRequest, terms: Terms) -> Outcome:
        if not await self._has_turn(terms.deadline):
            message = f"{SENT_AT_ONCE} requests of this server were under way until the deadline"
            return Failure(kind=FailureKind.BUSY, message=message, sent=False)
        try:
            return await self._ask(candidate, request, terms, await terms.timeout_s())
        finally:
            self._places.release()

    async def _has_turn(self, deadline: float) -> bool:
        try:
            # whoever finds a place does not wait, however near the deadline is
            self._places.acquire_nowait()
        except anyio.WouldBlock:
            with anyio.move_on_after(deadline - LEAST_TURN_S - self._clock.monotonic()) as waiting:
                await self._places.acquire()
            return not waiting.cancelled_caught
        return True

    async def _ask(self, candidate: Candidate, request: AnyRequest, terms: Terms, timeout_s: float) -> Outcome:
        provider = self._registry.providers[candidate.provider]
        if isinstance(request, AudioRequest):
            call_s = max(terms.deadline - self._clock.monotonic(), timeout_s)
            audio = AudioCall(request=request, model=candidate.wire_model, longest_s=call_s)
            return await provider.transcribe(audio, timeout_s=timeout_s)
        if isinstance(request, SpeechRequest):
            voice = candidate.voice if request.voice is None else request.voice
            return await provider.speak(
                SpeechCall(request=request, model=candidate.wire_model, voice=voice), timeout_s=timeout_s
            )
        call = ChatCall(
            request=request,
            model=candidate.wire_model,
            max_tokens=candidate.max_tokens,
            reasoning_effort=candidate.reasoning_effort,
            json_mode=candidate.json_mode,
            builtin=candidate.builtin,
            is_system=candidate.is_system,
            parses_reasoning=candidate.parses_reasoning,
            stream=streams(candidate, watched=terms.told is not None),
            longest_s=min(terms.deadline - self._clock.monotonic(), terms.longest_s),
            told=terms.told,
        )
        return await provider.chat(call, timeout_s=timeout_s)
