"""The rows of providers besides Groq, and an overlay's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import ProviderRow, load_catalog
from groq_fallback_mcp.errors import ConfigurationError

CATALOG = load_catalog()
PROVIDERS = CATALOG.providers
LOCAL = {"llamacpp", "ollama", "lmstudio", "vllm", "jan", "litellm"}
# As section 8 of the facts orders them, the free ones before the paid.
OFFERED_FIRST = ["llamacpp", "ollama", "lmstudio", "vllm", "jan", "gemini", "openrouter", "nvidia", "cloudflare", "kilo", "zai"]


def test_they_are_offered_local_first_then_free_then_paid() -> None:
    """The paid twins of Groq's models begin with Cerebras."""
    ordered = sorted(PROVIDERS.values(), key=lambda row: row.order)

    assert [row.name for row in ordered][: len(OFFERED_FIRST)] == OFFERED_FIRST
    assert [row.name for row in ordered][len(OFFERED_FIRST) :][:4] == ["cerebras", "deepinfra", "deepseek", "mistral"]


@pytest.mark.parametrize("row", PROVIDERS.values(), ids=lambda row: row.name)
def test_a_person_is_told_before_anything_is_sent(row: ProviderRow) -> None:
    """What trains on prompts or costs money says so; every address is https or on this machine."""
    first = row.plans[0]

    assert row.base_url.startswith("http://127.0.0.1:" if row.name in LOCAL else "https://")
    assert row.name in LOCAL or row.key_env
    if first.cost == "paid" and row.name != "litellm":
        assert "cost" in row.warning
    if first.data_policy == "trains":
        assert "rompts" in row.warning
    assert all(row.plan(limit.plan) is not None for limit in row.limits)
    assert len({model.id for model in row.models}) == len(row.models)


@pytest.mark.parametrize("row", PROVIDERS.values(), ids=lambda row: row.name)
def test_every_row_s_source_is_defined_and_its_window_holds_its_answer(row: ProviderRow) -> None:
    """Loading the catalog does not look, as it leaves this file to whoever needs it."""
    assert row.sources <= CATALOG.sources.keys()
    for model in row.models:
        assert model.max_completion_tokens is None or model.max_completion_tokens <= (model.context_window or 0)


def test_only_a_provider_without_a_key_that_logs_prompts_is_opt_in() -> None:
    """The others need a key, which is consent."""
    assert [row.name for row in PROVIDERS.values() if row.opt_in] == ["kilo"]


def test_a_pattern_of_limits_holds_for_the_models_that_end_so() -> None:
    """All of OpenRouter's free models share one pool, its router among them too."""
    (limit,) = [limit for limit in PROVIDERS["openrouter"].limits if limit.plan == "free"]

    assert limit.figures() == {Limit.RPM: 20, Limit.RPD: 50}
    assert limit.holds_for("acme/one:free")
    assert limit.holds_for("openrouter/free")
    assert not limit.holds_for("openai/gpt-oss-20b")


def test_providers_are_not_read_before_they_are_needed() -> None:
    """Their file takes longer than all others together."""
    code = (
        "from groq_fallback_mcp.catalog import load_catalog, toml_files\n"
        "catalog = load_catalog()\n"
        "print(toml_files._shipped_providers.cache_info().currsize, len(catalog.providers) > 20)"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.split() == ["0", "True"]


OVERLAY = """
[[providers]]
name = "acme"
title = "Acme"
base_url = "https://acme.test/v1"
checked = 2026-11-20
plans = [{ name = "free", cost = "free" }]
limits = [{ plan = "free", rpm = 5 }]
models = [{ id = "one" }]
[providers.dialect]
text_content = true

[[providers]]
name = "zai"
order = 1
checked = 2026-11-20
"""


def test_an_overlay_adds_a_provider_and_changes_one(tmp_path: Path) -> None:
    """Rows within it are from where it is from; what it leaves unsaid stays."""
    overlay = tmp_path / "catalog.toml"
    overlay.write_text(OVERLAY)

    found = load_catalog(overlay).providers

    assert {row.source for row in (found["acme"], *found["acme"].limits, *found["acme"].models)} == {"user"}
    assert (found["zai"].order, found["zai"].models) == (1, PROVIDERS["zai"].models)
    assert found["gemini"] == PROVIDERS["gemini"]


PRESETS = """
[[presets]]
name = "mine"
title = "Mine"
base_url = "https://models.example/v1"
key_env = "MINE_API_KEY"
models = { "openai/gpt-oss-20b" = "oss-20b", "whisper-1" = "whisper-1" }
speech_models = ["whisper-1"]
note = "Ours."
checked = 2026-11-01

[[presets]]
name = "vllm"
base_url = "http://127.0.0.1:8001/v1"
models = { "m" = "m" }
checked = 2026-11-01
"""


def test_an_overlay_with_presets_of_an_earlier_version_still_holds(tmp_path: Path) -> None:
    """They were a table of their own, with models by name."""
    overlay = tmp_path / "catalog.toml"
    overlay.write_text(PRESETS)
    found = load_catalog(overlay).providers
    mine, vllm = found["mine"], found["vllm"]
    assert [(model.id, model.wire_id, model.speech) for model in mine.models] == [
        ("openai/gpt-oss-20b", "oss-20b", False),
        ("whisper-1", "whisper-1", True),
    ]
    assert (mine.key_env, mine.note, mine.plans[0].cost) == ("MINE_API_KEY", "Ours.", "paid")
    assert (vllm.base_url, [model.id for model in vllm.models]) == ("http://127.0.0.1:8001/v1", ["m"])
    assert vllm.plans[0].cost == "local"
    assert vllm.server == PROVIDERS["vllm"].server


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('limits = [{ plan = "free", rpm = 5 }]', 'limits = [{ plan = "trial", rpm = 5 }]', "'trial'"),
        ('plans = [{ name = "free", cost = "free" }]', "plans = []", "plans"),
        ('models = [{ id = "one" }]', 'models = [{ id = "one", source = "nowhere" }]', "'nowhere'"),
        ('models = [{ id = "one" }]', 'models = [{ id = "one", windows = 3 }]', "Valid keys are source, checked"),
        ("text_content = true", "texts = true", "Valid keys are max_tokens"),
    ],
)
def test_a_mistake_in_an_overlay_s_provider_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    """With what is wrong."""
    overlay = tmp_path / "catalog.toml"
    overlay.write_text(OVERLAY.replace(old, new))

    with pytest.raises(ConfigurationError) as refused:
        load_catalog(overlay)

    assert said in f"{refused.value} {refused.value.next_step}"
