"""The windows that /v1/models states: what one request may have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import provider_models

from groq_fallback_mcp.call import Limit, Pool
from groq_fallback_mcp.gateway.model_list import effective_window


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
