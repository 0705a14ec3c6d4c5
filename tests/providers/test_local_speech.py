"""What the local speech model serves, refuses and survives; the model itself is a stand-in here."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from dataclasses import replace as changed
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import candidate

from groq_fallback_mcp.call import AudioFile, AudioLink, AudioRequest, Failure, FailureKind, Success
from groq_fallback_mcp.command import install_command
from groq_fallback_mcp.providers.local import provider as local_provider
from groq_fallback_mcp.providers.local.provider import LocalProvider
from groq_fallback_mcp.providers.local.speech import LocalSpeech, NotDecodableError, TooLongError

pytestmark = pytest.mark.anyio

REQUEST = AudioRequest(audio=AudioFile(name="a.flac", content=b"fLaC", media_type="audio/flac", duration_s=2.0))


@dataclass
class FakeWhisper:
    """Says two segments; remembers how it was asked."""

    options: dict[str, Any] = field(default_factory=dict[str, Any])
    at_work: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    blocking: bool = False
    segments_made: int = 0

    def transcribe(self, audio: Any, **options: Any) -> tuple[Any, Any]:
        self.options = options
        return self._segments(), None

    def _segments(self) -> Any:
        for start, text in ((0.0, " Hello"), (1.0, " there.")):
            self.at_work.set()
            if self.blocking:
                assert self.go_on.wait(10)
            self.segments_made += 1
            words = [SimpleNamespace(start=start, end=start + 0.5, word=text)]
            yield SimpleNamespace(start=start, end=start + 1.5, text=text, words=words)


def speech(engine: FakeWhisper, *, decode: Any = lambda audio, stopped: [0.0] * 32_000) -> LocalSpeech:
    """Local speech of a stand-in engine that hears two seconds."""
    return LocalSpeech(find=lambda: Path("model"), load=lambda folder: engine, decode=decode)


async def test_a_recording_is_written_down_with_times_within_it() -> None:
    """The model's times are cut at the end of the recording, 2 s."""
    outcome = await speech(FakeWhisper()).transcribe(REQUEST)

    assert isinstance(outcome, Success)
    assert outcome.model == "local/whisper-tiny.en"
    assert outcome.usage.audio_s == 2.0
    assert outcome.transcript is not None
    assert outcome.transcript.text == "Hello there."
    assert [(s.start, s.end, s.text) for s in outcome.transcript.segments] == [(0.0, 1.5, "Hello"), (1.0, 2.0, "there.")]
    assert outcome.transcript.words == ()


async def test_words_prompt_and_temperature_reach_the_model() -> None:
    """Under the names it has for them."""
    engine = FakeWhisper()

    outcome = await speech(engine).transcribe(changed(REQUEST, words=True, prompt="Greetings", temperature=0.4))

    assert isinstance(outcome, Success)
    assert outcome.transcript is not None
    assert [w.word for w in outcome.transcript.words] == ["Hello", "there."]
    assert engine.options == {
        "language": "en",
        "word_timestamps": True,
        "initial_prompt": "Greetings",
        "temperature": 0.4,
        "vad_filter": True,
    }


@pytest.mark.parametrize("language", [None, "en", "EN", "en-GB", "en_US", "english"])
async def test_english_by_any_name_is_served(language: str | None) -> None:
    """And so is a request that names no language."""
    assert isinstance(await speech(FakeWhisper()).transcribe(changed(REQUEST, language=language)), Success)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (changed(REQUEST, language="de"), "only English, not 'de'"),
        (changed(REQUEST, translate=True), "does not translate"),
        (changed(REQUEST, audio=AudioLink(url="https://example.com/a.wav")), "does not fetch URLs"),
        (changed(REQUEST, audio=AudioFile(name="a", content=b"x", media_type="audio/wav", duration_s=1801.0)), "1800 s"),
    ],
    ids=["language", "translation", "link", "length"],
)
async def test_what_the_model_cannot_do_is_refused_before_it_is_loaded(request_: AudioRequest, says: str) -> None:
    """As unsupported here, so that another provider can be asked."""

    def load(folder: Path) -> FakeWhisper:
        pytest.fail("the model was loaded")

    outcome = await LocalSpeech(find=lambda: Path("model"), load=load).transcribe(request_)

    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.sent) == (FailureKind.UNSUPPORTED, False)
    assert says in outcome.message


@pytest.mark.parametrize(
    ("error", "kind"), [(NotDecodableError("junk"), FailureKind.BAD_REQUEST), (TooLongError(), FailureKind.UNSUPPORTED)]
)
async def test_audio_that_cannot_be_decoded_is_a_failure_not_an_exception(error: Exception, kind: FailureKind) -> None:
    """Nothing of the decoder's errors gets past the provider."""

    def decode(audio: AudioFile, stopped: Any) -> Any:
        raise error

    outcome = await speech(FakeWhisper(), decode=decode).transcribe(REQUEST)

    assert isinstance(outcome, Failure)
    assert outcome.kind is kind


async def test_a_model_that_is_not_installed_says_how_to_install_it() -> None:
    """It blocks the model, not the provider."""
    outcome = await LocalSpeech(find=lambda: None).transcribe(REQUEST)

    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.MODEL_BLOCKED
    assert install_command("local") in outcome.message


async def test_the_model_is_loaded_once() -> None:
    """At the first request, not before and not again."""
    loaded: list[Path] = []
    engine = FakeWhisper()

    def load(folder: Path) -> FakeWhisper:
        loaded.append(folder)
        return engine

    local = LocalSpeech(find=lambda: Path("model"), load=load, decode=lambda audio, stopped: [0.0])
    assert loaded == []
    await local.transcribe(REQUEST)
    await local.transcribe(REQUEST)

    assert loaded == [Path("model")]


async def test_a_deadline_is_kept_while_the_model_computes_and_its_work_stops_at_the_next_segment() -> None:
    """The caller hears of the time-out at once; the second segment is never finished into a result."""
    engine = FakeWhisper(blocking=True)
    provider = LocalProvider(speech=speech(engine))

    outcome = await provider.transcribe(REQUEST, candidate("whisper-tiny.en"), timeout_s=0.5)
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.TIMED_OUT
    assert engine.at_work.is_set()
    engine.go_on.set()
    await provider.aclose()

    assert engine.segments_made == 1


async def test_a_recording_that_was_given_up_still_keeps_the_next_one_waiting() -> None:
    """One thread of computation, however many callers come and go."""
    engine = FakeWhisper(blocking=True)
    decoded: list[str] = []

    def decode(audio: AudioFile, stopped: Any) -> Any:
        decoded.append(audio.name)
        return [0.0]

    provider = LocalProvider(speech=speech(engine, decode=decode))
    for _ in range(3):
        outcome = await provider.transcribe(REQUEST, candidate("whisper-tiny.en"), timeout_s=0.3)
        assert isinstance(outcome, Failure)
        assert outcome.kind is FailureKind.TIMED_OUT
    assert decoded == ["a.flac"]
    engine.go_on.set()
    outcome = await provider.transcribe(REQUEST, candidate("whisper-tiny.en"), timeout_s=10)

    assert isinstance(outcome, Success)
    assert decoded == ["a.flac", "a.flac"]


async def test_after_closing_requests_are_refused() -> None:
    """Nothing is loaded again behind the back of whoever closed it."""
    local = speech(FakeWhisper())
    await local.transcribe(REQUEST)
    await local.aclose()

    outcome = await local.transcribe(REQUEST)

    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.sent) == (FailureKind.CANCELLED, False)


@dataclass
class SlowWhisper:
    """A segment each `pause_s` seconds."""

    pause_s: float
    segments: int

    def transcribe(self, audio: Any, **options: Any) -> tuple[Any, Any]:
        return self._segments(), None

    def _segments(self) -> Any:
        for number in range(self.segments):
            time.sleep(self.pause_s)
            yield SimpleNamespace(start=float(number), end=number + 1.0, text=f" {number}", words=None)


@pytest.mark.fault("B26")
async def test_a_slow_model_is_given_time_as_long_as_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight segments of 0.1 s, where 0.5 s without one would be too long."""
    monkeypatch.setattr(local_provider, "STALLED_S", 0.5)
    slow = LocalSpeech(find=lambda: Path("m"), load=lambda _: SlowWhisper(0.1, 8), decode=lambda *_: [0.0] * 160_000)
    provider = LocalProvider(speech=slow)
    outcome = await provider.transcribe(REQUEST, candidate("whisper-tiny.en"), timeout_s=30)
    assert isinstance(outcome, Success)
    await provider.aclose()


@pytest.mark.fault("B26")
async def test_a_model_that_makes_no_progress_is_given_up_before_the_job_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """As timed out; and whoever waits for its turn meanwhile is not stuck."""
    monkeypatch.setattr(local_provider, "STALLED_S", 0.2)
    engine = FakeWhisper(blocking=True)
    provider = LocalProvider(speech=speech(engine))
    outcome = await provider.transcribe(REQUEST, candidate("whisper-tiny.en"), timeout_s=30)
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.TIMED_OUT
    assert "no progress" in outcome.message
    waiting = await provider.transcribe(REQUEST, candidate("whisper-tiny.en"), timeout_s=0.6)
    assert isinstance(waiting, Failure)
    assert "took longer than 0.6 s" in waiting.message
    engine.go_on.set()
    await provider.aclose()


@pytest.mark.fault("C9")
async def test_what_the_model_says_of_its_segments_is_kept() -> None:
    """And silence is not given to it at all."""
    figures = {"no_speech_prob": 0.1, "avg_logprob": -0.2, "compression_ratio": 1.1, "temperature": 0.0}
    engine = FakeWhisper()
    engine._segments = lambda: [SimpleNamespace(start=0.0, end=1.0, text=" Hello", words=None, **figures)]  # type: ignore[method-assign]
    outcome = await speech(engine).transcribe(REQUEST)
    assert isinstance(outcome, Success)
    assert outcome.transcript is not None
    assert {name: getattr(outcome.transcript.segments[0], name) for name in figures} == figures
    assert engine.options["vad_filter"] is True
