"""All that is shown of the limits, the calls, their cost and the health of models, made of what is known of them. Pure.

The browser's page draws it, and any other view can: figures are numbers in the units that their names state, text is plain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from groq_fallback_mcp.call import CANCELLED, CallRecord, CallUnderWay
from groq_fallback_mcp.catalog.drift import Drift
from groq_fallback_mcp.quota.budget import usd
from groq_fallback_mcp.quota.history import SECONDS_BOUNDS, CallTotals, HourTotals, ModelTotals, hour_of
from groq_fallback_mcp.render import sentence
from groq_fallback_mcp.tools.check_limits import CheckLimitsResult, LimitEntry, ModelDetails
from groq_fallback_mcp.tools.result import label

__all__ = [
    "DAYS",
    "HEALTH_HOURS",
    "MOST_CALLS",
    "Facts",
    "HourSums",
    "Overview",
    "hours_before",
    "now_view",
    "overview",
    "sums_of",
]

DAYS = 14
HEALTH_HOURS = 24
MOST_CALLS = 200
# Of a gateway that many people use, the groups that matter are the first.
MOST_GROUPS = 50


@dataclass(slots=True, kw_only=True)
class Figures:
    """A CostRow as it is added up, in whole picodollars."""

    calls: int = 0
    cancelled: int = 0
    answered: int = 0
    saved: int = 0
    tokens: int = 0
    picousd: int = 0
    unpriced: int = 0

    def add(self, other: Figures) -> None:
        """Count those of another, too."""
        self.calls += other.calls
        self.cancelled += other.cancelled
        self.answered += other.answered
        self.saved += other.saved
        self.tokens += other.tokens
        self.picousd += other.picousd
        self.unpriced += other.unpriced

    def row(self, name: str) -> CostRow:
        """The row of that name."""
        return CostRow(
            name=name,
            calls=self.calls,
            cancelled=self.cancelled,
            answered=self.answered,
            saved=self.saved,
            tokens=self.tokens,
            usd=float(usd(self.picousd)),
            unpriced=self.unpriced,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HourSums:
    """An hour as an overview needs it: summed once, as hours that have passed hardly change. `attempts` are by model."""

    hour: str
    total: Figures = field(default_factory=Figures)
    failed: Mapping[str, int] = field(default_factory=dict[str, int])
    models: Mapping[str, Figures] = field(default_factory=dict[str, Figures])
    clients: Mapping[str, Figures] = field(default_factory=dict[str, Figures])
    attempts: Sequence[ModelTotals] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an overview is made of. `calls` are the newest of all processes, `hours` those that `hours_before` names.

    `drift` is None where Groq's live list is not known.
    """

    at: float
    limits: CheckLimitsResult
    calls: Sequence[CallRecord] = ()
    under_way: Sequence[CallUnderWay] = ()
    hours: Sequence[HourSums] = ()
    drift: Drift | None = None
    keeps_history: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitView:
    """A rate limit now. `level` of `capacity` is left; `full_in_s` is 0 where nothing of it is used."""

    limit: str
    name: str
    capacity: float
    level: float
    full_in_s: float
    knowledge: str
    shared_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """A model's limits. `next_call_in_s` is None where no call can be served; `blocked_by` says why none fits now."""

    model: str
    available: bool
    next_call_in_s: float | None
    blocked_by: str | None
    calls_now: int | None
    cooldown_s: float | None
    cooldown_reason: str | None
    in_flight: int
    limits: Sequence[LimitView]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallNow:
    """A call under way. `started_at` is Unix seconds."""

    id: str
    kind: str
    started_at: float
    client: str
    endpoint: str
    model: str
    doing: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """What can be sent, and what is being sent. `degraded` is why the ledger's store cannot be used, None while it can."""

    models: Sequence[ModelView]
    under_way: Sequence[CallNow]
    calls_now: int | None
    tokens: int
    degraded: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """A model that was tried, or skipped where `sent` is false. Seconds are as in AttemptRecord."""

    model: str
    outcome: str
    reason: str
    sent: bool
    status: int | None
    begun_s: float
    duration_s: float
    first_token_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallView:
    """A call that has ended, with what it tried, in order. `usd` is None where no price is known."""

    id: str
    started_at: float
    kind: str
    client: str
    endpoint: str
    requested: str
    use_case: str
    outcome: str
    model: str
    fallback: bool
    waited_s: float
    duration_s: float
    first_token_s: float | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    audio_s: float
    usd: float | None
    simulated: bool
    attempts: Sequence[AttemptView]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The newest calls, the newest first. `more`: there may be older ones that are not shown. `kept`: whether calls are kept at all."""

    calls: Sequence[CallView]
    more: bool
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """What a day, a model or a client took. `saved` calls were answered by another model than the first choice.

    Their clients gave up the `cancelled` ones. `usd` is the cost of those whose price is known, which the `unpriced` ones' is not.
    """

    name: str
    calls: int = 0
    cancelled: int = 0
    answered: int = 0
    saved: int = 0
    tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """What was spent today (UTC), and what may be. `incomplete` is why more was spent than is counted."""

    day: str
    usd: float
    usd_limit: float | None
    tokens: int
    tokens_limit: int | None
    incomplete: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The last DAYS days: `days` the oldest first, each there though it had no calls; models and clients the dearest first."""

    total: CostRow
    failed: Mapping[str, int]
    days: Sequence[CostRow]
    models: Sequence[CostRow]
    clients: Sequence[CostRow]
    budget: BudgetView


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds within which half of the requests, and 95 % of them, had come; None where none has."""

    half_s: float | None
    most_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHealth:
    """A model in the last HEALTH_HOURS hours. `failed` counts by kind of failure, without what clients cancelled."""

    model: str
    sent: int
    answered: int
    failed: Mapping[str, int]
    first_token: Latency
    whole: Latency
    cooldown_s: float | None
    cooldown_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Errors and latencies a model, the ledger, and how the catalog differs from Groq's live list.

    `drift` maps words to model ids; it is None where the live list is not known, and empty where the two agree.
    `catalog_update`: whether `catalog update` has something to write of it.
    """

    models: Sequence[ModelHealth]
    store: str
    place: str
    degraded: str | None
    drift: Mapping[str, Sequence[str]] | None
    catalog_update: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything, in four sections."""

    now: Now
    calls: Calls
    cost: Cost
    health: Health


def hours_before(at: float) -> Sequence[str]:
    """The keys of the hours that an overview covers, the oldest first: DAYS days of UTC, today the last."""
    now = datetime.fromtimestamp(at, tz=UTC)
    first = datetime(now.year, now.month, now.day, tzinfo=UTC) - timedelta(days=DAYS - 1)
    return [hour_of(first.timestamp() + 3_600 * hour) for hour in range(int((now - first).total_seconds() // 3_600) + 1)]


def sums_of(hour: HourTotals) -> HourSums:
    """The sums of an hour."""
    total, failed = Figures(), Counter[str]()
    models: dict[str, Figures] = {}
    clients: dict[str, Figures] = {}
    for one in hour.calls:
        figures = _figures(one)
        total.add(figures)
        failed.update(one.failed)
        models.setdefault(_label(one.provider, one.model) or "no model answered", Figures()).add(figures)
        clients.setdefault(_client(one.caller, one.client) or "unknown", Figures()).add(figures)
    return HourSums(hour=hour.hour, total=total, failed=failed, models=models, clients=clients, attempts=hour.models)


def _figures(totals: CallTotals) -> Figures:
    return Figures(
        calls=totals.calls,
        cancelled=totals.failed.get(CANCELLED, 0),
        answered=totals.answered,
        saved=totals.saved,
        tokens=totals.input_tokens + totals.output_tokens,
        picousd=totals.picousd,
        unpriced=totals.unpriced,
    )


def overview(facts: Facts) -> Overview:
    """What is to be shown."""
    return Overview(now=now_view(facts.limits, facts.under_way), calls=_calls(facts), cost=_cost(facts), health=_health(facts))


def now_view(limits: CheckLimitsResult, under_way: Sequence[CallUnderWay] = ()) -> Now:
    """What is to be shown of the limits, and of calls under way."""
    return Now(
        models=[_model(model) for model in limits.models],
        under_way=[_call_now(call) for call in sorted(under_way, key=lambda call: call.started_at)[:MOST_CALLS]],
        calls_now=limits.calls_now_all_models,
        tokens=limits.tokens,
        degraded=limits.degraded,
    )


def _model(model: ModelDetails) -> ModelView:
    return ModelView(
        model=label(model.provider, model.model),
        available=model.available is not False,
        next_call_in_s=model.next_call_in_s,
        blocked_by=model.blocked_by,
        calls_now=model.calls_now,
        cooldown_s=model.cooldown_s,
        cooldown_reason=model.cooldown_reason,
        in_flight=model.in_flight,
        limits=[_limit(entry) for entry in model.limits],
    )


def _limit(entry: LimitEntry) -> LimitView:
    return LimitView(
        limit=entry.limit.value,
        name=entry.limit.unit,
        capacity=entry.capacity,
        # the ledger may owe what a server took that it had not seen
        level=max(entry.level, 0.0),
        full_in_s=entry.full_in_s,
        knowledge=entry.knowledge,
        shared_by=entry.shared_by,
    )


def _call_now(call: CallUnderWay) -> CallNow:
    return CallNow(
        id=call.id,
        kind=call.kind,
        started_at=call.started_at,
        client=_client(call.origin.caller, call.origin.client or call.origin.endpoint),
        endpoint=call.origin.endpoint,
        model=_label(call.provider, call.model),
        doing=call.doing,
        attempts=call.attempts,
    )


def _calls(facts: Facts) -> Calls:
    newest = sorted(facts.calls, key=lambda call: call.started_at, reverse=True)
    return Calls(calls=[_call(call) for call in newest[:MOST_CALLS]], more=len(newest) >= MOST_CALLS, kept=facts.keeps_history)


def _call(call: CallRecord) -> CallView:
    return CallView(
        id=call.id,
        started_at=call.started_at,
        kind=call.kind,
        client=_client(call.origin.caller, call.origin.client or call.origin.endpoint),
        endpoint=call.origin.endpoint,
        requested=call.requested_model,
        use_case=call.use_case,
        outcome=call.outcome,
        model=_label(call.provider, call.model),
        fallback=call.fallback,
        waited_s=round(call.waited_s, 3),
        duration_s=round(call.duration_s, 3),
        first_token_s=_rounded(call.first_token_s),
        input_tokens=call.usage.input_tokens,
        output_tokens=call.usage.output_tokens,
        cached_tokens=call.usage.cached_tokens,
        audio_s=round(call.usage.audio_s, 1),
        usd=None if call.cost_usd is None else float(call.cost_usd),
        simulated=call.simulated,
        attempts=[
            AttemptView(
                model=_label(attempt.provider, attempt.model),
                outcome=attempt.outcome,
                reason=attempt.reason,
                sent=attempt.sent,
                status=attempt.status,
                begun_s=round(attempt.begun_s, 3),
                duration_s=round(attempt.duration_s, 3),
                first_token_s=_rounded(attempt.first_token_s),
            )
            for attempt in call.attempts
        ],
    )


def _cost(facts: Facts) -> Cost:
    total, failed = Figures(), Counter[str]()
    days = {key[:10]: Figures() for key in hours_before(facts.at)}
    models: dict[str, Figures] = {}
    clients: dict[str, Figures] = {}
    for hour in facts.hours:
        total.add(hour.total)
        failed.update({code: count for code, count in hour.failed.items() if code != CANCELLED})
        days.setdefault(hour.hour[:10], Figures()).add(hour.total)
        for sums, more in ((models, hour.models), (clients, hour.clients)):
            for name, figures in more.items():
                sums.setdefault(name, Figures()).add(figures)
    spent = facts.limits.spent
    return Cost(
        total=total.row("all"),
        failed=dict(failed.most_common()),
        days=[figures.row(day) for day, figures in sorted(days.items())],
        models=_dearest(models),
        clients=_dearest(clients),
        budget=BudgetView(
            day=spent.day,
            usd=float(spent.usd),
            usd_limit=None if spent.budget_usd is None else float(spent.budget_usd),
            tokens=spent.tokens,
            tokens_limit=None if spent.budget_tokens is None else int(spent.budget_tokens),
            incomplete=None if spent.incomplete is None else sentence(spent.incomplete),
        ),
    )


def _dearest(sums: Mapping[str, Figures]) -> Sequence[CostRow]:
    rows = [one.row(name) for name, one in sums.items()]
    return sorted(rows, key=lambda row: (-row.usd, -row.tokens, -row.calls, row.name))[:MOST_GROUPS]


def _health(facts: Facts) -> Health:
    recent = set(hours_before(facts.at)[-HEALTH_HOURS:])
    hours = [hour for hour in facts.hours if hour.hour in recent]
    totals: dict[str, list[ModelTotals]] = {}
    for hour in hours:
        for one in hour.attempts:
            totals.setdefault(_label(one.provider, one.model), []).append(one)
    cooling = {_label(one.provider, one.model): one for one in facts.limits.models if one.cooldown_reason is not None}
    models = [_model_health(name, totals.get(name, ()), cooling.get(name)) for name in dict.fromkeys([*totals, *cooling])]
    return Health(
        models=sorted(models, key=lambda one: (-one.sent, one.model)),
        store=facts.limits.store,
        place=facts.limits.place,
        degraded=facts.limits.degraded,
        drift=None if facts.drift is None else facts.drift.differences(),
        catalog_update=facts.drift is not None and facts.drift.needs_rows,
    )


def _model_health(name: str, totals: Sequence[ModelTotals], cooling: ModelDetails | None) -> ModelHealth:
    failed: Counter[str] = Counter()
    for one in totals:
        failed.update(one.failed)
    # the client's doing, not the model's
    del failed[CANCELLED]
    return ModelHealth(
        model=name,
        sent=sum(one.sent for one in totals),
        answered=sum(one.answered for one in totals),
        failed=dict(failed.most_common()),
        first_token=_latency([one.first_tokens for one in totals]),
        whole=_latency([one.durations for one in totals]),
        cooldown_s=None if cooling is None else cooling.cooldown_s,
        cooldown_reason=None if cooling is None else cooling.cooldown_reason,
    )


def _latency(histograms: Sequence[Sequence[int]]) -> Latency:
    counts = [sum(column) for column in zip(*histograms, strict=False)]
    return Latency(half_s=_quantile(counts, 0.5), most_s=_quantile(counts, 0.95))


def _quantile(counts: Sequence[int], share: float) -> float | None:
    """The bound within which this share of all came; None where there is nothing. Beyond the last bound it is that one."""
    wanted, seen = share * sum(counts), 0
    if wanted <= 0:
        return None
    longest = SECONDS_BOUNDS[-2]
    for count, bound in zip(counts, SECONDS_BOUNDS, strict=False):
        seen += count
        if seen >= wanted:
            return min(bound, longest)
    return longest


def _label(provider: str, model: str) -> str:
    return label(provider, model) if model else ""


def _client(caller: str, client: str) -> str:
    """Who called: the gateway token's name and the program, as far as they are known."""
    return " · ".join(one for one in (caller, client) if one)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
