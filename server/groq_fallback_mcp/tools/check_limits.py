"""check_limits: what is left of each limit, and when a call of a given size fits. Spends nothing unless asked to probe.

By default it covers the models that a groq_chat call would use now, in a few short rows: an agent pays for every word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from groq_fallback_mcp.call import Failure, FailureKind, Limit
from groq_fallback_mcp.call.refusals import refusal
from groq_fallback_mcp.catalog import Kind, ModelRow
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.durations import format_duration
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.policy.estimate import MINIMUM_BILLED_AUDIO_S, with_hours
from groq_fallback_mcp.policy.fit import standing_objection
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels, is_retired, named_provider, resolve_model
from groq_fallback_mcp.quota import Claim, ModelQuota, Wait, obstacle
from groq_fallback_mcp.quota.breaker import useful_wait_s
from groq_fallback_mcp.quota.buckets import Bucket
from groq_fallback_mcp.quota.budget import REOPENING, UNKNOWN_SPENDING, Budget, DayTotals, usd
from groq_fallback_mcp.render import capitalized, counted, sentence
from groq_fallback_mcp.tools.chat_chain import ALL_MODELS, chat_chain
from groq_fallback_mcp.tools.result import Result, label, seconds, structured
from groq_fallback_mcp.tools.tool import Arguments, Context, Reply, Tool

__all__ = ["CHECK_LIMITS", "CheckLimitsArguments", "CheckLimitsResult", "LimitEntry", "ModelDetails"]

# Of which it is worth saying that they are not known.
_USUAL = frozenset({Limit.RPM, Limit.RPD, Limit.TPM, Limit.TPD, Limit.ASH, Limit.ASD})
KINDS = tuple(Kind)
# Limits are an answer without Groq too.
KEY_CHECK_S = 5.0
# From here on a wait is told in minutes and hours.
LONG_S = 120.0
# Of a longer chain the first are the ones that will serve.
MOST_ROWS = 5


class CheckLimitsArguments(Arguments):
    """Arguments of check_limits."""

    model: str | None = None
    tokens: Annotated[int, Field(ge=1, le=10_000_000)] = Field(default=1_500, description="Size of the call to plan")
    probe: bool = Field(default=False, description="Send one tiny request to read the real limits")
    all: bool = ALL_MODELS


class LimitEntry(Result):
    """A rate limit now, in its own unit."""

    limit: Limit
    capacity: float
    level: float
    """What is left."""
    refill_per_s: float
    """0 where units come back all at once, or a window after they were used."""
    full_in_s: float
    shared_by: str | None = None
    """The pool of models that shares it; absent where it is the model's own."""
    knowledge: str
    """documented (from the catalog), observed (confirmed by the server) or learnt (the server reported another value)."""


class ModelLimits(Result):
    """A model's limits, and when the next call fits."""

    model: str
    provider: str
    available: bool | None = None
    """False where no call of any size can be served; absent otherwise."""
    next_call_in_s: float | None = None
    """0 for now; absent when a call of that size never fits."""
    blocked_by: str | None = None
    """Why no call fits now."""
    calls_now: int | None = None
    then_next_in_s: float | None = None
    """After `calls_now` calls at once, seconds until one more fits."""


class ChainModel(ModelLimits):
    """A model of the chat chain: one short row."""

    left: Mapping[Limit, int] | None = None
    """What is left of each limit, in its own unit; absent where no call can be served."""


class ModelDetails(ModelLimits):
    """A model's limits with all that the ledger knows."""

    cooldown_s: float | None = None
    cooldown_reason: str | None = None
    in_flight: int
    """Calls under way in all processes that share the store."""
    limits: tuple[LimitEntry, ...]
    unknown_limits: tuple[Limit, ...] = ()
    """Limits that nothing is known of."""
    unused_tokens_come_back: str | None = None


class Spending(Result):
    """What was spent in a UTC day."""

    day: str
    calls: int
    tokens: int
    usd: str
    """Of the calls whose price is known."""
    unpriced_calls: int
    budget_usd: str | None = None
    budget_tokens: int | None = None
    incomplete: str | None = None
    """Why more was spent than is counted here; absent where nothing was lost."""

    @property
    def matters(self) -> bool:
        """Whether anything was spent, or could be refused for its cost."""
        return bool(self.calls or self.incomplete) or self.budget_usd is not None or self.budget_tokens is not None


class ChainLimits(Result):
    """Structured result of check_limits by default: the chat chain, in order."""

    tokens: int
    """Size of the call that was planned."""
    calls_now_all_models: int | None = None
    degraded: str | None = None
    """Why the ledger's store cannot be used; absent when it can."""
    spent: Spending | None = None
    """Absent where nothing was spent and no budget is set."""
    models: tuple[ChainModel, ...]
    more_models: int | None = None
    """How many further models of the chain are not shown."""


class CheckLimitsResult(Result):
    """Structured result of check_limits for one model, or all."""

    tokens: int
    store: str
    place: str
    degraded: str | None = None
    spent: Spending
    probe: str | None = None
    calls_now_all_models: int | None = None
    models: tuple[ModelDetails, ...]


async def _handle(arguments: CheckLimitsArguments, context: Context) -> Reply:
    engine = context.engine
    await engine.registry.refresh()
    providers = engine.registry.models()
    day = today(engine.clock)
    named = (
        None
        if arguments.model is None
        else resolve_model(arguments.model, catalog=engine.catalog, providers=providers, kinds=KINDS, today=day)
    )
    provider_named = (
        None if arguments.model is None else named_provider(arguments.model, catalog=engine.catalog, providers=providers)
    )
    note = await _probe(named, provider_named, context) if arguments.probe else None
    if named is None and not arguments.all:
        chosen = [pair for pair in await chat_chain(context) if pair[0].name != "local"]
    else:
        chosen = [
            (provider, offered)
            for provider in providers
            if provider.name != "local"
            for offered in provider.models.values()
            if (
                offered.row.id == named and provider_named in {None, provider.name}
                if named
                else not is_retired(offered.row.id, catalog=engine.catalog, provider=provider, today=day)
            )
        ]
    refused = await engine.registry.refused(timeout_s=min(KEY_CHECK_S, engine.timeouts.deadline_s))
    claims = [_claim(context, provider, offered, arguments.tokens) for provider, offered in chosen]
    quotas = await engine.ledger.peek(claims)
    models = tuple(
        _limits(
            quota,
            claim.cost,
            unusable=_unusable(context, provider, offered.row, refused=refused),
            documents_all=provider.cataloged,
        )
        for quota, claim, (provider, offered) in zip(quotas, claims, chosen, strict=True)
    )
    served = {"groq_chat", "transcribe"}
    chained = {name for row in engine.catalog.practices.values() if row.tool in served for name in (row.model, *row.chain)}
    by_name_only = {name for provider in providers if provider.cataloged for name in provider.models} - chained
    # models of a pool share its calls, so that they count once
    chat_calls: dict[tuple[str, str], int] = {}
    for limits, (provider, offered) in zip(models, chosen, strict=True):
        if offered.row.kind is Kind.SPEECH_TO_TEXT or limits.calls_now is None or offered.row.id in by_name_only:
            continue
        whose = (provider.name, offered.row.id if offered.pool is None else f"pool {offered.pool.name}")
        chat_calls[whose] = max(limits.calls_now, chat_calls.get(whose, 0))
    spent = await _spent(context, day.isoformat())
    status = engine.ledger.status
    result = CheckLimitsResult(
        tokens=arguments.tokens,
        store=status.store,
        place=status.place,
        degraded=status.degraded,
        spent=spent,
        probe=note,
        calls_now_all_models=sum(chat_calls.values()) if chat_calls else None,
        models=models,
    )
    whole = structured(result)
    if named is None and not arguments.all:
        brief = _chain(result)
        return Reply(text=_chain_text(brief), structured=structured(brief), whole=whole)
    return Reply(text=_text(result), structured=whole, whole=whole)


async def _spent(context: Context, day: str) -> Spending:
    totals = (await context.engine.ledger.spending([day]))[day]
    budget = context.engine.budget
    return Spending(
        day=day,
        calls=sum(total.calls for total in totals.models.values()),
        tokens=totals.tokens,
        usd=str(usd(totals.picousd)),
        unpriced_calls=sum(total.unpriced_calls for total in totals.models.values()),
        budget_usd=None if budget.picousd is None else str(usd(budget.picousd)),
        budget_tokens=budget.tokens,
        incomplete=_incomplete(totals, budget),
    )


def _incomplete(totals: DayTotals, budget: Budget) -> str | None:
    if totals.unknown and budget.bounded:
        return f"{capitalized(UNKNOWN_SPENDING)}. {REOPENING}"
    return "The ledger was damaged today, so earlier spending is not counted" if totals.losses else None


async def _probe(model: str | None, provider: str | None, context: Context) -> str:
    if model is None:
        raise InputRefused("probe needs a model", next_step="give model as well; without probe nothing is spent")
    outcome = await context.engine.probe(model, provider)
    if isinstance(outcome, str):
        return f"not sent ({outcome})"
    seen = len(outcome.quota.readings)
    told = f"{counted(seen, 'limit')} read" if seen else "the response stated no limits"
    # one token is rarely a whole answer, and the limits are what was wanted
    return f"{told} ({outcome.kind.value}: {outcome.message})" if isinstance(outcome, Failure) and not seen else told


def _cost(offered: ProviderModel, tokens: int) -> Mapping[Limit, float]:
    if offered.row.kind is Kind.SPEECH_TO_TEXT:
        return {Limit.RPM: 1.0, Limit.RPD: 1.0, Limit.ASH: MINIMUM_BILLED_AUDIO_S, Limit.ASD: MINIMUM_BILLED_AUDIO_S}
    return {Limit.RPM: 1.0, Limit.RPD: 1.0, Limit.TPM: float(tokens), Limit.TPD: float(tokens), Limit.ITPM: float(tokens)}


def _claim(context: Context, provider: ProviderModels, offered: ProviderModel, tokens: int) -> Claim:
    cost = _cost(offered, tokens)
    return context.engine.claim_of(provider, offered, cost if provider.cataloged else with_hours(cost))


def _unusable(context: Context, provider: ProviderModels, row: ModelRow, *, refused: FailureKind | None) -> str | None:
    """Why a model cannot be used whatever its limits say; None when it can. `refused`: how Groq refuses every call."""
    engine = context.engine
    if is_retired(row.id, catalog=engine.catalog, provider=provider, today=today(engine.clock)):
        return "shut down"
    if refused is not None and provider.cataloged:
        return refusal(refused, provider.name)
    return engine.registry.providers[provider.name].unready or standing_objection(engine.restrictions, provider, row)


def _limits(
    quota: ModelQuota, cost: Mapping[Limit, float], *, unusable: str | None, documents_all: bool = True
) -> ModelDetails:
    now, wait = quota.now, obstacle(quota, cost)
    cooldown = quota.cooldown
    cooldown_s = None if cooldown is None else useful_wait_s(cooldown.until - now, cooldown.kind)
    if unusable is None and cooldown is not None and cooldown_s is None:
        unusable = refusal(cooldown.kind, quota.key.provider) or cooldown.reason
    if unusable is not None:
        wait = Wait(wait_s=None, reason=unusable)
    buckets = quota.all_buckets
    levels = {limit: bucket.level_at(now) for limit, bucket in buckets.items()}
    # of other providers most limits do not exist
    cost = {limit: units for limit, units in cost.items() if limit in buckets or (documents_all and limit in _USUAL)}
    calls_now = 0 if wait is not None else _calls_now(levels, cost)
    return ModelDetails(
        model=quota.key.model,
        provider=quota.key.provider,
        available=None if unusable is None else False,
        next_call_in_s=0.0 if wait is None else seconds(wait.wait_s),
        blocked_by=None if wait is None else wait.reason,
        calls_now=calls_now,
        then_next_in_s=None if wait is not None or calls_now is None else seconds(_wait_s(buckets, cost, calls_now + 1, now)),
        cooldown_s=seconds(cooldown_s),
        cooldown_reason=None if cooldown is None else cooldown.reason,
        in_flight=quota.calls_in_flight,
        limits=tuple(_entry(bucket, now, pool=_pool_of(quota, limit)) for limit, bucket in buckets.items()),
        unknown_limits=tuple(limit for limit in cost if limit not in buckets),
        unused_tokens_come_back="yes" if quota.returns_unused else "unknown",
    )


def _calls_now(levels: Mapping[Limit, float], cost: Mapping[Limit, float]) -> int | None:
    """How many such calls in a row would be admitted at once; None where nothing is limited."""
    counts = [int(levels[limit] // units) for limit, units in cost.items() if limit in levels]
    return max(min(counts), 0) if counts else None


def _wait_s(buckets: Mapping[Limit, Bucket], cost: Mapping[Limit, float], calls: int, now: float) -> float:
    """Seconds until the last of so many calls, sent as soon as each fits, would be admitted."""
    return max(buckets[limit].wait_s(units * calls, now) for limit, units in cost.items() if limit in buckets)


def _pool_of(quota: ModelQuota, limit: Limit) -> str | None:
    """The name of the pool whose bucket of this limit is the tighter one, or the only one."""
    if quota.pool is None or quota.all_buckets[limit] is not quota.pool.buckets.get(limit):
        return None
    return quota.pool.key.model.rpartition("/")[2]


def _entry(bucket: Bucket, now: float, *, pool: str | None) -> LimitEntry:
    return LimitEntry(
        limit=bucket.limit,
        capacity=bucket.capacity,
        level=round(bucket.level_at(now), 1),
        refill_per_s=round(bucket.refill_per_s, 4),
        full_in_s=round(bucket.full_in_s(now), 1),
        shared_by=pool,
        knowledge=bucket.knowledge,
    )


def _chain(result: CheckLimitsResult) -> ChainLimits:
    """The short form: what decides whether a call, or how many, can be made now."""
    shown = result.models[:MOST_ROWS]
    return ChainLimits(
        tokens=result.tokens,
        calls_now_all_models=result.calls_now_all_models,
        degraded=result.degraded,
        spent=result.spent if result.spent.matters else None,
        models=tuple(
            ChainModel(
                **model.model_dump(include=set(ModelLimits.model_fields)),
                left=None if model.available is False else {entry.limit: int(entry.level) for entry in model.limits},
            )
            for model in shown
        ),
        more_models=len(result.models) - len(shown) or None,
    )


def _chain_text(result: ChainLimits) -> str:
    fit = "" if result.calls_now_all_models is None else f"{_fitting(result.calls_now_all_models)}. "
    lines = [f"{fit}Example call: {result.tokens:,} tokens. Models in the order that groq_chat tries them:"]
    for model in result.models:
        left = ", ".join(f"{units} {limit}" for limit, units in (model.left or {}).items())
        lines.append(f"- {label(model.provider, model.model)}: {_when(model)}" + (f"; left: {left}" if left else ""))
    if not result.models:
        lines = ["No chat model with limits is configured."]
    if result.more_models is not None:
        lines.append(f"And {result.more_models} more (all: true).")
    if result.degraded is not None:
        lines.append(_degraded_line(result.degraded))
    if result.spent is not None:
        lines.append(_spent_line(result.spent))
    return "\n".join(lines)


def _fitting(calls: int) -> str:
    return f"{counted(calls, 'such call')} {'fits' if calls == 1 else 'fit'} right now"


def _degraded_line(fault: str) -> str:
    return (
        f"DEGRADED: the ledger cannot be used ({fault}). "
        "Until it can, this process counts for itself, at a quarter of each limit."
    )


def _text(result: CheckLimitsResult) -> str:
    where = "this process only" if result.store == "memory" else f"shared through {result.place}"
    lines = [f"Rate limits ({where}). Example call: {result.tokens:,} tokens or 10 s of audio."]
    if result.degraded is not None:
        lines.append(_degraded_line(result.degraded))
    if result.calls_now_all_models is not None:
        lines.append(f"{_fitting(result.calls_now_all_models)} across all chat models.")
    lines.append(_spent_line(result.spent))
    if result.probe is not None:
        lines.append(f"Probe: {result.probe}.")
    lines += [_model_line(model) for model in result.models]
    if not result.models:
        lines.append("No model with limits is configured.")
    return "\n".join(lines)


def _figure(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:g}"


def _wait(value: float) -> str:
    """Seconds while they are few: nobody reads 30,852.9 of them."""
    return f"{value:g} s" if value < LONG_S else format_duration(math.ceil(value))


def _spent_line(spent: Spending) -> str:
    unpriced = f" and {counted(spent.unpriced_calls, 'call')} without a known price" if spent.unpriced_calls else ""
    of_usd = f" of {spent.budget_usd}" if spent.budget_usd is not None else ""
    of_tokens = f" of {spent.budget_tokens}" if spent.budget_tokens is not None else ""
    line = f"Spent on {spent.day} (UTC): {spent.usd}{of_usd} USD{unpriced}, {spent.tokens}{of_tokens} tokens in {counted(spent.calls, 'call')}."
    return line if spent.incomplete is None else f"{line}\nNote: {sentence(spent.incomplete)}"


def _when(model: ModelLimits) -> str:
    if model.next_call_in_s is None:
        return f"{'never' if model.available is None else 'not available'} ({model.blocked_by})"
    if model.next_call_in_s > 0:
        return f"next call in {_wait(model.next_call_in_s)} ({model.blocked_by})"
    if model.calls_now is None:
        return "no known limit"
    return f"{counted(model.calls_now, 'call')} now" + (
        f", the next in {_wait(model.then_next_in_s)}" if model.then_next_in_s is not None else ""
    )


def _model_line(model: ModelDetails) -> str:
    buckets = "; ".join(
        f"{entry.limit} {_figure(entry.level)}/{_figure(entry.capacity)}"
        + (f" +{entry.refill_per_s:g}/s" if entry.refill_per_s else "")
        + (f" shared by {entry.shared_by}" if entry.shared_by else "")
        + (f" full in {_wait(entry.full_in_s)}" if entry.full_in_s > 0 else "")
        + f" [{entry.knowledge}]"
        for entry in model.limits
    )
    unknown = f"; {', '.join(model.unknown_limits)} [unknown]" if buckets and model.unknown_limits else ""
    return f"- {label(model.provider, model.model)}: {_when(model)}" + (f"; {buckets}{unknown}" if buckets else "")


CHECK_LIMITS = Tool(
    name="check_limits",
    title="Check limits",
    description="What is left of each rate limit and when the next call fits.",
    arguments=CheckLimitsArguments,
    handle=_handle,
)
