"""What a call asks for beyond an answer: tools at the provider, speech, restrictions, streams, a second chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.call import (
    Attempt,
    AudioLink,
    AudioRequest,
    ChatRequest,
    Failure,
    FailureKind,
    Limit,
    Restrictions,
    Search,
    SpeechRequest,
)
from groq_fallback_mcp.call.refusals import NO_API_KEY
from groq_fallback_mcp.catalog import ModelRow, Stage, load_catalog
from groq_fallback_mcp.errors import InputRefused, ModelNotAllowed
from groq_fallback_mcp.fallback.engine import repaired
from groq_fallback_mcp.fallback.final_error import key_note
from groq_fallback_mcp.policy.estimate import estimate_prompt_tokens
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.policy.plan import LONG_TOKENS, Plan, plan, streams, with_more_prompt
from groq_fallback_mcp.policy.verdict import DropServiceTier, judge

CATALOG = load_catalog()
NOW = date(2026, 11, 1)
OSS, LARGE, QWEN = "openai/gpt-oss-20b", "openai/gpt-oss-120b", "qwen/qwen3.8-27b"
GUARD = "meta-llama/llama-prompt-guard-2-86m"
ENGLISH, ARABIC = "canopylabs/orpheus-v1-english", "canopylabs/orpheus-arabic-saudi"


def groq(*models: str, rows: Sequence[ModelRow] = ()) -> ProviderModels:
    """Groq with these models."""
    found = [*(CATALOG.models[model] for model in models), *rows]
    offered = {
        row.id: ProviderModel(
            row=row, wire_model=row.id, documented=CATALOG.limits(row.id, "free"), languages=row.capabilities.languages
        )
        for row in found
    }
    return ProviderModels(name="groq", models=offered, cataloged=True)


def own(name: str = "mine", *, near: bool = False, use_cases: frozenset[str] | None = None) -> ProviderModels:
    """An endpoint with a model of its own."""
    row = ModelRow(id="own", kind="chat", stage=Stage.PRODUCTION, source="user", checked=NOW)  # type: ignore[arg-type]
    models = {"own": ProviderModel(row=row, wire_model="own")}
    return ProviderModels(name=name, models=models, on_this_machine=near, use_cases=use_cases)


def made(request: ChatRequest | SpeechRequest | AudioRequest, *offers: ProviderModels) -> Plan:
    """The plan."""
    return plan(request, catalog=CATALOG, providers=offers, today=NOW)


def ask(**fields: object) -> ChatRequest:
    """A question."""
    return ChatRequest(messages=({"role": "user", "content": "hi"},), **fields)  # type: ignore[arg-type]


def reasons(found: Plan) -> dict[str, str]:
    """Why models were left out."""
    return {exclusion.model: exclusion.reason for exclusion in found.exclusions}


def test_only_models_with_the_tools_search_or_run_code() -> None:
    """And they are named as the model names them."""
    found = made(ask(search=Search(), code=True), groq(OSS, LARGE, QWEN))
    assert found.use_case == "agentic"
    assert [candidate.model for candidate in found.candidates] == [LARGE, OSS]
    assert found.candidates[0].builtin == ("browser_search", "code_interpreter")
    assert reasons(found)[QWEN] == "it cannot search the web"
    assert reasons(made(ask(code=True), groq(QWEN)))[QWEN] == "it cannot run code"


def test_a_search_kept_to_domains_says_who_does_not_keep_to_them() -> None:
    """gpt-oss has no such setting."""
    found = made(ask(search=Search(country="norway")), groq(OSS))
    assert "only compound systems support that" in found.candidates[0].notes[-1]


def test_a_search_that_is_optional_leaves_no_model_out_and_says_who_does_not_search() -> None:
    """Clients offer a search with every request."""
    found = made(ask(search=Search(optional=True), model=QWEN), groq(QWEN, OSS))
    by_model = {candidate.model: candidate for candidate in found.candidates}
    assert by_model[QWEN].builtin == ()
    assert "The web was not searched" in by_model[QWEN].notes[-1]
    assert by_model[OSS].builtin == ("browser_search",)


def test_a_guard_is_asked_by_the_tool_that_screens_alone() -> None:
    """Neither by name nor by use case of groq_chat."""
    found = made(ask(use_case="injection", asked_by="screen", max_tokens=8), groq(GUARD, OSS))
    assert [candidate.model for candidate in found.candidates] == [GUARD]
    with pytest.raises(InputRefused, match="Use the tool screen"):
        made(ask(use_case="injection"), groq(GUARD))
    with pytest.raises(InputRefused, match="Use the tool screen"):
        made(ask(model=GUARD), groq(GUARD))


def test_speech_is_planned_by_language_voice_and_length() -> None:
    """Characters stand for tokens."""
    found = made(SpeechRequest(text="x" * 100), groq(ENGLISH, ARABIC))
    assert [candidate.model for candidate in found.candidates] == [ENGLISH]
    candidate = found.candidates[0]
    assert (candidate.voice, candidate.cost[Limit.TPM], candidate.cost[Limit.RPM]) == ("autumn", 100, 1)
    assert candidate.spend.picousd == 2_200_000_000
    assert made(SpeechRequest(text="x", language="ar"), groq(ENGLISH, ARABIC)).candidates[0].model == ARABIC
    assert "no voice 'troi'" in reasons(made(SpeechRequest(text="x", voice="troi"), groq(ENGLISH)))[ENGLISH]
    assert "200 characters at a time" in reasons(made(SpeechRequest(text="x" * 201), groq(ENGLISH)))[ENGLISH]
    wrong = made(SpeechRequest(text="x", model=ARABIC), groq(ENGLISH, ARABIC))
    assert reasons(wrong)[ARABIC] == "it speaks only ar"


def test_a_model_that_is_no_voice_is_refused_for_speech() -> None:
    """With the tool it is for."""
    with pytest.raises(InputRefused, match="Use the tool groq_chat"):
        made(SpeechRequest(text="x", model=OSS), groq(OSS, ENGLISH))
    silent = CATALOG.models[ENGLISH].model_copy(update={"kind": "chat"})
    assert reasons(made(SpeechRequest(text="x"), groq(rows=[silent])))[ENGLISH] == "it does not generate speech"


@pytest.mark.parametrize(
    ("restrictions", "left", "reason"),
    [
        (Restrictions(providers=("mine",)), ["own"], "this call may use only mine"),
        (Restrictions(providers=()), [], "this call may use only no provider"),
        (Restrictions(local_only=True), ["own"], "this call may not leave this machine (local_only)"),
        (Restrictions(no_preview=True), [OSS, "own"], "it is a preview model (no_preview is set)"),
        (Restrictions(max_usd=Decimal("0.001")), [OSS, "own"], "it could cost"),
        (Restrictions(models=(QWEN, "own")), [QWEN, "own"], "the gateway token may not use it"),
        (Restrictions(models=()), [], "the gateway token may not use it"),
    ],
)
def test_restrictions_leave_out_and_say_why(restrictions: Restrictions, left: list[str], reason: str) -> None:
    """Providers, places, stages and prices."""
    found = made(ask(restrictions=restrictions, use_case="fast"), groq(OSS, QWEN), own(near=True))
    assert [candidate.model for candidate in found.candidates] == left
    assert any(exclusion.reason.startswith(reason) for exclusion in found.exclusions)


def test_a_caller_that_may_use_some_models_is_served_by_them_whatever_the_use_case() -> None:
    """Though one stands in no chain; what it names and may not use is refused with those it may, or with none."""
    safeguard = "openai/gpt-oss-safeguard-20b"
    found = made(ask(restrictions=Restrictions(models=(safeguard,))), groq(OSS, LARGE, safeguard))
    assert [candidate.model for candidate in found.candidates] == [safeguard]
    assert not made(ask(restrictions=Restrictions(models=(ENGLISH, "gone"))), groq(OSS, ENGLISH)).candidates
    for allowed, named in (((OSS, QWEN), f"Use {OSS} or {QWEN}"), ((), "Use another token")):
        with pytest.raises(ModelNotAllowed, match=f"may not use the model {LARGE}. {named}"):
            made(ask(model="gpt-oss-120b", restrictions=Restrictions(models=allowed)), groq(OSS, LARGE))
    assert made(ask(model=OSS, restrictions=Restrictions(models=(OSS,))), groq(OSS)).candidates


def test_what_has_no_price_cannot_be_held_to_one() -> None:
    """A bound in USD leaves it out."""
    row = CATALOG.models[OSS].model_copy(update={"id": "unpriced", "price": type(CATALOG.models[OSS].price)()})
    found = made(ask(model="unpriced", restrictions=Restrictions(max_usd=Decimal(1))), groq(OSS, rows=[row]))
    assert "its price is unknown" in reasons(found)["unpriced"]


def test_an_endpoint_is_asked_for_its_use_cases_alone() -> None:
    """As config.toml says."""
    kept = own(use_cases=frozenset({"reasoning"}))
    assert made(ask(use_case="reasoning"), kept).candidates
    assert reasons(made(ask(use_case="fast"), kept))["any model"] == "config.toml reserves it for reasoning"


@given(
    st.builds(
        Restrictions,
        providers=st.none() | st.lists(st.sampled_from("abc"), unique=True).map(tuple),
        local_only=st.booleans(),
        no_preview=st.booleans(),
        max_usd=st.none() | st.decimals(0, 10, places=2),
        models=st.none() | st.lists(st.sampled_from("abc"), unique=True).map(tuple),
    ),
    st.builds(
        Restrictions,
        providers=st.none() | st.just(("a", "b")),
        max_usd=st.none() | st.just(Decimal(5)),
        models=st.none() | st.just(("b",)),
    ),
)
def test_restrictions_within_others_never_allow_more(inner: Restrictions, outer: Restrictions) -> None:
    """Both hold."""
    both = inner.within(outer)
    for one in (inner, outer):
        assert one.providers is None or (both.providers is not None and set(both.providers) <= set(one.providers))
        assert one.max_usd is None or (both.max_usd is not None and both.max_usd <= one.max_usd)
        assert one.models is None or (both.models is not None and set(both.models) <= set(one.models))
        assert both.local_only >= one.local_only
        assert both.no_preview >= one.no_preview


def test_an_answer_is_streamed_where_somebody_watches_or_it_may_be_long() -> None:
    """Never where it is JSON."""
    short, long = (made(ask(max_tokens=tokens), groq(OSS)).candidates[0] for tokens in (LONG_TOKENS - 1, LONG_TOKENS))
    as_json = made(ask(max_tokens=LONG_TOKENS, schema={"type": "object"}), groq(OSS)).candidates[0]
    assert [streams(short, watched=False), streams(short, watched=True), streams(long, watched=False)] == [False, True, True]
    assert not streams(as_json, watched=True)


def test_a_repair_shows_the_answer_and_what_was_wrong_and_costs_more() -> None:
    """For a chat; there is nothing to repair in a transcript."""
    request = ask(schema={"type": "object"})
    second = repaired(request, "[]", "the answer breaks the schema")
    assert second is not None
    assert [message["role"] for message in second.messages] == ["user", "assistant", "user"]
    candidate = made(request, groq(OSS)).candidates[0]
    dearer = with_more_prompt(candidate, request, second)
    more = estimate_prompt_tokens(second) - estimate_prompt_tokens(request)
    assert more > 0
    of_prompt = {Limit.TPM, Limit.TPH, Limit.TPD, Limit.ITPM}
    longer = {limit: units + more if limit in of_prompt else units for limit, units in candidate.cost.items()}
    assert dearer.cost == longer
    assert dearer.spend.input_tokens == candidate.spend.input_tokens + more
    assert dearer.estimated_tokens == candidate.estimated_tokens + more
    heard = AudioRequest(audio=AudioLink(url="https://example.com/a.wav"))
    assert repaired(heard, "x", "y") is None
    whole = with_more_prompt(candidate, heard, request).cost[Limit.TPM]
    assert whole == candidate.cost[Limit.TPM] + estimate_prompt_tokens(request)


def test_a_full_tier_is_dropped_where_one_was_asked_for() -> None:
    """Else it is an overload like any other."""
    full = Failure(kind=FailureKind.TIER_FULL, message="", status=498)
    assert judge(full, times_tried=1, alternative=True, jitter=0.0, service_tier="flex") == DropServiceTier()
    assert judge(full, times_tried=1, alternative=True, jitter=0.0, service_tier="on_demand") != DropServiceTier()


@pytest.mark.fault("A9")
@pytest.mark.parametrize(
    ("restrictions", "model", "asked"),
    [
        ({}, None, False),
        ({"local_only": True}, None, True),
        ({"providers": ("groq", "local")}, None, True),
        ({"providers": ("groq",)}, None, False),
        ({}, "own", True),
    ],
)
def test_a_model_that_serves_on_request_is_in_the_plan_of_calls_that_ask_for_it(
    restrictions: dict[str, object], model: str | None, asked: bool
) -> None:
    """Left out of the others without a word: an agent that reads of it would only be tempted."""
    small = replace(own("local", near=True), on_request=frozenset({"own"}))
    found = made(ask(model=model, restrictions=Restrictions(**restrictions)), groq(OSS), small)  # type: ignore[arg-type]
    assert any(candidate.provider == "local" for candidate in found.candidates) == asked
    assert "own" not in reasons(found)


@pytest.mark.fault("A9")
def test_the_note_on_a_key_says_what_is_wrong_and_what_to_do() -> None:
    """A missing one, a refused one, and none where the key is not why."""

    def attempt(detail: str, provider: str = "groq", kind: FailureKind = FailureKind.AUTHENTICATION) -> Attempt:
        return Attempt(provider=provider, model="m", sent=False, outcome="authentication", detail=detail, kind=kind)

    missing = key_note([attempt(f"{NO_API_KEY}: GROQ_API_KEY is not set")])
    refused = key_note([attempt("Invalid API Key")])
    assert missing is not None
    assert missing.startswith("No Groq API key is set, so Groq was not used.")
    assert refused is not None
    assert "console.groq.com/keys" in refused
    assert key_note([attempt("no", provider="mine"), attempt("slow", kind=FailureKind.TIMED_OUT)]) is None
