"""`providers`: what stands behind Groq listed, added, tried, put in order and removed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, get_args

import typer
from pydantic import SecretStr, ValidationError

from groq_fallback_mcp.addresses import is_clean_key
from groq_fallback_mcp.atomic_file import sweep_partials, write_atomically
from groq_fallback_mcp.catalog import Catalog, ProviderRow, load_catalog
from groq_fallback_mcp.cli.console import echo, print_json, typed_secret
from groq_fallback_mcp.cli.providers_file import (
    names_in,
    table_in,
    with_order,
    with_preference,
    with_provider,
    without_provider,
)
from groq_fallback_mcp.command import SCRIPT
from groq_fallback_mcp.credentials import ACCOUNT, find_key, forget_key, keep_in_file, keep_in_ring
from groq_fallback_mcp.errors import ConfigurationError, InputRefused
from groq_fallback_mcp.providers.endpoints import Endpoint, endpoint_of, exported_variable, key_variables
from groq_fallback_mcp.redaction import register_keys
from groq_fallback_mcp.render import counted, excerpt
from groq_fallback_mcp.settings import EndpointSettings, Settings, config_path, load_settings, provider_key_path, reason
from groq_fallback_mcp.settings.model import PreferredCost

__all__ = ["add_provider", "list_providers", "order_providers", "remove_provider"]

# Where a person gives a provider's fields at the command line.
_OPTIONS = {"name": "NAME", "base_url": "--url", "key_env": "--key-env", "models": "--model", "plan": "--plan"}
_POLICIES = {
    "no-training": "prompts are not used for training",
    "trains": "prompts may be used for training",
    "unknown": "what becomes of prompts is not known",
}


def list_providers(*, as_json: bool) -> int:
    """What is used in which order, and what could be added."""
    settings = load_settings()
    catalog = load_catalog(settings.catalog)
    endpoints = [(given, endpoint_of(given, catalog)) for given in settings.providers]
    addable = [row for row in _offered(catalog) if all(given.preset != row.name for given, _ in endpoints)]
    if as_json:
        print_json(
            {
                "prefer": list(settings.prefer),
                "data_policy": settings.data_policy,
                "providers": [_facts(endpoint) for _, endpoint in endpoints],
                "can_be_added": [row.name for row in addable],
            }
        )
        return 0
    echo(_order(settings.prefer))
    if settings.data_policy == "no-training":
        echo("Only providers that are known not to train on prompts are used.")
    for _, endpoint in endpoints:
        echo(f"- {endpoint.name}: {_line(endpoint)}")
    if not endpoints:
        echo("No provider is configured yet.")
    if addable:
        echo("Can be added:")
        for row in addable:
            echo(f"- {row.name}: {_offer(row)}")
        echo(f"Next step: {SCRIPT} providers add NAME")
    return 0


def add_provider(
    name: str, *, url: str | None, plan: str | None, models: Sequence[str], key_env: str | None, file: bool, yes: bool
) -> int:
    """Write a provider into config.toml and ask for its key; 1 where the person says no."""
    catalog = load_catalog(load_settings().catalog)
    row = None if url is not None and name not in catalog.providers else _known(name, catalog)
    given: dict[str, Any] = {"preset": name} if row is not None else {"name": name}
    if url is not None:
        # an address as documentation of endpoints often gives it
        url = url.rstrip("/").removesuffix("/chat/completions")
    given |= {field: value for field, value in (("base_url", url), ("plan", plan), ("key_env", key_env)) if value is not None}
    if models:
        given["models"] = list(models)
    # what else the file says of it still holds, also for what is agreed to below
    settings = _checked({**table_in(_text(), name), **given})
    endpoint = endpoint_of(settings, catalog)
    echo(f"{endpoint.name}: {_line(endpoint)}")
    if row is not None and row.warning:
        echo(f"Note: {row.warning}")
    if (asks := _consent(row, endpoint)) and not yes and not _agreed(asks):
        echo("Nothing was changed.", err=True)
        return 1
    variables = key_variables(settings, row)
    # an endpoint by its address may want no key: its variable is written only where one is given
    variable = variables[0] if variables else None if endpoint.on_this_machine else _variable_of(endpoint.name)
    # by its address alone, a catalog's provider takes the key of its variable too
    exported = exported_variable(key_variables(settings, endpoint.row))
    if exported is not None:
        echo(f"Note: The key in {exported} takes precedence over a stored one. To store another key, unset {exported} first.")
    elif variable is not None and _stored_key(variable, row, endpoint, file=file) and not variables:
        given["key_env"] = variable
    path = config_path()
    _write(with_provider(_text(), given))
    echo(f"Added to {path}. Running servers use it after a restart.")
    echo(f"Next step: {SCRIPT} providers test {endpoint.name}")
    return 0


def order_providers(names: Sequence[str], *, prefer: str | None) -> int:
    """Put providers in order, or kinds of them."""
    text = _text()
    configured = names_in(text)
    unknown = next((name for name in names if name not in configured), None)
    if unknown is not None:
        raise InputRefused(f"no provider {unknown!r} is in {config_path()}", next_step=_names(configured))
    if not names and prefer is None:
        raise InputRefused("nothing to put in order", next_step="name providers, best first, or give --prefer")
    text = with_order(text, names) if names else text
    kinds: Sequence[str] = ()
    if prefer is not None:
        kinds = [kind.strip() for kind in prefer.split(",") if kind.strip()]
        wrong = next((kind for kind in kinds if kind not in get_args(PreferredCost)), None)
        if wrong is not None or not kinds:
            raise InputRefused(
                f"unknown kind {wrong or prefer!r}", next_step=f"use some of {', '.join(get_args(PreferredCost))}"
            )
        text = with_preference(text, kinds)
    _write(text)
    if names:
        echo(f"Providers: {', '.join(names_in(text))}.")
    if kinds:
        echo(_order(kinds))
    return 0


def remove_provider(name: str) -> int:
    """Take a provider out of config.toml, and its key from where it was stored."""
    text = _text()
    configured = names_in(text)
    if name not in configured:
        raise InputRefused(f"no provider {name!r} is in {config_path()}", next_step=_names(configured))
    settings = load_settings()
    catalog = load_catalog(settings.catalog)
    # the file's own words: a variable of the environment may replace what it says
    given = _checked(dict(table_in(text, name)))
    _write(without_provider(text, name))
    echo(f"Removed {name} from {config_path()}.")
    variables = key_variables(given, catalog.providers.get(given.preset or ""))
    # a proxy in front of Groq may be given Groq's own key
    shared = {ACCOUNT} | {
        variable
        for other in settings.providers
        if other.name != name
        for variable in key_variables(other, catalog.providers.get(other.preset or ""))
    }
    for variable in variables[:1]:
        if variable not in shared and (places := forget_key(provider_key_path(variable), variable)):
            echo(f"Its key was removed from {' and '.join(places)}.")
    if exported_variable(variables) is not None:
        echo("Note: Its key is still set in the environment. Unset it too.")
    return 0


def _order(prefer: Sequence[str]) -> str:
    # as calls do: kinds that the setting does not name follow
    return f"Order: {', '.join(dict.fromkeys((*prefer, *get_args(PreferredCost))))}."


def _offered(catalog: Catalog) -> list[ProviderRow]:
    return sorted(catalog.providers.values(), key=lambda row: (row.opt_in, row.order))


def _known(name: str, catalog: Catalog) -> ProviderRow:
    row = catalog.providers.get(name)
    if row is None:
        raise InputRefused(
            f"no provider {name!r} is in the catalog",
            next_step=f"use one of {', '.join(catalog.providers)}, or give its address with --url",
        )
    return row


def _checked(given: dict[str, Any]) -> EndpointSettings:
    try:
        settings = EndpointSettings.model_validate(given)
        Settings.model_validate({"providers": [given]})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"] if part != "providers" and not isinstance(part, int)) or "provider"
        shown = "" if field == "key_env" or first["type"] != "string_pattern_mismatch" else f" {excerpt(first['input'])}"
        raise InputRefused(f"invalid {_OPTIONS.get(field, field)}{shown} ({reason(first)})", next_step="give another") from None
    return settings


def _facts(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "name": endpoint.name,
        "base_url": endpoint.base_url,
        "plan": None if endpoint.plan is None else endpoint.plan.name,
        "cost": endpoint.cost,
        "data_policy": endpoint.data_policy,
        "ready": endpoint.key_hint is None,
        "missing": endpoint.key_hint,
        "models": list(endpoint.models) or None,
    }


def _line(endpoint: Endpoint) -> str:
    named = None if endpoint.plan is None or endpoint.cost in {endpoint.plan.name, "local"} else endpoint.plan.name
    plan = "" if named is None else f"{named} plan, "
    count = len(endpoint.models)
    models = counted(count, "model") if count else "models from its own list"
    ready = "ready" if endpoint.key_hint is None else endpoint.key_hint
    policy = "stays on this machine" if endpoint.on_this_machine else _POLICIES[endpoint.data_policy]
    return f"{endpoint.base_url}; {plan}{endpoint.cost}; {policy}; {models}; {ready}"


def _offer(row: ProviderRow) -> str:
    plan = row.plans[0]
    said = row.warning or row.note
    return f"{row.title}, {plan.cost}" + (f". {said}" if said else "")


def _consent(row: ProviderRow | None, endpoint: Endpoint) -> str | None:
    """What a person must agree to before anything can be sent there; None where nothing is unusual."""
    if endpoint.on_this_machine or endpoint.data_policy == "no-training":
        return None
    title = endpoint.name if row is None else row.title
    return f"Prompts that are sent to {title} leave this machine, and {_POLICIES[endpoint.data_policy]}. Add it?"


def _agreed(question: str) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputRefused(question.removesuffix(" Add it?").removesuffix("."), next_step="pass --yes to agree")
    return typer.confirm(question, default=False, err=True)


def _variable_of(name: str) -> str:
    """What the variable with a provider's key is called unless the user says otherwise."""
    variable = f"{name.upper().replace('-', '_')}_API_KEY"
    return variable if variable[0].isalpha() else f"_{variable}"


def _stored_key(variable: str, row: ProviderRow | None, endpoint: Endpoint, *, file: bool) -> bool:
    """Store the key that a person types, or pipes: it replaces a stored one, which may have been refused. Whether one came."""
    page = f" ({row.key_page})" if row is not None and row.key_page else ""
    empty = "empty to keep the stored one" if endpoint.key else "empty for none yet"
    key = typed_secret(f"API key for {endpoint.name}{page}, {empty}", default="", show_default=False)
    if not key:
        if endpoint.key:
            echo("The stored key was kept.")
        elif endpoint.key_hint is not None:
            echo(f"Note: Set {variable}, or add it again to store a key{page}.")
        return False
    if not is_clean_key(key):
        raise ConfigurationError(
            "That doesn't look like an API key (it contains spaces or other characters)",
            next_step=f"Copy the key of {endpoint.name} again",
        )
    register_keys(key)
    if not file and keep_in_ring(SecretStr(key), variable):
        echo("The key was stored in the system keyring.")
        return True
    path = provider_key_path(variable)
    keep_in_file(SecretStr(key), path)
    echo(f"The key was stored in {path}, which only you can read.")
    used = find_key(path, variable)
    if used is not None and used.key.get_secret_value() != key:
        echo(f"Note: The key in {used.source} takes precedence over the stored one. Remove it to use the stored key.")
    return True


def _names(configured: Sequence[str]) -> str:
    return f"use {' or '.join(configured)}" if configured else f"add one with {SCRIPT} providers add NAME"


def _text() -> str:
    path = config_path()
    try:
        # not read_text, which would rewrite every line's end
        return path.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"Cannot read {path} ({error})", next_step="Make it a readable UTF-8 file") from error


def _write(text: str) -> None:
    # a link to a file that is kept elsewhere stays a link
    path = config_path().resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_partials(path.parent)
        write_atomically(path, text.encode(), durable=True)
    except OSError as error:
        raise ConfigurationError(f"Cannot write {path} ({error})", next_step="Make its folder writable") from error
