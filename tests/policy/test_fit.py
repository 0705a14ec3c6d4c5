"""Whether a model may and can take a request, and with which values."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from groq_fallback_mcp.call import (
    AudioFile,
    AudioLink,
    AudioRequest,
    JsonMode,
    Limit,
    ReasoningEffort,
    Restrictions,
    SpeechRequest,
)
from groq_fallback_mcp.catalog import Capabilities, Kind, ModelRow, Stage, load_catalog
from groq_fallback_mcp.policy.fit import (
    ChatNeeds,
    Fitted,
    TooLarge,
    fit_audio,
    fit_chat,
    fit_speech,
    price_objection,
    provider_objection,
    remap_reasoning,
    serves_unnamed,
    standing_objection,
)
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.quota.budget import Spend

MEGABYTE = 1_048_576


def offered(kind: Kind = Kind.CHAT, *, row: dict[str, Any] | None = None, capable: Any = None, **fields: Any) -> ProviderModel:
    """A model of this kind with these capabilities."""
    capabilities = Capabilities(**(capable or {}))
    found = ModelRow(
        id="m",
        kind=kind,
        stage=Stage.PRODUCTION,
        source="user",
        checked=date(2026, 11, 23),
        capabilities=capabilities,
        **(row or {}),
    )
    return ProviderModel(row=found, wire_model="m", **fields)


def needs(**fields: Any) -> ChatNeeds:
    """The needs of a plain question of a thousand tokens, but for these."""
    plain: dict[str, Any] = dict.fromkeys(("max_tokens", "reasoning_effort"))
    plain |= {"prompt_tokens": 1_000, "images": 0, "tools": False, "schema": False}
    return ChatNeeds(**{**plain, **fields})


def fitted(offer: ProviderModel, *, tpm: float | None = None, **fields: Any) -> Fitted:
    """What a model gets that can take a question."""
    found = fit_chat(needs(**fields), offer, tpm=tpm)
    assert isinstance(found, Fitted), found
    return found


@pytest.mark.parametrize(
    ("offer", "fields", "reason"),
    [
        (offered(Kind.SPEECH_TO_TEXT), {}, "it is for speech to text, not for chat"),
        (offered(), {"screens": True}, "it is for chat, not for screening"),
        (offered(), {"images": 1}, "it does not accept images"),
        (offered(capable={"vision": True, "max_images": 3}), {"images": 4}, "it accepts at most 3 images"),
        (offered(), {"tools": True}, "it does not support tools"),
        (offered(), {"search": True}, "it cannot search the web"),
        (offered(), {"code": True}, "it cannot run code"),
        (offered(), {"schema": True}, "it does not support JSON output"),
    ],
)
def test_what_a_model_lacks_is_the_reason(offer: ProviderModel, fields: dict[str, Any], reason: str) -> None:
    """It leaves it out of the plan."""
    assert fit_chat(needs(**fields), offer, tpm=None) == reason


def test_a_model_takes_as_many_images_as_it_says() -> None:
    """And any number where it does not say."""
    assert fitted(offered(capable={"vision": True, "max_images": 3}), images=3)
    assert fitted(offered(capable={"vision": True}), images=30)


def test_an_answer_needs_64_tokens_in_the_context_window() -> None:
    """Fewer are none."""
    assert fitted(offered(row={"context_window": 1_064})).max_tokens == 64
    reason = "about 1000 prompt tokens do not fit its context window of 1063"
    assert fit_chat(needs(), offered(row={"context_window": 1_063}), tpm=None) == TooLarge(reason=reason, tokens=1_063)


def test_of_a_window_and_a_minute_that_are_both_too_small_the_smaller_is_told() -> None:
    """A request cut to the larger would be refused again."""
    small = fit_chat(needs(), offered(row={"context_window": 1_063}), tpm=900.0)
    assert isinstance(small, TooLarge)
    assert (small.tokens, small.limit) == (900, Limit.TPM)
    large = fit_chat(needs(), offered(row={"context_window": 1_063}), tpm=1_063.0)
    assert isinstance(large, TooLarge)
    assert (large.tokens, large.limit) == (1_063, None)


@pytest.mark.parametrize(
    ("reasoning", "row", "max_tokens", "tpm", "expected"),
    [
        ((), {}, None, None, Fitted(max_tokens=1_024)),
        (("low",), {}, None, None, Fitted(max_tokens=2_048)),
        ((), {}, 5_000, None, Fitted(max_tokens=5_000)),
        ((), {"max_completion_tokens": 500}, None, None, Fitted(max_tokens=500)),
        ((), {"max_completion_tokens": 500}, 500, None, Fitted(max_tokens=500)),
        (
            (),
            {"max_completion_tokens": 500},
            501,
            None,
            Fitted(max_tokens=500, notes=("max_tokens lowered from 501 to 500, the most the model can generate",)),
        ),
        ((), {}, None, 2_024.0, Fitted(max_tokens=1_024)),
        ((), {}, 1_024, 2_024.0, Fitted(max_tokens=1_024)),
        ((), {}, None, 2_023.0, Fitted(max_tokens=891)),
        ((), {}, None, 1_388.0, Fitted(max_tokens=256)),
        (
            (),
            {},
            5_000,
            2_023.0,
            Fitted(
                max_tokens=891,
                reduced=True,
                notes=("max_tokens lowered from 5000 to 891 to fit the limit of 2,023 tokens/min",),
            ),
        ),
        (
            (),
            {},
            5_000,
            1_196.0,
            Fitted(
                max_tokens=64, reduced=True, notes=("max_tokens lowered from 5000 to 64 to fit the limit of 1,196 tokens/min",)
            ),
        ),
    ],
)
def test_an_answer_may_have_what_the_model_and_the_minute_leave_room_for(
    reasoning: tuple[ReasoningEffort, ...], row: dict[str, int], max_tokens: int | None, tpm: float | None, expected: Fitted
) -> None:
    """Of a minute a tenth of the prompt and 32 tokens less. Only the caller's own figure is a reason to try others first."""
    assert fitted(offered(row=row, capable={"reasoning": reasoning}), max_tokens=max_tokens, tpm=tpm) == expected


@pytest.mark.parametrize(("max_tokens", "tpm"), [(None, 1_387.0), (5_000, 1_195.0)])
def test_a_minute_with_room_for_less_than_an_answer_leaves_the_model_out(max_tokens: int | None, tpm: float) -> None:
    """64 tokens where the caller says how many, 256 where it does not."""
    reason = f"about 1000 prompt tokens leave no room in its {tpm:,.0f} tokens per minute"
    expected = TooLarge(reason=reason, tokens=int(tpm), limit=Limit.TPM)
    assert fit_chat(needs(max_tokens=max_tokens), offered(), tpm=tpm) == expected


@pytest.mark.parametrize(
    ("takes", "wanted", "sent", "note"),
    [
        ((), "high", None, "reasoning_effort high changed to the default, which the model supports"),
        ((), "low", None, None),
        (("none", "default"), "low", "default", None),
        (("none", "default"), "high", "default", "reasoning_effort high changed to default, which the model supports"),
        (("low", "medium"), "medium", "medium", None),
        (("low", "medium"), None, None, None),
    ],
)
def test_a_reasoning_effort_becomes_one_that_the_model_takes(
    takes: tuple[ReasoningEffort, ...], wanted: ReasoningEffort | None, sent: ReasoningEffort | None, note: str | None
) -> None:
    """With a note, but for low, which a use case asks for by itself."""
    found = fitted(offered(capable={"reasoning": takes}), reasoning_effort=wanted)
    assert (found.reasoning_effort, found.notes) == (sent, () if note is None else (note,))


@pytest.mark.parametrize(
    ("wanted", "takes", "expected"),
    [
        ("high", ("none", "low"), "low"),
        ("high", ("low", "medium"), "medium"),
        ("low", ("high", "medium"), "medium"),
        ("low", ("none", "medium"), "medium"),
        ("medium", ("low", "high"), "high"),
        ("none", ("high", "low"), "low"),
        (None, ("low",), None),
        ("low", (), None),
    ],
)
def test_the_nearest_reasoning_effort_is_taken_and_of_two_the_stronger(
    wanted: ReasoningEffort | None, takes: tuple[ReasoningEffort, ...], expected: ReasoningEffort | None
) -> None:
    """In whatever order a model lists them."""
    assert remap_reasoning(wanted, takes) == remap_reasoning(wanted, takes[::-1]) == expected


@pytest.mark.parametrize(
    ("fields", "capable", "mode"),
    [
        ({}, {"json_schema": True}, "none"),
        ({"schema": True}, {"json_schema": True, "json_object": True}, "json_schema"),
        ({"schema": True}, {"json_object": True}, "json_object"),
        ({"schema": True, "tools": True}, {"json_schema": True, "tools": True}, "prompted"),
        ({"schema": True, "search": True}, {"json_schema": True, "builtin_tools": ("web_search",)}, "prompted"),
        ({"schema": True, "code": True}, {"json_schema": True, "builtin_tools": ("code_interpreter",)}, "prompted"),
    ],
)
def test_json_is_asked_for_in_the_strictest_way_that_goes_with_the_rest(
    fields: dict[str, bool], capable: dict[str, Any], mode: JsonMode
) -> None:
    """Beside tools in the prompt alone: Groq refuses both at once."""
    assert fitted(offered(capable=capable), **fields).json_mode == mode


BUILTIN = {"builtin_tools": ("browser_search", "code_interpreter")}


@pytest.mark.parametrize(
    ("fields", "kind", "capable", "builtin", "notes"),
    [
        ({}, Kind.CHAT, BUILTIN, (), ()),
        ({"search": True}, Kind.CHAT, BUILTIN, ("browser_search",), ()),
        ({"code": True}, Kind.CHAT, BUILTIN, ("code_interpreter",), ()),
        ({"search": True, "code": True}, Kind.CHAT, BUILTIN, ("browser_search", "code_interpreter"), ()),
        ({"search": True, "searches_within": True}, Kind.SYSTEM, BUILTIN, ("browser_search",), ()),
        (
            {"search": True, "searches_within": True},
            Kind.CHAT,
            BUILTIN,
            ("browser_search",),
            ("The search was not limited to domains or a country; only compound systems support that.",),
        ),
        (
            {"search": True, "search_optional": True},
            Kind.CHAT,
            {},
            (),
            ("The web was not searched; the model has no tool for it.",),
        ),
    ],
)
def test_what_runs_at_the_provider_is_what_was_asked_for(
    fields: dict[str, bool], kind: Kind, capable: dict[str, Any], builtin: tuple[str, ...], notes: tuple[str, ...]
) -> None:
    """A note says what a model cannot do of it."""
    found = fitted(offered(kind, capable=capable), **fields)
    assert (found.builtin, found.notes) == (builtin, notes)


LINK = AudioLink(url="https://example.com/a.wav")
HEARS = {"languages": ("en", "de"), "links": False, "upload_mb": 1}


@pytest.mark.parametrize(
    ("audio", "fields", "offer", "expected"),
    [
        (100, {}, offered(), "it does not transcribe"),
        (100, {"translate": True}, offered(Kind.SPEECH_TO_TEXT), "it does not translate to English"),
        (100, {"language": "fr"}, offered(Kind.SPEECH_TO_TEXT, **HEARS), "it understands only en, de"),
        (100, {"language": "de"}, offered(Kind.SPEECH_TO_TEXT, **HEARS), Fitted()),
        (None, {}, offered(Kind.SPEECH_TO_TEXT, **HEARS), "it accepts files only, not URLs"),
        (None, {}, offered(Kind.SPEECH_TO_TEXT), Fitted()),
        (MEGABYTE, {}, offered(Kind.SPEECH_TO_TEXT, **HEARS), Fitted()),
        (3 * MEGABYTE, {}, offered(Kind.SPEECH_TO_TEXT, **HEARS), "the file is 3.0 MB, this plan allows 1 MB"),
    ],
)
def test_a_recording_is_for_models_that_can_take_it(
    audio: int | None, fields: dict[str, Any], offer: ProviderModel, expected: Fitted | str
) -> None:
    """By what it is, its language, its size, and whether it is a file."""
    size = 0 if audio is None else audio
    file = AudioFile(name="a.wav", content=bytes(size), media_type="audio/wav", duration_s=3.0)
    assert fit_audio(AudioRequest(audio=LINK if audio is None else file, **fields), offer) == expected


SPEAKS = {"voices": ("anna", "ben"), "max_input_chars": 200}


@pytest.mark.parametrize(
    ("fields", "offer", "expected"),
    [
        ({}, offered(), "it does not generate speech"),
        ({"language": "fr"}, offered(Kind.TEXT_TO_SPEECH, languages=("en", "ar")), "it speaks only en, ar"),
        (
            {"voice": "carl"},
            offered(Kind.TEXT_TO_SPEECH, capable=SPEAKS),
            "it has no voice 'carl' (available are anna, ben)",
        ),
        ({"voice": "ben", "text": "x" * 200}, offered(Kind.TEXT_TO_SPEECH, capable=SPEAKS), Fitted()),
        ({"text": "x" * 201}, offered(Kind.TEXT_TO_SPEECH, capable=SPEAKS), "it accepts at most 200 characters at a time"),
    ],
)
def test_a_text_is_for_models_that_can_speak_it(fields: dict[str, Any], offer: ProviderModel, expected: Fitted | str) -> None:
    """By its language, its voice and its length."""
    assert fit_speech(SpeechRequest(**{"text": "x", **fields}), offer) == expected


@pytest.mark.parametrize(
    ("restrictions", "fields", "reason"),
    [
        (Restrictions(providers=("a", "b")), {}, "this call may use only a, b"),
        (Restrictions(providers=("a", "mine")), {}, None),
        (Restrictions(local_only=True), {}, "this call may not leave this machine (local_only)"),
        (Restrictions(), {"use_cases": frozenset({"vision", "agentic"})}, "config.toml reserves it for agentic, vision"),
        (Restrictions(), {"use_cases": frozenset({"fast"})}, None),
        (Restrictions(), {"models": {}}, "its list of models cannot be read, and config.toml names none"),
    ],
)
def test_a_provider_may_be_out_of_bounds_for_a_call(
    restrictions: Restrictions, fields: dict[str, Any], reason: str | None
) -> None:
    """By what the caller allows, and by its own row in config.toml."""
    provider = ProviderModels(**{"name": "mine", "models": {"m": offered()}, **fields})
    assert provider_objection(restrictions, provider, "fast") == reason


@pytest.mark.parametrize(
    ("max_usd", "picousd", "reason"),
    [
        (None, None, None),
        ("0.01", None, "its price is unknown and max_usd is set"),
        ("0.01", 10**10, None),
        ("0.01", 10**10 + 10**6, "it could cost 0.010001 USD, more than the 0.01 allowed"),
    ],
)
def test_a_call_may_cost_just_what_is_allowed(max_usd: str | None, picousd: int | None, reason: str | None) -> None:
    """Not more."""
    restrictions = Restrictions(max_usd=None if max_usd is None else Decimal(max_usd))
    assert price_objection(restrictions, Spend(picousd=picousd)) == reason


@pytest.mark.parametrize(
    ("restrictions", "fields", "reason"),
    [
        (Restrictions(), {}, None),
        (Restrictions(providers=("a",)), {}, "this call may use only a"),
        (Restrictions(no_training=True), {"data_policy": "trains"}, "it trains on prompts (data_policy is no-training)"),
        (Restrictions(models=("other",)), {}, "the gateway token may not use it"),
        # for some calls it serves
        (Restrictions(), {"use_cases": frozenset({"vision"})}, None),
    ],
)
def test_a_model_may_be_out_of_bounds_for_every_call(
    restrictions: Restrictions, fields: dict[str, Any], reason: str | None
) -> None:
    """Whatever the call wants."""
    one = offered()
    provider = ProviderModels(**{"name": "mine", "models": {"m": one}, **fields})
    assert standing_objection(restrictions, provider, one.row) == reason


@pytest.mark.parametrize(
    ("model", "fields", "restrictions", "serves"),
    [
        ("m", {}, Restrictions(), True),
        ("m", {"by_name_only": frozenset({"m"})}, Restrictions(), False),
        ("m", {"use_cases": frozenset({"vision"})}, Restrictions(), False),
        ("m", {"use_cases": frozenset({"agentic"})}, Restrictions(), True),
        ("m", {"cataloged": True}, Restrictions(), False),
        ("m", {"cataloged": True}, Restrictions(models=("m",)), True),
        ("openai/gpt-oss-20b", {"cataloged": True}, Restrictions(), True),
    ],
)
def test_which_models_serve_a_chat_that_names_none(
    model: str, fields: dict[str, Any], restrictions: Restrictions, serves: bool
) -> None:
    """Of Groq's those in a chain; of others those that are not kept for some other work."""
    provider = ProviderModels(**{"name": "mine", "models": {model: offered()}, **fields})
    day = date(2026, 11, 1)
    assert serves_unnamed(model, provider, catalog=load_catalog(), restrictions=restrictions, today=day) is serves
