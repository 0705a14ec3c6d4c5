"""transcribe: every format, both sources, and what an agent is told about the result."""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import World, provider_models, rate_limited
from servers import connected, text_of

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.call import AudioFile, AudioLink, AudioRequest, AudioSegment, AudioWord, Success, Transcript, Usage
from groq_fallback_mcp.cli import calls
from groq_fallback_mcp.tools import Context
from groq_fallback_mcp.tools.result_bound import FOLDER as RESULTS
from groq_fallback_mcp.tools.save_to import SaveTo

pytestmark = pytest.mark.anyio
TURBO, LARGE = "whisper-large-v3-turbo", "whisper-large-v3"
HEARD = Success(
    model=TURBO,
    transcript=Transcript(
        text="Hello there.",
        language="english",
        duration_s=4.9,
        segments=(AudioSegment(start=0.0, end=4.9, text="Hello there."),),
        words=(AudioWord(start=0.0, end=1.0, word="Hello"), AudioWord(start=1.0, end=4.9, word="there.")),
    ),
    usage=Usage(audio_s=10.0),
)


def hearing(*offers: object) -> World:
    """A world in which everything is understood."""
    world = World(offers or None)  # type: ignore[arg-type]
    world.groq.default = HEARD
    return world


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An allowed folder with the speech sample."""
    shutil.copy(sample_path(), tmp_path / "speech.flac")
    return tmp_path


@pytest.mark.parametrize(
    ("form", "start"),
    [
        ("text", "Hello there.\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:04,900\nHello there.\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:04.900\nHello there.\n"),
    ],
)
async def test_the_text_is_the_transcript_in_the_format_asked_for(folder: Path, form: str, start: str) -> None:
    """With one line about model, length and time after it."""
    async with connected(hearing(), folders=(folder,)) as client:
        result = await client.call_tool("transcribe", {"file": "speech.flac", "format": form})
    assert text_of(result).startswith(start)
    assert f"[groq/{TURBO}, 4.9 s of audio" in text_of(result)
    assert result.structured_content is not None
    assert result.structured_content["text"] == "Hello there."
    assert result.structured_content["cost_usd"] == "0.000111"


@pytest.mark.parametrize("form", ["json", "verbose_json"])
async def test_json_formats_are_json_in_the_text_too(folder: Path, form: str) -> None:
    """Segments in the verbose one."""
    async with connected(hearing(), folders=(folder,)) as client:
        result = await client.call_tool("transcribe", {"file": "speech.flac", "format": form})
    value = json.loads(text_of(result))
    assert value["text"] == "Hello there."
    assert ("segments" in value) == (form == "verbose_json")


async def test_words_come_with_their_times(folder: Path) -> None:
    """In text and structured content."""
    world = hearing()
    async with connected(world, folders=(folder,)) as client:
        result = await client.call_tool("transcribe", {"file": "speech.flac", "timestamps": "word"})
    assert "1.00-4.90 there." in text_of(result)
    assert result.structured_content is not None
    assert [word["word"] for word in result.structured_content["words"]] == ["Hello", "there."]
    call = world.groq.calls[0]
    assert isinstance(call.request, AudioRequest)
    assert call.request.words
    assert isinstance(call.request.audio, AudioFile)
    assert call.request.audio.duration_s == pytest.approx(4.925, abs=0.01)


def hearing_much() -> tuple[World, str]:
    """A world in which more is understood than clients pass on, and what that is."""
    assert HEARD.transcript is not None
    text = "word " * 20_000 + "end"
    world = hearing()
    world.groq.default = replace(HEARD, transcript=replace(HEARD.transcript, text=text))
    return world, text


async def test_a_command_line_gets_a_transcript_of_any_length(folder: Path) -> None:
    """It is piped on: half of it would look like all of it."""
    world, text = hearing_much()
    context = Context(engine=world.engine, folders=(folder,), state=folder / "state")
    reply = await calls.call("transcribe", {"file": "speech.flac"}, context)
    assert reply.body == text
    assert not (folder / "state" / RESULTS).exists()


async def test_a_long_transcript_is_shown_in_part_where_it_cannot_be_kept(folder: Path) -> None:
    """An error would hide what was paid for."""
    world, _ = hearing_much()
    (folder / "state").write_text("no folder")
    async with connected(world, folders=(folder,), state=folder / "state") as client:
        result = await client.call_tool("transcribe", {"file": "speech.flac"})
    assert not result.is_error
    assert text_of(result).startswith("word word")
    assert "the rest is lost" in text_of(result)


async def test_words_are_no_text_of_the_last_caption(folder: Path) -> None:
    """They are in the result."""
    async with connected(hearing(), folders=(folder,)) as client:
        given = {"file": "speech.flac", "timestamps": "word", "format": "srt", "save_to": "a.srt"}
        result = await client.call_tool("transcribe", given)
    assert (folder / "a.srt").read_text() == "1\n00:00:00,000 --> 00:00:04,900\nHello there.\n"
    assert "1.00-4.90 there." in text_of(result)
    world = hearing()
    assert HEARD.transcript is not None
    many, tmp_state = HEARD.transcript.segments * 300, folder / "state"
    world.groq.default = replace(HEARD, transcript=replace(HEARD.transcript, segments=many))
    async with connected(world, folders=(folder,), state=tmp_state) as client:
        result = await client.call_tool("transcribe", given | {"save_to": "b.srt"})
    assert dict(result.structured_content or {})["cut"]
    (words,) = (tmp_state / RESULTS).glob("words-*")
    assert words.read_text() == "0.00-1.00 Hello\n1.00-4.90 there.\n"
    assert str(words) in text_of(result)


async def test_a_transcript_that_cannot_be_saved_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was paid for, and a folder that is full or taken meanwhile is found out at the end only."""

    async def taken_meanwhile(self: SaveTo, context: Context) -> None:
        del context
        (folder / self.path).write_text("of another")

    monkeypatch.setattr(SaveTo, "check", taken_meanwhile)
    async with connected(hearing(), folders=(folder,), state=folder / "state") as client:
        result = await client.call_tool("transcribe", {"file": "speech.flac", "save_to": "a.txt"})
    assert result.is_error
    (kept,) = (folder / "state" / RESULTS).iterdir()
    assert kept.read_text() == "Hello there.\n"
    assert f"'a.txt' already exists. The result is in {kept} for a week" in text_of(result)
    assert (folder / "a.txt").read_text() == "of another"


async def test_a_link_is_passed_on_and_never_fetched_here() -> None:
    """With language and prompt."""
    world = hearing()
    arguments = {"url": "https://example.com/talk.mp3", "language": "de", "prompt": "Grafana"}
    async with connected(world) as client:
        assert not (await client.call_tool("transcribe", arguments)).is_error
    call = world.groq.calls[0]
    assert isinstance(call.request, AudioRequest)
    assert call.request.audio == AudioLink(url="https://example.com/talk.mp3")
    assert (call.request.language, call.request.prompt) == ("de", "Grafana")


async def test_translation_goes_to_the_model_that_can(folder: Path) -> None:
    """whisper-large-v3."""
    world = hearing()
    async with connected(world, folders=(folder,)) as client:
        await client.call_tool("transcribe", {"file": "speech.flac", "translate": True})
    assert world.groq.asked == [LARGE]


async def test_a_limited_whisper_gives_way_to_the_other(folder: Path) -> None:
    """The attempts are told."""
    world = hearing()
    world.groq.script(TURBO, rate_limited(60.0))
    async with connected(world, folders=(folder,)) as client:
        result = await client.call_tool("transcribe", {"file": "speech.flac"})
    assert f"groq/{TURBO}: rate limited (HTTP 429)" in text_of(result)
    assert result.structured_content is not None
    assert (result.structured_content["model"], result.structured_content["fallback"]) == (LARGE, True)


async def test_subtitles_of_a_transcript_without_times_are_one_caption(folder: Path) -> None:
    """Still a valid file."""
    world = hearing()
    world.groq.default = Success(model="m", transcript=Transcript(text="Hello."), usage_reported=False)
    async with connected(world, folders=(folder,)) as client:
        text = text_of(await client.call_tool("transcribe", {"file": "speech.flac", "format": "srt"}))
    assert text.startswith("1\n00:00:00,000 --> 00:00:01,000\nHello.\n")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.wav", b"", "empty"),
        ("notes.wav", b"API_KEY=abc\n" * 20, "notes.wav"),
        ("huge.wav", b"RIFF" + b"x" * (26 * 1_048_576), "huge.wav"),
    ],
)
async def test_files_that_cannot_be_transcribed_are_refused_before_a_byte_is_sent(
    folder: Path, name: str, content: bytes, words: str
) -> None:
    """Empty, not audio by content, too large."""
    (folder / name).write_bytes(content)
    world = hearing_with_limit()
    async with connected(world, folders=(folder,)) as client:
        result = await client.call_tool("transcribe", {"file": name})
    assert result.is_error
    assert world.groq.calls == []
    assert words in text_of(result)
    assert "API_KEY" not in text_of(result)


def hearing_with_limit() -> World:
    """A world whose whisper takes 25 MB."""
    world = hearing()
    groq = world.offers[0]
    limited = {name: replace(offered, upload_mb=25) for name, offered in groq.models.items()}
    world.engine.registry._models = (replace(groq, models=limited),)
    return world


async def test_a_file_too_large_for_groq_goes_to_a_provider_without_that_limit(folder: Path) -> None:
    """Such as a whisper of one's own."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    (folder / "long.wav").write_bytes(b"RIFF\0\0\0\0WAVEfmt " + form + b"data\0\0\0\0" + b"\x01\x00" * (13 * 1_048_576))
    world = hearing(provider_models("groq", [TURBO]), provider_models("mine", [LARGE]))
    groq = world.offers[0]
    limited = {name: replace(offered, upload_mb=25) for name, offered in groq.models.items()}
    world.engine.registry._models = (replace(groq, models=limited), world.offers[1])
    world.providers["mine"].default = HEARD
    async with connected(world, folders=(folder,)) as client:
        result = await client.call_tool("transcribe", {"file": "long.wav"})
    assert not result.is_error, text_of(result)
    assert (world.groq.calls, world.providers["mine"].asked) == ([], [LARGE])


async def test_files_outside_the_allowed_folders_are_refused_like_missing_ones(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing tells whether they exist."""
    outside = tmp_path_factory.mktemp("outside") / "secret.flac"
    shutil.copy(sample_path(), outside)
    world = hearing()
    async with connected(world, folders=(folder,)) as client:
        there = text_of(await client.call_tool("transcribe", {"file": str(outside)}))
        missing = text_of(await client.call_tool("transcribe", {"file": str(outside.with_name("nothere.flac"))}))
    assert there.replace("secret", "nothere") == missing
    assert world.groq.calls == []
