"""How long each attempt of a state may take: less than what is left while somebody else could still be asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from groq_fallback_mcp.call import AudioRequest, ChatRequest
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.fallback.call_state import CallState, CallTimeouts
from groq_fallback_mcp.fallback.picking import LEAST_ATTEMPT_S
from groq_fallback_mcp.policy.patience import MOST_REMEMBERED, patience_s
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.policy.streaming import streams
from groq_fallback_mcp.quota import Claim, Wait, obstacle

__all__ = ["Patience"]

SHARE_OF_REMAINING = 0.6
# What the plan saw so short a time ago need not be looked at again.
FRESH_S = 1.0
SLOWER_THAN_SAID = 1.5


class Patience:
    """Remembers, as long as the process lives, what the answers of each model took.

    `claim` says what asking a candidate takes, `waits` what keeps candidates from being asked now, `is_here` whether a
    provider is on this machine.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        clock: Clock,
        timeouts: CallTimeouts,
        claim: Callable[[Candidate], Claim],
        waits: Callable[[Sequence[Candidate]], Awaitable[Sequence[Wait | None]]],
        is_here: Callable[[str], bool],
    ) -> None:
        self._catalog = catalog
        self._clock = clock
        self._timeouts = timeouts
        self._claim = claim
        self._waits = waits
        self._is_here = is_here
        self._took_s: dict[tuple[str, str], deque[float]] = {}

    def answered(self, state: CallState, candidate: Candidate, took_s: float) -> None:
        """A candidate has answered after so many seconds."""
        if isinstance(state.request, ChatRequest):
            self._took_s.setdefault(candidate.identity, deque(maxlen=MOST_REMEMBERED)).append(took_s)

    async def timeout_s(self, state: CallState, candidate: Candidate) -> float:
        """Seconds for an attempt that begins now."""
        if isinstance(state.request, AudioRequest) and self._is_here(candidate.provider):
            # it computes as fast as this machine can, and there is nobody to come back to sooner
            return state.deadline - self._clock.monotonic()
        # the call may be part of a job of an hour: one that hangs must not take all of it
        left_s = min(state.deadline - self._clock.monotonic(), self._timeouts.deadline_s)
        if left_s <= LEAST_ATTEMPT_S or not await self._someone_else_within(
            state, candidate, left_s * (1 - SHARE_OF_REMAINING)
        ):
            return left_s
        if not isinstance(state.request, ChatRequest):
            return left_s * SHARE_OF_REMAINING
        known = self._took_s.get(candidate.identity, ())
        most_s = min(self._timeouts.attempt_timeout_s, left_s * SHARE_OF_REMAINING)
        return patience_s(known, most_s=most_s, silent_s=self._silent_s(state, candidate, most_s))

    def _silent_s(self, state: CallState, candidate: Candidate, most_s: float) -> float:
        """How long nothing may be heard of the longest answer, at the speed that the catalog says."""
        if streams(candidate, watched=state.watched):
            return 0.0
        row = self._catalog.models.get(candidate.model)
        if row is None or row.speed_tps is None:
            return most_s
        return SLOWER_THAN_SAID * candidate.max_tokens / float(row.speed_tps)

    async def _someone_else_within(self, state: CallState, candidate: Candidate, seconds: float) -> bool:
        others = [other for other in state.open() if other.identity != candidate.identity]
        claims = [self._claim(other) for other in others]
        known = [state.quotas.get(claim.key) for claim in claims]
        waits: Sequence[Wait | None]
        if len(state.asked) == 1 and self._clock.monotonic() - state.started < FRESH_S and None not in known:
            waits = [obstacle(quota, claim.cost) for quota, claim in zip(known, claims, strict=True) if quota is not None]
        else:
            waits = await self._waits(others)
        return any(wait is None or (wait.wait_s is not None and wait.wait_s < seconds) for wait in waits)
