"""A small local model's text is an answer only where somebody asked for one; never after a refused key."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import World, answer, failure, provider_models, rate_limited
from servers import connected, text_of

from groq_fallback_mcp.call import AudioLink, AudioRequest, ChatRequest, FailureKind, Restrictions
from groq_fallback_mcp.catalog import Kind, ModelRow, Stage, load_catalog
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.providers.registry import KEY_HINT, build_registry
from groq_fallback_mcp.settings import Settings, load_settings

pytestmark = [pytest.mark.anyio, pytest.mark.fault("A9")]
GROQ = "openai/gpt-oss-20b"
WHISPER = "whisper-large-v3-turbo"
TEXT, SPEECH = "local/smollm2-135m", "local/whisper-tiny.en"
K = FailureKind


def local(*, on_request: bool = True) -> ProviderModels:
    """Local text and speech, as the settings offer them."""
    made = provider_models("local", [TEXT, SPEECH])
    row = ModelRow(id=SPEECH, kind=Kind.SPEECH_TO_TEXT, stage=Stage.PRODUCTION, source="user", checked="2026-11-01")  # type: ignore[arg-type]
    models = {**made.models, SPEECH: ProviderModel(row=row, wire_model=SPEECH)}
    return replace(made, models=models, on_this_machine=True, on_request=frozenset({TEXT} if on_request else ()))


def world(*, on_request: bool = True) -> World:
    """Groq, and the local models behind it."""
    return World([provider_models("groq", [GROQ, WHISPER]), local(on_request=on_request)])


def ask(model: str | None = None, **restrictions: object) -> ChatRequest:
    """A question."""
    return ChatRequest(
        messages=({"role": "user", "content": "hi"},),
        model=model,
        restrictions=Restrictions(**restrictions),  # type: ignore[arg-type]
    )


FAULTS = {
    "limited": rate_limited(300.0),
    "down": failure(K.UNREACHABLE, sent=False),
    "broken": failure(K.SERVER_ERROR, status=500),
    "refused": failure(K.AUTHENTICATION, status=401),
    "restricted": failure(K.ORGANIZATION_REFUSED, status=400),
    "blocked": failure(K.NETWORK_DENIED, status=403),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_local_text_answers_no_call_that_did_not_ask_for_it(fault: str) -> None:
    """Whatever Groq does, the call fails with the reason."""
    made = world()
    made.groq.default = FAULTS[fault]
    result = await made.engine.serve(ask())
    assert isinstance(result, CallFailed)
    assert made.providers["local"].calls == []


async def test_nor_without_a_key_and_the_key_s_fault_is_said_first() -> None:
    """On one line, before the attempts; nothing else is to be done first."""
    made = world()
    made.groq.why_unready = KEY_HINT
    made.groq.default = failure(K.AUTHENTICATION, sent=False)
    made.groq.default = replace(made.groq.default, message=KEY_HINT)
    async with connected(made) as client:
        result = await client.call_tool("groq_chat", {"prompt": "hi"})
    assert result.is_error
    assert text_of(result).splitlines()[0] == "authentication: No Groq API key is set."
    assert "key set" in text_of(result)
    assert made.providers["local"].calls == []


@pytest.mark.parametrize(
    "request_", [ask(local_only=True), ask(providers=("local",)), ask(providers=("groq", "local")), ask(model=TEXT)]
)
async def test_a_call_that_asks_for_local_text_gets_it(request_: ChatRequest) -> None:
    """By local_only, by its provider, by its name."""
    made = world()
    made.groq.default = rate_limited(300.0)
    result = await made.engine.serve(request_)
    assert isinstance(result, Answer)
    assert result.provider == "local"


async def test_a_user_who_switched_local_text_on_gets_it_when_groq_is_down_or_without_a_key() -> None:
    """GROQ_FALLBACK_LOCAL=on, or --local."""
    for fault in ("limited", "down", "broken", "blocked"):
        made = world(on_request=False)
        made.groq.default = FAULTS[fault]
        result = await made.engine.serve(ask())
        assert isinstance(result, Answer), fault
        assert result.provider == "local"
    keyless = world(on_request=False)
    keyless.groq.why_unready = KEY_HINT
    keyless.groq.default = failure(K.AUTHENTICATION, sent=False)
    assert isinstance(await keyless.engine.serve(ask()), Answer)


@pytest.mark.parametrize("fault", ["refused", "restricted"])
async def test_never_after_a_refused_key_even_then(fault: str) -> None:
    """Nor in later calls, while the refusal is remembered."""
    made = world(on_request=False)
    made.groq.default = FAULTS[fault]
    for _ in range(3):
        result = await made.engine.serve(ask())
        assert isinstance(result, CallFailed)
        made.clock.advance(30)
    assert made.providers["local"].calls == []


async def test_a_mended_key_is_found_at_once() -> None:
    """The remembered refusal does not outlive the next try."""
    made = world(on_request=False)
    made.groq.default = FAULTS["refused"]
    await made.engine.serve(ask())
    made.groq.default = answer("from groq")
    result = await made.engine.serve(ask())
    assert isinstance(result, Answer)
    assert result.provider == "groq"


async def test_a_server_that_the_user_runs_answers_after_a_refused_key() -> None:
    """It is an endpoint of config.toml, not our small model."""
    made = World([provider_models("groq", [GROQ]), provider_models("ollama", ["my-model"]), local(on_request=False)])
    made.groq.default = FAULTS["refused"]
    result = await made.engine.serve(ask())
    assert isinstance(result, Answer)
    assert result.provider == "ollama"


@pytest.mark.parametrize("fault", ["limited", "down", "refused"])
async def test_local_speech_stays_the_last_resort_and_says_what_is_wrong_with_the_key(fault: str) -> None:
    """A transcript of a small model is of use; its note comes before the account."""
    made = world()
    made.groq.default = FAULTS[fault]
    result = await made.engine.serve(AudioRequest(audio=AudioLink(url="https://example.com/a.wav")))
    assert isinstance(result, Answer)
    assert result.provider == "local"


@pytest.mark.parametrize(
    ("given", "providers", "on_request"),
    [
        (None, ["groq", "local"], {TEXT}),
        ("auto", ["groq", "local"], {TEXT}),
        ("on", ["groq", "local"], set()),
        ("only", ["local"], set()),
        ("off", ["groq"], None),
    ],
)
def test_the_setting_takes_its_old_and_its_new_values(
    monkeypatch: pytest.MonkeyPatch, given: str | None, providers: list[str], on_request: set[str] | None
) -> None:
    """`auto`, its old default, means speech as a last resort and text on request, as no value does."""
    monkeypatch.setattr("groq_fallback_mcp.providers.local.provider.available_models", lambda gguf=None: (TEXT, SPEECH))
    if given is not None:
        monkeypatch.setenv("GROQ_FALLBACK_LOCAL", given)
    settings: Settings = load_settings(GROQ_API_KEY="gsk_a")
    registry = build_registry(settings, catalog=load_catalog(), clock=World().clock)
    assert list(registry.providers) == providers
    found = next((one.on_request for one in registry.models() if one.name == "local"), None)
    assert found == on_request
