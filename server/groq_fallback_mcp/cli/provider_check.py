"""`providers test`: one tiny call to a provider, and how what comes back differs from what the catalog says of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.call import ChatRequest, Exclusion, Failure, FailureKind, LimitReading, Restrictions, Success
from groq_fallback_mcp.cli.console import echo, echo_message, print_json
from groq_fallback_mcp.command import SCRIPT
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.providers.base import LiveModel
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.settings import load_settings

__all__ = ["differences", "test_provider"]

LISTING_S = 10.0
# Enough for a model that thinks before it says one word.
TINY_TOKENS = 256
MESSAGE = "Reply with the one word OK."
MOST_NAMED = 5
# Tokens. Windows are often published rounded, 131k for 131,072.
LEAST_DIFFERENCE = 1_000


async def test_provider(name: str, *, model: str | None, yes: bool, as_json: bool) -> int:
    """Send one short message, after the person agreed; 1 where no answer came."""
    async with open_context(load_settings()) as context:
        engine = context.engine
        offer = next((one for one in engine.registry.models() if one.name == name), None)
        if offer is None:
            names = [one.name for one in engine.registry.models()]
            raise InputRefused(f"no provider {name!r} is configured", next_step=f"use one of {', '.join(names)}")
        if not yes and not _agreed(offer):
            echo("Nothing was sent.", err=True)
            return 1
        provider = engine.registry.providers[name]
        listed = await provider.live_models(timeout_s=LISTING_S) if isinstance(provider, OpenAICompatible) else ()
        if isinstance(listed, Failure) and not offer.models and model is None:
            return _without_models(name, listed, as_json=as_json)
        request = ChatRequest(
            messages=({"role": "user", "content": MESSAGE},),
            model=model,
            max_tokens=TINY_TOKENS,
            restrictions=Restrictions(providers=(name,)),
        )
        plan = await engine.plan(request)
        candidate = next((one for one in plan.candidates if plan.requested_model in {None, one.model}), None)
        begun = engine.clock.monotonic()
        # one attempt: the person agreed to one message
        outcome = _none(plan.exclusions) if candidate is None else await engine.send_once(request, candidate)
        took_s = engine.clock.monotonic() - begun
        success = outcome if isinstance(outcome, Success) else None
        # of the offer as the catalog has it: by now the provider's own list may be part of it
        used = None if candidate is None else offer.models.get(candidate.model)
        found = list(differences(offer, used, success, listed))
        if success is not None and candidate is not None:
            usage = success.usage
            said = f"{candidate.model} answered in {took_s:.1f} s ({usage.input_tokens} tokens in, {usage.output_tokens} out)"
        else:
            why = outcome.message if isinstance(outcome, Failure) else str(outcome)
            source = "" if candidate is None else f" from {candidate.model}"
            said = f"no answer{source}. {why[:1].upper()}{why[1:]}"
        answered = success is not None
        limits = [_reading(reading) for reading in (success.quota.readings if success is not None else ())]
    if as_json:
        print_json({"provider": name, "answered": answered, "said": said, "limits": limits, "differences": found})
        return 0 if answered else 1
    echo_message(f"{name}: {said}.")
    if limits:
        echo(f"Limits it stated: {', '.join(limits)}.")
    for difference in found:
        echo_message(f"- {difference}")
    if not found:
        echo("Nothing differs from the catalog.")
    return 0 if answered else 1


def _without_models(name: str, failure: Failure, *, as_json: bool) -> int:
    """Nothing can be sent where neither config.toml nor the endpoint names a model."""
    said = f"no answer, as its list of models cannot be read ({failure.message})"
    if as_json:
        print_json({"provider": name, "answered": False, "said": said, "limits": [], "differences": []})
        return 1
    echo_message(f"{name}: {said}.")
    match failure.kind:
        case FailureKind.AUTHENTICATION:
            step = f"Check its key. To give one, repeat {SCRIPT} providers add {name} with --key-env NAME"
        case FailureKind.UNREACHABLE | FailureKind.TIMED_OUT | FailureKind.CONNECTION_LOST:
            step = "Check its address, and that it runs"
        case _:
            step = "Check its address, which usually ends in /v1. If it has no list, add it again with --model ID"
    echo(f"Next step: {step}.")
    return 1


def differences(
    offer: ProviderModels, used: ProviderModel | None, success: Success | None, listed: tuple[LiveModel, ...] | Failure
) -> Iterator[str]:
    """What a list and an answer say otherwise than the catalog, a sentence each."""
    if isinstance(listed, Failure):
        yield f"Its list of models cannot be read ({listed.message})."
    elif listed:
        yield from _of_list(offer, {model.id: model for model in listed})
    if success is None or used is None:
        return
    if success.model not in {used.wire_model, used.row.id} and used.wire_model not in success.model:
        yield f"{success.model} answered instead of {used.wire_model}."
    if not success.usage_reported:
        yield "It does not report how many tokens were used, so calls count with the most they can use."
    for reading in success.quota.readings:
        known = used.documented_limit(reading.limit)
        if reading.capacity is not None and known != reading.capacity:
            was = "no such limit" if known is None else f"{known:,}"
            yield f"It allows {reading.capacity:,.0f} {reading.limit.unit}; the catalog says {was}. The stated limit is kept to."


def _of_list(offer: ProviderModels, listed: Mapping[str, LiveModel]) -> Iterator[str]:
    missing = [model.wire_model for model in offer.models.values() if model.wire_model not in listed]
    if missing:
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        yield f"It does not list {', '.join(missing[:MOST_NAMED])}{more}."
    for model in offer.models.values():
        live = listed.get(model.wire_model)
        window, known = None if live is None else live.context_window, model.row.context_window
        if window is not None and known is not None and abs(window - known) >= LEAST_DIFFERENCE:
            yield f"{model.wire_model} has a context window of {window:,}; the catalog says {known:,}."


def _none(exclusions: Sequence[Exclusion]) -> str:
    """Why no model can be tried."""
    reasons = dict.fromkeys(exclusion.reason for exclusion in exclusions)
    return "none of its models can take a short message" + (f" ({'; '.join(list(reasons)[:MOST_NAMED])})" if reasons else "")


def _reading(reading: LimitReading) -> str:
    left: Any = "" if reading.remaining is None else f"{reading.remaining:,.0f} left"
    of = "" if reading.capacity is None else f"of {reading.capacity:,.0f}"
    return " ".join(part for part in (left, of, reading.limit.unit) if part)


def _agreed(offer: ProviderModels) -> bool:
    if offer.on_this_machine:
        return True
    question = f"This sends one short message ({MESSAGE!r}) to {offer.name}"
    if sys.stdin is None or not sys.stdin.isatty():
        raise InputRefused(question, next_step="pass --yes to agree")
    return typer.confirm(f"{question}. Send it?", default=True, err=True)
