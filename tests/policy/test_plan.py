"""Who is asked, in which order, with which values; on the shipped catalog and on dates before and after shutdowns."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.call import (
    AudioFile,
    AudioLink,
    AudioRequest,
    ChatRequest,
    Failure,
    FailureKind,
    Limit,
    LimitReading,
    Pool,
    QuotaSnapshot,
    Refilling,
    Restrictions,
)
from groq_fallback_mcp.catalog import FREE, Capabilities, Catalog, Kind, ModelRow, Price, Stage, load_catalog
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.policy.estimate import chat_cost, estimate_prompt_tokens, with_hours
from groq_fallback_mcp.policy.fit import remap_reasoning
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels, choose, default_use_case, resolve_model
from groq_fallback_mcp.policy.plan import Candidate, Learnt, Plan, plan, with_counted_tokens, with_json_mode, with_max_tokens
from groq_fallback_mcp.quota.budget import Spend
from groq_fallback_mcp.quota.transactions import learnt_factor

NOW = date(2026, 11, 23)
SEED_DAY = date(2026, 2, 13)
CATALOG = load_catalog()


def groq(catalog: Catalog = CATALOG, *, live: frozenset[str] | None = None, tier: str = "free") -> ProviderModels:
    """Groq's offer on a plan."""
    kinds = (Kind.CHAT, Kind.SYSTEM, Kind.SPEECH_TO_TEXT)
    models = {
        row.id: ProviderModel(
            row=row,
            wire_model=row.id,
            documented=catalog.limits(row.id, tier),  # type: ignore[arg-type]
            upload_mb=catalog.upload_mb(row.id, tier),  # type: ignore[arg-type]
        )
        for row in catalog.by_kind(*kinds)
    }
    return ProviderModels(name="groq", models=models, live=live, cataloged=True)


def other(name: str, *ids: str, prefix: str = "", **fields: object) -> ProviderModels:
    """Another provider's offer of models, known to the catalog or not."""
    models = {
        id_: ProviderModel(
            row=CATALOG.models.get(id_)
            or ModelRow(id=id_, kind=Kind.CHAT, stage=Stage.PRODUCTION, source="user", checked=NOW, **fields),  # type: ignore[arg-type]
            wire_model=prefix + id_,
        )
        for id_ in ids
    }
    return ProviderModels(name=name, models=models)


def ask(prompt: str = "hi", **fields: object) -> ChatRequest:
    """A chat request."""
    return ChatRequest(messages=({"role": "user", "content": prompt},), **fields)  # type: ignore[arg-type]


def made(request: ChatRequest | AudioRequest, offers: Sequence[ProviderModels] | None = None, day: date = NOW) -> Plan:
    """The plan on a day."""
    return plan(request, catalog=CATALOG, providers=[groq()] if offers is None else offers, today=day)


def models(request: ChatRequest | AudioRequest, offers: Sequence[ProviderModels] | None = None, day: date = NOW) -> list[str]:
    """The candidates' ids in order."""
    return [candidate.model for candidate in made(request, offers, day).candidates]


def test_what_only_gemini_is_sent_with_its_calls_is_not_part_of_the_prompt() -> None:
    """A signature of some thousand characters would keep Groq out of a conversation that fits."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    signed = {**call, "extra_content": {"google": {"thought_signature": "x" * 5_000}}}

    plain, given_back = (
        ChatRequest(messages=({"role": "assistant", "content": None, "tool_calls": [one]},)) for one in (call, signed)
    )

    assert estimate_prompt_tokens(given_back) == estimate_prompt_tokens(plain)


def test_on_the_seed_s_day_every_practice_begins_with_its_model() -> None:
    """The table as the user gave it."""
    for practice in CATALOG.practices.values():
        if practice.tool == "groq_chat" and practice.use_case != "vision":
            assert models(ask(use_case=practice.use_case), day=SEED_DAY)[0] == practice.model


@pytest.mark.parametrize(
    ("use_case", "first"),
    [("fast", "openai/gpt-oss-20b"), ("reasoning", "openai/gpt-oss-120b"), ("openai_compatible", "openai/gpt-oss-20b")],
)
def test_a_retired_model_of_the_table_is_replaced_by_its_successor(use_case: str, first: str) -> None:
    """And the plan says so to those who named the model itself."""
    made_plan = made(ask(use_case=use_case))
    assert (made_plan.candidates[0].model, made_plan.notes) == (first, ())
    named = CATALOG.practices[use_case].model
    if named != first:
        assert any("shut down" in note and first in note for note in made(ask(model=named)).notes)


def test_a_retired_model_without_successor_is_excluded_with_a_note() -> None:
    """groq/compound, which the agentic practice names too."""
    for request in (ask(use_case="agentic"), ask(model="groq/compound", use_case="agentic")):
        made_plan = made(request)
        assert "groq/compound" in {exclusion.model for exclusion in made_plan.exclusions}
        assert any("no successor" in note for note in made_plan.notes) == (request.model is not None)
        assert made_plan.candidates


def test_no_candidate_is_retired_today_unless_the_live_list_has_it() -> None:
    """Enterprise accounts keep models longer."""
    assert not {m for m in models(ask()) if CATALOG.stage(m, NOW) is Stage.RETIRED}
    kept = groq(live=frozenset({"llama-3.1-8b-instant", "openai/gpt-oss-20b"}))
    assert models(ask(), [kept])[0] == "llama-3.1-8b-instant"


def test_another_provider_s_models_do_not_end_by_groq_s_calendar() -> None:
    """An endpoint may serve what Groq shut down; there it is asked by its own name."""
    offers = [groq(), other("mine", "llama-3.3-70b-versatile")]
    made_plan = made(ask(model="llama-3.3-70b-versatile"), offers)
    assert [(c.provider, c.model) for c in made_plan.candidates][:2] == [
        ("mine", "llama-3.3-70b-versatile"),
        ("groq", "openai/gpt-oss-120b"),
    ]
    assert models(ask(), [other("mine", "llama-3.3-70b-versatile")]) == ["llama-3.3-70b-versatile"]


def test_a_model_missing_from_the_live_list_is_passed_over() -> None:
    """Before its 404 is."""
    offers = [groq(live=frozenset({"openai/gpt-oss-120b"}))]
    assert models(ask(), offers) == ["openai/gpt-oss-120b"]
    assert any("missing from the live list" in e.reason for e in made(ask(), offers).exclusions)


def test_a_local_model_is_not_asked_for_what_it_cannot_hear() -> None:
    """Other languages and addresses."""
    row = CATALOG.models["whisper-large-v3"]
    local = ProviderModels(
        name="local", models={"tiny": ProviderModel(row=row, wire_model="tiny", languages=("en",), links=False)}
    )
    assert "understands only en" in made(AudioRequest(audio=sound(), language="de"), [local]).exclusions[-1].reason
    assert "files only" in made(AudioRequest(audio=AudioLink(url="https://example.com/a")), [local]).exclusions[-1].reason
    assert made(AudioRequest(audio=sound(), language="en"), [local]).candidates


def test_a_named_model_goes_first_and_the_chain_follows() -> None:
    """Model given: first candidate."""
    assert models(ask(model="qwen/qwen3.8-27b"))[0] == "qwen/qwen3.8-27b"
    assert len(models(ask(model="qwen/qwen3.8-27b"))) >= 3


def identities(request: ChatRequest, offers: Sequence[ProviderModels]) -> list[tuple[str, str]]:
    """Who is asked, in order."""
    return [candidate.identity for candidate in made(request, offers).candidates]


def test_a_model_that_is_named_with_its_provider_is_asked_there_first() -> None:
    """Wherever the provider stands; all others follow as for the model alone."""
    offers = [groq(), other("mine", "openai/gpt-oss-20b", "tiny"), other("gemini", "gemini-3.5-flash-lite", "tiny")]
    for name, first in [
        ("mine/openai/gpt-oss-20b", ("mine", "openai/gpt-oss-20b")),
        ("mine/gpt-oss-20b", ("mine", "openai/gpt-oss-20b")),
        ("groq/openai/gpt-oss-20b", ("groq", "openai/gpt-oss-20b")),
        ("openai/gpt-oss-20b", ("groq", "openai/gpt-oss-20b")),
        ("gemini/gemini-3.5-flash-lite", ("gemini", "gemini-3.5-flash-lite")),
        ("gemini/tiny", ("gemini", "tiny")),
        ("mine/tiny", ("mine", "tiny")),
        # LiteLLM has groq before every model of ours
        ("groq/gemini-3.5-flash-lite", ("gemini", "gemini-3.5-flash-lite")),
    ]:
        found = identities(ask(model=name), offers)
        assert found[0] == first, name
        assert sorted(found) == sorted(identities(ask(model=first[1]), offers)), name
    for reverse in (offers, offers[::-1]):
        assert identities(ask(model="gemini/tiny"), reverse)[0] == ("gemini", "tiny")


def test_an_id_that_begins_like_a_provider_keeps_its_meaning() -> None:
    """A provider may be called as a maker is."""
    offers = [groq(), other("openai", "gpt-oss-20b")]
    assert identities(ask(model="openai/gpt-oss-20b"), offers)[0] == ("groq", "openai/gpt-oss-20b")


def test_a_provider_s_model_that_does_not_exist_is_unknown() -> None:
    """As is one of a provider that is not configured."""
    for name in ("mine/none", "none/tiny", "mine/", "/tiny"):
        with pytest.raises(InputRefused, match="Unknown model"):
            made(ask(model=name), [groq(), other("mine", "tiny", "acme/big", "other/big")])


def test_litellm_s_prefix_is_understood_and_compound_keeps_its_own() -> None:
    """groq/openai/gpt-oss-20b is openai/gpt-oss-20b; groq/compound is itself."""
    chat = (Kind.CHAT, Kind.SYSTEM)
    assert (
        resolve_model("groq/openai/gpt-oss-20b", catalog=CATALOG, providers=[], kinds=chat, today=NOW) == "openai/gpt-oss-20b"
    )
    assert resolve_model("gpt-oss-20b", catalog=CATALOG, providers=[], kinds=chat, today=NOW) == "openai/gpt-oss-20b"
    assert resolve_model("groq/GPT-OSS-20B", catalog=CATALOG, providers=[], kinds=chat, today=NOW) == "openai/gpt-oss-20b"
    assert resolve_model("groq/compound", catalog=CATALOG, providers=[], kinds=chat, today=NOW) == "groq/compound"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ask(model="openai/gpt-oss-12b"), ["Unknown model 'openai/gpt-oss-12b'", "openai/gpt-oss-120b"]),
        (ask(model="zzz"), ["Unknown model 'zzz'", "Use one of"]),
        (ask(model="whisper-large-v3"), ["speech to text", "Use the tool transcribe"]),
        (ask(model="canopylabs/orpheus-v1-english"), ["text to speech", "Use the tool speak"]),
        (ask(use_case="fats"), ["Unknown use_case 'fats'", "fast"]),
        (ask(use_case="audio"), ["is not for chat", "transcribe"]),
        (ask(use_case="injection"), ["is not for chat", "screen"]),
    ],
)
def test_names_that_do_not_exist_are_refused_with_the_nearest(request_: ChatRequest, words: list[str]) -> None:
    """Before anything is sent."""
    with pytest.raises(InputRefused) as refusal:
        made(request_)
    assert all(word in str(refusal.value) for word in words)


def image(count: int = 1) -> ChatRequest:
    """A request with images."""
    url = "data:image/png;base64," + base64.b64encode(b"x").decode()
    parts = [{"type": "text", "text": "what is it?"}, *({"type": "image_url", "image_url": {"url": url}} for _ in range(count))]
    return ChatRequest(messages=({"role": "user", "content": parts},))


TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


@pytest.mark.parametrize(
    ("request_", "use_case"),
    [
        (ask(), "fast"),
        (ask("word " * 3000), "reasoning"),
        (ask(schema={"type": "object"}), "reasoning"),
        (ask(reasoning_effort="high"), "reasoning"),
        (ask(reasoning_effort="low"), "fast"),
        (ask(tools=(TOOL,)), "agentic"),
        (image(), "vision"),
    ],
)
def test_without_a_use_case_the_request_s_needs_decide(request_: ChatRequest, use_case: str) -> None:
    """Short and plain is fast."""
    assert default_use_case(request_) == use_case


def test_only_models_that_read_images_are_asked_about_images() -> None:
    """And only with as many as they take."""
    assert models(image(), day=NOW) == ["qwen/qwen3.8-27b"]
    too_many = made(image(4))
    assert not too_many.candidates
    assert any("at most 3 images" in exclusion.reason for exclusion in too_many.exclusions)


def test_only_models_that_call_tools_are_given_tools() -> None:
    """A missing capability is a reason, not a failure."""
    offers = [groq(), other("plain", "plain-model")]
    made_plan = made(ask(tools=(TOOL,)), offers)
    assert all(candidate.provider == "groq" for candidate in made_plan.candidates)
    assert ("plain", "it does not support tools") in {(e.provider, e.reason) for e in made_plan.exclusions}


def test_a_schema_is_asked_for_in_the_way_a_model_takes() -> None:
    """Strict where it can, JSON mode with the schema in the prompt elsewhere, not at all where neither works."""
    offers = [groq(), other("plain", "plain-model")]
    made_plan = made(ask(schema={"type": "object"}), offers)
    modes = {candidate.model: candidate.json_mode for candidate in made_plan.candidates}
    assert modes["openai/gpt-oss-120b"] == "json_schema"
    assert modes["qwen/qwen3.8-27b"] == "json_object"
    assert "plain-model" not in modes


def test_a_prompt_larger_than_the_context_window_leaves_a_model_out() -> None:
    """131,072 tokens are about 650 kB of short words."""
    made_plan = made(ask("word " * 150_000), [groq(tier="developer"), other("big", "big-model", context_window=1_000_000)])
    assert [candidate.model for candidate in made_plan.candidates] == ["big-model"]
    assert any("context window" in exclusion.reason for exclusion in made_plan.exclusions)


def test_a_server_that_cuts_prompts_gets_them_with_a_margin_only() -> None:
    """No refusal would tell that the estimate was too low. What is left is what the answer may have."""
    usual = other("usual", "m", context_window=4_096)
    strict = replace(usual, name="strict", models={"m": replace(usual.models["m"], strict_window=True)})

    def tokens(provider: ProviderModels, words: int) -> list[int]:
        made_plan = plan(ask("word " * words, max_tokens=4_000), catalog=CATALOG, providers=[provider], today=NOW)
        return [candidate.max_tokens for candidate in made_plan.candidates]

    estimated = estimate_prompt_tokens(ask("word " * 2_500))
    assert tokens(usual, 2_500) == [4_096 - estimated]
    assert tokens(strict, 2_500) == [4_096 - math.ceil(estimated * 1.3) - 32]
    assert len(tokens(usual, 3_500)) == 1
    assert tokens(strict, 3_500) == []


def test_a_prompt_larger_than_the_whole_minute_leaves_a_model_out() -> None:
    """10,000 tokens never fit 8,000 a minute."""
    made_plan = made(ask("word " * 7_500))
    assert not made_plan.candidates
    assert any("tokens per minute" in exclusion.reason for exclusion in made_plan.exclusions)
    assert made(ask("word " * 7_500), [groq(tier="developer")]).candidates


def test_a_choice_that_was_made_already_is_kept() -> None:
    """The engine chooses before it plans, to look at the quota of those it may ask."""
    choice = choose(ask(use_case="reasoning"), catalog=CATALOG, providers=[groq()], today=NOW)
    made_plan = plan(ask(), catalog=CATALOG, providers=[groq()], today=NOW, choice=choice)
    assert made_plan.use_case == "reasoning"
    assert made_plan.candidates == made(ask(use_case="reasoning")).candidates
    assert made_plan.use_case != made(ask()).use_case


def test_learnt_capacities_count_in_place_of_documented_ones() -> None:
    """A developer key on the default plan."""
    request = ask("word " * 7_500)
    learnt = {("groq", "openai/gpt-oss-120b"): Learnt(tpm=250_000.0)}
    made_plan = plan(request, catalog=CATALOG, providers=[groq()], today=NOW, learnt=learnt)
    assert [candidate.model for candidate in made_plan.candidates] == ["openai/gpt-oss-120b"]


def test_a_default_max_tokens_shrinks_to_the_bucket_and_an_explicit_one_moves_to_the_end() -> None:
    """The caller's own figure is kept where a model can keep it."""
    long = "word " * 7_000
    assert all(
        candidate.max_tokens < 2048 for candidate in made(ask(long)).candidates if candidate.documented.get(Limit.TPM) == 8000
    )
    offers = [groq(), other("big", "big-model", context_window=100_000)]
    request = ask(long, max_tokens=4000, model="big-model")
    assert models(request, offers)[0] == "big-model"
    small = {**groq().models}
    roomy = small["openai/gpt-oss-120b"]
    small["openai/gpt-oss-120b"] = ProviderModel(row=roomy.row, wire_model=roomy.wire_model, documented={Limit.TPM: 100_000})
    tier = made(ask(long, max_tokens=4000), [ProviderModels(name="groq", models=small, cataloged=True)]).candidates
    assert tier[0].model == "openai/gpt-oss-120b"
    assert tier[0].max_tokens == 4000
    assert all("to fit the limit of" in candidate.notes[-1] for candidate in tier[1:])


def test_max_tokens_is_clamped_to_what_the_model_can_give() -> None:
    """With a note."""
    candidate = made(ask(max_tokens=1_000_000, model="openai/gpt-oss-20b"), [groq(tier="developer")]).candidates[0]
    assert candidate.max_tokens == 65_536
    assert "lowered from 1000000 to 65536" in candidate.notes[-1]


def test_reasoning_values_are_remapped_per_model() -> None:
    """A wrong value is a 400."""
    made_plan = made(ask(reasoning_effort="high"))
    by_model = {candidate.model: candidate for candidate in made_plan.candidates}
    assert by_model["openai/gpt-oss-120b"].reasoning_effort == "high"
    assert by_model["qwen/qwen3.8-27b"].reasoning_effort == "default"
    assert "reasoning_effort high changed to default" in by_model["qwen/qwen3.8-27b"].notes[-1]


@given(
    st.sampled_from([None, "none", "default", "low", "medium", "high"]),
    st.sampled_from([(), ("low", "medium", "high"), ("none", "default")]),
)
def test_a_remapped_value_is_always_one_the_model_takes(wanted: object, takes: tuple[object, ...]) -> None:
    """Or none at all."""
    value = remap_reasoning(wanted, takes)  # type: ignore[arg-type]
    assert value in takes if wanted is not None and takes else value is None
    if wanted in takes:
        assert value == wanted


def test_fast_asks_for_little_reasoning_unless_told_otherwise() -> None:
    """Reasoning is charged and waited for."""
    assert made(ask()).candidates[0].reasoning_effort == "low"
    assert made(ask(use_case="fast", reasoning_effort="high")).candidates[0].reasoning_effort == "high"


def test_tiers_follow_the_providers_and_a_named_model_of_a_later_one_goes_first() -> None:
    """Model given: first, wherever it lives."""
    offers = [groq(), other("mine", "my-model", "openai/gpt-oss-20b", prefix="groq/")]
    made_plan = made(ask(), offers)
    assert [tier[0].provider for tier in made_plan.tiers] == ["groq", "mine"]
    assert made_plan.tiers[1][0].wire_model == "groq/openai/gpt-oss-20b"
    named = made(ask(model="my-model"), offers)
    assert [(tier[0].provider, tier[0].model) for tier in named.tiers][:2] == [
        ("mine", "my-model"),
        ("groq", "openai/gpt-oss-20b"),
    ]
    assert sum(candidate.model == "my-model" for candidate in named.candidates) == 1
    only_named = made(ask(model="my-model"), [ProviderModels(name="groq", models={}), other("mine", "my-model")])
    assert [candidate.model for candidate in only_named.candidates] == ["my-model"]


def test_the_model_that_a_conversation_stays_with_is_asked_first_and_alone_in_its_tier() -> None:
    """A short wait for it is worth it; one that cannot take the request changes nothing."""
    usual = made(ask())
    last = usual.candidates[-1]
    found = made(ask(preferred=last.identity))
    assert [candidate.identity for candidate in found.tiers[0]] == [last.identity]
    assert sorted(one.identity for one in found.candidates) == sorted(one.identity for one in usual.candidates)
    alone = made(ask(preferred=last.identity, model=last.model), [other("spare", last.model)])
    assert [[one.model for one in tier] for tier in alone.tiers] == [[last.model]]
    assert made(ask(preferred=("groq", "gone"))).tiers == usual.tiers


def test_the_calls_that_a_model_made_before_are_part_of_the_prompt() -> None:
    """An agent's files are in their arguments."""
    call = {"id": "c", "type": "function", "function": {"name": "write", "arguments": "word " * 1_000}}
    request = ChatRequest(messages=[{"role": "assistant", "content": None, "tool_calls": [call]}])
    assert estimate_prompt_tokens(request) > 900


def test_a_named_model_that_cannot_serve_is_left_out_with_a_note() -> None:
    """And the others stand in."""
    made_plan = made(
        ask("word " * 7_000, model="plain-model"), [groq(tier="developer"), other("mine", "plain-model", context_window=4096)]
    )
    assert made_plan.candidates
    assert any("plain-model (mine) was skipped" in note for note in made_plan.notes)


def test_a_named_model_nobody_offers_gives_way_to_the_chain() -> None:
    """It is in the catalog, but Groq is switched off."""
    assert models(ask(model="qwen/qwen3.8-27b"), [other("mine", "my-model")]) == ["my-model"]
    assert models(ask(model="qwen/qwen3.8-27b"), []) == []
    assert "No enabled provider offers" in made(ask(model="qwen/qwen3.8-27b"), [other("mine", "my-model")]).notes[-1]


def test_models_that_do_not_chat_are_left_out_even_when_offered() -> None:
    """The audio chain holds whispers only, the chat chain none."""
    assert models(AudioRequest(audio=AudioLink(url="https://example.com/a.wav"))) == [
        "whisper-large-v3-turbo",
        "whisper-large-v3",
    ]
    assert not {m for m in models(ask()) if "whisper" in m}


def sound(size: int = 100, duration_s: float | None = 3.0) -> AudioFile:
    """A file that has been read."""
    return AudioFile(name="a.wav", content=b"x" * size, media_type="audio/wav", duration_s=duration_s)


def test_translation_goes_only_to_models_that_translate() -> None:
    """whisper-large-v3 alone."""
    made_plan = made(AudioRequest(audio=sound(), translate=True, model="whisper-large-v3-turbo"))
    assert [candidate.model for candidate in made_plan.candidates] == ["whisper-large-v3"]
    assert any("does not translate" in exclusion.reason for exclusion in made_plan.exclusions)


def test_a_file_beyond_the_plan_s_limit_is_left_out_with_its_size() -> None:
    """Free: 25 MB, of 1,048,576 bytes as measured."""
    exact = made(AudioRequest(audio=sound(25 * 1_048_576)))
    beyond = made(AudioRequest(audio=sound(25 * 1_048_576 + 1)))
    assert exact.candidates
    assert not beyond.candidates
    assert "this plan allows 25 MB" in beyond.exclusions[-1].reason


@pytest.mark.parametrize(("duration_s", "charged"), [(3.0, 10.0), (11.5, 11.5), (None, 60.0)])
def test_audio_is_charged_by_its_length_with_the_billed_minimum(duration_s: float | None, charged: float) -> None:
    """10 seconds at least; a guess where the length is unknown."""
    cost = made(AudioRequest(audio=sound(duration_s=duration_s))).candidates[0].cost
    assert cost == {Limit.RPM: 1, Limit.RPD: 1, Limit.ASH: charged, Limit.ASD: charged}


def test_a_model_named_by_the_wrong_kind_of_offer_is_left_out() -> None:
    """An endpoint that lists a chat model cannot transcribe with it."""
    row = ModelRow(id="odd", kind=Kind.CHAT, stage=Stage.PRODUCTION, source="user", checked=NOW, capabilities=Capabilities())
    offers = [ProviderModels(name="mine", models={"whisper-large-v3": ProviderModel(row=row, wire_model="odd")})]
    assert "does not transcribe" in made(AudioRequest(audio=sound()), offers).exclusions[-1].reason
    speech = CATALOG.models["whisper-large-v3"]
    offers = [ProviderModels(name="mine", models={"openai/gpt-oss-20b": ProviderModel(row=speech, wire_model="odd")})]
    assert "not for chat" in made(ask(), offers).exclusions[-1].reason


def test_fewer_max_tokens_cost_less() -> None:
    """The charge follows the clamp."""
    candidate = made(ask(max_tokens=1000)).candidates[0]
    less = with_max_tokens(candidate, 400)
    assert (less.max_tokens, less.cost[Limit.TPM], less.cost[Limit.RPM]) == (400, candidate.cost[Limit.TPM] - 600, 1)
    assert less.cost[Limit.TPD] == candidate.cost[Limit.TPD] - 600
    assert less.identity == candidate.identity == ("groq", "openai/gpt-oss-20b")
    assert (candidate.spend.output_tokens, less.spend.output_tokens) == (1000, 400)
    assert less.notes == (*candidate.notes, "max_tokens 1000 lowered to 400, the most the provider accepts")


@given(
    st.integers(0, 40_000).map(lambda n: "w " * n or "x"),
    st.none() | st.integers(1, 200_000),
    st.sampled_from([None, *(name for name, row in CATALOG.practices.items() if row.tool == "groq_chat")]),
    st.sampled_from([None, "openai/gpt-oss-20b", "llama-3.3-70b-versatile"]),
    st.sampled_from(["free", "developer"]),
)
def test_every_candidate_fits_its_limits_and_stands_in_the_plan_once(
    prompt: str, max_tokens: int | None, use_case: str | None, model: str | None, tier: str
) -> None:
    """For all prompts, bounds, use cases, models and plans."""
    made_plan = made(ask(prompt, max_tokens=max_tokens, use_case=use_case, model=model), [groq(tier=tier)])
    seen = [candidate.model for candidate in made_plan.candidates]
    assert len(seen) == len(set(seen))
    for candidate in made_plan.candidates:
        row = CATALOG.models[candidate.model]
        assert 1 <= candidate.max_tokens <= (row.max_completion_tokens or 10**9)
        assert max_tokens is None or candidate.max_tokens <= max_tokens
        assert candidate.cost[Limit.TPM] <= candidate.documented.get(Limit.TPM, 10**9)


def test_a_prompt_is_claimed_on_the_safe_side_and_what_fits_is_not_shut_out_by_it() -> None:
    """The margin ends where the bucket does; what a model has taught raises it."""
    request = ask("word " * 1_000, max_tokens=1_000)
    candidate = made(request).candidates[0]
    assert candidate.estimated_tokens * 1.5 <= candidate.cost[Limit.ITPM] <= candidate.estimated_tokens * 1.5 + 61
    taught = plan(
        request, catalog=CATALOG, providers=[groq()], today=NOW, learnt={("groq", candidate.model): Learnt(prompt_factor=2.0)}
    ).candidates[0]
    assert taught.cost[Limit.ITPM] > candidate.cost[Limit.ITPM]
    large = made(ask("word " * 6_000, max_tokens=1_000)).candidates[0]
    assert large.cost[Limit.TPM] == 8_000


def test_the_most_a_call_can_cost_is_known_before_it_is_sent() -> None:
    """By the catalog's price for Groq, nothing for local models, no price for the user's own endpoints."""
    request = ask("hi", max_tokens=1_000)
    candidates = {c.provider: c for c in made(request, [groq(), other("mine", "m"), other("local", "l")]).candidates}
    groq_spend = candidates["groq"].spend
    price = CATALOG.models[candidates["groq"].model].price
    assert price.output_usd_per_mtok is not None
    assert groq_spend.picousd is not None
    assert groq_spend.picousd >= int(price.output_usd_per_mtok * 1_000 * 10**6)
    assert (candidates["mine"].spend.output_tokens, candidates["mine"].spend.picousd) == (1_000, 0)
    assert candidates["local"].spend == Spend()


def test_what_prompts_really_take_raises_the_factor_at_once_and_lowers_it_slowly() -> None:
    """Within sane bounds; nothing is learnt from nothing."""
    assert learnt_factor(1.0, 100, 150) == 1.5
    assert 1.49 < learnt_factor(1.5, 100, 100) < 1.5
    assert learnt_factor(1.0, 1, 1_000) == 4.0
    assert learnt_factor(1.2, 0, 100) == learnt_factor(1.2, 100, 0) == 1.2


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 20, 201),
        ("0123456789" * 30, 100),
        ("def main(argument: int) -> None:\n    return argument + 1\n" * 10, 160),
        ("\u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 " * 20, 42),
    ],
)
def test_an_estimate_is_near_what_a_tokenizer_counts(text: str, tokens: int) -> None:
    """Figures by o200k_base; digits are overestimated most, since many tokenizers split them one by one."""
    estimated = estimate_prompt_tokens(ask(text)) - estimate_prompt_tokens(ask("")) + 1
    assert 0.85 * tokens <= estimated <= 3.5 * tokens


def test_a_refusal_that_says_how_long_a_request_is_replaces_the_estimate() -> None:
    """Where it counts less than was claimed; a refusal about requests says nothing of it."""
    candidate = made(ask("hi", max_tokens=1_000)).candidates[0]

    def refused(limit: Limit, requested: float) -> Failure:
        readings = (LimitReading(limit=limit, capacity=8_000, remaining=0, requested=requested),)
        return Failure(kind=FailureKind.RATE_LIMITED, message="", quota=QuotaSnapshot(readings=readings))

    counted = with_counted_tokens(candidate, refused(Limit.TPM, 1_011))
    assert (counted.cost[Limit.TPM], counted.cost[Limit.TPD], counted.cost[Limit.RPM]) == (1_011, 1_011, 1)
    assert with_counted_tokens(candidate, refused(Limit.TPM, 5_000)) == candidate
    assert with_counted_tokens(candidate, refused(Limit.RPM, 1)) == candidate
    assert with_counted_tokens(candidate, refused(Limit.TPD, 1_011)) == counted
    heard = made(AudioRequest(audio=sound())).candidates[0]
    assert with_counted_tokens(heard, refused(Limit.TPM, 5_000)) == heard


def with_cost(offer: ProviderModels, cost: str, **fields: object) -> ProviderModels:
    """The same offer at another cost."""
    models = {name: replace(model, cost=cost) for name, model in offer.models.items()}  # type: ignore[arg-type]
    return replace(offer, models=models, **fields)  # type: ignore[arg-type]


OFFERS = (
    groq(),
    with_cost(other("paid", "p"), "paid", data_policy="unknown"),
    with_cost(other("free", "f"), "free", data_policy="trains"),
    with_cost(other("server", "s"), "local", on_this_machine=True),
    with_cost(other("local", "l"), "local", on_this_machine=True),
)


@pytest.mark.parametrize(
    ("prefer", "order"),
    [
        ((), ["groq", "paid", "free", "server", "local"]),
        (("groq", "local", "free", "paid"), ["groq", "server", "free", "paid", "local"]),
        (("local", "free"), ["server", "free", "groq", "paid", "local"]),
        (("paid", "paid", "groq"), ["paid", "groq", "free", "server", "local"]),
        (("nothing",), ["groq", "paid", "free", "server", "local"]),
    ],
)
def test_providers_come_in_the_order_that_the_user_prefers(prefer: Sequence[str], order: list[str]) -> None:
    """What runs in this process is the last resort whatever is preferred."""
    made = plan(ask(), catalog=CATALOG, providers=OFFERS, today=NOW, prefer=prefer)
    assert list(dict.fromkeys(candidate.provider for candidate in made.candidates)) == order


def test_what_runs_in_this_process_is_last_though_it_is_offered_first() -> None:
    """And what does not say its cost counts as paid."""
    offers = (OFFERS[-1], OFFERS[2], other("unknown", "u"))
    made = plan(ask(), catalog=CATALOG, providers=offers, today=NOW, prefer=("paid",))
    assert [candidate.provider for candidate in made.candidates] == ["unknown", "free", "local"]


def test_of_three_providers_those_much_slower_than_the_fastest_keep_their_order() -> None:
    """However much one of them is slower than the other."""
    offers = [with_cost(other(name, name), "free") for name in ("slowest", "fastest", "slow")]
    took = {"slowest": 9.0, "fastest": 1.0, "slow": 3.0}
    made = plan(ask(), catalog=CATALOG, providers=offers, today=NOW, took_s=lambda model: took[model[0]])
    assert [candidate.provider for candidate in made.candidates] == ["fastest", "slowest", "slow"]


PRICE = Price(input_usd_per_mtok=Decimal(2), output_usd_per_mtok=Decimal(3))


def test_a_candidate_has_all_that_the_call_needs_to_know_of_its_model() -> None:
    """As the provider offers it, and as the request was fitted to it."""
    capabilities = Capabilities(tools=True, reasoning=("low", "high"), reasoning_format=True, voices=("anna", "ben"))
    row = ModelRow(
        id="m", kind=Kind.SYSTEM, stage=Stage.PRODUCTION, source="user", checked=NOW, capabilities=capabilities, price=PRICE
    )
    model = ProviderModel(
        row=row,
        wire_model="wire-m",
        documented={Limit.TPM: 90_000, Limit.ITPM: 80_000},
        pool=Pool(name="address", documented={Limit.RPH: 200}),
        refilling=Refilling(windows="sliding", day_ends="UTC"),
        failures_count=True,
    )
    near = ProviderModels(name="near", models={"m": model}, cataloged=True, on_this_machine=True, first_token_s=7.0)

    made_plan = made(ask(model="m", reasoning_effort="high", max_tokens=1_000), [near])

    estimated = estimate_prompt_tokens(ask())
    prompt = math.ceil(estimated * 1.5) + 60
    cost = with_hours(chat_cost(prompt, 1_000))
    assert made_plan.candidates == (
        Candidate(
            provider="near",
            model="m",
            wire_model="wire-m",
            cost=cost,
            documented=model.documented,
            max_tokens=1_000,
            reasoning_effort="high",
            estimated_tokens=estimated,
            spend=Spend(input_tokens=prompt, output_tokens=1_000, picousd=prompt * 2 * 10**6 + 3 * 10**9),
            price=PRICE,
            pool=model.pool,
            refilling=model.refilling,
            failures_count=True,
            voice="anna",
            cataloged=True,
            is_system=True,
            parses_reasoning=True,
            on_this_machine=True,
            first_token_s=7.0,
        ),
    )
    assert (made_plan.requested_model, made_plan.notes) == ("m", ())


def test_a_recording_costs_its_seconds_and_no_tokens() -> None:
    """At the price of an hour."""
    row = CATALOG.models["whisper-large-v3"].model_copy(update={"price": Price(audio_usd_per_hour=Decimal(36))})
    offer = ProviderModels(name="groq", models={row.id: ProviderModel(row=row, wire_model=row.id)}, cataloged=True)
    (candidate,) = made(AudioRequest(audio=sound(duration_s=100.0)), [offer]).candidates
    assert candidate.spend == Spend(audio_s=100.0, picousd=10**12)
    assert (candidate.estimated_tokens, candidate.is_system) == (0, False)


def test_a_price_is_the_catalog_s_at_groq_nothing_in_this_process_and_else_the_provider_s() -> None:
    """The same model may cost anything elsewhere."""
    id_ = "openai/gpt-oss-20b"
    priced = with_cost(other("seller", id_), "paid")
    priced = replace(priced, models={id_: replace(priced.models[id_], price=PRICE)})
    offers = (groq(), priced, other("mine", id_), other("local", id_))
    found = {
        candidate.provider: candidate.price for candidate in made(ask(model=id_), offers).candidates if candidate.model == id_
    }
    assert found == {"groq": CATALOG.models[id_].price, "seller": PRICE, "mine": None, "local": FREE}


def test_a_model_that_serves_by_name_only_is_left_out_of_calls_for_its_provider_too() -> None:
    """Another model of that provider may be named, too."""
    seller = replace(other("seller", "listed", "unlisted"), by_name_only=frozenset({"unlisted"}))
    only = Restrictions(providers=("seller",))
    for model, models in ((None, ["listed"]), ("listed", ["listed"]), ("unlisted", ["unlisted", "listed"])):
        found = made(ask(model=model, restrictions=only), [seller])
        assert [candidate.model for candidate in found.candidates] == models


def test_a_model_that_is_too_dear_or_serves_on_request_leaves_the_others_of_its_provider() -> None:
    """Wherever it stands among them."""
    both = other("seller", "dear", "cheap")
    dear = replace(both.models["dear"], price=PRICE)
    seller = replace(both, models={"dear": dear, "cheap": both.models["cheap"]})
    request = ask(max_tokens=1_000, restrictions=Restrictions(max_usd=Decimal("0.001")))

    found = made(request, [seller])
    quiet = made(ask(), [replace(both, on_request=frozenset({"dear"}))])

    assert (
        [candidate.model for candidate in found.candidates] == [candidate.model for candidate in quiet.candidates] == ["cheap"]
    )
    assert [(excluded.provider, excluded.model) for excluded in found.exclusions if excluded.model == "dear"] == [
        ("seller", "dear")
    ]


def test_a_model_that_would_give_fewer_tokens_than_the_caller_asked_for_goes_last_in_its_tier() -> None:
    """Those that give them all come first."""
    both = other("mine", "small", "roomy")
    small = replace(both.models["small"], documented={Limit.TPM: 3_000})
    mine = replace(both, models={"small": small, "roomy": both.models["roomy"]})
    assert models(ask(max_tokens=4_000), [mine]) == ["roomy", "small"]
    assert models(ask(max_tokens=1_000), [mine]) == ["small", "roomy"]


def test_what_was_not_asked_for_needs_no_note() -> None:
    """A model that cannot serve is explained where the caller named it."""
    offers = [groq(), other("mine", "plain")]
    assert made(ask(tools=(TOOL,), model="openai/gpt-oss-20b"), offers).notes == ()
    assert made(ask(tools=(TOOL,)), [other("mine", "plain")]).notes == ()
    assert made(ask(tools=(TOOL,), model="plain"), offers).notes == ("plain (mine) was skipped: it does not support tools",)


def test_a_refused_schema_is_noted_once_however_often_it_is_weakened() -> None:
    """Behind what was noted before."""
    candidate = replace(made(ask(schema={"type": "object"})).candidates[0], notes=("before",))
    note = "The model refused the JSON schema; the request was repeated without it and the answer was checked here."
    weaker = with_json_mode(candidate, "json_object")
    weakest = with_json_mode(weaker, "prompted")
    assert weaker == replace(candidate, json_mode="json_object", notes=("before", note))
    assert weakest == replace(candidate, json_mode="prompted", notes=("before", note))


def test_of_two_providers_that_cost_the_same_the_much_faster_one_goes_first() -> None:
    """As measured here; a little faster changes nothing, and nothing known keeps the user's order."""
    offers = [with_cost(other(name, name), "free") for name in ("first", "second")]

    def order(took: dict[str, float]) -> list[str]:
        made = plan(
            ask(), catalog=CATALOG, providers=offers, today=NOW, prefer=("free",), took_s=lambda model: took.get(model[0])
        )
        return [candidate.provider for candidate in made.candidates]

    assert order({}) == ["first", "second"]
    assert order({"first": 3.0, "second": 1.6}) == ["first", "second"]
    assert order({"first": 3.2, "second": 1.6}) == ["first", "second"]
    assert order({"first": 3.5, "second": 1.6}) == ["second", "first"]
    assert order({"first": 1.6, "second": 3.5}) == ["first", "second"]
    assert order({"first": 9.0}) == ["first", "second"]


def test_a_provider_with_free_and_paid_models_stands_in_two_places() -> None:
    """Free ones before other providers' paid ones, its own paid ones after other providers' free ones."""
    both = other("both", "b-free", "b-paid")
    costs = {name: replace(model, cost=name.removeprefix("b-")) for name, model in both.models.items()}  # type: ignore[arg-type]
    offers = [replace(both, models=costs), with_cost(other("free", "f"), "free")]
    made = plan(ask(), catalog=CATALOG, providers=offers, today=NOW, prefer=("groq", "local", "free", "paid"))
    assert [candidate.model for candidate in made.candidates] == ["b-free", "f", "b-paid"]


def test_no_training_leaves_out_who_trains_and_who_does_not_say() -> None:
    """Each with its reason."""
    request = ask(restrictions=Restrictions(no_training=True))
    made = plan(request, catalog=CATALOG, providers=OFFERS, today=NOW)
    assert {candidate.provider for candidate in made.candidates} == {"groq", "server", "local"}
    reasons = {excluded.provider: excluded.reason for excluded in made.exclusions if excluded.model == "any model"}
    assert reasons == {
        "paid": "it may train on prompts (data_policy is no-training)",
        "free": "it trains on prompts (data_policy is no-training)",
    }


def test_limits_by_the_hour_are_claimed_where_providers_have_them() -> None:
    """An earlier release that shares the ledger does not know them."""
    hourly = other("hourly", "h")
    pool = Pool(name="address", documented={Limit.RPH: 200})
    hourly = replace(hourly, models={name: replace(model, pool=pool) for name, model in hourly.models.items()})
    made = plan(ask(), catalog=CATALOG, providers=(*OFFERS, hourly), today=NOW)
    by_provider = {candidate.provider: candidate.cost for candidate in made.candidates}
    assert by_provider["hourly"][Limit.RPH] == 1
    assert by_provider["hourly"][Limit.TPH] == by_provider["hourly"][Limit.TPM]
    assert all(Limit.RPH not in by_provider[name] for name in ("groq", "free"))


def test_a_model_may_be_named_as_its_server_names_it() -> None:
    """`ollama list` shows gpt-oss:20b."""
    ollama = other("ollama", "openai/gpt-oss-20b")
    ollama = replace(ollama, models={name: replace(model, wire_model="gpt-oss:20b") for name, model in ollama.models.items()})
    found = resolve_model("gpt-oss:20b", catalog=CATALOG, providers=[groq(), ollama], kinds=(Kind.CHAT,), today=NOW)
    assert found == "openai/gpt-oss-20b"


def test_a_margin_on_the_estimate_does_not_shut_out_what_fits_a_limit_of_input() -> None:
    """The claim is the estimate times one and a half, but never more than the whole limit."""
    offer = with_cost(other("gemini", "flash", context_window=1_000_000), "free")
    models = {name: replace(model, documented={Limit.ITPM: 10_000}) for name, model in offer.models.items()}
    made = plan(ask("word " * 7_000), catalog=CATALOG, providers=[replace(offer, models=models)], today=NOW)
    (candidate,) = made.candidates
    assert 6_667 < candidate.estimated_tokens < 10_000
    assert candidate.cost[Limit.ITPM] == 10_000


@pytest.mark.parametrize(("must_be_priced", "picousd"), [(True, None), (False, 0)])
def test_a_known_provider_without_a_price_may_cost_anything(*, must_be_priced: bool, picousd: int | None) -> None:
    """An endpoint of the user's own counts as free of charge in US dollars, one that sells calls does not."""
    offer = with_cost(other("seller", "m"), "paid")
    models = {name: replace(model, must_be_priced=must_be_priced) for name, model in offer.models.items()}
    made = plan(ask(), catalog=CATALOG, providers=[replace(offer, models=models)], today=NOW)
    assert made.candidates[0].spend.picousd == picousd
