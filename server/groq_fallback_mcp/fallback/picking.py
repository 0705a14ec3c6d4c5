"""Who is asked next: the first candidate whose quota can be reserved, at once or after a wait that is worth it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from groq_fallback_mcp.call import Attempt
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.fallback.attempt import Pick
from groq_fallback_mcp.fallback.call_state import CallState
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.quota import Claim, Granted, Ledger, Wait
from groq_fallback_mcp.quota.breaker import OWN_CAUTION, PROBE_POLL_S, useful_wait_s

__all__ = ["LEAST_ATTEMPT_S", "RESERVATION_REST_S", "Picker"]

LEAST_ATTEMPT_S = 0.25
LONGEST_NAP_S = 5.0
# A reservation of a process that died is given up on this long after its call must have ended.
RESERVATION_REST_S = 60.0
# Calls that wait for the same bucket do not come back in the same moment.
SPREAD_S = 0.05


class Picker:
    """Picks for walks. `claim` says what asking a candidate takes; `jitter` returns numbers in [0, 1).

    `longest_attempt_s`: no attempt takes longer, however long the call may.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        max_wait_s: float,
        longest_attempt_s: float,
        claim: Callable[[Candidate], Claim],
        jitter: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._max_wait_s = max_wait_s
        self._longest_attempt_s = longest_attempt_s
        self._claim = claim
        self._jitter = jitter

    async def pick(self, state: CallState, left_s: float) -> Pick | None:
        """Reserve the first candidate that can serve now; nap and let the caller come again when waiting is worth it.

        None: nobody can serve before the deadline.
        """
        if state.again is not None:
            forced, state.again = state.again, None
            result = await self._ledger.reserve_any([self._claim(forced)], life_s=self._life_s(left_s))
            if isinstance(result, Granted):
                return Pick(forced, result.reservation)
        end = self._clock.monotonic() + left_s
        while True:
            least_s: float | None = None
            cautions: list[bool] = []
            for index in range(len(state.tiers)):
                state.withhold_local_text()
                tier = state.tiers[index]
                claims = [self._claim(candidate) for candidate in tier]
                result = await self._ledger.reserve_any(claims, life_s=self._life_s(left_s))
                waits = result.passed_over if isinstance(result, Granted) else result.waits
                self._note_passed_over(state, tier, waits)
                if isinstance(result, Granted):
                    return Pick(tier[result.index], result.reservation)
                cautions += [wait.kind in OWN_CAUTION for wait in waits]
                useful = [useful_wait_s(wait.wait_s, wait.kind) for wait in waits]
                soonest_s = min((seconds for seconds in useful if seconds is not None), default=None)
                if soonest_s is None:
                    continue
                least_s = soonest_s if least_s is None else min(least_s, soonest_s)
                lesser = any(state.tiers[index + 1 :])
                if lesser and state.waited_s + least_s <= self._max_wait_s:
                    break
            if least_s is None or self._clock.monotonic() + least_s + LEAST_ATTEMPT_S > end:
                return await self._last_resort(state, left_s) if cautions and all(cautions) else None
            state.doing = f"waiting {least_s:.1f} s for a rate limit"
            nap_s = min(least_s, LONGEST_NAP_S) + SPREAD_S * (0.1 + self._jitter())
            state.waited_s += nap_s
            await self._clock.sleep(nap_s)

    async def _last_resort(self, state: CallState, left_s: float) -> Pick | None:
        """Where everybody rests for longer than this call lasts, and only because we thought it wise: ask one all the same."""
        if state.nobody_else:
            return None
        state.nobody_else = True
        left = state.open()
        claims = [replace(self._claim(candidate), nobody_else=True) for candidate in left]
        for _ in range(2):
            result = await self._ledger.reserve_any(claims, life_s=self._life_s(left_s))
            if isinstance(result, Granted):
                return Pick(left[result.index], result.reservation)
            soonest_s = min((wait.wait_s for wait in result.waits if wait.wait_s is not None), default=left_s)
            if soonest_s > PROBE_POLL_S:
                break
            # another call has just tried, or tries now
            await self._clock.sleep(soonest_s)
        return None

    def _note_passed_over(self, state: CallState, tier: Sequence[Candidate], waits: Sequence[Wait]) -> None:
        for candidate, wait in zip(tier, waits, strict=False):
            seen = any((a.provider, a.model) == candidate.identity for a in state.attempts)
            if not seen:
                state.attempts.append(
                    Attempt(
                        provider=candidate.provider,
                        model=candidate.model,
                        sent=False,
                        outcome="passed_over",
                        detail=wait.reason,
                        retry_after_s=useful_wait_s(wait.wait_s, wait.kind),
                        kind=wait.kind,
                    )
                )
            if wait.wait_s is None:
                state.drop_one(candidate)

    def _life_s(self, left_s: float) -> float:
        """How long a reservation may be open. A call of an hour must not leave its own, or a probe, for so long behind."""
        return min(left_s, self._longest_attempt_s) + RESERVATION_REST_S
