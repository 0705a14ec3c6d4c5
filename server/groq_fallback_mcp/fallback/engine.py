"""The one loop: plans a call, reserves quota, calls a provider, judges what came, settles, and goes on to the next candidate.

Decisions are made in policy/ and quota/; here they are carried out, under one total deadline for the whole call.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar, assert_never

from groq_fallback_mcp.call import (
    CANCELLED,
    UNRESTRICTED,
    AnyRequest,
    AudioRequest,
    CallListener,
    CallOrigin,
    CallUnderWay,
    ChatRequest,
    Failure,
    FailureKind,
    Limit,
    Outcome,
    Restrictions,
    SizeLimit,
    Success,
)
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.clock import Clock, today
from groq_fallback_mcp.errors import InputRefused, ModelNotAllowed
from groq_fallback_mcp.fallback.attempt import AttemptSender
from groq_fallback_mcp.fallback.attempt_timeout import AnswerTimes, attempt_timeout_s
from groq_fallback_mcp.fallback.call_record import call_record, under_way
from groq_fallback_mcp.fallback.call_state import Answer, CallState, CallTimeouts, Check
from groq_fallback_mcp.fallback.final_error import CallFailed, final_error
from groq_fallback_mcp.fallback.progress import CallObserver, Progress, heartbeat
from groq_fallback_mcp.policy.estimate import estimate_prompt_tokens
from groq_fallback_mcp.policy.fit import is_requested
from groq_fallback_mcp.policy.model_choice import Choice, ProviderModel, ProviderModels, choose
from groq_fallback_mcp.policy.plan import (
    Candidate,
    Learnt,
    Plan,
    plan,
    streams,
    with_counted_tokens,
    with_json_mode,
    with_max_tokens,
    with_more_prompt,
)
from groq_fallback_mcp.policy.verdict import (
    Abort,
    Clamp,
    DropServiceTier,
    FallBack,
    NextProvider,
    RelaxSchema,
    RetrySame,
    judge,
)
from groq_fallback_mcp.providers.registry import ProviderRegistry
from groq_fallback_mcp.quota import (
    ANY_MODEL,
    Caller,
    Claim,
    Granted,
    Ledger,
    ModelQuota,
    QuotaKey,
    Refused,
    Reservation,
    SettleResult,
    Wait,
    obstacle,
    pool_model,
)
from groq_fallback_mcp.quota.breaker import OWN_CAUTION, PROBE_POLL_S, useful_wait_s
from groq_fallback_mcp.quota.budget import Budget
from groq_fallback_mcp.render import excerpt

__all__ = ["FallbackEngine", "repaired"]

_log = logging.getLogger(__name__)

RequestT = TypeVar("RequestT", bound=AnyRequest)

MOST_ATTEMPTS_A_MODEL = 3
LEAST_ATTEMPT_S = 0.25
LONGEST_NAP_S = 5.0
# Calls that wait for the same bucket do not come back in the same moment.
SPREAD_S = 0.05
# Of the nap, where several callers share the limits.
SPREAD_SHARE = 0.1
# A reservation of a process that died is given up on this long after its call must have ended.
RESERVATION_GRACE_S = 60.0
SHARE_OF_REMAINING = 0.6
# What the plan saw so short a time ago need not be looked at again.
FRESH_S = 1.0
SLOWER_THAN_STATED = 1.5
PROBE_TOKENS = 1
SHOWN_CHARS = 8_000


class FallbackEngine:
    """Serves requests from whichever model can. `jitter` returns numbers in [0, 1); `restrictions` hold for every call, `prefer` orders
    providers as the setting of that name. `listeners` hear of each call that is planned, by this engine or one made from it.
    """

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
        prefer: Sequence[str] = (),
        listeners: Sequence[CallListener] = (),
    ) -> None:
        self.catalog = catalog
        self.registry = registry
        self.ledger = ledger
        self.clock = clock
        self.timeouts = timeouts
        self.budget = budget or Budget()
        self.caller: Caller | None = None
        self.restrictions = restrictions or UNRESTRICTED
        self._prefer = prefer
        self._jitter = jitter
        self._sender = AttemptSender(registry=registry, ledger=ledger, clock=clock)
        self._answer_times = AnswerTimes()
        self.origin = CallOrigin()
        # of this engine and all that are made from it, as the calls are
        self._listeners = [*listeners]
        self._calls: dict[str, tuple[CallState, CallOrigin, float]] = {}

    def with_origin(self, origin: CallOrigin) -> FallbackEngine:
        """This engine, for calls that come from there."""
        other = copy(self)
        other.origin = origin
        return other

    def add_listener(self, listener: CallListener) -> None:
        """From now on `listener` hears of calls too, of this engine and all that are made from it."""
        self._listeners.append(listener)

    @property
    def under_way(self) -> Sequence[CallUnderWay]:
        """The calls of this process that have not ended, the oldest first."""
        return [under_way(name, state, origin, began) for name, (state, origin, began) in self._calls.items()]

    def with_timeouts(self, timeouts: CallTimeouts) -> FallbackEngine:
        """This engine, for calls of another kind: the same models, limits and places, other times."""
        other = copy(self)
        other.timeouts = timeouts
        return other

    def for_caller(self, caller: Caller | None, restrictions: Restrictions = UNRESTRICTED) -> FallbackEngine:
        """This engine, for one caller's calls, under more restrictions; None where nobody is told apart."""
        other = copy(self)
        other.caller = caller
        other.restrictions = restrictions.within(self.restrictions)
        return other

    def yielding(self) -> FallbackEngine:
        """This engine, for batch work of the same caller, that waits while others wait."""
        return self if self.caller is None else self.for_caller(replace(self.caller, yields=True))

    async def plan(self, request: AnyRequest) -> Plan:
        """The candidates for a request, given what the ledger has learnt. Raises InputRefused for unknown names."""
        return (await self._planned(request))[0]

    def restricted(self, request: RequestT) -> RequestT:
        """The request under the restrictions that hold for every call, too."""
        if self.restrictions == UNRESTRICTED:
            return request
        return replace(request, restrictions=request.restrictions.within(self.restrictions))

    async def serve(
        self,
        request: AnyRequest,
        *,
        progress: Progress | None = None,
        observer: CallObserver | None = None,
        check: Check | None = None,
        repair: bool = False,
        deadline_s: float | None = None,
        longest_wait_s: float | None = None,
    ) -> Answer | CallFailed:
        """Answer a request within the deadline, the usual one unless `deadline_s` says otherwise, or say why not.

        `longest_wait_s` bounds what the call waits for limits, all its waits together; without it only the deadline does.

        With `progress` or `observer` an answer in text is streamed, and a stream that breaks is a failed attempt. `check` may refuse a
        success (an answer that breaks its schema), which then counts as a failed generation; with `repair` the model is
        shown that answer and what was wrong with it. Never for a classifier, which would judge those words.
        Raises InputRefused for unknown names, before anything is sent.
        """
        try:
            planned, quotas = await self._planned(request)
        except ModelNotAllowed:
            await self._count_refusal()
            raise
        now = self.clock.monotonic()
        state = CallState(
            request=request,
            plan=planned,
            started=now,
            deadline=now + (self.timeouts.deadline_s if deadline_s is None else deadline_s),
            watched=progress is not None or observer is not None,
            observer=observer,
            keyed=frozenset(name for name, provider in self.registry.providers.items() if provider.unready is None),
            check=check,
            repairs=repair,
            quotas=quotas,
            longest_wait_s=math.inf if longest_wait_s is None else longest_wait_s,
        )

        def report() -> tuple[float, float, str]:
            return self.clock.monotonic() - state.started, state.deadline - state.started, state.doing

        with self._recorded(state) as ending:
            async with heartbeat(progress, report):
                outcome = await self._run(state)
            ending.outcome = outcome
        if isinstance(outcome, CallFailed) and outcome.code in {"rate_limited", "over_budget"}:
            await self._count_refusal()
        return outcome

    @contextmanager
    def _recorded(self, state: CallState) -> Generator[_Ending]:
        """The listeners hear of what happens inside, however it ends."""
        name, began, ending = secrets.token_hex(4), self.clock.wall(), _Ending()
        origin = self.origin if self.caller is None else replace(self.origin, caller=self.caller.name)
        self._calls[name] = state, origin, began
        try:
            self._tell(lambda listener: listener.call_started())
            yield ending
        except Exception:
            ending.code = "internal"
            raise
        finally:
            del self._calls[name]
            if self._listeners:
                now = self.clock.monotonic()
                outcome = ending.code if ending.outcome is None else ending.outcome
                record = call_record(name, state, outcome, origin=origin, started_at=began, now=now)
                self._tell(lambda listener: listener.call_ended(record))

    def _tell(self, what: Callable[[CallListener], None]) -> None:
        """Call each listener; one that fails costs neither the call nor what others hear."""
        for listener in self._listeners:
            try:
                what(listener)
            except Exception:  # noqa: BLE001 - what only listens may fail in any way
                _log.warning("a listener failed", exc_info=True)

    async def _count_refusal(self) -> None:
        if self.caller is not None:
            await self.ledger.count_refusal(self.caller.name)

    async def _run(self, state: CallState) -> Answer | CallFailed:
        while self._left_s(state) >= LEAST_ATTEMPT_S:
            found = await self._next_candidate(state)
            if found is None:
                return await self._failed(state)
            candidate, reservation = found
            outcome, settled = await self._try(state, candidate, reservation)
            if isinstance(outcome, Success):
                return state.answer(candidate, outcome, now=self.clock.monotonic())
            await self._act_on(state, candidate, outcome, settled)
            await self._look_again(state, candidate, outcome)
        return await self._failed(state, out_of_time=True)

    async def _next_candidate(self, state: CallState) -> tuple[Candidate, Reservation] | None:
        """The candidate to try now, with its quota reserved; None where none can serve before the deadline.

        1. The candidate that the last verdict wants to try again, if it has quota.
        2. The first of the first tier that has quota now; else of the next tier, unless a short wait gets a better one.
        3. Where all are limited: nap until the first has quota again, if that is before the deadline, and look again.
        4. Where all are only in cooldowns that we set by our own caution, and longer than this call: one of them all the same.
        """
        if state.again is not None:
            again, state.again = state.again, None
            result = await self._reserve(state, [self.claim(again)])
            if isinstance(result, Granted):
                return again, result.reservation
            # its prompt is longer than what is claimed for any other
            state.repair = None
        while True:
            least_s: float | None = None
            cautions: list[bool] = []
            for index in range(len(state.tiers)):
                state.drop_local_text_after_a_refused_key()
                tier = state.tiers[index]
                elsewhere = (
                    [] if self.caller is None else [one for at, other in enumerate(state.tiers) if at != index for one in other]
                )
                result = await self._reserve(state, [self.claim(candidate) for candidate in tier], elsewhere)
                waits = result.skipped if isinstance(result, Granted) else result.waits
                state.record_skipped(tier, waits, self.clock.monotonic())
                if isinstance(result, Granted):
                    return tier[result.index], result.reservation
                cautions += [wait.kind in OWN_CAUTION for wait in waits]
                soonest_s = _soonest_s(waits)
                if soonest_s is None:
                    continue
                least_s = soonest_s if least_s is None else min(least_s, soonest_s)
                is_short = least_s <= min(self.timeouts.max_wait_s - state.waited_s, self._longest_nap_s(state))
                if is_short and any(state.tiers[index + 1 :]):
                    break
            if least_s is None or least_s > self._longest_nap_s(state):
                return await self._last_resort(state) if cautions and all(cautions) else None
            state.doing = f"waiting {least_s:.1f} s for a rate limit"
            # of a team many calls may wait for the same moment, and each look is a transaction
            spread_s = SPREAD_S if self.caller is None else max(SPREAD_S, min(least_s, LONGEST_NAP_S) * SPREAD_SHARE)
            nap_s = min(least_s, LONGEST_NAP_S) + spread_s * (0.1 + self._jitter())
            state.waited_s += nap_s
            if state.observer is not None:
                state.observer.waiting(least_s)
            await self.clock.sleep(nap_s)

    def _longest_nap_s(self, state: CallState) -> float:
        """Seconds that the call can still wait for a limit, and be answered after it."""
        return min(self._left_s(state) - LEAST_ATTEMPT_S, state.longest_wait_s - state.waited_s)

    async def _last_resort(self, state: CallState) -> tuple[Candidate, Reservation] | None:
        """Try a candidate in spite of a cooldown, once a call."""
        if state.last_resort_used:
            return None
        state.last_resort_used = True
        left = state.left
        claims = [replace(self.claim(candidate), last_resort=True) for candidate in left]
        for _ in range(2):
            result = await self._reserve(state, claims)
            if isinstance(result, Granted):
                return left[result.index], result.reservation
            soonest_s = min((wait.wait_s for wait in result.waits if wait.wait_s is not None), default=self._left_s(state))
            if soonest_s > PROBE_POLL_S:
                break
            # another call has just tried, or tries now
            await self.clock.sleep(soonest_s)
        return None

    async def _try(self, state: CallState, candidate: Candidate, reservation: Reservation) -> tuple[Outcome, SettleResult]:
        """Send the call to a candidate; a success that the caller's check refuses is a failure."""
        started = self.clock.monotonic()
        state.begin(candidate, started)
        request, state.repair = state.repair or state.request, None
        observer = state.observer
        if observer is not None:
            observer.attempt_started(candidate, tuple(state.attempts))

        def on_progress(pieces: int) -> None:
            if state.first_token_at is None:
                state.first_token_at = self.clock.monotonic()
            state.doing = f"{candidate.model} is answering: about {pieces} tokens so far"

        outcome, settled = await self._sender.send(
            request,
            candidate,
            reservation,
            deadline=state.deadline,
            timeout_s=partial(self._attempt_timeout_s, state, candidate),
            longest_s=self.timeouts.deadline_s,
            on_progress=on_progress if state.watched else None,
            on_text=None if observer is None else observer.text_received,
            on_reasoning=None if observer is None else observer.reasoning_received,
            is_shown=None if observer is None else lambda: observer.has_shown,
        )
        if isinstance(outcome, Success) and state.check is not None and (fault := state.check(outcome)) is not None:
            state.repair = repaired(state.request, outcome.text, fault.message) if state.repairs else None
            outcome = fault
        if observer is not None and isinstance(outcome, Failure):
            observer.attempt_failed()
        took_s = self.clock.monotonic() - started
        state.record(candidate, outcome, took_s)
        if isinstance(outcome, Success) and isinstance(request, ChatRequest):
            self._answer_times.add(candidate.identity, took_s)
        return outcome, settled

    async def _act_on(  # noqa: C901, PLR0912 - an arm a verdict
        self, state: CallState, candidate: Candidate, failure: Failure, settled: SettleResult
    ) -> None:
        """Carry out what policy makes of a failure."""
        tried = state.tried[candidate.identity]
        verdict = judge(
            failure,
            times_tried=tried,
            alternative=await self._has_alternative(state, candidate),
            jitter=self._jitter(),
            max_tokens=candidate.max_tokens,
            failures=settled.failures,
            retry_allowed=settled.retry_allowed,
            service_tier=state.request.service_tier if isinstance(state.request, ChatRequest) else None,
            json_mode=candidate.json_mode,
        )
        if isinstance(verdict, Abort) and not candidate.cataloged and failure.kind is not FailureKind.CONTENT_FILTERED:
            # what another endpoint refuses says little about the request: a wrong path of config.toml looks the same
            verdict = NextProvider(cooldown_s=0.0)
            state.refused_by.add(candidate.provider)
        repair = state.repair if isinstance(verdict, RetrySame) else None
        state.repair = repair
        match verdict:
            case RetrySame(after_s=after_s):
                state.doing = f"pausing {after_s:.1f} s before retrying {candidate.model}"
                await self.clock.sleep(min(after_s, max(self._left_s(state), 0.0)))
                state.again = candidate if repair is None else with_more_prompt(candidate, state.request, repair)
            case DropServiceTier():
                if isinstance(state.request, ChatRequest):
                    state.request = replace(state.request, service_tier="on_demand")
                state.notes.append("The requested service tier was full, so the request was repeated as on_demand.")
                state.again = candidate
            case RelaxSchema(json_mode=json_mode):
                state.again = with_json_mode(candidate, json_mode)
                state.replace(candidate, state.again)
            case Clamp(max_tokens=max_tokens):
                state.again = with_max_tokens(with_counted_tokens(candidate, failure), max_tokens)
                state.replace(candidate, state.again)
            case FallBack(cooldown_s=cooldown_s, provider_failing=True):
                await self._cool_down(candidate.provider, candidate.model, cooldown_s, failure)
                await self._drop_failing(state, candidate)
            case FallBack(cooldown_s=cooldown_s, may_return=may_return, reduced_to=reduced_to):
                for model in _limited(candidate, failure, state.plan.candidates):
                    await self._cool_down(candidate.provider, model, cooldown_s, failure)
                if reduced_to is not None:
                    counted = with_counted_tokens(candidate, failure)
                    state.replace(candidate, with_max_tokens(counted, reduced_to), last=True)
                elif not may_return or tried >= MOST_ATTEMPTS_A_MODEL:
                    state.drop_model(candidate)
                else:
                    state.replace(candidate, with_counted_tokens(candidate, failure))
            case NextProvider(cooldown_s=cooldown_s):
                await self._cool_down(candidate.provider, ANY_MODEL, cooldown_s, failure)
                state.drop_provider(candidate.provider)
            case Abort():
                state.tiers, state.aborted = [], True
            case _:  # pragma: no cover
                assert_never(verdict)

    async def _drop_failing(self, state: CallState, candidate: Candidate) -> None:
        """Leave out this model, and those of its provider that have failed since they last answered."""
        others = [one for one in state.left if one.provider == candidate.provider and one.identity != candidate.identity]
        quotas = await self.ledger.peek([self.claim(one) for one in others], caller=self.caller)
        well = {one.identity for one, quota in zip(others, quotas, strict=True) if not quota.health.failures}
        state.drop(lambda one: one.provider == candidate.provider and one.identity not in well)

    async def _look_again(self, state: CallState, candidate: Candidate, failure: Failure) -> None:
        """Go on to what this machine's servers run now, where the attempt shows that something has changed."""
        servers = await self.registry.learn_from(candidate.provider, candidate.wire_model, failure)
        if servers:
            found = (await self.plan(replace(state.request, model=None))).candidates
            new = [one for one in found if one.provider in servers]
            state.add(candidate.provider, new, again=failure.kind is FailureKind.UNREACHABLE)

    async def _failed(self, state: CallState, *, out_of_time: bool = False) -> CallFailed:
        # a provider that refused this request would refuse it again, however free it is
        all_others = [one for one in state.plan.candidates if one.provider not in state.refused_by]
        waits = await self.waits(state.left or all_others)
        return final_error(
            attempts=state.attempts,
            exclusions=state.plan.exclusions,
            last=state.last_failure,
            aborted=state.aborted,
            least_wait_s=_soonest_s(waits),
            out_of_time=out_of_time,
            deadline_s=state.deadline - state.started,
            larger_plan_takes=lambda size: self._larger_plan_takes(state.request, size),
        )

    def _larger_plan_takes(self, request: AnyRequest, size: SizeLimit) -> bool:
        """Whether Groq's larger plan leaves room for a request that exceeds this limit."""
        if size.provider != "groq" or size.limit is None or not isinstance(request, ChatRequest):
            return False
        row, allowed = self.catalog.models.get(size.model), self.catalog.limits(size.model, "developer").get(size.limit)
        windows = (allowed, None if row is None else row.context_window)
        needed = estimate_prompt_tokens(request)
        return allowed is not None and all(window is None or window > needed for window in windows)

    async def _attempt_timeout_s(self, state: CallState, candidate: Candidate) -> float:
        """Seconds for an attempt that begins now: less than what is left while another candidate could still be tried."""
        if isinstance(state.request, AudioRequest) and candidate.on_this_machine:
            # it computes as fast as this machine can, and there is nothing to come back to sooner
            return self._left_s(state)
        # the call may be part of a job of an hour: one that hangs must not take all of it
        left_s = min(self._left_s(state), self.timeouts.deadline_s, self.timeouts.silence_s)
        if left_s <= LEAST_ATTEMPT_S or not await self._another_within(state, candidate, left_s * (1 - SHARE_OF_REMAINING)):
            return left_s
        # a server of this machine may read a long prompt for a minute before its first word
        if not isinstance(state.request, ChatRequest) or candidate.on_this_machine:
            return left_s * SHARE_OF_REMAINING
        if candidate.first_token_s > 0:
            return min(max(candidate.first_token_s, self.timeouts.attempt_timeout_s), left_s * SHARE_OF_REMAINING)
        most_s = min(self.timeouts.attempt_timeout_s, left_s * SHARE_OF_REMAINING)
        # elsewhere a model of this name has another speed
        row = self.catalog.models.get(candidate.model) if candidate.cataloged else None
        silent_s = most_s
        if streams(candidate, watched=state.watched):
            silent_s = 0.0
        elif row is not None and row.speed_tps is not None:
            silent_s = SLOWER_THAN_STATED * candidate.max_tokens / float(row.speed_tps)
        return attempt_timeout_s(self._answer_times.of(candidate.identity), most_s=most_s, silent_s=silent_s)

    async def _another_within(self, state: CallState, candidate: Candidate, seconds: float) -> bool:
        """Whether another candidate can be tried so soon."""
        others = [other for other in state.left if other.identity != candidate.identity]
        claims = [self.claim(other) for other in others]
        known = [state.quotas.get(claim.key) for claim in claims]
        waits: Sequence[Wait | None]
        if len(state.tried) == 1 and self.clock.monotonic() - state.started < FRESH_S and None not in known:
            waits = [obstacle(quota, claim.cost) for quota, claim in zip(known, claims, strict=True) if quota is not None]
        else:
            waits = await self.waits(others)
        return any(wait is None or (wait.wait_s is not None and wait.wait_s < seconds) for wait in waits)

    async def _has_alternative(self, state: CallState, candidate: Candidate) -> bool:
        """Whether another candidate as good as this one, so of its tier, could be tried now."""
        # a model that is preferred stands alone in its tier, though others may be as good
        tier = state.left if candidate.identity == state.request.preferred else state.tier_of(candidate)
        others = [other for other in tier if other.identity != candidate.identity]
        return any(wait is None for wait in await self.waits(others))

    def _left_s(self, state: CallState) -> float:
        return state.deadline - self.clock.monotonic()

    async def probe(self, model: str, provider: str | None = None) -> Outcome | str:
        """Send one tiny request to a model, so that its answer tells the limits; a string says why it was not sent.

        Goes through the ledger like any call, but falls back to nothing. Without `provider` it goes to the first that has the model.
        """
        request = ChatRequest(messages=({"role": "user", "content": "ping"},), model=model, max_tokens=PROBE_TOKENS)
        found = (one for one in (await self.plan(request)).candidates if one.model == model)
        candidate = next((one for one in found if provider in {None, one.provider}), None)
        if candidate is None:
            return f"{model} cannot be probed with a chat request"
        return await self.send_once(request, candidate)

    async def send_once(self, request: ChatRequest, candidate: Candidate) -> Outcome | str:
        """One attempt at one candidate of the request's plan, without retries; a string says why it was not sent."""
        most_s = self.timeouts.attempt_timeout_s
        life_s = most_s + RESERVATION_GRACE_S
        result = await self.ledger.reserve_any([self.claim(candidate)], life_s=life_s, caller=self.caller)
        if not isinstance(result, Granted):
            return result.waits[0].reason

        async def timeout_s() -> float:
            return most_s

        outcome, _ = await self._sender.send(
            request,
            candidate,
            result.reservation,
            deadline=self.clock.monotonic() + most_s,
            timeout_s=timeout_s,
            longest_s=most_s,
        )
        return outcome

    def claim(self, candidate: Candidate) -> Claim:
        """What trying this candidate takes from whose buckets."""
        key = self.key(candidate.provider, candidate.model)
        return Claim(
            key=key,
            cost=candidate.cost,
            documented=candidate.documented,
            pool=candidate.pool,
            refilling=candidate.refilling,
            spend=candidate.spend,
        )

    def claim_of(self, provider: ProviderModels, offered: ProviderModel, cost: Mapping[Limit, float]) -> Claim:
        """What a call of this cost would take from a model's limits."""
        key = self.key(provider.name, offered.row.id)
        return Claim(key=key, cost=cost, documented=offered.documented, pool=offered.pool, refilling=offered.refilling)

    async def waits(self, candidates: Sequence[Candidate]) -> Sequence[Wait | None]:
        """For each candidate, what keeps it from being tried now; None when nothing does."""
        claims = [self.claim(candidate) for candidate in candidates]
        quotas = await self.ledger.peek(claims, caller=self.caller)
        return [obstacle(quota, claim.cost) for quota, claim in zip(quotas, claims, strict=True)]

    def key(self, provider: str, model: str) -> QuotaKey:
        """Whose buckets a model's are: the organization's behind the provider's key."""
        return QuotaKey(provider=provider, organization=self.registry.organization(provider), model=model)

    async def _planned(self, request: AnyRequest) -> tuple[Plan, Mapping[QuotaKey, ModelQuota]]:
        """The plan, and what the ledger knows of the models in it."""
        await self.registry.refresh()
        gone = request.model
        if gone is not None and self.registry.has_gone(gone):
            # a client goes on naming what it listed when it started
            found, known = await self._planned(replace(request, model=None))
            return replace(found, notes=(f"{gone} is no longer served on this machine", *found.notes)), known
        providers, day = self.registry.models(), today(self.clock)
        _refuse_unknown(request.restrictions.providers or (), self.registry.providers)
        request = self.restricted(request)
        quotas: Mapping[QuotaKey, ModelQuota] = {}
        choice = choose(request, catalog=self.catalog, providers=providers, today=day)
        if isinstance(request, ChatRequest):
            quotas = await self._quotas(request, providers, choice)
        learnt = {(key.provider, key.model): _learnt(quota) for key, quota in quotas.items()}
        return plan(
            request,
            catalog=self.catalog,
            providers=providers,
            today=day,
            learnt=learnt,
            choice=choice,
            prefer=self._prefer,
            took_s=self._answer_times.usual_s,
        ), quotas

    async def _quotas(
        self, request: ChatRequest, providers: Sequence[ProviderModels], choice: Choice
    ) -> Mapping[QuotaKey, ModelQuota]:
        """What calls have taught about the models that may be tried: it decides what fits at all, and what it costs."""
        asked = choice.requested_model
        claims = [
            self.claim_of(provider, offered, {})
            for provider in providers
            for model in choice.wanted
            if (offered := provider.models.get(model)) is not None
            and is_requested(request.restrictions, provider, model, asked)
        ]
        return {quota.key: quota for quota in await self.ledger.peek(claims, caller=self.caller)}

    async def _reserve(
        self, state: CallState, claims: Sequence[Claim], elsewhere: Sequence[Candidate] = ()
    ) -> Granted | Refused:
        # a call of an hour must not leave its reservation, or a probe, for so long behind
        life_s = min(self._left_s(state), self.timeouts.deadline_s) + RESERVATION_GRACE_S
        others = [self.claim(candidate) for candidate in elsewhere]
        return await self.ledger.reserve_any(claims, life_s=life_s, caller=self.caller, others=others)

    async def _cool_down(self, provider: str, model: str, cooldown_s: float, failure: Failure) -> None:
        if cooldown_s <= 0 or self.registry.is_known_by_looking(provider, failure.kind):
            return
        limit = next((reading.limit for reading in failure.quota.readings), None)
        limited = failure.kind is FailureKind.RATE_LIMITED
        detail = limit.unit if limited and limit is not None else "" if limited else failure.message[:80]
        reason = failure.kind.value.replace("_", " ") + (f" ({detail})" if detail else "")
        await self.ledger.cool_down(
            self.key(provider, model), cooldown_s, reason, limit=limit if limited else None, kind=failure.kind
        )


@dataclass(slots=True)
class _Ending:
    """How a call ended: its outcome, or else the code of what ended it without one."""

    outcome: Answer | CallFailed | None = None
    code: str = CANCELLED


def _limited(candidate: Candidate, failure: Failure, candidates: Sequence[Candidate]) -> Sequence[str]:
    """The models that a limit holds for, or what stands for their pool or for all of the provider's."""
    if failure.scope != "pool":
        return [ANY_MODEL if failure.scope == "provider" else candidate.model]
    if candidate.pool is not None:
        return [pool_model(candidate.pool.name)]
    # where nobody knows the pool, those that are named alike share it, as OpenRouter's `:free` ones do
    _, marked, ending = candidate.wire_model.rpartition(":")
    alike = [one.model for one in candidates if one.provider == candidate.provider and one.wire_model.endswith(f":{ending}")]
    return list(dict.fromkeys((candidate.model, *(alike if marked else ()))))


def repaired(request: AnyRequest, answer: str, fault: str) -> ChatRequest | None:
    """The request with the answer that was refused and why; None for what is no chat."""
    if not isinstance(request, ChatRequest):
        return None
    correction = f"That answer was rejected: {fault}. Reply with the corrected JSON value only."
    added = ({"role": "assistant", "content": answer[:SHOWN_CHARS]}, {"role": "user", "content": correction})
    return replace(request, messages=(*request.messages, *added))


def _refuse_unknown(named: Sequence[str], configured: Iterable[str]) -> None:
    """Raises InputRefused for a provider that is not configured, and no server that ran here."""
    configured = list(configured) if named else []
    unknown = next((name for name in named if name not in configured), None)
    if unknown is not None:
        raise InputRefused(
            f"the provider {excerpt(unknown)} is not configured",
            next_step=f"use {' or '.join(configured)}, or set it up in config.toml",
        )


def _soonest_s(waits: Sequence[Wait | None]) -> float | None:
    """Seconds until the first of these candidates can be tried; None where waiting helps none of them."""
    useful = [0.0 if wait is None else useful_wait_s(wait.wait_s, wait.kind) for wait in waits]
    return min((seconds for seconds in useful if seconds is not None), default=None)


def _learnt(quota: ModelQuota) -> Learnt:
    bucket = quota.buckets.get(Limit.TPM)
    tpm = bucket.capacity if bucket is not None and bucket.knowledge == "learnt" else None
    return Learnt(tpm=tpm, prompt_factor=quota.prompt_factor)
