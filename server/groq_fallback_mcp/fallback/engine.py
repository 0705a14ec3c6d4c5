"""The one imperative loop: walks a plan, reserves quota, calls providers, settles, and falls back.

Decisions are made in policy/ and quota/; here they are carried out, under one total deadline for the whole call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import assert_never

from groq_fallback_mcp.call import (
    UNRESTRICTED,
    AnyRequest,
    ChatRequest,
    Failure,
    FailureKind,
    Limit,
    Outcome,
    Restrictions,
    Success,
)
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.clock import Clock, today
from groq_fallback_mcp.fallback.attempt import Pick, Sender, Terms
from groq_fallback_mcp.fallback.call_state import Answer, CallState, CallTimeouts, Check
from groq_fallback_mcp.fallback.final_error import CallFailed, final_error
from groq_fallback_mcp.fallback.patience import Patience
from groq_fallback_mcp.fallback.picking import LEAST_ATTEMPT_S, RESERVATION_REST_S, Picker
from groq_fallback_mcp.fallback.progress import Progress, heartbeat
from groq_fallback_mcp.fallback.record import answer_of, attempt_of
from groq_fallback_mcp.policy.model_choice import choose
from groq_fallback_mcp.policy.offer import ProviderModels
from groq_fallback_mcp.policy.plan import (
    Candidate,
    Learnt,
    Plan,
    plan,
    with_counted_tokens,
    with_json_mode,
    with_max_tokens,
    with_more_prompt,
)
from groq_fallback_mcp.policy.repair import repaired
from groq_fallback_mcp.policy.verdict import Abort, Clamp, DropTier, FallBack, NextProvider, RelaxSchema, RetrySame, judge
from groq_fallback_mcp.providers.registry import ProviderRegistry
from groq_fallback_mcp.quota import (
    ANY_MODEL,
    Claim,
    Granted,
    Ledger,
    ModelQuota,
    QuotaKey,
    SettleResult,
    Wait,
    obstacle,
)
from groq_fallback_mcp.quota.breaker import useful_wait_s
from groq_fallback_mcp.quota.budget import Budget

__all__ = ["FallbackEngine"]

MOST_ATTEMPTS_A_MODEL = 3
PROBE_TOKENS = 1


class FallbackEngine:
    """Serves requests from whichever model can. `jitter` returns numbers in [0, 1); `restrictions` hold for every call."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        registry: ProviderRegistry,
        ledger: Ledger,
        clock: Clock,
        timeouts: CallTimeouts,
        jitter: Callable[[], float],
        budget: Budget | None = None,
        restrictions: Restrictions | None = None,
    ) -> None:
        self.catalog = catalog
        self.registry = registry
        self.ledger = ledger
        self.clock = clock
        self.timeouts = timeouts
        self.budget = budget or Budget()
        self._restrictions = restrictions or UNRESTRICTED
        self._jitter = jitter
        self._patience = Patience(
            catalog=catalog, clock=clock, timeouts=timeouts, claim=self.claim, waits=self.waits, is_here=self._is_here
        )
        self._picker = Picker(
            ledger=ledger,
            clock=clock,
            max_wait_s=timeouts.max_wait_s,
            longest_attempt_s=timeouts.deadline_s,
            claim=self.claim,
            jitter=jitter,
        )
        self._sender = Sender(registry=registry, ledger=ledger, clock=clock, catalog=catalog)

    async def plan(self, request: AnyRequest) -> Plan:
        """Who would be asked, given what the ledger has learnt. Raises InputRefused for unknown names."""
        return (await self._planned(request))[0]

    async def _planned(self, request: AnyRequest) -> tuple[Plan, Mapping[QuotaKey, ModelQuota]]:
        """The plan, and what the ledger said of the models that may be asked."""
        if self._restrictions != UNRESTRICTED:
            request = replace(request, restrictions=request.restrictions.within(self._restrictions))
        offers, day = self.registry.offers(), today(self.clock)
        quotas: Mapping[QuotaKey, ModelQuota] = {}
        choice = choose(request, catalog=self.catalog, offers=offers, today=day)
        if isinstance(request, ChatRequest):
            quotas = await self._quotas(offers, choice.wanted)
        learnt = {(key.provider, key.model): _learnt(quota) for key, quota in quotas.items()}
        return plan(request, catalog=self.catalog, offers=offers, today=day, learnt=learnt, choice=choice), quotas

    async def serve(
        self,
        request: AnyRequest,
        *,
        progress: Progress | None = None,
        check: Check | None = None,
        repair: bool = False,
        deadline_s: float | None = None,
    ) -> Answer | CallFailed:
        """Answer a request within the deadline, the usual one unless `deadline_s` says otherwise, or say why not.

        With `progress` an answer in text is streamed, and a stream that breaks is a failed attempt. `check` may refuse a success (an answer that breaks its schema), which then counts as a failed generation;
        with `repair` the model is shown that answer and what was wrong with it. Never for a classifier, which would judge those words.
        Raises InputRefused for unknown names, before anything is sent.
        """
        planned, quotas = await self._planned(request)
        now = self.clock.monotonic()
        state = CallState(
            request=request,
            plan=planned,
            tiers=[list(tier) for tier in planned.tiers],
            started=now,
            deadline=now + (self.timeouts.deadline_s if deadline_s is None else deadline_s),
            watched=progress is not None,
            keyed=frozenset(name for name, provider in self.registry.providers.items() if provider.unready is None),
            check=check,
            repairs=repair,
            quotas=quotas,
        )

        def report() -> tuple[float, float, str]:
            return self.clock.monotonic() - state.started, state.deadline - state.started, state.doing

        async with heartbeat(progress, report):
            return await self._run(state)

    def claim(self, candidate: Candidate) -> Claim:
        """What asking this candidate would take from whose buckets."""
        key = self.key(candidate.provider, candidate.model)
        return Claim(key=key, cost=candidate.cost, documented=candidate.documented, spend=candidate.spend)

    def _is_here(self, provider: str) -> bool:
        return any(offer.on_this_machine for offer in self.registry.offers() if offer.provider == provider)

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
        result = await self.ledger.reserve_any(
            [self.claim(candidate)], life_s=self.timeouts.attempt_timeout_s + RESERVATION_REST_S
        )
        if not isinstance(result, Granted):
            return result.waits[0].reason
        timeout_s = self.timeouts.attempt_timeout_s
        deadline = self.clock.monotonic() + timeout_s

        async def timeout() -> float:
            return timeout_s

        pick = Pick(candidate, result.reservation)
        outcome, _ = await self._sender.send(pick, request, Terms(deadline=deadline, timeout_s=timeout, longest_s=timeout_s))
        return outcome

    async def _quotas(self, offers: Sequence[ProviderModels], wanted: Sequence[str]) -> Mapping[QuotaKey, ModelQuota]:
        """What calls have taught about the models that may be asked: it decides what fits at all, and what it costs."""
        claims = [
            Claim(key=self.key(offer.provider, model), cost={}, documented=offered.documented)
            for offer in offers
            for model in wanted
            if (offered := offer.models.get(model)) is not None
        ]
        return {quota.key: quota for quota in await self.ledger.look(claims)}

    async def _run(self, state: CallState) -> Answer | CallFailed:
        while (left_s := state.deadline - self.clock.monotonic()) >= LEAST_ATTEMPT_S:
            picked = await self._picker.pick(state, left_s)
            if picked is None:
                return await self._give_up(state)
            answer = await self._ask(state, picked)
            if answer is not None:
                return answer
        return await self._give_up(state, out_of_time=True)

    async def _ask(self, state: CallState, picked: Pick) -> Answer | None:
        candidate = picked.candidate
        state.asked[candidate.identity] = state.asked.get(candidate.identity, 0) + 1
        state.doing = f"asking {candidate.model}"
        started = self.clock.monotonic()
        timeout_s = partial(self._patience.timeout_s, state, candidate)
        request, state.repair = state.repair or state.request, None
        told = partial(_tell, state, candidate.model) if state.watched else None
        terms = Terms(deadline=state.deadline, timeout_s=timeout_s, longest_s=self.timeouts.deadline_s, told=told)
        outcome, standing = await self._sender.send(picked, request, terms)
        if isinstance(outcome, Success) and state.check is not None and (fault := state.check(outcome)) is not None:
            state.repair = repaired(state.request, outcome.text, fault.message) if state.repairs else None
            outcome = fault
        took_s = self.clock.monotonic() - started
        state.attempts = [a for a in state.attempts if a.sent or (a.provider, a.model) != candidate.identity]
        state.attempts.append(attempt_of(candidate, outcome, took_s))
        if isinstance(outcome, Success):
            self._patience.answered(state, candidate, took_s)
            return answer_of(state, candidate, outcome, catalog=self.catalog, now=self.clock.monotonic())
        await self._act(state, candidate, outcome, standing)
        return None

    async def _act(  # noqa: C901, PLR0912 - an arm a verdict
        self, state: CallState, candidate: Candidate, failure: Failure, standing: SettleResult
    ) -> None:
        """Carry out what policy makes of a failure."""
        asked = state.asked[candidate.identity]
        state.last = failure
        verdict = judge(
            failure,
            attempts=asked,
            alternative=await self._alternative(state, candidate),
            jitter=self._jitter(),
            max_tokens=candidate.max_tokens,
            failures=standing.failures,
            retry_allowed=standing.retry_allowed,
            tier=state.request.service_tier if isinstance(state.request, ChatRequest) else None,
            json_mode=candidate.json_mode,
        )
        if isinstance(verdict, Abort) and candidate.provider != "groq" and failure.kind is not FailureKind.CONTENT_FILTERED:
            # what another endpoint refuses says little about the request: a wrong path of config.toml looks the same
            verdict = NextProvider(bench_s=0.0)
        repair = state.repair if isinstance(verdict, RetrySame) else None
        state.repair = repair
        match verdict:
            case RetrySame(after_s=after_s):
                state.doing = f"pausing {after_s:.1f} s before asking {candidate.model} again"
                await self.clock.sleep(min(after_s, max(state.deadline - self.clock.monotonic(), 0.0)))
                state.again = candidate if repair is None else with_more_prompt(candidate, state.request, repair)
            case DropTier():
                if isinstance(state.request, ChatRequest):
                    state.request = replace(state.request, service_tier="on_demand")
                state.notes.append("the tier asked for was full: asked again as on_demand")
                state.again = candidate
            case RelaxSchema(json_mode=json_mode):
                state.again = with_json_mode(candidate, json_mode)
                state.replace(candidate, state.again)
            case Clamp(max_tokens=max_tokens):
                state.again = with_max_tokens(candidate, max_tokens)
                state.replace(candidate, state.again)
            case FallBack(bench_s=bench_s, leave_provider=True):
                await self._bench(candidate.provider, candidate.model, bench_s, failure)
                state.drop(lambda other: other.provider == candidate.provider)
            case FallBack(bench_s=bench_s, may_return=may_return, reduced_to=reduced_to):
                for model in state.sharing(candidate, failure.pool):
                    await self._bench(candidate.provider, model, bench_s, failure)
                if reduced_to is not None:
                    state.replace(candidate, with_max_tokens(candidate, reduced_to), last=True)
                elif not may_return or asked >= MOST_ATTEMPTS_A_MODEL:
                    state.drop_one(candidate)
                else:
                    state.replace(candidate, with_counted_tokens(candidate, failure))
            case NextProvider(bench_s=bench_s):
                await self._bench(candidate.provider, ANY_MODEL, bench_s, failure)
                state.drop(lambda other: other.provider == candidate.provider)
            case Abort():
                state.tiers = []
            case _:  # pragma: no cover
                assert_never(verdict)

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

    async def _alternative(self, state: CallState, candidate: Candidate) -> bool:
        """Whether another candidate as good as this one, so of its tier, could be asked now."""
        others = [
            other
            for tier in state.tiers
            if any(one.identity == candidate.identity for one in tier)
            for other in tier
            if other.identity != candidate.identity
        ]
        return any(wait is None for wait in await self.waits(others))

    async def _give_up(self, state: CallState, *, out_of_time: bool = False) -> CallFailed:
        waits = await self.waits(state.open() or list(state.plan.candidates))
        useful = [0.0 if wait is None else useful_wait_s(wait.wait_s, wait.kind) for wait in waits]
        return final_error(
            attempts=state.attempts,
            exclusions=state.plan.exclusions,
            last=state.last,
            least_wait_s=min((seconds for seconds in useful if seconds is not None), default=None),
            out_of_time=out_of_time,
            deadline_s=state.deadline - state.started,
        )

    def key(self, provider: str, model: str) -> QuotaKey:
        """Whose buckets a model's are: the organization's behind the provider's key."""
        return QuotaKey(provider=provider, organization=self.registry.organization(provider), model=model)


def _learnt(quota: ModelQuota) -> Learnt:
    bucket = quota.buckets.get(Limit.TPM)
    tpm = bucket.capacity if bucket is not None and bucket.knowledge == "learnt" else None
    return Learnt(tpm=tpm, prompt_factor=quota.prompt_factor)


def _tell(state: CallState, model: str, pieces: int) -> None:
    state.doing = f"{model} is answering: about {pieces} tokens so far"
