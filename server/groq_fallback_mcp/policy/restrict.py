"""What restrictions of a call leave out: providers, models, prices."""

from __future__ import annotations

from groq_fallback_mcp.call import Restrictions
from groq_fallback_mcp.catalog import ModelRow, Stage
from groq_fallback_mcp.policy.offer import ProviderModels
from groq_fallback_mcp.quota.budget import Spend, picodollars, usd

__all__ = ["is_requested", "model_objection", "offer_objection", "price_objection"]


def offer_objection(restrictions: Restrictions, offer: ProviderModels, use_case: str) -> str | None:
    """Why nothing of a provider may be asked, None when it may."""
    if restrictions.providers is not None and offer.provider not in restrictions.providers:
        return f"only {', '.join(restrictions.providers) or 'no provider'} may be asked by this call"
    if restrictions.local_only and not offer.on_this_machine:
        return "nothing of this call may leave this machine (local_only)"
    if offer.use_cases is not None and use_case not in offer.use_cases:
        return f"config.toml keeps it for {', '.join(sorted(offer.use_cases))}"
    return None


def model_objection(restrictions: Restrictions, row: ModelRow) -> str | None:
    """Why a model may not be asked, None when it may."""
    if restrictions.no_preview and row.stage is Stage.PREVIEW:
        return "it is a preview model, and this call takes none (no_preview)"
    return None


def is_requested(restrictions: Restrictions, offer: ProviderModels, model: str, requested_model: str | None) -> bool:
    """Whether a call asks for a model that serves only on request; true for every other model."""
    if model not in offer.on_request or model == requested_model:
        return True
    return restrictions.local_only or offer.provider in (restrictions.providers or ())


def price_objection(restrictions: Restrictions, most: Spend) -> str | None:
    """Why a call that may cost `most` is too dear, None when it is not. What has no price cannot be held to one."""
    if restrictions.max_usd is None:
        return None
    if most.picousd is None:
        return "its price is not known, and the call has a bound in USD"
    if most.picousd > picodollars(restrictions.max_usd):
        return f"it could cost {usd(most.picousd)} USD, more than the {restrictions.max_usd:f} allowed"
    return None
