"""The one imperative loop: walks a plan, reserves quota, calls providers, settles, and falls back.

Decisions are made in policy/ and quota/; here they are carried out, under one total deadline for the whole call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import assert_never

from groq_fallback_mcp.call import (
    Attempt,
    AudioRequest,
    ChatRequest,
    Failure,
    FailureKind,
    Limit,
    Outcome,
    Success,
)
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.clock import Clock, today
from groq_fallback_mcp.gateway.record import answer_of, attempt_of
from groq_fallback_mcp.gateway.sending import Pick, Sender
from groq_fallback_mcp.gateway.walk import Answer, Check, Pace, Progress, Walk, heartbeat
from groq_fallback_mcp.policy.breaker import OWN_CAUTION, PROBE_POLL_S
from groq_fallback_mcp.policy.choice import choose
from groq_fallback_mcp.policy.no_answer import NoAnswer, no_answer
from groq_fallback_mcp.policy.offer import Offer
from groq_fallback_mcp.policy.plan import Candidate, Learnt, Plan, plan, with_counted_tokens, with_max_tokens
from groq_fallback_mcp.policy.spending import Budget
from groq_fallback_mcp.policy.verdict import Abort, Clamp, FallBack, NextProvider, RetrySame, judge
from groq_fallback_mcp.providers.roster import Roster
from groq_fallback_mcp.quota import (
    ANY_MODEL,
    Claim,
    Granted,
    Ledger,
    QuotaKey,
    Standing,
    Wait,
    obstacle,
)

__all__ = ["Gateway"]

LEAST_ATTEMPT_S = 0.25
MOST_ATTEMPTS_A_MODEL = 3
LONGEST_NAP_S = 5.0
SHARE_OF_REMAINING = 0.6
PROBE_TOKENS = 1
# A reservation of a process that died is given up on this long after its call must have ended.
RESERVATION_REST_S = 60.0
# Calls that wait for the same bucket do not come back in the same moment.
SPREAD_S = 0.05


class Gateway:
    """Serves requests from whichever model can. `jitter` returns numbers in [0, 1)."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        roster: Roster,
        ledger: Ledger,
        clock: Clock,
        pace: Pace,
        jitter: Callable[[], float],
        budget: Budget | None = None,
    ) -> None:
        self.catalog = catalog
        self.roster = roster
        self.ledger = ledger
        self.clock = clock
        self.pace = pace
        self.budget = budget or Budget()
        self._jitter = jitter
        self._sender = Sender(roster=roster, ledger=ledger, clock=clock, catalog=catalog)

    async def plan(self, request: ChatRequest | AudioRequest) -> Plan:
        """Who would be asked, given what the ledger has learnt. Raises InputRefused for unknown names."""
        offers, day = self.roster.offers(), today(self.clock)
        learnt: Mapping[tuple[str, str], Learnt] = {}
        if isinstance(request, ChatRequest):
            wanted = choose(request, catalog=self.catalog, offers=offers, today=day).wanted
            learnt = await self._learnt(offers, wanted)
        return plan(request, catalog=self.catalog, offers=offers, today=day, learnt=learnt)

    async def serve(
        self,
        request: ChatRequest | AudioRequest,
        *,
        progress: Progress | None = None,
        check: Check | None = None,
    ) -> Answer | NoAnswer:
        """Answer a request within the deadline, or say why not.

        `check` may refuse a success (an answer that breaks its schema), which then counts as a failed generation.
        Raises InputRefused for unknown names, before anything is sent.
        """
        planned = await self.plan(request)
        now = self.clock.monotonic()
        walk = Walk(
            request=request,
            plan=planned,
            tiers=[list(tier) for tier in planned.tiers],
            started=now,
            deadline=now + self.pace.deadline_s,
            check=check,
        )
        async with heartbeat(walk, progress, self.clock):
            return await self._walk(walk)

    def claim(self, candidate: Candidate) -> Claim:
        """What asking this candidate would take from whose buckets."""
        key = self.key(candidate.provider, candidate.model)
        return Claim(key=key, cost=candidate.cost, documented=candidate.documented, spend=candidate.spend)

    async def waits(self, candidates: Sequence[Candidate]) -> Sequence[Wait | None]:
        """For each candidate, what keeps it from being asked now; None when nothing does."""
        claims = [self.claim(candidate) for candidate in candidates]
        quotas = await self.ledger.look(claims)
        return [obstacle(quota, claim.cost) for quota, claim in zip(quotas, claims, strict=True)]

    async def probe(self, model: str) -> Outcome | str:
        """Send one tiny request to a model, so that its answer tells the limits; a string says why it was not sent.

        Goes through the ledger like any call, but falls back to nothing.
        """
        request = ChatRequest(messages=({"role": "user", "content": "ping"},), model=model, max_tokens=PROBE_TOKENS)
        candidate = next((found for found in (await self.plan(request)).candidates if found.model == model), None)
        if candidate is None:
            return f"{model} cannot be probed with a chat request"
        result = await self.ledger.reserve_any([self.claim(candidate)], life_s=self.pace.attempt_timeout_s + RESERVATION_REST_S)
        if not isinstance(result, Granted):
            return result.waits[0].reason
        timeout_s = self.pace.attempt_timeout_s
        deadline = self.clock.monotonic() + timeout_s

        async def timeout() -> float:
            return timeout_s

        outcome, _ = await self._sender.send(Pick(candidate, result.reservation), request, deadline=deadline, timeout_s=timeout)
        return outcome

    async def _learnt(self, offers: Sequence[Offer], wanted: Sequence[str]) -> Mapping[tuple[str, str], Learnt]:
        """What calls have taught about the models that may be asked: it decides what fits at all, and what it costs."""
        claims = [
            Claim(key=self.key(offer.provider, model), cost={}, documented=offered.documented)
            for offer in offers
            for model in wanted
            if (offered := offer.models.get(model)) is not None
        ]
        learnt: dict[tuple[str, str], Learnt] = {}
        for quota in await self.ledger.look(claims):
            bucket = quota.buckets.get(Limit.TPM)
            tpm = bucket.capacity if bucket is not None and bucket.knowledge == "learnt" else None
            learnt[quota.key.provider, quota.key.model] = Learnt(tpm=tpm, prompt_factor=quota.prompt_factor)
        return learnt

    async def _walk(self, walk: Walk) -> Answer | NoAnswer:
        while (left_s := walk.deadline - self.clock.monotonic()) >= LEAST_ATTEMPT_S:
            picked = await self._pick(walk, left_s)
            if picked is None:
                return await self._give_up(walk)
            answer = await self._ask(walk, picked)
            if answer is not None:
                return answer
        return await self._give_up(walk, out_of_time=True)

    async def _pick(self, walk: Walk, left_s: float) -> Pick | None:
        """Reserve the first candidate that can serve now; nap and let the caller come again when waiting is worth it.

        None: nobody can serve before the deadline.
        """
        if walk.again is not None:
            forced, walk.again = walk.again, None
            result = await self.ledger.reserve_any([self.claim(forced)], life_s=left_s + RESERVATION_REST_S)
            if isinstance(result, Granted):
                return Pick(forced, result.reservation)
        end = self.clock.monotonic() + left_s
        while True:
            least_s: float | None = None
            cautions: list[bool] = []
            for index, tier in enumerate(walk.tiers):
                claims = [self.claim(candidate) for candidate in tier]
                result = await self.ledger.reserve_any(claims, life_s=left_s + RESERVATION_REST_S)
                waits = result.passed_over if isinstance(result, Granted) else result.waits
                self._note_passed_over(walk, tier, waits)
                if isinstance(result, Granted):
                    return Pick(tier[result.index], result.reservation)
                cautions += [wait.kind in OWN_CAUTION for wait in waits]
                soonest_s = min((wait.wait_s for wait in waits if wait.wait_s is not None), default=None)
                if soonest_s is None:
                    continue
                least_s = soonest_s if least_s is None else min(least_s, soonest_s)
                lesser = any(walk.tiers[index + 1 :])
                if lesser and walk.waited_s + least_s <= self.pace.max_wait_s:
                    break
            if least_s is None or self.clock.monotonic() + least_s + LEAST_ATTEMPT_S > end:
                return await self._last_resort(walk, left_s) if cautions and all(cautions) else None
            walk.doing = f"waiting {least_s:.1f} s for a rate limit"
            nap_s = min(least_s, LONGEST_NAP_S) + SPREAD_S * (0.1 + self._jitter())
            walk.waited_s += nap_s
            await self.clock.sleep(nap_s)

    async def _last_resort(self, walk: Walk, left_s: float) -> Pick | None:
        """Where everybody rests for longer than this call lasts, and only because we thought it wise: ask one all the same."""
        if walk.nobody_else:
            return None
        walk.nobody_else = True
        left = walk.open()
        claims = [replace(self.claim(candidate), nobody_else=True) for candidate in left]
        for _ in range(2):
            result = await self.ledger.reserve_any(claims, life_s=left_s + RESERVATION_REST_S)
            if isinstance(result, Granted):
                return Pick(left[result.index], result.reservation)
            soonest_s = min((wait.wait_s for wait in result.waits if wait.wait_s is not None), default=left_s)
            if soonest_s > PROBE_POLL_S:
                break
            # another call has just tried, or tries now
            await self.clock.sleep(soonest_s)
        return None

    def _note_passed_over(self, walk: Walk, tier: Sequence[Candidate], waits: Sequence[Wait]) -> None:
        for candidate, wait in zip(tier, waits, strict=False):
            seen = any((a.provider, a.model) == candidate.identity for a in walk.attempts)
            if not seen:
                walk.attempts.append(
                    Attempt(
                        provider=candidate.provider,
                        model=candidate.model,
                        sent=False,
                        outcome="passed_over",
                        detail=wait.reason,
                        retry_after_s=wait.wait_s,
                        kind=wait.kind,
                    )
                )
            if wait.wait_s is None:
                walk.drop_one(candidate)

    async def _ask(self, walk: Walk, picked: Pick) -> Answer | None:
        candidate = picked.candidate
        walk.asked[candidate.identity] = walk.asked.get(candidate.identity, 0) + 1
        walk.doing = f"asking {candidate.model}"
        started = self.clock.monotonic()
        timeout_s = partial(self._timeout_s, walk, candidate)
        outcome, standing = await self._sender.send(picked, walk.request, deadline=walk.deadline, timeout_s=timeout_s)
        if isinstance(outcome, Success) and walk.check is not None:
            outcome = walk.check(outcome) or outcome
        took_s = self.clock.monotonic() - started
        walk.attempts = [a for a in walk.attempts if a.sent or (a.provider, a.model) != candidate.identity]
        walk.attempts.append(attempt_of(candidate, outcome, took_s))
        if isinstance(outcome, Success):
            return answer_of(walk, candidate, outcome, catalog=self.catalog, now=self.clock.monotonic())
        await self._act(walk, candidate, outcome, standing)
        return None

    async def _act(self, walk: Walk, candidate: Candidate, failure: Failure, standing: Standing) -> None:
        """Carry out what policy makes of a failure."""
        asked = walk.asked[candidate.identity]
        walk.last = failure
        verdict = judge(
            failure,
            attempts=asked,
            alternative=await self._alternative(walk, candidate),
            jitter=self._jitter(),
            max_tokens=candidate.max_tokens,
            failures=standing.failures,
            retry_allowed=standing.retry_allowed,
        )
        if isinstance(verdict, Abort) and candidate.provider != "groq":
            # what another endpoint refuses says little about the request: a wrong path of config.toml looks the same
            verdict = NextProvider(bench_s=0.0)
        match verdict:
            case RetrySame(after_s=after_s):
                walk.doing = f"pausing {after_s:.1f} s before asking {candidate.model} again"
                await self.clock.sleep(min(after_s, max(walk.deadline - self.clock.monotonic(), 0.0)))
                walk.again = candidate
            case Clamp(max_tokens=max_tokens):
                walk.again = with_max_tokens(candidate, max_tokens)
                walk.replace(candidate, walk.again)
            case FallBack(bench_s=bench_s, leave_provider=True):
                await self._bench(candidate.provider, candidate.model, bench_s, failure)
                walk.drop(lambda other: other.provider == candidate.provider)
            case FallBack(bench_s=bench_s, may_return=may_return, reduced_to=reduced_to):
                await self._bench(candidate.provider, candidate.model, bench_s, failure)
                if reduced_to is not None:
                    walk.replace(candidate, with_max_tokens(candidate, reduced_to), last=True)
                elif not may_return or asked >= MOST_ATTEMPTS_A_MODEL:
                    walk.drop_one(candidate)
                else:
                    walk.replace(candidate, with_counted_tokens(candidate, failure))
            case NextProvider(bench_s=bench_s):
                await self._bench(candidate.provider, ANY_MODEL, bench_s, failure)
                walk.drop(lambda other: other.provider == candidate.provider)
            case Abort():
                walk.tiers = []
            case _:  # pragma: no cover
                assert_never(verdict)

    async def _timeout_s(self, walk: Walk, candidate: Candidate) -> float:
        """How long this attempt may take: less than what is left while somebody else could still be asked."""
        left_s = walk.deadline - self.clock.monotonic()
        if left_s <= LEAST_ATTEMPT_S or not await self._someone_else_within(walk, candidate, left_s * (1 - SHARE_OF_REMAINING)):
            return left_s
        least_s = self.pace.attempt_timeout_s if isinstance(walk.request, ChatRequest) else left_s
        return min(least_s, left_s * SHARE_OF_REMAINING)

    async def _bench(self, provider: str, model: str, bench_s: float, failure: Failure) -> None:
        if bench_s <= 0:
            return
        limit = next((reading.limit for reading in failure.quota.readings), None)
        limited = failure.kind is FailureKind.RATE_LIMITED
        detail = limit.unit if limited and limit is not None else "" if limited else failure.message[:80]
        reason = failure.kind.value.replace("_", " ") + (f" ({detail})" if detail else "")
        await self.ledger.cool_down(
            self.key(provider, model), bench_s, reason, limit=limit if limited else None, kind=failure.kind
        )

    async def _alternative(self, walk: Walk, candidate: Candidate) -> bool:
        """Whether another candidate as good as this one, so of its tier, could be asked now."""
        others = [
            other
            for tier in walk.tiers
            if any(one.identity == candidate.identity for one in tier)
            for other in tier
            if other.identity != candidate.identity
        ]
        return any(wait is None for wait in await self.waits(others))

    async def _someone_else_within(self, walk: Walk, candidate: Candidate, seconds: float) -> bool:
        waits = await self.waits([other for other in walk.open() if other.identity != candidate.identity])
        return any(wait is None or (wait.wait_s is not None and wait.wait_s < seconds) for wait in waits)

    async def _give_up(self, walk: Walk, *, out_of_time: bool = False) -> NoAnswer:
        waits = await self.waits(walk.open() or list(walk.plan.candidates))
        finite = [0.0 if wait is None else wait.wait_s for wait in waits if wait is None or wait.wait_s is not None]
        return no_answer(
            attempts=walk.attempts,
            exclusions=walk.plan.exclusions,
            last=walk.last,
            least_wait_s=min((seconds for seconds in finite if seconds is not None), default=None),
            out_of_time=out_of_time,
            deadline_s=walk.deadline - walk.started,
        )

    def key(self, provider: str, model: str) -> QuotaKey:
        """Whose buckets a model's are: the organisation's behind the provider's key."""
        return QuotaKey(provider=provider, organisation=self.roster.organisation(provider), model=model)
