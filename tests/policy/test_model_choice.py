"""Which models a request asks for, by name, by use case and by what is offered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from groq_fallback_mcp.call import AnyRequest, AudioLink, AudioRequest, ChatRequest, Exclusion, Search, SpeechRequest
from groq_fallback_mcp.catalog import Catalog, Kind, ModelRow, Stage, load_catalog
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.policy.estimate import estimate_prompt_tokens
from groq_fallback_mcp.policy.model_choice import Choice, ProviderModel, ProviderModels, choose, default_use_case, resolve_model

CATALOG = load_catalog()
NOW = date(2026, 11, 23)
OSS, LARGE, QWEN = "openai/gpt-oss-20b", "openai/gpt-oss-120b", "qwen/qwen3.8-27b"
RETIRED = "llama-3.1-8b-instant"


def row(id_: str, kind: Kind = Kind.CHAT) -> ModelRow:
    """A model of the user's."""
    return ModelRow(id=id_, kind=kind, stage=Stage.PRODUCTION, source="user", checked=NOW)


def groq(*, live: frozenset[str] | None = None) -> ProviderModels:
    """Groq with all that the catalog knows."""
    models = {id_: ProviderModel(row=known, wire_model=id_) for id_, known in CATALOG.models.items()}
    return ProviderModels(name="groq", models=models, live=live, cataloged=True)


def own(*rows: ModelRow) -> ProviderModels:
    """An endpoint of the user's."""
    return ProviderModels(name="mine", models={known.id: ProviderModel(row=known, wire_model=known.id) for known in rows})


def ask(words: str = "hi", **fields: Any) -> ChatRequest:
    """A chat request."""
    return ChatRequest(messages=({"role": "user", "content": words},), **fields)


def chosen(request: AnyRequest, *providers: ProviderModels, today: date = NOW, catalog: Catalog = CATALOG) -> Choice:
    """The choice on a day."""
    return choose(request, catalog=catalog, providers=providers or (groq(),), today=today)


def test_the_models_of_a_use_case_are_wanted_without_those_that_ended() -> None:
    """A successor takes the place of each. What the caller did not name needs no note."""
    choice = chosen(ask())
    assert choice.wanted == (OSS, LARGE, QWEN)
    assert (choice.ended, choice.notes, choice.requested_model) == ((), (), None)


def test_a_named_model_that_ended_is_explained() -> None:
    """With the day, and what was used instead. Who named a use case alone never heard of the model."""
    note = f"{RETIRED} was shut down on 2026-08-16; used its successor {OSS}"
    assert chosen(ask(model=RETIRED)).notes == (note,)
    assert chosen(ask(use_case="fast")).notes == ()
    assert chosen(ask(model=LARGE, use_case="fast")).notes == ()


@pytest.mark.parametrize(("today", "ended"), [(date(2026, 8, 15), False), (date(2026, 8, 16), True)])
def test_a_model_ends_on_its_last_day(today: date, ended: bool) -> None:
    """Also where the live list shows it gone."""
    gone = groq(live=frozenset({OSS, LARGE, QWEN}))
    reason = "shut down on 2026-08-16" if ended else "missing from the live list"
    successor = f"used its successor {OSS}" if ended else "it has no successor"
    assert chosen(ask(model=RETIRED), gone, today=today).notes == (f"{RETIRED} was {reason}; {successor}",)
    assert (RETIRED in chosen(ask(), today=today).wanted) == (not ended)


def test_every_model_that_ended_without_a_successor_is_an_exclusion_of_groq_s() -> None:
    """Two systems did."""
    reason = "shut down on 2026-09-21, no successor"
    choice = chosen(ask(model="groq/compound", use_case="agentic"))
    assert choice.ended == tuple(
        Exclusion(provider="groq", model=model, reason=reason) for model in ("groq/compound", "groq/compound-mini")
    )
    assert choice.notes == ("groq/compound was shut down on 2026-09-21; it has no successor",)


def test_what_ended_at_groq_is_wanted_where_another_provider_has_it() -> None:
    """Its successor at Groq too."""
    choice = chosen(ask(model=RETIRED), groq(), own(row(RETIRED)))
    assert choice.wanted[:2] == (RETIRED, OSS)


def test_of_an_endpoint_only_models_of_the_wanted_kind_are_considered() -> None:
    """A guard alone can screen, a transcriber alone can transcribe."""
    endpoint = own(row("chats"), row("guards", Kind.GUARD), row("hears", Kind.SPEECH_TO_TEXT))
    screened = ask(use_case="injection", asked_by="screen")
    heard = AudioRequest(audio=AudioLink(url="https://example.com/a.wav"))
    mine = {"chats", "guards", "hears"}
    for request, wanted in ((ask(), "chats"), (screened, "guards"), (heard, "hears")):
        assert mine & set(chosen(request, groq(), endpoint).wanted) == {wanted}


@pytest.mark.parametrize(
    ("request_", "use_case"),
    [
        (AudioRequest(audio=AudioLink(url="https://example.com/a.wav")), "audio"),
        (AudioRequest(audio=AudioLink(url="https://example.com/a.wav"), translate=True), "translation"),
        (SpeechRequest(text="x"), "speech"),
        (SpeechRequest(text="x", language="ar"), "speech_arabic"),
        (ask(use_case="vision"), "vision"),
        (ask(), "fast"),
    ],
)
def test_what_is_asked_for_has_its_use_case(request_: AnyRequest, use_case: str) -> None:
    """Whose models are asked."""
    assert chosen(request_).use_case == use_case


@pytest.mark.parametrize(
    ("fields", "use_case"),
    [
        ({"search": Search()}, "agentic"),
        ({"code": True}, "agentic"),
        ({"reasoning_effort": "medium"}, "reasoning"),
        ({"reasoning_effort": "high"}, "reasoning"),
        ({"reasoning_effort": "low"}, "fast"),
    ],
)
def test_a_chat_s_needs_decide_its_use_case(fields: dict[str, Any], use_case: str) -> None:
    """Where it names none."""
    assert default_use_case(ask(**fields)) == use_case


@pytest.mark.parametrize(("words", "tokens", "use_case"), [(2_086, 2_000, "fast"), (2_087, 2_001, "reasoning")])
def test_a_prompt_of_more_than_2000_tokens_is_long(words: int, tokens: int, use_case: str) -> None:
    """As estimated."""
    request = ask("word " * words)
    assert (estimate_prompt_tokens(request), default_use_case(request)) == (tokens, use_case)


def resolved(name: str, *providers: ProviderModels, kinds: Sequence[Kind] = (Kind.CHAT,), catalog: Catalog = CATALOG) -> str:
    """The id that a name stands for."""
    return resolve_model(name, catalog=catalog, providers=providers, kinds=kinds, today=NOW)


def test_the_name_after_the_last_slash_is_enough() -> None:
    """Routers put more than the maker before it."""
    assert resolved("small", own(row("router/acme/small"))) == "router/acme/small"
    with pytest.raises(InputRefused, match="Unknown model 'acme/small'"):
        resolved("acme/small", own(row("router/acme/small")))
    with pytest.raises(InputRefused, match="Unknown model 'small'"):
        resolved("small", own(row("acme/small"), row("other/small")))


ALPHABET = (
    "alpha",
    "bravo",
    "charlie",
    "delta",
    "echo",
    "foxtrot",
    "golf",
    "hotel",
    "india",
    "juliett",
    "kilo",
    "lima",
    "mike",
)
OF_ALPHABET = replace(CATALOG, models={name: row(name) for name in ALPHABET})


@pytest.mark.parametrize(
    ("name", "next_step"),
    [
        ("zz", f"Use one of {', '.join(ALPHABET[:12])}. See list_models"),
        # three letters are enough
        ("foxy", f"Did you mean foxtrot? Otherwise use one of {', '.join(ALPHABET[:12])}. See list_models"),
    ],
)
def test_an_unknown_model_is_refused_with_a_dozen_that_exist(name: str, next_step: str) -> None:
    """Those that are near first."""
    with pytest.raises(InputRefused) as refusal:
        resolved(name, catalog=OF_ALPHABET)
    assert (refusal.value.cause, refusal.value.next_step) == (f"Unknown model '{name}'", next_step)


def test_at_most_three_near_names_are_suggested() -> None:
    """The nearest first."""
    near = replace(CATALOG, models={name: row(name) for name in ("small-a", "small-b", "small-c", "small-dd")})
    with pytest.raises(InputRefused) as refusal:
        resolved("small-x", catalog=near)
    assert refusal.value.next_step.startswith("Did you mean small-c or small-b or small-a? Otherwise use one of small-a, ")


def test_what_is_suggested_can_serve() -> None:
    """Of the kind that is wanted, and not retired."""
    with pytest.raises(InputRefused) as refusal:
        resolved("zzz")
    assert refusal.value.next_step == (
        "Use one of openai/gpt-oss-120b, openai/gpt-oss-20b, openai/gpt-oss-safeguard-20b, qwen/qwen3.8-27b. See list_models"
    )


def test_a_model_of_another_kind_is_refused_with_its_tool_and_four_that_fit() -> None:
    """More would be a list to read."""
    hears = replace(OF_ALPHABET, models={**OF_ALPHABET.models, "ears": row("ears", Kind.SPEECH_TO_TEXT)})
    with pytest.raises(InputRefused) as refusal:
        resolved("ears", catalog=hears)
    assert refusal.value.cause == "The model 'ears' is for speech to text"
    assert refusal.value.next_step == "Use the tool transcribe, or one of alpha, bravo, charlie, delta"


def test_a_use_case_of_another_tool_is_refused_by_its_name() -> None:
    """With the tool."""
    with pytest.raises(InputRefused) as refusal:
        chosen(ask(use_case="audio"))
    assert (refusal.value.cause, refusal.value.next_step) == (
        "The use case 'audio' is not for chat",
        "Use the tool transcribe",
    )
