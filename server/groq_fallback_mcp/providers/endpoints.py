"""The endpoints of config.toml with nothing left open: each as its table says, else as the catalog's provider of that name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from urllib.parse import urlsplit

from groq_fallback_mcp.addresses import is_clean_key, is_loopback, is_loopback_url
from groq_fallback_mcp.call import Limit, Pool, Refilling
from groq_fallback_mcp.call.refusals import NO_API_KEY
from groq_fallback_mcp.catalog import (
    FREE,
    Capabilities,
    Catalog,
    Cost,
    DataPolicy,
    Kind,
    ModelRow,
    Price,
    ProviderModelRow,
    ProviderPlan,
    ProviderRow,
    Stage,
)
from groq_fallback_mcp.credentials import find_key
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.settings import EndpointSettings, provider_key_path

__all__ = ["Endpoint", "endpoint_models", "endpoint_of", "exported_variable", "key_variables"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint to ask. `models` maps ids used in plans to those on the wire, `prefix` not included; empty where its own list
    is to be read. `row` is the catalog's provider it is one of, None for one of the user's own. `key_hint` says what is missing.
    """

    name: str
    base_url: str
    key: str
    key_hint: str | None
    prefix: str
    models: Mapping[str, str]
    speech_models: tuple[str, ...]
    context_window: int | None
    use_cases: frozenset[str] | None
    row: ProviderRow | None
    plan: ProviderPlan | None
    cost: Cost
    data_policy: DataPolicy

    @property
    def on_loopback(self) -> bool:
        return is_loopback_url(self.base_url)

    @property
    def on_this_machine(self) -> bool:
        """Whether prompts leave this machine nowhere: a proxy on loopback that costs money, or stands for a provider of the
        catalog, sends them on.
        """
        return self.on_loopback and self.cost == "local" and (self.plan is None or self.plan.cost == "local")


def endpoint_of(given: EndpointSettings, catalog: Catalog) -> Endpoint:
    """The endpoint with its preset's values where it gives none. Raises ConfigurationError for names that are not known."""
    row = _at(given.base_url, catalog) if given.preset is None else _row(given, catalog)
    unknown = next((name for name in given.use_cases or () if name not in catalog.practices), None)
    if unknown is not None:
        raise ConfigurationError(
            f"the provider {given.name!r} names the unknown use case {unknown!r}",
            next_step=f"use some of {', '.join(catalog.practices)}",
        )
    # of an address alone nobody knows what account it is
    plan = None if row is None or (given.preset is None and given.plan is None) else row.plan(given.plan)
    if row is not None and plan is None and given.plan is not None:
        raise ConfigurationError(
            f"the provider {given.name!r} names the unknown plan {given.plan!r}",
            next_step=f"use {' or '.join(known.name for known in row.plans)}",
        )
    base_url, missing = _address(given, row)
    key, key_hint = _key(given, row)
    local = is_loopback_url(base_url)
    return Endpoint(
        name=given.name,
        base_url=base_url,
        key=key,
        key_hint=missing or key_hint,
        prefix=given.prefix if given.prefix is not None else row.prefix if row is not None else "",
        models=given.models or _models_of(row, plan),
        speech_models=given.speech_models
        or tuple(model.id for model in (row.models if row is not None else ()) if model.speech),
        context_window=given.context_window,
        use_cases=None if given.use_cases is None else frozenset(given.use_cases),
        row=row,
        plan=plan,
        cost=given.cost or (plan.cost if plan is not None else "local" if local else "paid"),
        data_policy=given.data_policy or _data_policy(base_url, row, plan),
    )


def endpoint_models(endpoint: Endpoint, catalog: Catalog) -> ProviderModels:
    """What an endpoint can be asked for."""
    models = {model: _offered(endpoint, model, wire, catalog) for model, wire in endpoint.models.items()}
    return ProviderModels(
        name=endpoint.name,
        models=models,
        on_this_machine=endpoint.on_this_machine,
        use_cases=endpoint.use_cases,
        data_policy=endpoint.data_policy,
        first_token_s=float(endpoint.row.first_token_s or 0) if endpoint.row is not None else 0.0,
    )


def key_variables(given: EndpointSettings, row: ProviderRow | None) -> tuple[str, ...]:
    """The variables that may hold its key; the first names it in the key ring."""
    if given.key_env:
        return (given.key_env,)
    return () if row is None or row.key_env is None else (row.key_env, *row.key_env_also)


def exported_variable(variables: Sequence[str]) -> str | None:
    """The variable of these that holds the key, which goes before a stored one; None where none is set."""
    return next((name for name in variables if os.environ.get(name)), None)


def _refilling_of(row: ProviderRow | None) -> Refilling:
    """How limits of a provider come back, learned ones included."""
    return Refilling(windows="sliding", day_ends="" if row is None else row.day_ends)


def _offered(endpoint: Endpoint, model: str, wire: str, catalog: Catalog) -> ProviderModel:
    row = endpoint.row
    known = None if row is None else next((one for one in row.models if model == one.id or wire == one.wire_id), None)
    limits = [limit for limit in (row.limits if row is not None else ()) if limit.holds_for(wire) and not limit.uncertain]
    own: dict[Limit, int] = {}
    # who shares a limit is known also where the plan, and so the limit, is not
    pool = next((Pool(name=limit.pool, documented={}) for limit in limits if limit.pool is not None), None)
    for limit in limits:
        if endpoint.plan is None or limit.plan != endpoint.plan.name:
            continue
        if limit.pool is None:
            own |= limit.figures()
        elif pool is not None:
            pool = Pool(name=limit.pool, documented={**pool.documented, **limit.figures()})
    cost = (known.cost if known is not None else None) or endpoint.cost
    return ProviderModel(
        row=_model_row(endpoint, model, known, catalog),
        wire_model=endpoint.prefix + wire,
        documented=own,
        pool=pool,
        refilling=_refilling_of(row),
        cost=cost,
        price=FREE if cost != "paid" else known.price if known is not None and known.price != Price() else None,
        failures_count=row is not None and row.failures_count,
        must_be_priced=row is not None and cost == "paid",
    )


def _model_row(endpoint: Endpoint, model: str, known: ProviderModelRow | None, catalog: Catalog) -> ModelRow:
    """The model as this provider serves it, else as a model of that name is."""
    elsewhere = catalog.models.get(model)
    speech = model in endpoint.speech_models
    held_to_schemas = endpoint.row is not None and endpoint.row.json_schema
    if known is None or known.context_window is None:
        if elsewhere is not None:
            return _beyond_groq(elsewhere, endpoint.context_window)
        return ModelRow(
            id=model,
            kind=Kind.SPEECH_TO_TEXT if speech else Kind.CHAT,
            stage=Stage.PRODUCTION,
            context_window=None if speech else endpoint.context_window,
            capabilities=Capabilities(tools=True, json_object=True, json_schema=held_to_schemas, translation=speech),
            source="user",
            checked=date.min,
        )
    return ModelRow(
        id=model,
        kind=Kind.SPEECH_TO_TEXT if known.speech else Kind.CHAT,
        stage=Stage.PRODUCTION,
        context_window=endpoint.context_window or known.context_window,
        max_completion_tokens=known.max_completion_tokens,
        price=known.price if endpoint.cost == "paid" or known.cost == "paid" else Price(),
        capabilities=Capabilities(
            vision=known.vision,
            tools=known.tools,
            json_object=not known.speech,
            json_schema=known.json_schema or held_to_schemas,
            reasoning=known.reasoning,
            translation=known.speech,
        ),
        source=known.source,
        checked=known.checked,
    )


def _beyond_groq(row: ModelRow, context_window: int | None) -> ModelRow:
    """A model of the catalog that somebody else serves: without what Groq runs beside it, its price and its speed."""
    capabilities = row.capabilities.model_copy(update={"builtin_tools": (), "reasoning_format": False})
    window = context_window or row.context_window
    return row.model_copy(update={"capabilities": capabilities, "price": Price(), "speed_tps": None, "context_window": window})


def _models_of(row: ProviderRow | None, plan: ProviderPlan | None) -> dict[str, str]:
    """The catalog's models of a plan: on a free one those that are free, on a paid one those that are paid."""
    if row is None or plan is None:
        return {}
    return {model.id: model.wire_id for model in row.models if model.cost in {None, plan.cost}}


def _row(given: EndpointSettings, catalog: Catalog) -> ProviderRow:
    row = catalog.providers.get(given.preset or "")
    if row is None:
        near = get_close_matches(given.preset or "", catalog.providers, n=1)
        raise ConfigurationError(
            f"unknown preset {given.preset!r}",
            next_step=(f"did you mean {near[0]!r}? " if near else "") + f"Use one of {', '.join(catalog.providers)}",
        )
    return row


def _at(base_url: str | None, catalog: Catalog) -> ProviderRow | None:
    """The catalog's provider at an address beyond this machine; None for an endpoint of somebody else's."""
    if base_url is None or is_loopback_url(base_url):
        return None
    return next((row for row in catalog.providers.values() if row.base_url == base_url.rstrip("/")), None)


def _address(given: EndpointSettings, row: ProviderRow | None) -> tuple[str, str | None]:
    """Where it is, and what is missing to reach it."""
    address = given.base_url or (row.base_url if row is not None else "")
    if row is None or row.account_env is None or "{account}" not in address:
        return address, None
    account = os.environ.get(row.account_env, "")
    if not account:
        return address, f"{row.account_env} is not set"
    if not account.isalnum():
        raise ConfigurationError(
            f"{row.account_env} is not an account id (letters and digits only)",
            next_step=f"copy the account id of {row.title} again",
        )
    return address.replace("{account}", account), None


def _data_policy(base_url: str, row: ProviderRow | None, plan: ProviderPlan | None) -> DataPolicy:
    """What becomes of prompts at an address: what the catalog says of a provider holds for no other host but a proxy here."""
    host = urlsplit(base_url).hostname or ""
    if row is None or plan is None:
        return "no-training" if is_loopback(host) else "unknown"
    return plan.data_policy if is_loopback(host) or host == urlsplit(row.base_url).hostname else "unknown"


def _key(given: EndpointSettings, row: ProviderRow | None) -> tuple[str, str | None]:
    """The key, empty where there is none, and what a person is told when one is needed."""
    names = key_variables(given, row)
    if not names:
        return "", None
    name = exported_variable(names)
    if name is None:
        found = find_key(provider_key_path(names[0]), names[0])
        key, place = ("" if found is None else found.key.get_secret_value()), names[0] if found is None else found.source
    else:
        key, place = os.environ[name], name
    if not is_clean_key(key):
        raise ConfigurationError(
            f"{place} doesn't look like an API key (it contains spaces or non-ASCII characters)",
            next_step=f"copy the API key of {given.name} again",
        )
    optional = row is not None and row.key_optional
    return key, None if key or optional else f"{NO_API_KEY}: {names[0]} is not set"
