"""`setup CLIENT --gateway`: lets an agent send its own model calls to the gateway, and shows what of them the plan can serve."""

from __future__ import annotations

import re
from pathlib import Path

import anyio

from groq_fallback_mcp.addresses import check_base_url, is_clean_key
from groq_fallback_mcp.application import restrictions_of
from groq_fallback_mcp.call import Failure, FailureKind
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.cli.console import echo, typed_secret
from groq_fallback_mcp.cli.local_servers import found_statement
from groq_fallback_mcp.clients.change import Change, apply
from groq_fallback_mcp.clients.client import CLIENTS
from groq_fallback_mcp.clients.gateway import SHOWN_TOKEN, WantedGateway, plan_gateway, plan_removal
from groq_fallback_mcp.clients.gateway_clients import GATEWAY_CLIENTS, GatewayClient
from groq_fallback_mcp.clients.gateway_offer import GatewayOffer, gateway_offer
from groq_fallback_mcp.clock import SystemClock, today
from groq_fallback_mcp.command import SCRIPT
from groq_fallback_mcp.errors import ConfigurationError, InputRefused
from groq_fallback_mcp.gateway_token import TOKEN_FILE, gateway_token
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.providers.registry import build_registry
from groq_fallback_mcp.redaction import register_secrets
from groq_fallback_mcp.render import capitalized, excerpt
from groq_fallback_mcp.settings import Settings, load_settings, state_folder

__all__ = ["DEFAULT_PORT", "given_token", "setup_gateway"]

DEFAULT_PORT = 8788
LIST_S = 15.0
# Fits no model.
UNKNOWN_TOKENS = 10**9
# JSON, YAML and TOML: the value of a field for a key or a token
_SECRETS = re.compile(
    r"""(["']?[\w-]*(?:api_?key|_token|_secret|password|_headers)["']?\s*[:=]\s*)(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,}"'{]+)""",
    re.IGNORECASE,
)


def setup_gateway(
    name: str | None, *, port: int, url: str | None = None, dry_run: bool, remove: bool, measure: bool = False
) -> int:
    """Add the gateway to an agent's own configuration, or remove it. `measure`: run the agent once to see how long its prompt is.

    `url`: the address of a gateway on another machine, instead of the port of one on this.
    """
    client = GATEWAY_CLIENTS.get(name or "")
    if client is None:
        raise _without_gateway(name)
    if remove:
        _remove(client, dry_run=dry_run)
    else:
        _add(client, port=port, url=None if url is None else _checked_url(url), dry_run=dry_run, measure=measure)
    return 0


def _without_gateway(name: str | None) -> InputRefused:
    """Why a client cannot be set up for the gateway, and what can be done instead."""
    known = f"Use one of {', '.join(GATEWAY_CLIENTS)}: {SCRIPT} setup kilo --gateway"
    other = CLIENTS.get(name or "")
    if other is not None and other.no_gateway:
        instead = f"Run {SCRIPT} setup {name} to add the MCP server there, which works. {known}"
        return InputRefused(f"{other.title} cannot use the gateway: {other.no_gateway}", next_step=instead)
    cause = "No client is given" if name is None else f"{name[:80]!r} has no set-up for the gateway"
    return InputRefused(cause, next_step=known)


def _add(client: GatewayClient, *, port: int, url: str | None, dry_run: bool, measure: bool) -> None:
    settings = load_settings()
    offer, found = anyio.run(_offer, settings)
    if url is None:
        token, origin = _token(settings, make=not dry_run), f"http://127.0.0.1:{port}"
    else:
        token, origin, found = given_token(settings), url, None
        offer = anyio.run(_offer_at, url, token, offer)

    def planned(client: GatewayClient) -> Change:
        return plan_gateway(WantedGateway(client=client, offer=offer, origin=origin, token=token), home=Path.home())

    if measure:
        from groq_fallback_mcp.cli.prompt_measure import measured_prompt

        # the provider alone: whether the person's own model is replaced depends on the length
        unknown = client.model_copy(update={"prompt_tokens": UNKNOWN_TOKENS})
        length = measured_prompt(client, port=port, prepare=lambda: apply(planned(unknown)))
        client = client.model_copy(update={"prompt_tokens": length + client.unmeasured_tokens})
    change = planned(client)
    nothing = client.fits_or_nothing and not offer.fits(client)
    unchanged = f"{change.path} is left as it is" if nothing else f"the gateway is already set up in {change.path}"
    _carry_out(change, dry_run=dry_run, unchanged=f"{client.title}: {unchanged}")
    echo(offer.statement(client, measured=measure))
    if url is None and settings.plan == "free" and not offer.fits(client):
        echo(
            f"Next step: Add a provider that takes it, e.g. {SCRIPT} providers add gemini, and run setup again. "
            "If your account has the developer plan, set GROQ_FALLBACK_PLAN=developer."
        )
    if found is not None:
        echo(found)
    for note in (*change.notes, *([client.note] if client.note and not nothing else [])):
        echo(f"Note: {note}")
    if url is None and not dry_run and not nothing:
        at = "" if port == DEFAULT_PORT else f" --port {port}"
        echo(f"Next step: Run {SCRIPT} gateway{at} to start it, or {SCRIPT} gateway --install{at} to keep it running.")


def _remove(client: GatewayClient, *, dry_run: bool) -> None:
    change = plan_removal(client, home=Path.home())
    _carry_out(change, dry_run=dry_run, unchanged=f"{client.title}: the gateway is not set up in {change.path}")


def _carry_out(change: Change, *, dry_run: bool, unchanged: str) -> None:
    """Make a change, or show what it would be. `unchanged` is said where there is nothing to change."""
    if not change.changes_config:
        echo(unchanged)
    if dry_run:
        echo(_discreet(change), nl=False)
    if not dry_run:
        for line in apply(change):
            echo(line)


def _discreet(change: Change) -> str:
    """The diff without tokens, neither ours nor an older one, and without the person's own keys in the lines around it."""
    return _SECRETS.sub(rf'\1"{SHOWN_TOKEN}"', change.diff())


async def _offer(settings: Settings) -> tuple[GatewayOffer, str | None]:
    """What the gateway offers, and what it says of servers that were found on this machine."""
    catalog = load_catalog(settings.catalog)
    clock = SystemClock()
    registry = build_registry(settings, catalog=catalog, clock=clock)
    try:
        await registry.refresh(patient=True)
    finally:
        await registry.aclose()
    offer = gateway_offer(
        registry.models(),
        catalog=catalog,
        plan=settings.plan,
        restrictions=restrictions_of(settings),
        today=today(clock),
    )
    if offer is None:
        raise ConfigurationError(
            "No chat model with tools is available to the gateway", next_step=f"Check the settings: {SCRIPT} doctor"
        )
    return offer, found_statement(registry.servers)


async def _offer_at(url: str, token: str, offer: GatewayOffer) -> GatewayOffer:
    """What a gateway elsewhere offers of this; that it answers shows that its address and the token are right."""
    gateway = OpenAICompatible("gateway", base_url=f"{url}/v1", key=token, clock=SystemClock(), groq=False)
    try:
        listed = await gateway.live_models(timeout_s=LIST_S)
    finally:
        await gateway.aclose()
    if isinstance(listed, Failure) and listed.kind is FailureKind.AUTHENTICATION:
        raise ConfigurationError(f"The gateway at {url} refused the token", next_step="Use the token that you were given")
    if isinstance(listed, Failure):
        cause = f"The gateway at {url} cannot be used ({excerpt(listed.message)})"
        raise ConfigurationError(cause, next_step="Check the address, and that the gateway is running")
    there = offer.at({model.id: model.context_window for model in listed})
    if there is None:
        raise ConfigurationError(
            f"{url} has no model that an agent can use", next_step="Check that it is the gateway's address"
        )
    return there


def _checked_url(url: str) -> str:
    try:
        return check_base_url(url).removesuffix("/v1")
    except ValueError as error:
        raise ConfigurationError(capitalized(str(error)), next_step="Use --url https://HOST") from None


def given_token(settings: Settings) -> str:
    """The token of a gateway elsewhere: the setting, else what is typed without being shown, or piped."""
    if settings.http_token is not None:
        return settings.http_token.get_secret_value()
    token = typed_secret("Gateway token")
    if not token or not is_clean_key(token):
        raise ConfigurationError(
            "No token is given (or it contains spaces or other characters)",
            next_step="Pipe the token of that gateway into this command, or set GROQ_FALLBACK_HTTP_TOKEN",
        )
    register_secrets(token)
    return token


def _token(settings: Settings, *, make: bool) -> str:
    """The gateway's token: the setting, else the one that is made once; a dry run makes none."""
    if settings.http_token is not None:
        return settings.http_token.get_secret_value()
    folder = state_folder()
    return gateway_token(folder) if make or (folder / TOKEN_FILE).exists() else SHOWN_TOKEN
