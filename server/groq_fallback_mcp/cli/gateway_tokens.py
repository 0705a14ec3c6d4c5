"""`gateway token`: tokens for others who use this gateway, what they may spend, and what they spent today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from groq_fallback_mcp.application import open_context, tokens_path
from groq_fallback_mcp.catalog import Kind, Stage
from groq_fallback_mcp.cli.console import echo, echo_message, echo_secret, print_json
from groq_fallback_mcp.clock import SystemClock, today
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.gateway_tokens import (
    GatewayToken,
    add_token,
    change_token,
    checked_name,
    read_tokens,
    remove_token,
    rotate_token,
)
from groq_fallback_mcp.policy.model_choice import resolve_model
from groq_fallback_mcp.quota import caller_day
from groq_fallback_mcp.quota.budget import DayTotals, usd
from groq_fallback_mcp.quota.store_ledger import utc_day
from groq_fallback_mcp.settings import Settings, load_settings

__all__ = ["add", "change", "list_tokens", "remove", "rotate"]

# What may end, by the name of its option.
LIMITS = {"budget-usd-per-day": "budget_usd_per_day", "tokens-per-day": "tokens_per_day", "models": "models", "rpm": "rpm"}
_KINDS = (Kind.CHAT, Kind.SYSTEM, Kind.SPEECH_TO_TEXT, Kind.TEXT_TO_SPEECH)


async def add(
    name: str, *, budget_usd_per_day: str | None, tokens_per_day: int | None, models: str | None, rpm: int | None, batch: bool
) -> int:
    """Make a token and print it, once, alone on stdout."""
    checked_name(name)
    budget = None if budget_usd_per_day is None else _dollars(budget_usd_per_day)
    settings = load_settings()
    allowed = None if models is None else await _resolved(models, settings)
    path = tokens_path(settings)
    created = today(SystemClock())

    def made(sha256: str) -> GatewayToken:
        return GatewayToken(
            name=name,
            sha256=sha256,
            created=created,
            budget_usd_per_day=budget,
            tokens_per_day=tokens_per_day,
            models=allowed,
            rpm=rpm,
            batch=batch,
        )

    secret = add_token(path, made)
    echo(
        f"Added the gateway token {name} to {path}. Running gateways take it within a second. It is shown only once:", err=True
    )
    echo_secret(secret)
    return 0


async def change(
    name: str,
    *,
    budget_usd_per_day: str | None,
    tokens_per_day: int | None,
    models: str | None,
    rpm: int | None,
    batch: bool | None,
    unlimited: Sequence[str],
) -> int:
    """Change what is given of a token's limits; those in `unlimited` end."""
    settings = load_settings()
    given: dict[str, Any] = {"tokens_per_day": tokens_per_day, "rpm": rpm, "batch": batch}
    given["budget_usd_per_day"] = None if budget_usd_per_day is None else _dollars(budget_usd_per_day)
    given["models"] = None if models is None else await _resolved(models, settings)
    update = {field: value for field, value in given.items() if value is not None}
    unknown = next((field for field in unlimited if field not in LIMITS), None)
    if unknown is not None or not (update or unlimited):
        what = "No change is given" if unknown is None else f"Unknown limit {unknown[:80]!r}"
        raise ConfigurationError(
            what, next_step=f"Give --tokens-per-day N, for example, or --unlimited with {', '.join(LIMITS)}"
        )
    update |= {LIMITS[field]: None for field in unlimited}
    change_token(tokens_path(settings), name, lambda token: token.model_copy(update=update))
    echo(f"Changed the gateway token {name}. Running gateways take it within a second.")
    return 0


def rotate(name: str) -> int:
    """Replace a token's secret, and print the new one, once, alone on stdout."""
    secret = rotate_token(tokens_path(load_settings()), name)
    echo(f"The former token of {name} ends within a second. The new one is shown only once:", err=True)
    echo_secret(secret)
    return 0


async def list_tokens(*, as_json: bool) -> int:
    """What each token may spend and use, and what it did today (UTC)."""
    settings = load_settings()
    tokens = read_tokens(tokens_path(settings))
    async with open_context(settings) as context:
        ledger = context.engine.ledger
        day = utc_day(context.engine.clock.wall())
        spent = await ledger.spending([caller_day(day, one.name) for one in tokens]) if tokens else {}
        status = ledger.status
    rows = [_row(one, spent[caller_day(day, one.name)]) for one in tokens]
    if status.degraded is not None:
        echo_message(f"The ledger cannot be read, so today's figures are not known. {status.degraded}", err=True)
    if as_json:
        print_json({"day": day, "tokens": rows})
    elif not rows:
        echo("No gateway tokens yet. Add one with groq-fallback-mcp gateway token add NAME")
    else:
        _print_table(rows)
        # another ledger than the gateways' knows nothing of their calls
        echo_message(f"Figures from the ledger {status.place or status.store}.", err=True)
    return 0


def remove(name: str) -> int:
    """Remove a token. Calls under way end as they would."""
    remove_token(tokens_path(load_settings()), name)
    echo(f"Removed the gateway token {name}. Running gateways refuse it within a second.")
    return 0


async def _resolved(names: str, settings: Settings) -> tuple[str, ...]:
    """The ids of models, by their ids or short names."""
    async with open_context(settings) as context:
        engine = context.engine
        await engine.registry.refresh(patient=True)
        providers, day = engine.registry.models(), today(engine.clock)
    found = [
        resolve_model(name.strip(), catalog=engine.catalog, providers=providers, kinds=_KINDS, today=day)
        for name in names.split(",")
        if name.strip()
    ]
    if not found:
        raise ConfigurationError(
            "--models names no model", next_step="Give ids of groq-fallback-mcp models, with commas between"
        )
    gone = next((model for model in found if engine.catalog.stage(model, day) is Stage.RETIRED), None)
    if gone is not None:
        raise ConfigurationError(f"The model {gone} is retired", next_step="Use another of groq-fallback-mcp models")
    return tuple(dict.fromkeys(found))


def _dollars(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except ArithmeticError:
        amount = Decimal(-1)
    if not (amount.is_finite() and 0 <= amount <= 10**9):
        raise ConfigurationError(f"Invalid budget {text[:80]!r}", next_step="Give US dollars, e.g. --budget-usd-per-day 2.50")
    return amount


def _row(token: GatewayToken, today_: DayTotals) -> Mapping[str, Any]:
    dollars = token.budget_usd_per_day
    return {
        "name": token.name,
        "created": token.created.isoformat(),
        "usd_today": float(usd(today_.picousd)),
        "budget_usd_per_day": None if dollars is None else float(dollars),
        "tokens_today": today_.tokens,
        "tokens_per_day": token.tokens_per_day,
        "calls_today": today_.calls,
        "refused_today": today_.refused,
        "spending_unknown": today_.unknown,
        "rpm": token.rpm,
        "models": token.models,
        "batch": token.batch,
    }


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    heads = ("token", "USD today", "tokens today", "calls", "refused", "per minute", "models")
    lines = [
        (
            f"{row['name']}{' (batch)' if row['batch'] else ''}",
            "unknown" if row["spending_unknown"] else _of(f"{row['usd_today']:.6f}", _amount(row["budget_usd_per_day"])),
            "unknown" if row["spending_unknown"] else _of(f"{row['tokens_today']:,}", _amount(row["tokens_per_day"])),
            str(row["calls_today"]),
            str(row["refused_today"]),
            str(row["rpm"] or "any"),
            ", ".join(row["models"]) if row["models"] is not None else "any",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (heads, *lines)) for column in range(len(heads))]
    for line in (heads, *lines):
        echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _amount(most: float | None) -> str | None:
    """As people write it: 0.000001 and not 1e-06."""
    return None if most is None else f"{Decimal(str(most)):,f}"


def _of(spent: str, most: str | None) -> str:
    return spent if most is None else f"{spent} of {most}"
