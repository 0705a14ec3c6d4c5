"""What the gateway offers an agent: its models with the windows and prices that hold here, and whether the agent's own prompt fits. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from pydantic import JsonValue

from groq_fallback_mcp.call import Limit, Restrictions
from groq_fallback_mcp.catalog import Catalog, Kind, ModelRow, Plan
from groq_fallback_mcp.clients.gateway_clients import GatewayClient
from groq_fallback_mcp.gateway.model_list import AUTO, effective_window
from groq_fallback_mcp.policy.fit import serves_unnamed, standing_objection
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels, is_retired

__all__ = ["AUTO", "GatewayOffer", "OfferedModel", "gateway_offer"]

FAST = "fast"
# What an agent needs besides its own prompt: a short answer with its reasoning.
LEAST_ANSWER_TOKENS = 2_048
# Agents ask for so many where they are not told less. Groq counts them when it admits a request.
MOST_OUTPUT_TOKENS = 32_000
# The answer's share of the window.
OUTPUT_SHARE = 4
# A prompt beyond this share of the window leaves room for the first turns only.
ROOMY_SHARE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedModel:
    """A model as agents list it."""

    id: str
    title: str
    context: int
    """The effective window in tokens: the model's, or the plan's tokens a minute where those are fewer."""
    own_context: int
    """The model's own window."""
    output: int
    """The most tokens of an answer; the rest of the window is for the input."""
    vision: bool
    reasoning: bool
    input_usd_per_mtok: Decimal | None
    cached_input_usd_per_mtok: Decimal | None
    output_usd_per_mtok: Decimal | None

    def context_for(self, client: GatewayClient) -> int:
        """The window to state to an agent: the effective one, unless the agent's own prompt fills much of it.

        It would summarize its conversation at every turn then, and forget what it has done. The gateway refuses what does not fit.
        """
        return self.context if client.prompt_tokens * ROOMY_SHARE <= self.context else self.own_context

    def entry(self, client: GatewayClient) -> dict[str, JsonValue]:
        """As Kilo and opencode have it; without prices where none are known."""
        context = self.context_for(client)
        entry: dict[str, JsonValue] = {
            "name": self.title,
            "tool_call": True,
            "reasoning": self.reasoning,
            "attachment": self.vision,
            "modalities": {"input": ["text", "image"] if self.vision else ["text"], "output": ["text"]},
            "limit": {"context": context, "input": context - self.output, "output": self.output},
        }
        if self.input_usd_per_mtok is not None and self.output_usd_per_mtok is not None:
            # cached input without a price of its own costs as much as any other
            cached = self.cached_input_usd_per_mtok
            entry["cost"] = {
                "input": float(self.input_usd_per_mtok),
                "output": float(self.output_usd_per_mtok),
                "cache_read": float(self.input_usd_per_mtok if cached is None else cached),
            }
        return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOffer:
    """`models` begins with `auto`; `small` is the id of the one for titles and summaries."""

    models: Sequence[OfferedModel]
    small: str
    plan: Plan
    plan_tpm: int | None
    """The most tokens a minute that the plan gives one of Groq's models; None where no limit is known."""
    is_elsewhere: bool = False
    """Whether it is what a gateway on another machine lists."""

    def at(self, windows: Mapping[str, int | None]) -> GatewayOffer | None:
        """What of it a gateway elsewhere lists, with the windows that it states; None where there is nothing in common."""
        listed = [model for model in self.models if model.id in windows]
        models = [replace(model, context=windows[model.id] or model.context) for model in listed]
        if not models or models[0].id != AUTO:
            return None
        small = self.small if self.small in windows else models[-1].id
        return replace(self, models=models, small=small, is_elsewhere=True)

    def fits(self, client: GatewayClient) -> bool:
        """Whether some model takes the agent's own prompt and a short answer."""
        return client.prompt_tokens + LEAST_ANSWER_TOKENS <= self.models[0].context

    def statement(self, client: GatewayClient, *, measured: bool = False) -> str:  # noqa: PLR0911 - one line a case
        """What of the agent's calls this plan can serve, in sentences. `measured`: the prompt was, on this machine."""
        where = " here" if measured else ""
        need = f"{client.title}'s own prompt is about {_rounded(client.prompt_tokens):,} tokens{where}"
        takes = (
            f"Groq's {self.plan} plan takes {self.plan_tpm:,} a minute" if self.plan_tpm else "no limit of the plan is known"
        )
        window = self.models[0].context
        if self.is_elsewhere:
            return f"{need}; that gateway takes {window:,}, so it {'fits' if self.fits(client) else 'does not fit'}."
        if self.fits(client):
            if self.plan_tpm is not None and client.prompt_tokens + LEAST_ANSWER_TOKENS > self.plan_tpm:
                return f"{need}; {takes}. The main model will use another provider, which takes {window:,}."
            if client.prompt_tokens * ROOMY_SHARE > window:
                return (
                    f"{need}; {takes}. The first turns fit. Longer conversations need the developer plan or another provider."
                )
            return f"{need}; {takes}, so it fits."
        if client.has_small_model:
            return (
                f"{need}; {takes}. Titles and summaries will use Groq; the main model needs the developer plan or another"
                " provider, so it is left as it is."
            )
        if client.keeps_own_model:
            return (
                f"{need}; {takes}. It needs the developer plan or another provider, so the model that {client.title} uses is left"
                " as it is."
            )
        return f"{need}; {takes}. It does not fit. It needs the developer plan or another provider."


def gateway_offer(
    providers: Sequence[ProviderModels], *, catalog: Catalog, plan: Plan, restrictions: Restrictions, today: date
) -> GatewayOffer | None:
    """The live chat models with tools, each with the largest window that a provider gives it; None without any.

    `restrictions` hold for every call. What serves only when named does not count for `auto`.
    """
    found: dict[str, OfferedModel] = {}
    usual: list[OfferedModel] = []
    minutes: list[int] = []
    for provider in providers:
        for name, offered in provider.models.items():
            row = offered.row
            gone = provider.cataloged and is_retired(name, catalog=catalog, provider=provider, today=today)
            if row.kind is not Kind.CHAT or not row.capabilities.tools or row.context_window is None or gone:
                continue
            if standing_objection(restrictions, provider, row) is not None:
                continue
            tpm = offered.documented.get(Limit.TPM)
            minutes += [] if tpm is None else [tpm]
            model = _offered(name, offered, window=effective_window(offered) or row.context_window)
            if name not in found or found[name].context < model.context:
                found[name] = model
            if serves_unnamed(name, provider, catalog=catalog, restrictions=restrictions, today=today):
                usual.append(model)
    if not found:
        return None
    usual = usual or list(found.values())
    largest = max(usual, key=lambda model: model.context)
    auto = replace(largest, id=AUTO, title="Groq with fallback (auto)", vision=any(model.vision for model in usual))
    fast = catalog.practices[FAST]
    small = next((name for name in (fast.model, *fast.chain) if name in found), next(iter(found)))
    return GatewayOffer(models=[auto, *found.values()], small=small, plan=plan, plan_tpm=max(minutes, default=None))


def _offered(name: str, offered: ProviderModel, *, window: int) -> OfferedModel:
    row: ModelRow = offered.row
    bounds = [window // OUTPUT_SHARE, MOST_OUTPUT_TOKENS, *([row.max_completion_tokens] if row.max_completion_tokens else [])]
    return OfferedModel(
        id=name,
        title=name.rpartition("/")[2],
        context=window,
        own_context=row.context_window or window,
        output=min(bounds),
        vision=row.capabilities.vision,
        reasoning=bool(row.capabilities.reasoning),
        input_usd_per_mtok=row.price.input_usd_per_mtok,
        cached_input_usd_per_mtok=row.price.cached_input_usd_per_mtok,
        output_usd_per_mtok=row.price.output_usd_per_mtok,
    )


def _rounded(tokens: int) -> int:
    """To two digits."""
    return int(float(f"{tokens:.2g}"))
