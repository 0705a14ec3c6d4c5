"""One attempt: its turn, the provider's call, and the settlement of what was reserved, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from groq_fallback_mcp.call import AnyRequest, AudioRequest, Failure, FailureKind, Outcome, SpeechRequest, Success
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.fallback.call_state import cost_usd
from groq_fallback_mcp.policy.plan import Candidate, streams
from groq_fallback_mcp.policy.verdict import actual_cost, admitted_cost, health_of
from groq_fallback_mcp.providers.base import StreamOptions
from groq_fallback_mcp.providers.registry import ProviderRegistry
from groq_fallback_mcp.quota import Ledger, Reservation, Settlement, SettleResult
from groq_fallback_mcp.quota.budget import ZERO_SPEND, Spend, picodollars

__all__ = ["AttemptSender"]

# As many as the pool of connections holds: beyond it a call would wait there, and time out as if Groq were slow.
SENT_AT_ONCE = 64
LEAST_TURN_S = 0.25
ANSWERED = 200


class AttemptSender:
    """Sends requests to candidates whose quota is reserved, SENT_AT_ONCE at a time."""

    def __init__(self, *, registry: ProviderRegistry, ledger: Ledger, clock: Clock) -> None:
        self._registry = registry
        self._ledger = ledger
        self._clock = clock
        self._places = anyio.Semaphore(SENT_AT_ONCE)

    async def send(
        self,
        request: AnyRequest,
        candidate: Candidate,
        reservation: Reservation,
        *,
        deadline: float,
        timeout_s: Callable[[], Awaitable[float]],
        longest_s: float,
        on_progress: Callable[[int], None] | None = None,
        on_text: Callable[[str], None] | None = None,
        on_reasoning: Callable[[str], None] | None = None,
        is_shown: Callable[[], bool] | None = None,
    ) -> tuple[Outcome, SettleResult]:
        """The outcome, with the reservation settled by it; given back where there is none, and no answer had begun.

        A request that was sent and abandoned counts against budgets, as the provider may have answered it. Its limits are given back,
        but not to a caller who shares them with others: otherwise a caller that abandons calls seems to have used nothing.

        `deadline` is monotonic. `timeout_s` is called when the attempt's turn has come. An answer that is streamed ends
        after `longest_s` seconds; with `on_progress` text is streamed, and it is called with the number of pieces so far,
        `on_text` with each piece of visible text, `on_reasoning` with what the model thinks; `is_shown` says whether anybody has seen
        text of it yet.
        """
        begun = sent = False

        def progressed(pieces: int) -> None:
            nonlocal begun
            begun = True
            if on_progress is not None:
                on_progress(pieces)

        try:
            if await self._has_turn(deadline):
                try:
                    within_s = await timeout_s()
                    sent = True
                    outcome = await self._call(
                        request,
                        candidate,
                        timeout_s=within_s,
                        deadline=deadline,
                        longest_s=longest_s,
                        watched=on_progress is not None,
                        on_progress=progressed,
                        on_text=on_text,
                        on_reasoning=on_reasoning,
                        is_shown=is_shown,
                    )
                finally:
                    self._places.release()
            else:
                message = f"{SENT_AT_ONCE} requests of this server were in progress until the deadline"
                outcome = Failure(kind=FailureKind.BUSY, message=message, sent=False)
        except BaseException:
            with anyio.CancelScope(shield=True):
                # the provider charges what it lets in, however little of the answer was read
                kept = begun or (sent and bool(reservation.queue))
                actual = reservation.cost if kept else dict.fromkeys(reservation.cost, 0.0)
                settlement = Settlement(actual=actual, spent=_most_spent(candidate) if sent else None)
                await self._ledger.settle(reservation, settlement)
            raise
        # a cancellation between the two must not leave the reservation open
        with anyio.CancelScope(shield=True):
            settlement = Settlement(
                actual=actual_cost(outcome, reservation.cost, failures_count=candidate.failures_count),
                admitted=admitted_cost(outcome, reservation.cost, candidate.max_tokens),
                snapshot=outcome.quota,
                health=health_of(outcome),
                prompt=(candidate.estimated_tokens, outcome.usage.input_tokens) if isinstance(outcome, Success) else None,
                spent=_spent(candidate, outcome, begun=begun),
            )
            settled = await self._ledger.settle(reservation, settlement)
        return outcome, settled

    async def _has_turn(self, deadline: float) -> bool:
        try:
            # a call that finds a place does not wait, however near the deadline is
            self._places.acquire_nowait()
        except anyio.WouldBlock:
            with anyio.move_on_after(deadline - LEAST_TURN_S - self._clock.monotonic()) as waiting:
                await self._places.acquire()
            return not waiting.cancelled_caught
        return True

    async def _call(
        self,
        request: AnyRequest,
        candidate: Candidate,
        *,
        timeout_s: float,
        deadline: float,
        longest_s: float,
        watched: bool,
        on_progress: Callable[[int], None],
        on_text: Callable[[str], None] | None,
        on_reasoning: Callable[[str], None] | None,
        is_shown: Callable[[], bool] | None,
    ) -> Outcome:
        left_s = deadline - self._clock.monotonic()
        provider = self._registry.providers[candidate.provider]
        if isinstance(request, AudioRequest):
            return await provider.transcribe(request, candidate, timeout_s=timeout_s, longest_s=max(left_s, timeout_s))
        if isinstance(request, SpeechRequest):
            return await provider.speak(request, candidate, timeout_s=timeout_s)
        streamed = streams(candidate, watched=watched)
        longest_s = min(left_s, longest_s)
        stream = (
            StreamOptions(
                longest_s=longest_s, on_progress=on_progress, on_text=on_text, on_reasoning=on_reasoning, is_shown=is_shown
            )
            if streamed
            else None
        )
        return await provider.chat(request, candidate, timeout_s=timeout_s, stream=stream)


def _spent(candidate: Candidate, outcome: Outcome, *, begun: bool) -> Spend | None:
    """What a call took of a budget: nothing where it failed before an answer had begun, the most it could where the usage is not known.

    An answer that is refused here, or broke off, was generated all the same, and is charged.
    """
    if not isinstance(outcome, Success):
        return _most_spent(candidate) if begun or outcome.status == ANSWERED else None
    if candidate.provider == "local" or not outcome.usage_reported:
        return _most_spent(candidate)
    usage, amount = outcome.usage, cost_usd(candidate, outcome)
    return Spend(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        audio_s=usage.audio_s,
        picousd=None if amount is None else picodollars(amount),
    )


def _most_spent(candidate: Candidate) -> Spend:
    """What a call can have taken of a budget at most."""
    return ZERO_SPEND if candidate.provider == "local" else candidate.spend
