"""One attempt: its turn, the provider's call, and the settlement of what was reserved, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from groq_fallback_mcp.call import AudioRequest, ChatRequest, Failure, FailureKind, Outcome, Success
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.gateway.record import spent_on
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.policy.settlement import actual_cost, admitted_cost, health_of
from groq_fallback_mcp.providers.base import AudioCall, ChatCall
from groq_fallback_mcp.providers.roster import Roster
from groq_fallback_mcp.quota import Ledger, Reservation, Settlement, Standing

__all__ = ["Pick", "Sender"]

# As many as the pool of connections holds: beyond it a call would wait there, and time out as if Groq were slow.
SENT_AT_ONCE = 64
LEAST_TURN_S = 0.25


@dataclass(frozen=True, slots=True)
class Pick:
    """A candidate to ask, with what is reserved for it."""

    candidate: Candidate
    reservation: Reservation


class Sender:
    """Sends what was reserved, SENT_AT_ONCE at a time."""

    def __init__(self, *, roster: Roster, ledger: Ledger, clock: Clock, catalog: Catalog) -> None:
        self._roster = roster
        self._ledger = ledger
        self._clock = clock
        self._catalog = catalog
        self._places = anyio.Semaphore(SENT_AT_ONCE)

    async def send(
        self,
        picked: Pick,
        request: ChatRequest | AudioRequest,
        *,
        deadline: float,
        timeout_s: Callable[[], Awaitable[float]],
    ) -> tuple[Outcome, Standing]:
        """The outcome, with the reservation settled by it; given back when there is none.

        `timeout_s` is asked when the call's turn has come, which is before `deadline` (monotonic) or never.
        """
        candidate, reservation = picked.candidate, picked.reservation
        standing = Standing()
        try:
            outcome = await self._in_turn(candidate, request, deadline, timeout_s)
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

    async def _in_turn(
        self,
        candidate: Candidate,
        request: ChatRequest | AudioRequest,
        deadline: float,
        timeout_s: Callable[[], Awaitable[float]],
    ) -> Outcome:
        if not await self._has_turn(deadline):
            message = f"{SENT_AT_ONCE} requests of this server were under way until the deadline"
            return Failure(kind=FailureKind.BUSY, message=message, sent=False)
        try:
            return await self._ask(candidate, request, await timeout_s())
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

    async def _ask(self, candidate: Candidate, request: ChatRequest | AudioRequest, timeout_s: float) -> Outcome:
        provider = self._roster.providers[candidate.provider]
        if isinstance(request, AudioRequest):
            return await provider.transcribe(AudioCall(request=request, model=candidate.wire_model), timeout_s=timeout_s)
        call = ChatCall(
            request=request,
            model=candidate.wire_model,
            max_tokens=candidate.max_tokens,
            reasoning_effort=candidate.reasoning_effort,
            json_mode=candidate.json_mode,
        )
        return await provider.chat(call, timeout_s=timeout_s)
