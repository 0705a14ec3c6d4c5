"""The windows that /v1/models states: what one request may have."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any, Literal

import pytest
from fakes import CATALOG, GROQ_CHAT_MODELS, provider_models

from groq_fallback_mcp.call import UNRESTRICTED, Limit, Pool, Restrictions
from groq_fallback_mcp.gateway.model_list import effective_window, listed_models
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels


@pytest.mark.parametrize(
    ("documented", "pool", "window"),
    [
        ({}, None, 131_072),
        ({Limit.TPM: 8_000}, None, 8_000),
        ({Limit.ITPM: 100_000, Limit.RPM: 15}, None, 100_000),
        ({}, Pool(name="organization", documented={Limit.TPM: 30_000}), 30_000),
        ({Limit.TPM: 20_000}, Pool(name="organization", documented={Limit.TPM: 30_000}), 20_000),
        ({Limit.TPM: 40_000}, Pool(name="organization", documented={Limit.TPM: 30_000}), 30_000),
        ({Limit.TPM: 10_000_000}, None, 131_072),
    ],
)
def test_a_window_is_what_the_tightest_limit_admits_in_a_minute(
    documented: dict[Limit, int], pool: Pool | None, window: int
) -> None:
    """Of prompt tokens, or of all; the model's own, or its pool's."""
    (offered,) = provider_models("other", ("openai/gpt-oss-120b",), documented=documented).models.values()
    assert effective_window(replace(offered, pool=pool)) == window


def test_auto_has_the_widest_window_of_the_models_that_serve_calls_without_a_name() -> None:
    """An agent sizes its conversation by it, and a call without a name goes to no other model."""
    offer = provider_models("other", ("small", "large"))
    windows = {"small": 32_000, "large": 2_000_000}
    models = {
        name: replace(one, row=one.row.model_copy(update={"context_window": windows[name]}))
        for name, one in offer.models.items()
    }
    offer = replace(offer, models=models, by_name_only=frozenset({"large"}))
    rows = {row["id"]: row for row in listed(offer)}
    assert {name: row["context_window"] for name, row in rows.items()} == {"auto": 32_000, **windows}


def wide(name: str, *, provider: str = "groq") -> ProviderModel:
    """A model with a window of a million tokens."""
    (offered,) = provider_models(provider, (name,), documented={}).models.values()
    return replace(offered, row=offered.row.model_copy(update={"context_window": 1_000_000}))


def test_auto_counts_no_model_of_groq_s_that_is_in_no_chain() -> None:
    """Such as a new one, which only its name chooses."""
    offer = provider_models("groq", GROQ_CHAT_MODELS, documented={Limit.TPM: 8_000})
    offer = replace(offer, models={**offer.models, "new/huge": wide("new/huge")})
    rows = {row["id"]: row for row in listed(offer)}
    assert (rows["auto"]["context_window"], rows["new/huge"]["context_window"]) == (8_000, 1_000_000)
    named = {row["id"]: row for row in listed(offer, restrictions=Restrictions(models=("new/huge",)))}
    assert named["auto"]["context_window"] == 1_000_000


def test_auto_counts_no_provider_that_is_kept_for_images() -> None:
    """By `use_cases` of config.toml."""
    offer = ProviderModels(name="other", models={"m": wide("m", provider="other")}, use_cases=frozenset({"vision"}))
    assert [row["id"] for row in listed(offer)] == ["m"]
    assert [row["id"] for row in listed(replace(offer, use_cases=frozenset({"agentic"})))] == ["auto", "m"]


@pytest.mark.parametrize(
    ("policy", "restrictions", "shown"),
    [
        ("trains", Restrictions(no_training=True), []),
        ("no-training", Restrictions(no_training=True), ["auto", "small", "large"]),
        ("trains", Restrictions(models=("large",)), ["auto", "large"]),
        ("trains", Restrictions(), ["auto", "small", "large"]),
    ],
)
def test_what_every_call_would_refuse_is_not_listed(
    policy: Literal["trains", "no-training"], restrictions: Restrictions, shown: list[str]
) -> None:
    """By the settings, or the caller's own token."""
    offer = replace(provider_models("other", ("small", "large")), data_policy=policy)
    assert [row["id"] for row in listed(offer, restrictions=restrictions)] == shown


def listed(offer: ProviderModels, *, restrictions: Restrictions = UNRESTRICTED) -> list[dict[str, Any]]:
    """The rows of one provider that can be asked."""
    return listed_models(
        catalog=CATALOG,
        providers=[offer],
        ready=[offer.name],
        today=date(2026, 11, 1),
        created=0,
        restrictions=restrictions,
    )
