"""The catalog's answers on given days, and what an overlay may change or is refused for."""

from __future__ import annotations

import time
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.call import Limit, Usage
from groq_fallback_mcp.catalog import Catalog, Kind, LimitRow, Shutdown, Stage, load_catalog
from groq_fallback_mcp.catalog.toml_files import read_catalog_file
from groq_fallback_mcp.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from groq_fallback_mcp.catalog import Plan

CATALOG = load_catalog()
FACTS = "groq-api-facts-2026-09-23"
TODAY = date(2026, 10, 1)
SHUTDOWNS = sorted(CATALOG.shutdowns.values(), key=lambda row: row.model)


@pytest.fixture
def write_overlay(tmp_path: Path) -> Callable[[str], Path]:
    """Writes an overlay file and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def with_shutdowns(*pairs: tuple[str, str | None]) -> Catalog:
    """A catalog of nothing but models that ended on one day, each with its successor."""
    day = date(2026, 1, 1)
    rows = [Shutdown(model=old, on=day, successor=new, source=FACTS, checked=day) for old, new in pairs]
    return Catalog(
        sources={},
        models={},
        shutdowns={row.model: row for row in rows},
        limit_rows=(),
        practices={},
        advice=(),
        headers=(),
        errors=(),
        endpoints=(),
        sdks=(),
    )


# --- lifecycle


@pytest.mark.parametrize("shutdown", SHUTDOWNS, ids=lambda row: row.model)
def test_a_model_keeps_its_stage_until_the_day_it_ends(shutdown: Shutdown) -> None:
    """The day before it is what its source calls it, from that day on it is retired."""
    assert CATALOG.stage(shutdown.model, shutdown.on - timedelta(days=1)) is CATALOG.models[shutdown.model].stage
    assert CATALOG.stage(shutdown.model, shutdown.on) is Stage.RETIRED
    assert CATALOG.stage(shutdown.model, date.max) is Stage.RETIRED


def test_a_model_nobody_defined_has_no_stage() -> None:
    """Unknown is not retired."""
    assert CATALOG.stage("acme/unheard-of", TODAY) is None


@pytest.mark.fault("B31")
def test_eight_of_the_seeds_models_have_ended_and_one_that_came_later() -> None:
    """The facts page's table, with the day of llama-4-maverick from Groq's own page."""
    assert {row.model: (row.on.isoformat(), row.successor) for row in SHUTDOWNS} == {
        "groq/compound": ("2026-09-21", None),
        "groq/compound-mini": ("2026-09-21", None),
        "qwen/qwen3.6-27b": ("2026-09-14", "qwen/qwen3.8-27b"),
        "llama-3.1-8b-instant": ("2026-08-16", "openai/gpt-oss-20b"),
        "llama-3.3-70b-versatile": ("2026-08-16", "openai/gpt-oss-120b"),
        "qwen/qwen3-32b": ("2026-07-17", "openai/gpt-oss-120b"),
        "meta-llama/llama-4-scout-17b-16e-instruct": ("2026-07-17", "openai/gpt-oss-120b"),
        "moonshotai/kimi-k2-instruct-0905": ("2026-04-15", "openai/gpt-oss-120b"),
        "meta-llama/llama-4-maverick-17b-128e-instruct": ("2026-03-09", "openai/gpt-oss-120b"),
    }
    assert [row.model for row in SHUTDOWNS if row.approximate] == []


def test_the_models_last_seen_alive_are_those_not_retired() -> None:
    """What is left of the catalog after the last shutdown."""
    assert {model for model in CATALOG.models if CATALOG.stage(model, TODAY) is not Stage.RETIRED} == {
        "openai/gpt-oss-120b",
        "openai/gpt-oss-20b",
        "openai/gpt-oss-safeguard-20b",
        "qwen/qwen3.8-27b",
        "whisper-large-v3",
        "whisper-large-v3-turbo",
        "canopylabs/orpheus-v1-english",
        "canopylabs/orpheus-arabic-saudi",
        "meta-llama/llama-prompt-guard-2-22m",
        "meta-llama/llama-prompt-guard-2-86m",
    }


def test_a_successor_takes_over_on_the_day_and_not_before() -> None:
    """Before it ends a model needs no successor."""
    assert CATALOG.successor("llama-3.1-8b-instant", date(2026, 8, 15)) is None
    assert CATALOG.successor("llama-3.1-8b-instant", date(2026, 8, 16)) == "openai/gpt-oss-20b"
    assert CATALOG.successor("groq/compound", TODAY) is None
    assert CATALOG.successor("acme/unheard-of", TODAY) is None


def test_a_retired_successor_is_followed_to_one_that_answers() -> None:
    """The line is walked to its end."""
    catalog = with_shutdowns(("a", "b"), ("b", "c"))
    assert catalog.successor("a", TODAY) == "c"
    assert catalog.successor("a", date(2025, 12, 31)) is None


@pytest.mark.parametrize("pairs", [[("a", "a")], [("a", "b"), ("b", "a")], [("a", "b"), ("b", "c"), ("c", "b")]])
def test_successors_in_a_circle_lead_nowhere(pairs: list[tuple[str, str]]) -> None:
    """No model is invented and nothing runs for ever."""
    assert with_shutdowns(*pairs).successor("a", TODAY) is None


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdefgh") | st.none()), st.sampled_from("abcdef"))
def test_a_successor_is_never_itself_retired(line: dict[str, str | None], model: str) -> None:
    """Whatever the rows say, the answer is a model that still answers, or none."""
    successor = with_shutdowns(*line.items()).successor(model, TODAY)
    assert successor is None or successor not in line


# --- the shipped rows


def test_every_use_case_has_a_chain_that_begins_with_its_model() -> None:
    """No chain names a model twice, and all of its models do the kind of work the first one does."""
    chatting = {Kind.CHAT, Kind.SYSTEM}
    for practice in CATALOG.practices.values():
        assert practice.chain[0] == practice.model
        assert len(set(practice.chain)) == len(practice.chain)
        kinds = {CATALOG.models[model].kind for model in practice.chain}
        assert kinds <= chatting or kinds in ({Kind.SPEECH_TO_TEXT}, {Kind.TEXT_TO_SPEECH}, {Kind.GUARD})
    assert list(CATALOG.practices) == [
        "fast",
        "reasoning",
        "openai_compatible",
        "agentic",
        "audio",
        "vision",
        "translation",
        "speech",
        "speech_arabic",
        "injection",
        "moderation",
    ]


@pytest.mark.parametrize("use_case", list(CATALOG.practices))
def test_every_use_case_can_be_served_by_a_model_alive(use_case: str) -> None:
    """Each chain holds at least one model that has not ended."""
    assert any(CATALOG.stage(model, TODAY) is not Stage.RETIRED for model in CATALOG.practices[use_case].chain)


def test_chains_hold_models_with_the_ability_they_are_for() -> None:
    """Vision sees, translation translates, voices speak their language, and no chat asks a model made to judge."""
    assert all(CATALOG.models[model].capabilities.vision for model in CATALOG.practices["vision"].chain)
    assert all(CATALOG.models[model].capabilities.translation for model in CATALOG.practices["translation"].chain)
    for use_case, language in (("speech", "en"), ("speech_arabic", "ar")):
        assert all(language in CATALOG.models[model].capabilities.languages for model in CATALOG.practices[use_case].chain)
    chats = [practice for practice in CATALOG.practices.values() if practice.tool == "groq_chat"]
    chained = {model for practice in chats for model in practice.chain}
    assert "openai/gpt-oss-safeguard-20b" not in chained


def test_reasoning_values_are_per_model() -> None:
    """gpt-oss takes degrees, qwen takes a switch, the rest take nothing."""
    assert {row.id: row.capabilities.reasoning for row in CATALOG.models.values() if row.capabilities.reasoning} == {
        "openai/gpt-oss-120b": ("low", "medium", "high"),
        "openai/gpt-oss-20b": ("low", "medium", "high"),
        "openai/gpt-oss-safeguard-20b": ("low", "medium", "high"),
        "qwen/qwen3-32b": ("none", "default"),
        "qwen/qwen3.6-27b": ("none", "default"),
        "qwen/qwen3.8-27b": ("none", "default"),
    }


def test_models_with_capabilities_say_where_those_are_from() -> None:
    """A capability without a source could not be checked again."""
    for row in CATALOG.models.values():
        assert (row.capabilities_source is not None) == bool(row.capabilities.model_fields_set)


def test_only_seeing_models_bound_images_and_only_speaking_ones_have_voices() -> None:
    """Figures that belong to an ability stand with that ability only."""
    for row in CATALOG.models.values():
        able = row.capabilities
        assert able.vision == (able.max_images is not None)
        assert (row.kind is Kind.TEXT_TO_SPEECH) == bool(able.voices) == (able.max_input_chars == 200)


def test_every_model_alive_has_limits_on_both_plans() -> None:
    """The quota ledger starts from these."""
    for model in CATALOG.models:
        if CATALOG.stage(model, TODAY) is not Stage.RETIRED:
            assert CATALOG.limits(model, "free")
            assert CATALOG.limits(model, "developer")


@pytest.mark.parametrize(
    ("model", "plan", "figures"),
    [
        ("openai/gpt-oss-20b", "developer", {Limit.RPM: 1_000, Limit.RPD: 500_000, Limit.TPM: 250_000}),
        ("openai/gpt-oss-safeguard-20b", "developer", {Limit.RPM: 1_000, Limit.RPD: 500_000, Limit.TPM: 150_000}),
        (
            "qwen/qwen3.8-27b",
            "free",
            {Limit.RPM: 30, Limit.RPD: 1_000, Limit.TPM: 8_000, Limit.TPD: 200_000},
        ),
        (
            "meta-llama/llama-prompt-guard-2-22m",
            "free",
            {Limit.RPM: 30, Limit.RPD: 14_400, Limit.TPM: 15_000, Limit.TPD: 500_000},
        ),
        ("meta-llama/llama-prompt-guard-2-86m", "developer", {Limit.RPM: 100, Limit.RPD: 50_000, Limit.TPM: 30_000}),
        (
            "whisper-large-v3-turbo",
            "developer",
            {Limit.RPM: 400, Limit.RPD: 200_000, Limit.ASH: 400_000, Limit.ASD: 4_000_000},
        ),
        (
            "canopylabs/orpheus-v1-english",
            "free",
            {Limit.RPM: 10, Limit.RPD: 100, Limit.TPM: 1_200, Limit.TPD: 3_600},
        ),
        ("llama-3.1-8b-instant", "developer", {}),
        ("acme/unheard-of", "free", {}),
    ],
)
def test_limits_are_those_of_the_plan(model: str, plan: Plan, figures: dict[Limit, int]) -> None:
    """Thousands and millions written out; nothing for a model or plan that no row describes."""
    assert CATALOG.limits(model, plan) == figures


def test_the_largest_upload_depends_on_the_plan() -> None:
    """Documented for speech models only."""
    assert CATALOG.upload_mb("whisper-large-v3", "free") == 25
    assert CATALOG.upload_mb("whisper-large-v3-turbo", "developer") == 100
    assert CATALOG.upload_mb("openai/gpt-oss-20b", "free") is None
    assert CATALOG.upload_mb("acme/unheard-of", "free") is None


def test_the_newest_row_of_a_model_and_plan_holds() -> None:
    """The order of rows does not matter, and the older one stays for the record."""
    days = [date(2026, 3, 1), date(2026, 9, 1), date(2026, 6, 1)]
    rows = [LimitRow(model="m", plan="free", rpm=day.month, source=FACTS, checked=day) for day in days]
    base = with_shutdowns()
    catalog = Catalog(
        **{name: getattr(base, name) for name in base.__slots__ if name != "limit_rows"},
        limit_rows=rows,
    )
    assert catalog.limits("m", "free") == {Limit.RPM: 9}
    assert len(catalog.limit_rows) == 3


# --- cost


@pytest.mark.fault("B31")
@pytest.mark.parametrize(
    ("model", "usage", "cost"),
    [
        ("openai/gpt-oss-20b", Usage(input_tokens=1_000_000, output_tokens=1_000_000), "0.375"),
        ("openai/gpt-oss-20b", Usage(input_tokens=1), "0.000000075"),
        ("openai/gpt-oss-120b", Usage(input_tokens=1_000_000, cached_tokens=1_000_000), "0.075"),
        ("openai/gpt-oss-20b", Usage(input_tokens=1_000_000, cached_tokens=400_000), "0.06"),
        ("openai/gpt-oss-safeguard-20b", Usage(input_tokens=1_000_000, cached_tokens=2_000_000), "0.037"),
        ("qwen/qwen3.8-27b", Usage(input_tokens=1_000_000, cached_tokens=1_000_000), "0.80"),
        ("llama-3.3-70b-versatile", Usage(input_tokens=1234, output_tokens=567), "0.00117599"),
        ("whisper-large-v3", Usage(audio_s=3600.0), "0.111"),
        ("whisper-large-v3-turbo", Usage(audio_s=0.9), "0.00001"),
        ("openai/gpt-oss-120b", Usage(), "0"),
        ("canopylabs/orpheus-v1-english", Usage(characters=200), "0.0044"),
    ],
)
def test_cost_is_exact_to_the_last_digit(model: str, usage: Usage, cost: str) -> None:
    """Decimal all the way: no float error however small the call."""
    found = CATALOG.cost_usd(model, usage)
    assert isinstance(found, Decimal)
    assert found == Decimal(cost)


@pytest.mark.parametrize("model", ["groq/compound", "acme/unheard-of"])
def test_what_has_no_price_by_tokens_or_audio_has_no_cost(model: str) -> None:
    """Unknown is None, never nought."""
    assert CATALOG.cost_usd(model, Usage(input_tokens=1, audio_s=1.0)) is None


# --- overlays

NEW_MODEL = """
[[models]]
id = "acme/new-9b"
kind = "chat"
stage = "preview"
context_window = 65_536
price = { input_usd_per_mtok = 0.10, output_usd_per_mtok = 0.20 }
checked = 2026-10-01
"""


def test_an_overlay_adds_a_model(write_overlay: Callable[[str], Path]) -> None:
    """It stands after the shipped ones and is the user's where no source is named."""
    catalog = load_catalog(write_overlay(NEW_MODEL))
    assert list(catalog.models)[-1] == "acme/new-9b"
    assert catalog.models["acme/new-9b"].source == "user"
    assert catalog.cost_usd("acme/new-9b", Usage(output_tokens=10)) == Decimal("0.000002")
    assert "acme/new-9b" not in load_catalog().models


def test_an_overlay_changes_a_price_and_leaves_the_rest_of_the_model(write_overlay: Callable[[str], Path]) -> None:
    """One figure is enough; the row is then the user's, its capabilities still those of their source."""
    overlay = write_overlay("""
[[models]]
id = "openai/gpt-oss-20b"
price = { input_usd_per_mtok = 0.07 }
checked = 2026-10-01
""")
    changed, shipped = load_catalog(overlay).models["openai/gpt-oss-20b"], CATALOG.models["openai/gpt-oss-20b"]
    assert changed.price.input_usd_per_mtok == Decimal("0.07")
    assert changed.price.output_usd_per_mtok == shipped.price.output_usd_per_mtok
    assert (changed.source, changed.checked) == ("user", date(2026, 10, 1))
    assert (changed.capabilities, changed.capabilities_source) == (shipped.capabilities, shipped.capabilities_source)
    assert changed.context_window == shipped.context_window
    assert list(load_catalog(overlay).models) == list(CATALOG.models)


def test_capabilities_of_an_overlay_are_not_put_down_to_the_shipped_source(
    write_overlay: Callable[[str], Path],
) -> None:
    """What the user says a model can do is not what the model page says."""
    overlay = write_overlay("""
[[models]]
id = "openai/gpt-oss-20b"
capabilities = { vision = true, max_images = 1 }
checked = 2026-10-01
""")
    changed = load_catalog(overlay).models["openai/gpt-oss-20b"]
    assert changed.capabilities.vision
    assert changed.capabilities.tools
    assert changed.capabilities_source is None


@pytest.mark.parametrize("checked", ["2026-10-01", "2026-09-23", "2020-01-01"])
def test_a_limit_of_an_overlay_holds_whatever_its_date(checked: str, write_overlay: Callable[[str], Path]) -> None:
    """The user's own figure beats the documentation; what it leaves unsaid is the newest documented."""
    overlay = write_overlay(f"""
[[limits]]
model = "openai/gpt-oss-20b"
plan = "free"
tpm = 20_000
checked = {checked}
""")
    catalog = load_catalog(overlay)
    expected = {Limit.RPM: 30, Limit.RPD: 1_000, Limit.TPM: 20_000, Limit.TPD: 200_000}
    assert catalog.limits("openai/gpt-oss-20b", "free") == expected
    assert catalog.limits("openai/gpt-oss-20b", "developer") == CATALOG.limits("openai/gpt-oss-20b", "developer")
    assert catalog.limits("openai/gpt-oss-120b", "free") == CATALOG.limits("openai/gpt-oss-120b", "free")
    own = [row for row in catalog.limit_rows if row.source == "user"]
    assert [row.source_plan_name for row in own] == [None]


def test_an_overlay_adds_a_practice_over_a_model_it_adds(write_overlay: Callable[[str], Path]) -> None:
    """A use case of one's own, with its chain."""
    practice = """
[[practices]]
use_case = "summaries"
title = "Summaries of our minutes"
model = "acme/new-9b"
chain = ["acme/new-9b", "openai/gpt-oss-20b"]
checked = 2026-10-01
"""
    catalog = load_catalog(write_overlay(NEW_MODEL + practice))
    assert catalog.practices["summaries"].chain == ("acme/new-9b", "openai/gpt-oss-20b")


def test_an_overlay_changes_a_chain_and_keeps_the_sources_words(write_overlay: Callable[[str], Path]) -> None:
    """The chain is ours to change; title, model and reason stay."""
    overlay = write_overlay("""
[[practices]]
use_case = "fast"
chain = ["openai/gpt-oss-20b"]
checked = 2026-10-01
""")
    changed, shipped = load_catalog(overlay).practices["fast"], CATALOG.practices["fast"]
    assert changed.chain == ("openai/gpt-oss-20b",)
    assert (changed.title, changed.model, changed.reason) == (shipped.title, shipped.model, shipped.reason)


def test_a_reason_is_not_given_for_another_model(write_overlay: Callable[[str], Path]) -> None:
    """With the model changed, the source's reason and our correction of it are gone."""
    overlay = write_overlay("""
[[practices]]
use_case = "fast"
model = "openai/gpt-oss-20b"
chain = ["openai/gpt-oss-20b"]
checked = 2026-10-01
""")
    changed = load_catalog(overlay).practices["fast"]
    assert (changed.model, changed.reason, changed.correction) == ("openai/gpt-oss-20b", "", "")


def test_an_enterprise_account_can_keep_a_model_alive(write_overlay: Callable[[str], Path]) -> None:
    """A later last day brings the model back for as long."""
    overlay = write_overlay("""
[[shutdowns]]
model = "llama-3.3-70b-versatile"
on = 2027-01-01
checked = 2026-10-01
""")
    catalog = load_catalog(overlay)
    assert catalog.stage("llama-3.3-70b-versatile", TODAY) is Stage.PRODUCTION
    assert catalog.successor("llama-3.3-70b-versatile", date(2027, 1, 1)) == "openai/gpt-oss-120b"


def test_an_overlay_may_cite_a_source_of_its_own(write_overlay: Callable[[str], Path]) -> None:
    """A [[sources]] row and a row that refers to it."""
    source = '[[sources]]\nid = "our-contract"\ntitle = "Our contract"\ndate = 2026-10-01\n'
    cited = NEW_MODEL.replace("checked", 'source = "our-contract"\nchecked')
    assert load_catalog(write_overlay(source + cited)).models["acme/new-9b"].source == "our-contract"


@pytest.mark.parametrize("text", ["", "\ufeff# written by an editor that marks its files\n"])
def test_an_empty_overlay_changes_nothing(text: str, write_overlay: Callable[[str], Path]) -> None:
    """Row for row the shipped catalog."""
    assert load_catalog(write_overlay(text)) == CATALOG


MODEL = 'id = "m"\nkind = "chat"\nstage = "preview"\nchecked = 2026-10-01\n'
LIMIT = '[[limits]]\nmodel = "whisper-large-v3"\nplan = "free"\nrpm = 1\nchecked = 2026-10-01\n'
ENDED = '[[shutdowns]]\nmodel = "openai/gpt-oss-20b"\non = 2027-01-01\nchecked = 2026-10-01\n'


@pytest.mark.parametrize(
    ("text", "named", "fix"),
    [
        ("[[models]\n", ["not valid TOML", "line 1"], "Fix that line"),
        ("[[modles]]\n", ["[[modles]]"], "Write 'models'"),
        ("[models]\n" + MODEL, ["[[models]]"], "double brackets"),
        ("models = [1]\n", ["[[models]] row 1", "got 1"], "Fix that value"),
        ("[[models]]\n" + MODEL + "contxt_window = 5\n", ["row 1 (m)", "'contxt_window'"], "Write 'context_window'"),
        (
            "[[models]]\n" + MODEL + "price = { input_usd = 1 }\n",
            ["row 1 (m)", "'price.input_usd'"],
            "Write 'input_usd_per_mtok'",
        ),
        ("[[models]]\n" + MODEL + 'context_window = "big"\n', ["row 1 (m)", "'context_window'", "'big'"], "Fix that"),
        ("[[models]]\n" + MODEL + "context_window = true\n", ["row 1 (m)", "'context_window'", "True"], "Fix that"),
        ("[[models]]\n" + MODEL + "capabilities = { tools = 1 }\n", ["'capabilities.tools'"], "Fix that"),
        ("[[models]]\n" + MODEL + "price = { input_usd_per_mtok = -1.5 }\n", ["row 1 (m)", "-1.5"], "Fix that"),
        ("[[models]]\n" + MODEL + "price = { input_usd_per_mtok = nan }\n", ["'price.input_usd_per_mtok'"], "Fix that"),
        ('[[models]]\nid = "m"\n', ["row 1 (m)", "required"], "Add checked, kind, stage to that row of mine.toml"),
        ("[[models]]\n" + MODEL.replace("kind", "knid"), ["row 1 (m)", "'knid'"], "Write 'kind'"),
        ('[[models]]\nid = ["m"]\n', ["row 1", "'id'"], "Fix that"),
        ("[[models]]\n" + MODEL + "[[models]]\n" + MODEL, ["row 2", "row 1", "id m"], "Keep one"),
        (
            '[[models]]\nid = "openai/gpt-oss-20b"\n',
            ["row 1 (openai/gpt-oss-20b)", "'checked'", "required"],
            "Add checked to that row of mine.toml",
        ),
        (
            '[[limits]]\nmodel = "openai/gpt-oss-20"\nplan = "free"\nrpm = 1\nchecked = 2026-10-01\n',
            ["[[limits]]", "'openai/gpt-oss-20'"],
            "'openai/gpt-oss-20b'",
        ),
        (
            '[[limits]]\nmodel = "openai/gpt-oss-20b"\nplan = "gold"\nchecked = 2026-10-01\n',
            ["row 1 (openai/gpt-oss-20b, gold", "'plan'"],
            "Fix that",
        ),
        (LIMIT + LIMIT.replace("10-01", "10-02"), ["[[limits]] row 2", "row 1"], "Keep one"),
        (
            '[[practices]]\nuse_case = "fast"\nchain = ["nobody/knows"]\nchecked = 2026-10-01\n',
            ["[[practices]] 'fast'", "'chain'", "'nobody/knows'"],
            "Add a [[models]] row",
        ),
        (ENDED + 'successor = "nobody"\n', ["[[shutdowns]]", "'successor'", "'nobody'"], "Add a [[models]] row"),
        (
            ENDED + 'successor = "llama-3.1-8b-instant"\n',
            ["cycle", "openai/gpt-oss-20b", "llama-3.1-8b-instant"],
            "live model",
        ),
        ("[[models]]\n" + MODEL + 'source = "hearsay"\n', ["[[models]]", "'m'", "'hearsay'"], 'source = "user"'),
        ("[[models]]\n" + MODEL + 'capabilities_source = "hearsay"\n', ["'capabilities_source'"], "[[sources]] row"),
    ],
)
def test_a_mistake_in_an_overlay_is_named_with_file_row_and_fix(
    text: str, named: list[str], fix: str, write_overlay: Callable[[str], Path]
) -> None:
    """The message alone is enough to find the line and to mend it."""
    with pytest.raises(ConfigurationError) as refused:
        load_catalog(write_overlay(text))
    assert refused.value.cause.startswith("mine.toml")
    assert [part for part in named if part not in refused.value.cause] == []
    assert fix in refused.value.next_step


def test_a_long_wrong_value_is_cut_in_the_message(write_overlay: Callable[[str], Path]) -> None:
    """A message is read by people and paid for by agents."""
    with pytest.raises(ConfigurationError) as refused:
        load_catalog(write_overlay("[[models]]\n" + MODEL + f'speed_tps = "{"x" * 10_000}"\n'))
    assert len(str(refused.value)) < 500


def test_an_overlay_that_cannot_be_read_is_named_with_its_path(tmp_path: Path) -> None:
    """Missing, a folder, or no UTF-8."""
    (tmp_path / "latin.toml").write_bytes(b'x = "\xe9"')
    for path in (tmp_path / "absent.toml", tmp_path, tmp_path / "latin.toml"):
        with pytest.raises(ConfigurationError, match="cannot be read") as refused:
            load_catalog(path)
        assert str(path) in refused.value.cause


@given(st.text(alphabet='[]{}="\n,.#abmodels01-', max_size=60))
def test_no_text_at_all_makes_reading_crash(text: str) -> None:
    """Any text is either a catalog file or a named mistake."""
    try:
        read_catalog_file("any.toml", text)
    except ConfigurationError as refused:
        assert refused.cause.startswith("any.toml")  # noqa: PT017 - most texts are refused, some are empty files


def test_asking_for_the_catalog_again_costs_next_to_nothing() -> None:
    """It is asked for on every call of a tool."""
    started = time.perf_counter()
    for _ in range(100):
        load_catalog()
    assert (time.perf_counter() - started) / 100 < 0.003
