"""The plan of a call: which models to try, in which order, with what each accepts; and which are excluded, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from groq_fallback_mcp.call import (
    CONTINUOUS,
    WHOLE_PROVIDER,
    AnyRequest,
    AudioRequest,
    ChatRequest,
    Exclusion,
    Failure,
    JsonMode,
    Limit,
    Pool,
    ReasoningEffort,
    Refilling,
    SizeLimit,
    SpeechRequest,
    Usage,
)
from groq_fallback_mcp.catalog import FREE, Catalog, Kind, Price
from groq_fallback_mcp.policy.estimate import (
    audio_cost,
    chat_cost,
    claimed_prompt_tokens,
    estimate_prompt_tokens,
    speech_cost,
    with_hours,
)
from groq_fallback_mcp.policy.fit import (
    ChatNeeds,
    Fitted,
    TooLarge,
    chat_needs,
    fit_audio,
    fit_chat,
    fit_speech,
    is_requested,
    model_objection,
    price_objection,
    provider_objection,
)
from groq_fallback_mcp.policy.model_choice import Choice, ProviderModel, ProviderModels, choose, is_retired
from groq_fallback_mcp.quota.budget import ZERO_SPEND, Spend, picodollars

__all__ = [
    "LONG_TOKENS",
    "Candidate",
    "Learnt",
    "Plan",
    "plan",
    "streams",
    "with_counted_tokens",
    "with_json_mode",
    "with_max_tokens",
    "with_more_prompt",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What calls have taught about a model: tokens a minute as the server stated them, and how prompts differ from estimates."""

    tpm: float | None = None
    prompt_factor: float = 1.0


UNLEARNT = Learnt()
IN_PROCESS = "in process"
# Of two providers that cost the same the slower one is asked second; what differs less is chance.
MUCH_SLOWER = 2.0
# An answer that may take longer than an attempt's timeout: only a stream tells a long one from a hanging one.
LONG_TOKENS = 4_096
_TOKENS = {Limit.TPM, Limit.TPD}
_PROMPT = {Limit.TPM, Limit.TPH, Limit.TPD, Limit.ITPM}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model to ask, fitted: what goes on the wire, what it will be charged, which limits hold.

    `estimated_tokens` is the estimate of the prompt before it was corrected by what is learnt. `spend` is the most the
    call can cost, `price` what it costs, None where that is not known. `pool`, `refilling` and `failures_count` are its ProviderModel's. `builtin` names tools that run at the provider, `is_system` says that it is a system around them,
    `cataloged` that the catalog's prices hold for it, `parses_reasoning` that it must be told to keep its thoughts apart from the answer. `voice` is the one it speaks with unasked.
    `on_this_machine` and `first_token_s` are its provider's.
    """

    provider: str
    model: str
    wire_model: str
    cost: Mapping[Limit, float] = field(default_factory=dict[Limit, float])
    documented: Mapping[Limit, int] = field(default_factory=dict[Limit, int])
    max_tokens: int = 0
    reasoning_effort: ReasoningEffort | None = None
    json_mode: JsonMode = "none"
    notes: Sequence[str] = ()
    estimated_tokens: int = 0
    spend: Spend = ZERO_SPEND
    price: Price | None = None
    pool: Pool | None = None
    refilling: Refilling = CONTINUOUS
    failures_count: bool = False
    builtin: tuple[str, ...] = ()
    voice: str | None = None
    cataloged: bool = False
    is_system: bool = False
    parses_reasoning: bool = False
    on_this_machine: bool = False
    first_token_s: float = 0.0

    @property
    def identity(self) -> tuple[str, str]:
        """What stays the same however the candidate is fitted: provider and model."""
        return self.provider, self.model


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Candidates in tiers: within a tier whoever can serve first in order does; a later tier is a lesser choice.

    `requested_model` is what the caller named, after resolving aliases, None where it named none.
    """

    tiers: Sequence[Sequence[Candidate]]
    exclusions: Sequence[Exclusion]
    notes: Sequence[str]
    use_case: str
    requested_model: str | None

    @property
    def candidates(self) -> Sequence[Candidate]:
        """The fallback chain: all candidates in order."""
        return tuple(candidate for tier in self.tiers for candidate in tier)


@dataclass(frozen=True, slots=True)
class _Tier:
    kind_of_cost: str
    candidates: tuple[Candidate, ...]


@dataclass(slots=True)
class _Draft:
    full: list[Candidate] = field(default_factory=list[Candidate])
    reduced: list[Candidate] = field(default_factory=list[Candidate])


def plan(
    request: AnyRequest,
    *,
    catalog: Catalog,
    providers: Sequence[ProviderModels],
    today: date,
    learnt: Mapping[tuple[str, str], Learnt] | None = None,
    choice: Choice | None = None,
    prefer: Sequence[str] = (),
    took_s: Callable[[tuple[str, str]], float | None] = lambda _: None,
) -> Plan:
    """Who is to be asked. A tier a provider and kind of cost, ordered by `prefer`, then in the order of `providers`; of two
    of the same kind the one goes first that is much faster by `took_s`, the seconds that a model (provider and id) usually takes.

    `learnt` gives what calls have taught by (provider, model), instead of what is documented; `choice` is what `choose`
    made of the same request, if that is known. Raises InputRefused for unknown models and use cases; a plan may be empty, its exclusions say why.
    """
    if choice is None:
        choice = choose(request, catalog=catalog, providers=providers, today=today)
    needs = chat_needs(request, choice.use_case) if isinstance(request, ChatRequest) else None
    exclusions: list[Exclusion] = list(choice.ended)
    tiers: list[_Tier] = []
    for provider in providers:
        drafts: dict[str, _Draft] = {}
        closed = provider_objection(request.restrictions, provider, choice.use_case)
        if closed is not None:
            exclusions.append(Exclusion(provider=provider.name, model=WHOLE_PROVIDER, reason=closed))
            continue
        for model in choice.wanted:
            offered = provider.models.get(model)
            if offered is None or is_retired(model, catalog=catalog, provider=provider, today=today):
                continue
            if not is_requested(request.restrictions, provider, model, choice.requested_model):
                continue
            known = (learnt or {}).get((provider.name, model), UNLEARNT)
            tpm = offered.documented_limit(Limit.TPM) if known.tpm is None else known.tpm
            fitted = model_objection(request.restrictions, offered.row) or _fitted(request, needs, offered, tpm)
            if not isinstance(fitted, Fitted):
                exclusions.append(_unfit(provider.name, offered, fitted))
                continue
            estimated = 0 if needs is None else needs.prompt_tokens
            itpm = offered.documented_limit(Limit.ITPM)
            cost = _cost(request, claimed_prompt_tokens(estimated, known.prompt_factor), fitted, tpm=tpm, itpm=itpm)
            # an earlier release, which may run beside this one, knows no limit per hour
            if any(offered.documented_limit(limit) is not None for limit in (Limit.RPH, Limit.TPH)):
                cost = with_hours(cost)
            price = offered.row.price if provider.cataloged else FREE if provider.name == "local" else offered.price
            spend = (
                ZERO_SPEND
                if provider.name == "local"
                else _most(price, fitted, cost, priced=provider.cataloged or offered.must_be_priced)
            )
            dear = price_objection(request.restrictions, spend)
            if dear is not None:
                exclusions.append(Exclusion(provider=provider.name, model=model, reason=dear))
                continue
            kind_of_cost = _kind_of_cost(provider, offered)
            draft = drafts.setdefault(kind_of_cost, _Draft())
            (draft.reduced if fitted.reduced else draft.full).append(
                Candidate(
                    provider=provider.name,
                    model=offered.row.id,
                    wire_model=offered.wire_model,
                    cost=cost,
                    documented=offered.documented,
                    max_tokens=fitted.max_tokens,
                    reasoning_effort=fitted.reasoning_effort,
                    json_mode=fitted.json_mode,
                    notes=fitted.notes,
                    estimated_tokens=estimated,
                    spend=spend,
                    price=price,
                    pool=offered.pool,
                    refilling=offered.refilling,
                    failures_count=offered.failures_count,
                    builtin=fitted.builtin,
                    voice=next(iter(offered.row.capabilities.voices), None),
                    cataloged=provider.cataloged,
                    is_system=offered.row.kind is Kind.SYSTEM,
                    parses_reasoning=offered.row.capabilities.reasoning_format,
                    on_this_machine=provider.on_this_machine,
                    first_token_s=provider.first_token_s,
                )
            )
        tiers += [_Tier(kind, (*draft.full, *draft.reduced)) for kind, draft in drafts.items()]
    sorted_tiers = [tier.candidates for tier in _in_order(tiers, prefer, took_s)]
    ordered = _requested_first(sorted_tiers, choice)
    return Plan(
        tiers=_preferred_first(ordered, request.preferred),
        exclusions=tuple(exclusions),
        notes=_notes(choice, exclusions, sorted_tiers),
        use_case=choice.use_case,
        requested_model=choice.requested_model,
    )


def streams(candidate: Candidate, *, watched: bool) -> bool:
    """Stream where somebody watches, or where the answer may be long.

    Not where the answer is JSON: Groq's documentation of JSON mode and of structured outputs excludes streaming there.
    """
    return candidate.json_mode == "none" and (watched or candidate.max_tokens >= LONG_TOKENS)


def with_max_tokens(candidate: Candidate, max_tokens: int) -> Candidate:
    """The same candidate with another bound on the completion, and the charge that follows from it."""
    less = candidate.max_tokens - max_tokens
    charged = {Limit.TPM, Limit.TPH, Limit.TPD, Limit.OTPM}
    cost = {limit: units - less if limit in charged else units for limit, units in candidate.cost.items()}
    note = f"max_tokens {candidate.max_tokens} lowered to {max_tokens}, the most the provider accepts"
    spend = replace(candidate.spend, output_tokens=min(candidate.spend.output_tokens, max_tokens))
    return replace(candidate, max_tokens=max_tokens, cost=cost, notes=(*candidate.notes, note), spend=spend)


def with_json_mode(candidate: Candidate, json_mode: JsonMode) -> Candidate:
    """The same candidate, asked for JSON in another way."""
    note = "The model refused the JSON schema; the request was repeated without it and the answer was checked here."
    return replace(candidate, json_mode=json_mode, notes=(*(n for n in candidate.notes if n != note), note))


def with_counted_tokens(candidate: Candidate, failure: Failure) -> Candidate:
    """The same candidate, claimed as a refusal says that the provider counts it, instead of an estimate."""
    counted = next((reading.requested for reading in failure.quota.readings if reading.limit in _TOKENS), None)
    if counted is None or counted >= candidate.cost.get(Limit.TPM, 0.0):
        return candidate
    cost = {limit: counted if limit in _TOKENS else units for limit, units in candidate.cost.items()}
    return replace(candidate, cost=cost)


def with_more_prompt(candidate: Candidate, before: AnyRequest, after: ChatRequest) -> Candidate:
    """The same candidate for a longer prompt."""
    more = estimate_prompt_tokens(after) - (estimate_prompt_tokens(before) if isinstance(before, ChatRequest) else 0)
    cost = {limit: units + more if limit in _PROMPT else units for limit, units in candidate.cost.items()}
    spend = replace(candidate.spend, input_tokens=candidate.spend.input_tokens + more)
    return replace(candidate, cost=cost, spend=spend, estimated_tokens=candidate.estimated_tokens + more)


def _fitted(request: AnyRequest, needs: ChatNeeds | None, offered: ProviderModel, tpm: float | None) -> Fitted | TooLarge | str:
    if isinstance(request, AudioRequest):
        return fit_audio(request, offered)
    if isinstance(request, SpeechRequest):
        return fit_speech(request, offered)
    assert needs is not None  # noqa: S101 - a chat request always has needs
    return fit_chat(needs, offered, tpm=tpm)


def _unfit(provider: str, offered: ProviderModel, why: TooLarge | str) -> Exclusion:
    model = offered.row.id
    if isinstance(why, str):
        return Exclusion(provider=provider, model=model, reason=why)
    documented = None if why.limit is None else offered.documented_limit(why.limit)
    size = SizeLimit(provider=provider, model=model, tokens=why.tokens, limit=why.limit, documented=documented)
    return Exclusion(provider=provider, model=model, reason=why.reason, size=size)


def _cost(
    request: AnyRequest, claimed: int, fitted: Fitted, *, tpm: float | None, itpm: int | None = None
) -> Mapping[Limit, float]:
    if isinstance(request, AudioRequest):
        return audio_cost(request)
    if isinstance(request, SpeechRequest):
        return speech_cost(request)
    # a margin on the estimate must not shut out what fits
    room = claimed if tpm is None else int(tpm) - fitted.max_tokens
    return chat_cost(min(claimed, room, claimed if itpm is None else itpm), fitted.max_tokens)


def _most(price: Price | None, fitted: Fitted, cost: Mapping[Limit, float], *, priced: bool) -> Spend:
    """The most a call can cost. An endpoint of the user's own that has no price counts as free of charge in USD."""
    prompt = int(cost.get(Limit.ITPM, 0.0))
    spoken = 0 if Limit.ITPM in cost else int(cost.get(Limit.TPM, 0.0))
    usage = Usage(
        input_tokens=prompt,
        output_tokens=fitted.max_tokens,
        audio_s=cost.get(Limit.ASH, 0.0),
        characters=spoken,
    )
    amount = None if price is None else price.cost_usd(usage)
    unpriced = None if priced else 0
    picousd = unpriced if amount is None else picodollars(amount)
    return Spend(input_tokens=prompt, output_tokens=usage.output_tokens, audio_s=usage.audio_s, picousd=picousd)


def _kind_of_cost(provider: ProviderModels, offered: ProviderModel) -> str:
    """As the setting `prefer` names them; models within this process come last whatever it says."""
    if provider.cataloged:
        return "groq"
    return IN_PROCESS if provider.name == "local" else offered.cost or "paid"


def _in_order(
    tiers: Sequence[_Tier], prefer: Sequence[str], took_s: Callable[[tuple[str, str]], float | None]
) -> Sequence[_Tier]:
    """The tiers as preferred; those that `prefer` does not name keep their order, after the others."""
    ranks = {kind: rank for rank, kind in enumerate(dict.fromkeys(prefer))}
    kinds = [tier.kind_of_cost for tier in tiers]
    # mostly there is nothing to compare
    known = [(tier, _usual_s(tier, took_s) if kinds.count(tier.kind_of_cost) > 1 else None) for tier in tiers]
    best: dict[str, float] = {}
    for tier, usual_s in known:
        if usual_s is not None:
            best[tier.kind_of_cost] = min(usual_s, best.get(tier.kind_of_cost, usual_s))

    def place(one: tuple[_Tier, float | None]) -> tuple[int, bool]:
        tier, usual_s = one
        rank = len(ranks) + 1 if tier.kind_of_cost == IN_PROCESS else ranks.get(tier.kind_of_cost, len(ranks))
        return rank, usual_s is not None and usual_s > MUCH_SLOWER * best[tier.kind_of_cost]

    return [tier for tier, _ in sorted(known, key=place)]


def _usual_s(tier: _Tier, took_s: Callable[[tuple[str, str]], float | None]) -> float | None:
    """How long the first model of a tier takes that has answered before."""
    return next((seconds for one in tier.candidates if (seconds := took_s(one.identity)) is not None), None)


def _requested_first(tiers: list[tuple[Candidate, ...]], choice: Choice) -> tuple[tuple[Candidate, ...], ...]:
    """A model the caller named is asked first even where only a later provider has it, and alone in its tier then.

    So is a provider's model, where the caller named both.
    """
    first = choice.wanted[0] if choice.requested_model is not None and choice.wanted else None
    whose = choice.requested_provider
    if first is None or not tiers or (whose is None and any(candidate.model == first for candidate in tiers[0])):
        return tuple(tiers)
    named = [
        candidate for tier in tiers for candidate in tier if candidate.model == first and whose in {None, candidate.provider}
    ]
    if not named or named[0] is tiers[0][0]:
        return tuple(tiers)
    rest = [tuple(candidate for candidate in tier if candidate is not named[0]) for tier in tiers]
    return ((named[0],), *(tier for tier in rest if tier))


def _preferred_first(
    tiers: Sequence[Sequence[Candidate]], preferred: tuple[str, str] | None
) -> tuple[tuple[Candidate, ...], ...]:
    """The model that a conversation stays with is asked first, and alone in its tier: a short wait for it is worth it."""
    found = next((candidate for tier in tiers for candidate in tier if candidate.identity == preferred), None)
    if found is None:
        return tuple(tuple(tier) for tier in tiers)
    rest = (tuple(candidate for candidate in tier if candidate is not found) for tier in tiers)
    return ((found,), *(tier for tier in rest if tier))


def _notes(choice: Choice, exclusions: Sequence[Exclusion], tiers: Sequence[Sequence[Candidate]]) -> tuple[str, ...]:
    left_out = tuple(
        f"{exclusion.model} ({exclusion.provider}) was skipped: {exclusion.reason}"
        for exclusion in exclusions
        if exclusion.model == choice.requested_model and exclusion not in choice.ended
    )
    offered = {candidate.model for tier in tiers for candidate in tier}
    unoffered = (
        (f"No enabled provider offers {choice.requested_model}",)
        if choice.requested_model is not None and not choice.notes and not left_out and choice.requested_model not in offered
        else ()
    )
    return (*choice.notes, *left_out, *unoffered)
