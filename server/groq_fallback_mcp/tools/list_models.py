"""list_models: the catalog under the provider's live list, with what each model can do and whether it can serve now.

By default it shows the models that a groq_chat call would use now, in a few short rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal

from pydantic import Field

from groq_fallback_mcp.call import FailureKind, Limit
from groq_fallback_mcp.call.refusals import refusal
from groq_fallback_mcp.catalog import Catalog, Kind, ModelRow, Stage
from groq_fallback_mcp.catalog.drift import Drift, drift
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.policy.fit import standing_objection
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels, is_retired
from groq_fallback_mcp.providers.registry import LiveList
from groq_fallback_mcp.quota import Wait, obstacle
from groq_fallback_mcp.quota.breaker import useful_wait_s
from groq_fallback_mcp.render import counted, excerpt
from groq_fallback_mcp.tools.chat_chain import ALL_MODELS, chat_chain
from groq_fallback_mcp.tools.result import Result, label, seconds, structured
from groq_fallback_mcp.tools.tool import MORE, Arguments, Context, Reply, Tool

__all__ = ["LIST_MODELS", "ListModelsArguments"]


# The catalog alone is an answer too, so the list is not waited for long.
LIVE_LIST_S = 10.0
# Of a longer chain the first are the ones that will serve.
MOST_ROWS = 6
ONE_REQUEST = {Limit.RPM: 1.0, Limit.RPD: 1.0}


class ListModelsArguments(Arguments):
    """Arguments of list_models."""

    kind: Literal["chat", "system", "speech_to_text", "text_to_speech", "guard"] | None = None
    stage: Literal["production", "preview", "retired"] | None = None
    use_case: str | None = None
    include_retired: bool = Field(default=False, json_schema_extra=MORE)
    all: bool = ALL_MODELS

    @property
    def chain_only(self) -> bool:
        """Whether nothing but the chat chain is wanted."""
        return not (self.kind or self.stage or self.use_case or self.include_retired or self.all)


class ChainEntry(Result):
    """A model of the chat chain."""

    id: str
    provider: str
    available: str
    preview: bool | None = None
    speed_tps: int | None = None
    context_window: int | None = None
    max_completion_tokens: int | None = None
    input_usd_per_mtok: str | None = None
    output_usd_per_mtok: str | None = None
    images: bool | None = None


class ChainResult(Result):
    """Structured result of list_models by default: the chat chain, in order."""

    models: tuple[ChainEntry, ...]
    more_models: int
    """How many further models `all` shows."""
    live_list: str | None = None
    """Why Groq's live list could not be read; absent when it was."""


class ModelEntry(Result):
    """A model."""

    id: str
    provider: str
    kind: Kind
    stage: Stage
    available: str
    listed: bool | None = None
    """Whether the provider's live list has it; absent when that could not be read."""
    shut_down_on: date | None = None
    successor: str | None = None
    speed_tps: int | None = None
    context_window: int | None = None
    max_completion_tokens: int | None = None
    price_usd: Mapping[str, str] | None = None
    limits: Mapping[Limit, int] | None = None
    capabilities: tuple[str, ...] = ()
    use_cases: tuple[str, ...] = ()


class ListModelsResult(Result):
    """Structured result of list_models for all models, or those of a kind, stage or use case."""

    live_list: str
    """Whether the provider's own list was read. The two below are absent when it was not."""
    drift: Mapping[str, tuple[str, ...]] | None = None
    """The ids in which that list and the catalog differ."""
    shut_down: Mapping[str, str | None] | None = None
    """The ids that ended according to both, with the model that replaces each."""
    models: tuple[ModelEntry, ...]


async def _handle(arguments: ListModelsArguments, context: Context) -> Reply:
    engine = context.engine
    catalog = engine.catalog
    if arguments.use_case is not None and arguments.use_case not in catalog.practices:
        raise InputRefused(
            f"unknown use_case {excerpt(arguments.use_case)}", next_step=f"use one of {', '.join(catalog.practices)}"
        )
    live = await engine.registry.live_list(timeout_s=min(LIVE_LIST_S, engine.timeouts.deadline_s))
    await engine.registry.refresh(lists=True)
    if arguments.chain_only:
        return await _chain_reply(context, live)
    providers = engine.registry.models()
    day = today(engine.clock)
    rows = [(provider, offered) for provider in providers for offered in provider.models.values()]
    unoffered = [
        row
        for row in catalog.models.values()
        if all(row.id not in provider.models for provider in providers if provider.cataloged)
    ]
    groq = next((provider for provider in providers if provider.cataloged), None)
    if groq is not None:
        rows += [(groq, ProviderModel(row=row, wire_model=row.id)) for row in unoffered]
    available = await _availability(context, rows, refused=live.refused)
    entries = [
        _entry(
            provider,
            offered,
            catalog=catalog,
            day=day,
            available=available[provider.name, offered.row.id],
        )
        for provider, offered in rows
    ]
    wanted = tuple(entry for entry in entries if _matches(entry, arguments))
    found = None if live.ids is None else drift(catalog, live.ids, day)
    result = ListModelsResult(
        live_list=_live_words(live, context),
        drift=None if found is None else found.differences() or None,
        shut_down=None if found is None else found.shut_down,
        models=wanted,
    )
    return Reply(text=_text(result, found), structured=structured(result))


async def _chain_reply(context: Context, live: LiveList) -> Reply:
    chain = await chat_chain(context)
    available = await _availability(context, chain, refused=live.refused)
    shown = chain[:MOST_ROWS]
    engine = context.engine
    day = today(engine.clock)
    offered = {
        (provider.name, model)
        for provider in engine.registry.models()
        for model in provider.models
        if not is_retired(model, catalog=engine.catalog, provider=provider, today=day)
    }
    result = ChainResult(
        models=tuple(_chain_entry(provider, model, available[provider.name, model.row.id]) for provider, model in shown),
        more_models=len(offered) - len(shown),
        live_list=None if live.failure is None else _live_words(live, context),
    )
    return Reply(text=_chain_text(result), structured=structured(result))


def _price_usd(provider: ProviderModels, offered: ProviderModel) -> dict[str, str] | None:
    """What a model costs there, by unit; None where that is not known. Beyond Groq a row has the list price, if any."""
    price = offered.row.price if provider.cataloged else offered.price or ()
    return {name: str(value) for name, value in price if value is not None} or None


def _chain_entry(provider: ProviderModels, offered: ProviderModel, available: str) -> ChainEntry:
    row = offered.row
    price = _price_usd(provider, offered) or {}
    return ChainEntry(
        id=row.id,
        provider=provider.name,
        available=available,
        preview=True if row.stage is Stage.PREVIEW else None,
        speed_tps=row.speed_tps,
        context_window=row.context_window,
        max_completion_tokens=row.max_completion_tokens,
        input_usd_per_mtok=price.get("input_usd_per_mtok"),
        output_usd_per_mtok=price.get("output_usd_per_mtok"),
        images=True if row.capabilities.vision else None,
    )


async def _availability(
    context: Context, rows: Sequence[tuple[ProviderModels, ProviderModel]], *, refused: FailureKind | None
) -> Mapping[tuple[str, str], str]:
    """Whether each model can serve now, in words, by provider and id. `refused`: how Groq refuses every call."""
    engine = context.engine
    closed = {
        (provider.name, offered.row.id): objection
        for provider, offered in rows
        if (objection := standing_objection(engine.restrictions, provider, offered.row)) is not None
    }
    on_request = {(provider.name, model) for provider, _ in rows for model in (*provider.on_request, *provider.by_name_only)}
    claims = [engine.claim_of(provider, offered, ONE_REQUEST) for provider, offered in rows]
    words: dict[tuple[str, str], str] = {}
    for quota in await engine.ledger.peek(claims):
        unready = engine.registry.providers[quota.key.provider].unready
        if unready is None and refused is not None and quota.key.provider == "groq":
            unready = refusal(refused, "groq")
        if unready is not None:
            words[quota.key.provider, quota.key.model] = f"no, {unready}"
            continue
        if (objection := closed.get((quota.key.provider, quota.key.model))) is not None:
            words[quota.key.provider, quota.key.model] = f"no, {objection}"
            continue
        if (quota.key.provider, quota.key.model) in on_request:
            words[quota.key.provider, quota.key.model] = (
                "only with local_only" if quota.key.provider == "local" else "only when named"
            )
            continue
        words[quota.key.provider, quota.key.model] = _when(obstacle(quota, ONE_REQUEST), quota.key.provider)
    return words


def _when(wait: Wait | None, provider: str) -> str:
    if wait is None:
        return "now"
    if wait.wait_s is None:
        return "never"
    useful_s = useful_wait_s(wait.wait_s, wait.kind)
    return (
        f"no, {refusal(wait.kind, provider) or wait.reason}"
        if useful_s is None
        else f"in {seconds(useful_s):g} s ({wait.reason})"
    )


def _entry(
    provider: ProviderModels,
    offered: ProviderModel,
    *,
    catalog: Catalog,
    day: date,
    available: str,
) -> ModelEntry:
    row = offered.row
    listed = None if provider.live is None else row.id in provider.live
    ended = is_retired(row.id, catalog=catalog, provider=provider, today=day)
    retired = ended and catalog.stage(row.id, day) is Stage.RETIRED
    shutdown = catalog.shutdowns.get(row.id)
    if retired:
        available = "no, shut down"
    elif listed is False:
        available = "no, not in the live list"
    return ModelEntry(
        id=row.id,
        provider=provider.name,
        kind=row.kind,
        stage=Stage.RETIRED if retired else row.stage,
        available=available,
        listed=listed,
        shut_down_on=shutdown.on if shutdown is not None else None,
        successor=catalog.successor(row.id, day) if retired else None,
        speed_tps=row.speed_tps,
        context_window=row.context_window,
        max_completion_tokens=row.max_completion_tokens,
        price_usd=_price_usd(provider, offered),
        limits=dict(offered.documented) or None,
        capabilities=_capabilities(row),
        use_cases=tuple(
            practice.use_case for practice in catalog.practices.values() if row.id in {practice.model, *practice.chain}
        ),
    )


def _capabilities(row: ModelRow) -> tuple[str, ...]:
    capabilities = row.capabilities
    flags = ("vision", "tools", "json_object", "json_schema", "translation")
    named = [flag for flag in flags if getattr(capabilities, flag)]
    if capabilities.reasoning:
        named.append(f"reasoning({'|'.join(capabilities.reasoning)})")
    if capabilities.voices:
        named.append(f"voices({'|'.join(capabilities.voices)})")
    return (*named, *capabilities.builtin_tools)


def _matches(entry: ModelEntry, arguments: ListModelsArguments) -> bool:
    if entry.stage is Stage.RETIRED and not (arguments.include_retired or arguments.stage == "retired"):
        return False
    return (
        arguments.kind in {None, entry.kind.value}
        and arguments.stage in {None, entry.stage.value}
        and (arguments.use_case is None or arguments.use_case in entry.use_cases)
    )


def _live_words(live: LiveList, context: Context) -> str:
    if live.read_at is None:
        reason = live.failure.message if live.failure is not None else "Groq is switched off"
        return f"could not be read ({reason}), so this is the built-in catalog only"
    age_s = max(context.engine.clock.monotonic() - live.read_at, 0.0)
    failed = f" (refresh failed: {live.failure.message})" if live.failure is not None else ""
    return f"read {age_s:.0f} s ago{failed}"


def _chain_text(result: ChainResult) -> str:
    lines = ["Models in the order that groq_chat tries them:" if result.models else "No chat model is configured."]
    for entry in result.models:
        facts = [f"available: {entry.available}"]
        facts += ["preview"] if entry.preview else []
        facts += [f"{entry.speed_tps} tokens/s"] if entry.speed_tps else []
        facts += [f"context {entry.context_window:,}"] if entry.context_window else []
        facts += [f"output {entry.max_completion_tokens:,}"] if entry.max_completion_tokens else []
        if entry.input_usd_per_mtok is not None and entry.output_usd_per_mtok is not None:
            facts.append(f"${entry.input_usd_per_mtok} in, ${entry.output_usd_per_mtok} out per M tokens")
        facts += ["reads images"] if entry.images else []
        lines.append(f"- {label(entry.provider, entry.id)}: " + "; ".join(facts))
    if result.live_list is not None:
        lines.append(f"Groq's live list: {result.live_list}.")
    if result.more_models > 0:
        lines.append(f"{counted(result.more_models, 'more model')} with all: true.")
    return "\n".join(lines)


def _text(result: ListModelsResult, found: Drift | None) -> str:
    lines = [f"{counted(len(result.models), 'model')}. Groq's live list: {result.live_list}."]
    if found is not None and found.differences():
        lines.append(f"It differs from the catalog: {found}.")
    if found is not None and (ended := found.replacements()):
        lines.append(f"Shut down and replaced: {ended}.")
    for entry in result.models:
        facts = [entry.kind.value, entry.stage.value, f"available: {entry.available}"]
        if entry.shut_down_on is not None:
            facts.append(f"shut down {entry.shut_down_on}" + (f", successor {entry.successor}" if entry.successor else ""))
        facts += [f"{entry.speed_tps} tokens/s"] if entry.speed_tps else []
        facts += [f"context {entry.context_window}"] if entry.context_window else []
        facts += [f"max out {entry.max_completion_tokens}"] if entry.max_completion_tokens else []
        facts += [f"{name} {value}" for name, value in (entry.price_usd or {}).items()]
        facts += [" ".join(f"{limit} {figure}" for limit, figure in entry.limits.items())] if entry.limits else []
        facts += [", ".join(entry.capabilities)] if entry.capabilities else []
        facts += [f"for {', '.join(entry.use_cases)}"] if entry.use_cases else []
        lines.append(f"- {label(entry.provider, entry.id)}: " + "; ".join(facts))
    return "\n".join(lines)


LIST_MODELS = Tool(
    name="list_models",
    title="List models",
    description="Models with price, speed, context, and whether each can serve now.",
    arguments=ListModelsArguments,
    handle=_handle,
)
