"""The audio routes of the gateway: OpenAI's forms, headers and errors, and what is left of an upload."""

from __future__ import annotations

import io
import os
import tempfile
import wave
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import anyio
import groq
import httpx
import httpx2
import openai
import pytest
from fakes import GROQ_SPEECH_MODELS, VOICES, FakeProvider, World, provider_models, rate_limited
from simulated import simulated_groq
from starlette.applications import Starlette
from starlette.types import ASGIApp
from tone_speech import heard, script, wav

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.call import AudioRequest, Success, Transcript, Usage
from groq_fallback_mcp.cli.gateway import guarded
from groq_fallback_mcp.gateway import audio, uploads
from groq_fallback_mcp.gateway.app import gateway_app
from groq_fallback_mcp.gateway.endpoint import GatewayTimes
from groq_fallback_mcp.settings import load_settings
from groq_fallback_mcp.simulator import Transcribed
from groq_fallback_mcp.tools import Context
from groq_fallback_mcp.tools import transcribe as tool

pytestmark = pytest.mark.anyio

TURBO, LARGE = GROQ_SPEECH_MODELS
ENGLISH, ARABIC = VOICES
TRANSCRIPTIONS, TRANSLATIONS, SPEECH = "/v1/audio/transcriptions", "/v1/audio/translations", "/v1/audio/speech"
SAMPLE = sample_path().read_bytes()
TOKEN = "token-of-this-test-0123456789"
SEGMENT = {"start": 0.0, "end": 4.9, "text": "Hello there.", "avg_logprob": -0.3}
WORDS = ({"start": 0.0, "end": 1.0, "word": "Hello"}, {"start": 1.0, "end": 4.9, "word": "there."})
CONTENT_TYPES = {
    "json": "application/json",
    "verbose_json": "application/json",
    "text": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
SUBTITLES = {
    "text": "Hello there.",
    "srt": "1\n00:00:00,000 --> 00:00:04,900\nHello there.\n",
    "vtt": "WEBVTT\n\n00:00:00.000 --> 00:00:04.900\nHello there.\n",
}


class Ears:
    """Hears the same in everything; `watched` is a folder whose files it lists meanwhile."""

    def __init__(self, watched: Path | None = None) -> None:
        self.watched = watched
        self.found: list[str] = []

    async def transcribe(self, content: bytes, *, language: str | None, translate: bool) -> Transcribed:
        """One sentence of two words."""
        assert content == SAMPLE
        self.found += [] if self.watched is None else os.listdir(self.watched)  # noqa: PTH208 - names only
        return Transcribed(text="Hello there.", duration_s=4.9, segments=(SEGMENT,), words=WORDS)


def hearing(world: World | None = None, *, state: Path | None = None, ears: Any = None) -> tuple[Starlette, World]:
    """The gateway over the simulated Groq, and the world behind it."""
    world = world or World([provider_models("groq", (*GROQ_SPEECH_MODELS, *VOICES), plan="developer")])
    simulated_groq(world, speech=ears or Ears())
    return over(world, state=state), world


def over(world: World, *, state: Path | None = None) -> Starlette:
    """The gateway over a world."""
    context = Context(engine=world.engine, folders=(), **({} if state is None else {"state": state}))
    return gateway_app(context, times=GatewayTimes())


async def sent(app: ASGIApp, path: str = TRANSCRIPTIONS, file: bytes | None = SAMPLE, **fields: Any) -> httpx2.Response:
    """What a form gets."""
    files: Any = {"other": (None, "1")} if file is None else {"file": ("talk.flac", file)}
    async with client_of(app) as client:
        return await client.post(path, data=fields, files=files)


def client_of(app: ASGIApp) -> httpx2.AsyncClient:
    """A client without a socket."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1:8788", headers=headers)


def refusal(got: httpx2.Response) -> Mapping[str, Any]:
    """The error of a response, which has OpenAI's form."""
    error: Mapping[str, Any] = got.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize("form", CONTENT_TYPES)
@pytest.mark.parametrize("prefix", ["", "/openai"])
async def test_a_transcript_comes_in_the_format_asked_for_with_its_content_type(form: str, prefix: str) -> None:
    """With and without Groq's prefix."""
    app, _ = hearing()
    got = await sent(app, prefix + TRANSCRIPTIONS, model=TURBO, response_format=form)
    assert (got.status_code, got.headers["content-type"]) == (200, CONTENT_TYPES[form]), got.text
    if form in SUBTITLES:
        assert got.text == SUBTITLES[form]
    else:
        assert got.json()["text"] == "Hello there."


async def test_json_has_the_text_alone_and_headers_tell_who_answered() -> None:
    """As for chats."""
    app, _ = hearing()
    got = await sent(app, model="whisper-large-v3-turbo")
    assert got.json() == {"text": "Hello there."}
    assert got.headers["x-groq-fallback-model"] == TURBO
    assert got.headers["x-groq-fallback-provider"] == "groq"
    assert got.headers["x-groq-fallback-attempts"] == "1"
    assert float(got.headers["x-groq-fallback-cost-usd"]) > 0
    assert "SIMULATED" in got.headers["x-groq-fallback-notes"]


@pytest.mark.parametrize(
    ("granularities", "has"),
    [((), {"segments"}), (("word",), {"words"}), (("segment",), {"segments"}), (("word", "segment"), {"segments", "words"})],
)
async def test_verbose_json_has_the_times_asked_for(granularities: tuple[str, ...], has: set[str]) -> None:
    """Every field of a segment is there: clients in typed languages fail without one."""
    app, _ = hearing()
    got = await sent(app, response_format="verbose_json", **{"timestamp_granularities[]": list(granularities)})
    value = got.json()
    assert value.keys() - {"segments", "words"} == {"task", "language", "duration", "text"}
    assert value.keys() & {"segments", "words"} == has
    assert (value["task"], value["language"], value["duration"]) == ("transcribe", "english", 4.9)
    for segment in value.get("segments", ()):
        assert {"id": 0, "seek": 0, "tokens": [], "avg_logprob": -0.3}.items() <= segment.items()
        assert {"compression_ratio", "no_speech_prob", "temperature", *SEGMENT} <= segment.keys()
    assert value.get("words", list(WORDS)) == list(WORDS)


async def test_a_translation_is_made_by_the_model_that_can() -> None:
    """And says what it is."""
    app, _ = hearing()
    got = await sent(app, TRANSLATIONS, response_format="verbose_json")
    assert (got.json()["task"], got.headers["x-groq-fallback-model"]) == ("translate", LARGE)


async def test_what_the_form_says_reaches_the_model_and_unknown_fields_do_not() -> None:
    """An empty field counts as omitted."""
    world = World()
    world.groq.default = Success(model=TURBO, transcript=Transcript(text="Hi."), usage=Usage(audio_s=10.0))
    got = await sent(
        over(world), model="groq/whisper-large-v3", language="English", prompt="Grafana", temperature="0.5", stream="", x="1"
    )
    assert got.status_code == 200
    request = world.groq.calls[0].request
    assert isinstance(request, AudioRequest)
    assert (world.groq.asked, request.language, request.prompt, request.temperature) == ([LARGE], "en", "Grafana", 0.5)


async def test_an_address_is_passed_on_and_never_fetched_here() -> None:
    """Groq's own field."""
    app, world = hearing(World())
    world.providers["groq"] = FakeProvider("groq", world.clock)
    world.groq.default = Success(model=TURBO, transcript=Transcript(text="Hi."), usage=Usage(audio_s=10.0))
    assert (await sent(app, file=None, url="https://example.com/talk.mp3")).json() == {"text": "Hi."}


async def test_a_limited_model_gives_way_to_the_other() -> None:
    """The headers count both requests."""
    world = World()
    world.groq.default = Success(model=LARGE, transcript=Transcript(text="Hi."), usage=Usage(audio_s=10.0))
    world.groq.script(TURBO, rate_limited(60.0))
    got = await sent(over(world), model=TURBO)
    assert (got.headers["x-groq-fallback-model"], got.headers["x-groq-fallback-attempts"]) == (LARGE, "2")


async def test_a_model_that_nobody_can_reach_in_time_is_a_429_with_the_time_to_wait() -> None:
    """So that SDKs wait and repeat."""
    world = World()
    for model in GROQ_SPEECH_MODELS:
        world.groq.script(model, rate_limited(600.0))
    got = await sent(over(world), model="auto")
    assert (got.status_code, refusal(got)["code"]) == (429, "rate_limited")
    assert int(got.headers["retry-after"]) > 500


class Listener:
    """Understands speech made of tones, part by part."""

    def __init__(self) -> None:
        self.parts = 0

    async def transcribe(self, content: bytes, *, language: str | None, translate: bool) -> Transcribed:
        """Every word."""
        self.parts += 1
        return await heard(content)


async def test_a_long_recording_is_transcribed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the machinery of the tool transcribe; every word is there once."""
    monkeypatch.setattr(tool, "LONGEST_AT_ONCE_S", 40.0)
    monkeypatch.setattr(tool, "PART_S", 20.0)
    spoken, listener = script(60.0), Listener()
    app, _ = hearing(state=tmp_path, ears=listener)
    got = await sent(app, file=wav(spoken, 60.0), response_format="text")
    assert got.text.split() == [word.word for word in spoken]
    assert int(got.headers["x-groq-fallback-attempts"]) == listener.parts > 2


# (fields, path, the status, param, and words of the error)
REFUSED: tuple[tuple[dict[str, Any], int, str, str], ...] = (
    ({"file": None}, 400, "file", "Send either file or url"),
    ({"url": "https://example.com/a.mp3"}, 400, "file", "Send either file or url"),
    ({"file": None, "url": "http://example.com/a.mp3"}, 400, "url", "begins with 'http', not https"),
    ({"file": None, "url": "https://10.0.0.1/a.mp3"}, 400, "url", "is not a public host name"),
    ({"file": None, "url": "talk.mp3"}, 400, "url", "must be an https address"),
    ({"file": None, "url": "file:///etc/passwd"}, 400, "url", "must be an https address"),
    ({"file": b""}, 400, "file", "'talk.flac' is empty"),
    ({"file": b"API_KEY=abc\n" * 20}, 400, "file", "talk.flac is not a supported audio file"),
    ({"model": "whisper-9"}, 404, "model", "Unknown model 'whisper-9'"),
    ({"model": "openai/gpt-oss-20b"}, 400, "model", "Use /v1/chat/completions, or one of whisper"),
    ({"response_format": "diarized_json"}, 400, "response_format", "Invalid response_format 'diarized_json'. Input should be"),
    ({"temperature": "2"}, 400, "temperature", "Invalid temperature '2'"),
    ({"temperature": "warm"}, 400, "temperature", "Invalid temperature 'warm'"),
    ({"language": "Klingonese"}, 400, "language", "Invalid language 'Klingonese'. Not a language"),
    ({"prompt": "x" * 900}, 400, "prompt", "at most 896 characters"),
    ({"timestamp_granularities[]": ["word", "letter"]}, 400, "timestamp_granularities", "has 'letter'. Use segment, word or"),
)


@pytest.mark.parametrize(("fields", "status", "param", "words"), REFUSED)
async def test_a_wrong_form_is_refused_in_openais_form_with_the_field(
    fields: dict[str, Any], status: int, param: str, words: str
) -> None:
    """Before anything is sent anywhere."""
    world = World()
    got = await sent(over(world), **fields)
    assert (got.status_code, refusal(got)["param"]) == (status, param), got.text
    assert words in refusal(got)["message"]
    assert "allowed folder" not in got.text
    assert world.groq.calls == []


async def test_another_content_type_two_files_or_a_broken_form_are_refused() -> None:
    """Each with what to send."""
    app = over(World())
    async with client_of(app) as client:
        for request, words in (
            ({"json": {"file": "x"}}, "The content type is 'application/json'. Send the recording as multipart/form-data"),
            ({"files": [("file", ("a", b"1")), ("file", ("b", b"2"))]}, "Send one file and at most"),
            ({"files": {"file": ("a", b"1")}, "data": {str(n): "x" for n in range(100)}}, "Send one file and at most"),
            ({"files": {"file": ("a", b"1")}, "data": {"prompt": "x" * 100_000}}, "Send one file and at most"),
            ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, "Missing boundary"),
            ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, "Invalid"),
        ):
            got = await client.post(TRANSCRIPTIONS, **request)  # type: ignore[arg-type]
            assert got.status_code == 400
            assert words in refusal(got)["message"]


def files_open_in(folder: Path) -> list[str]:
    """Files of a folder that this process has open, with a name or without one."""
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]  # noqa: PTH208 - of this process
    return [target for link in links if os.path.lexists(link) and (target := os.readlink(link)).startswith(str(folder))]  # noqa: PTH115


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not list open files")
async def test_an_upload_has_no_name_on_disk_and_is_gone_with_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was answered or refused."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ears = Ears(watched=tmp_path)
    app, _ = hearing(ears=ears)
    assert (await sent(app)).status_code == 200
    assert (await sent(app, file=b"no sound" * 1_000_000)).status_code == 400
    assert (ears.found, list(tmp_path.iterdir()), files_open_in(tmp_path)) == ([], [], [])


async def test_a_client_that_leaves_ends_the_call() -> None:
    """And gets nothing."""
    world, calling, ended = World(), anyio.Event(), anyio.Event()

    async def hang() -> None:
        calling.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    world.groq.before = hang
    messages, _ = await exchanged(over(world), [form_of(SAMPLE)], leaves=calling)
    assert ended.is_set()
    assert messages[0]["status"] == audio.CLIENT_LEFT


async def test_a_client_that_leaves_while_it_sends_is_forgotten() -> None:
    """Without an error in the log."""
    left = anyio.Event()
    left.set()
    messages, _ = await exchanged(over(World()), [form_of(SAMPLE)[:100]], leaves=left, ends=False)
    assert messages[0]["status"] == audio.CLIENT_LEFT


def form_of(content: bytes) -> bytes:
    """A form with one file, as it is on the wire."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="talk.flac"\r\n\r\n'
    return head + content + b"\r\n--b--\r\n"


async def exchanged(
    app: Any, pieces: list[bytes], *, leaves: anyio.Event | None = None, ends: bool = True, drips: bool = False
) -> tuple[list[Any], Mapping[str, Any]]:
    """The messages that answer a form in pieces, and the error they hold; `drips`: the last piece comes again and again."""
    answered: list[Any] = []
    waiting = list(pieces)

    async def receive() -> Any:
        await anyio.lowlevel.checkpoint()
        if waiting:
            piece = waiting[0] if drips and len(waiting) == 1 else waiting.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(waiting) or not ends}
        await (leaves or anyio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answered.append(message)

    headers = [
        (b"host", b"127.0.0.1:8788"),
        (b"content-type", b"multipart/form-data; boundary=b"),
        (b"authorization", f"Bearer {TOKEN}".encode()),
    ]
    scope = {"type": "http", "method": "POST", "path": TRANSCRIPTIONS, "query_string": b"", "headers": headers}
    with anyio.fail_after(20):
        await app(scope, receive, send)
    body = httpx2.Response(200, content=answered[1].get("body", b""))
    return answered, body.json().get("error", {}) if body.content else {}


def behind_guard(world: World) -> Any:
    """The application as the command serves it, with bodies of 1 MiB."""
    context = Context(engine=world.engine, folders=())
    return guarded(context, load_settings(line_mib=1), TOKEN)


async def test_the_guard_lets_a_recording_through_that_is_larger_than_any_other_body() -> None:
    """It is not held in memory."""
    world = World()
    world.groq.default = Success(model=TURBO, transcript=Transcript(text="Hi."), usage=Usage(audio_s=60.0))
    app = behind_guard(world)
    recording = wav([], 60.0)
    assert len(recording) > 1.5 * 1024 * 1024
    assert (await sent(app, file=recording)).json() == {"text": "Hi."}
    assert (await sent(app, "/openai" + TRANSLATIONS, file=recording)).json() == {"text": "Hi."}
    async with client_of(app) as client:
        assert (await client.post(SPEECH, json={"input": "x" * 2_000_000})).status_code == 413
        assert (await client.post(TRANSCRIPTIONS, headers={"authorization": "Bearer wrong"})).status_code == 401


async def test_a_recording_that_is_too_large_is_a_413_as_soon_as_that_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its stated length, by what has come, or by the file itself."""
    monkeypatch.setattr(audio, "largest_recording", lambda _: 1_000)
    monkeypatch.setattr(uploads, "FORM_BYTES", 500)
    app = behind_guard(World())
    got = await sent(app, file=b"x" * 2_000)
    assert (got.status_code, refusal(got)["param"]) == (413, "file")
    assert "larger than 1,000 bytes" in refusal(got)["message"]
    assert (await sent(app, file=b"x" * 1_100)).status_code == 413
    messages, error = await exchanged(app, [form_of(b"")[:80], b"x" * 300], drips=True, ends=False)
    assert (messages[0]["status"], error["code"]) == (413, "file_too_large")


@pytest.mark.parametrize("drips", [False, True])
async def test_a_recording_that_stops_coming_or_only_drips_is_a_408(monkeypatch: pytest.MonkeyPatch, drips: bool) -> None:
    """And leaves nothing behind."""
    monkeypatch.setattr(uploads, "BODY_S" if drips else "PROGRESS_S", 0.1)
    monkeypatch.setattr(uploads, "LEAST_BYTES_PER_S", 1e12)
    messages, error = await exchanged(behind_guard(World()), [form_of(b"")[:80], b"x"], drips=drips, ends=False)
    assert (messages[0]["status"], error["code"]) == (408, "body_timeout")
    assert (b"connection", b"close") in messages[0]["headers"]


async def test_a_disk_that_is_full_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do."""

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("starlette.formparsers.SpooledTemporaryFile", lambda **_: Full())
    got = await sent(over(World()))
    assert got.status_code == 500
    assert refusal(got)["message"].startswith("The upload cannot be stored (No space left on device). Free some space")


async def spoken(app: ASGIApp, **fields: Any) -> httpx2.Response:
    """What a text to speak gets."""
    async with client_of(app) as client:
        return await client.post(SPEECH, json={"model": "canopylabs/orpheus-v1-english", "input": "Hello there"} | fields)


async def test_a_text_is_spoken_as_wav() -> None:
    """With and without a format, a voice and a model."""
    app, _ = hearing()
    for fields in ({"voice": "hannah", "response_format": "wav", "speed": 1.0}, {"voice": None}, {"model": "auto"}):
        got = await spoken(app, **fields)
        assert (got.status_code, got.headers["content-type"]) == (200, "audio/wav"), got.text
        with wave.open(io.BytesIO(got.content)) as found:
            assert found.getnframes() > 0
        assert got.headers["x-groq-fallback-model"] == ENGLISH
        assert float(got.headers["x-groq-fallback-cost-usd"]) > 0


async def test_a_long_text_is_spoken_in_pieces() -> None:
    """In one file; all of them are counted."""
    app, _ = hearing()
    short, long = await spoken(app), await spoken(app, input="One more sentence to say. " * 30)
    assert len(long.content) > 10 * len(short.content)
    assert int(long.headers["x-groq-fallback-attempts"]) == 5
    assert float(long.headers["x-groq-fallback-cost-usd"]) > float(short.headers["x-groq-fallback-cost-usd"])


@pytest.mark.parametrize(
    "fields", [{"model": ARABIC}, {"model": "auto", "voice": "noura"}, {"model": ARABIC, "voice": "fahad"}]
)
async def test_the_language_is_that_of_the_model_or_the_voice(fields: dict[str, str]) -> None:
    """OpenAI's request has no field for it."""
    app, _ = hearing()
    assert (await spoken(app, **fields)).headers["x-groq-fallback-model"] == ARABIC


@pytest.mark.parametrize(
    ("fields", "status", "param", "words"),
    [
        ({"input": ""}, 400, "input", "input must be a text"),
        ({"input": ["a"]}, 400, "input", "input must be a text"),
        ({"input": "x" * 30_000}, 400, "input", "input has 30,000 characters, and 20,000 are allowed"),
        ({"response_format": "mp3"}, 400, "response_format", "response_format is 'mp3', and only wav is supported"),
        ({"response_format": ["mp3"]}, 400, "response_format", "only wav is supported"),
        ({"speed": 2}, 400, "speed", "speed is 2, and only 1 is supported"),
        ({"voice": "alloy"}, 400, "voice", "Unknown voice 'alloy'. Use one of autumn, diana, hannah, austin, daniel, troy"),
        ({"voice": "noura"}, 400, "voice", "Unknown voice 'noura'"),
        ({"voice": {"id": "v"}}, 400, "voice", "must be a text"),
        ({"model": "tts-1"}, 404, "model", "Unknown model 'tts-1'"),
        ({"model": TURBO}, 400, "model", "Use /v1/audio/transcriptions, or one of canopylabs"),
    ],
)
async def test_a_wrong_request_to_speak_is_refused_with_the_field(
    fields: dict[str, Any], status: int, param: str, words: str
) -> None:
    """An unknown voice with those there are."""
    app, _ = hearing()
    got = await spoken(app, **fields)
    assert (got.status_code, refusal(got)["param"]) == (status, param), got.text
    assert words in refusal(got)["message"]


async def test_a_body_that_is_no_object_is_refused() -> None:
    """As for chats."""
    async with client_of(over(World())) as client:
        for body in (b"{", b"[]"):
            assert "JSON" in refusal(await client.post(SPEECH, content=body))["message"]


def in_memory(app: ASGIApp) -> httpx.AsyncClient:
    """What the SDKs send their requests with."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app))


@pytest.fixture
async def by_openai() -> AsyncGenerator[openai.AsyncOpenAI]:
    """OpenAI's own client, which knows nothing but a base URL."""
    app, _ = hearing()
    async with openai.AsyncOpenAI(
        base_url="http://127.0.0.1/v1", api_key="t", max_retries=0, http_client=in_memory(app)
    ) as made:
        yield made


@pytest.fixture
async def by_groq() -> AsyncGenerator[groq.AsyncGroq]:
    """Groq's own client."""
    app, _ = hearing()
    async with groq.AsyncGroq(base_url="http://127.0.0.1", api_key="t", max_retries=0, http_client=in_memory(app)) as made:
        yield made


async def test_openais_client_transcribes_in_every_format(by_openai: openai.AsyncOpenAI) -> None:
    """Each read as its own type."""
    create = by_openai.audio.transcriptions.create
    assert (await create(model=TURBO, file=sample_path())).text == "Hello there."
    verbose = await create(
        model=TURBO, file=sample_path(), response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert (verbose.text, verbose.duration) == ("Hello there.", 4.9)
    assert [word.word for word in verbose.words or ()] == ["Hello", "there."]
    assert [(segment.id, segment.text, segment.tokens) for segment in verbose.segments or ()] == [(0, "Hello there.", [])]
    for form, expected in SUBTITLES.items():
        raw: Any = await create(model=TURBO, file=sample_path(), response_format=form)  # type: ignore[call-overload]
        assert raw == expected


async def test_openais_client_translates_and_speaks(by_openai: openai.AsyncOpenAI) -> None:
    """To English, and to a WAV file."""
    english = await by_openai.audio.translations.create(model=LARGE, file=sample_path())
    assert english.text == "Hello there."
    said = await by_openai.audio.speech.create(model=ENGLISH, voice="troy", input="Hello", response_format="wav")
    assert said.content.startswith(b"RIFF")


async def test_openais_client_raises_its_own_errors(by_openai: openai.AsyncOpenAI) -> None:
    """Bad request and not found, with the field."""
    with pytest.raises(openai.BadRequestError, match="not a supported audio file") as refused:
        await by_openai.audio.transcriptions.create(model=TURBO, file=("notes.wav", b"notes" * 100))
    assert refused.value.param == "file"
    with pytest.raises(openai.NotFoundError, match="Unknown model 'whisper-1'"):
        await by_openai.audio.transcriptions.create(model="whisper-1", file=sample_path())
    with pytest.raises(openai.BadRequestError, match="only wav is supported") as format_refused:
        await by_openai.audio.speech.create(model=ENGLISH, voice="troy", input="Hello", response_format="mp3")
    assert format_refused.value.param == "response_format"
    with pytest.raises(openai.BadRequestError, match="Use one of autumn"):
        await by_openai.audio.speech.create(model=ENGLISH, voice="alloy", input="Hello", response_format="wav")


async def test_groqs_client_transcribes_translates_and_speaks(by_groq: groq.AsyncGroq) -> None:
    """At its own paths."""
    heard = await by_groq.audio.transcriptions.create(model=TURBO, file=sample_path())
    assert heard.text == "Hello there."
    linked = await by_groq.audio.transcriptions.create(model=TURBO, url="https://example.com/talk.mp3")
    assert linked.text
    verbose: Any = await by_groq.audio.transcriptions.create(
        model=TURBO, file=sample_path(), response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert [word["word"] for word in verbose.words] == ["Hello", "there."]
    assert (await by_groq.audio.translations.create(model=LARGE, file=sample_path())).text == "Hello there."
    said = await by_groq.audio.speech.create(model=ENGLISH, voice="troy", input="Hello", response_format="wav")
    assert (await said.read()).startswith(b"RIFF")
    with pytest.raises(groq.BadRequestError, match="Invalid temperature"):
        await by_groq.audio.transcriptions.create(model=TURBO, file=sample_path(), temperature=3)
