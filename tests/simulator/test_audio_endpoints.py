"""Transcription, translation and speech."""

from __future__ import annotations

import io
import wave

import pytest
from simulator.rig import OpenRig, Rig, message, silence

from groq_fallback_mcp.audio.samples import sample_path

pytestmark = pytest.mark.anyio
MEGABYTE = 1_048_576
TEXT = "This is a simulated transcript."
BILLED = "x-ratelimit-remaining-audio-seconds"


async def test_json_is_the_text_and_the_request_id(rig: Rig) -> None:
    """The default."""
    body = (await rig.hear(silence(1))).json()
    assert body["text"] == TEXT
    assert body["x_groq"]["id"].startswith("req_")
    assert set(body) == {"text", "x_groq"}


async def test_text_is_plain(rig: Rig) -> None:
    """And labeled by its header."""
    reply = await rig.hear(silence(1), response_format="text")
    assert (reply.text, reply.headers["x-simulated"]) == (TEXT, "true")
    assert reply.headers["content-type"].startswith("text/plain")


async def test_verbose_json_has_segments_with_all_their_fields(rig: Rig) -> None:
    """Words only where they are asked for; the duration is the recording's."""
    body = (await rig.hear(silence(2.5), response_format="verbose_json", language="de")).json()
    assert (body["task"], body["language"], body["duration"]) == ("transcribe", "de", 2.5)
    assert set(body["segments"][0]) == {
        *("id", "seek", "start", "end", "text", "tokens"),
        *("temperature", "avg_logprob", "compression_ratio", "no_speech_prob"),
    }
    assert "words" not in body


async def test_word_granularity_adds_words_in_order(rig: Rig) -> None:
    """Each with its start and end."""
    fields: dict[str, str | list[str]] = {"timestamp_granularities[]": ["word", "segment"]}
    body = (await rig.hear(silence(1), response_format="verbose_json", **fields)).json()
    assert [row["word"] for row in body["words"]] == TEXT.split()
    assert all(row["start"] < row["end"] for row in body["words"])


async def test_the_length_of_the_sample_is_read_from_its_header(rig: Rig) -> None:
    """FLAC of about five seconds."""
    body = (await rig.hear(sample_path().read_bytes(), name="a.flac", response_format="verbose_json")).json()
    assert body["duration"] == pytest.approx(5, abs=1.5)


@pytest.mark.parametrize(("seconds", "left"), [(0.5, "7190"), (10, "7190"), (25, "7175")])
async def test_ten_seconds_are_billed_at_least(seconds: float, left: str, rig: Rig) -> None:
    """Of 7,200 an hour."""
    assert (await rig.hear(silence(seconds))).headers[BILLED] == left


@pytest.mark.parametrize(("plan", "status"), [("free", 413), ("developer", 200)])
async def test_a_file_beyond_25_mb_is_too_large_for_the_free_plan(plan: str, status: int, open_rig: OpenRig) -> None:
    """The developer plan takes 100 MB; 25 MB to the byte are taken by both."""
    rig = open_rig(latency_scale=0.0, plan=plan)
    content = b"fLaC".ljust(25 * MEGABYTE, b"\0")
    exact = await rig.hear(content, model="whisper-large-v3")
    reply = await rig.hear(content + b"\0", model="whisper-large-v3")
    assert (exact.status_code, reply.status_code) == (200, status)
    if status == 413:
        assert reply.json()["error"]["code"] == "request_too_large"
        assert message(reply) == "Request Entity Too Large"


@pytest.mark.parametrize("content", [b"", b"plain text", b"<html>" * 10])
async def test_what_is_no_audio_is_a_400(content: bytes, rig: Rig) -> None:
    """An empty file too; nothing is billed."""
    assert (await rig.hear(content)).status_code == 400
    assert (await rig.hear(silence(1))).headers[BILLED] == "7190"


async def test_a_link_alone_is_taken(rig: Rig) -> None:
    """The simulator fetches nothing."""
    assert (await rig.hear(None, url="https://elsewhere.invalid/a.mp3")).json()["text"] == TEXT


@pytest.mark.parametrize(("content", "fields"), [(None, {}), (silence(1), {"url": "https://elsewhere.invalid/a.mp3"})])
async def test_file_and_link_exclude_each_other_and_one_is_needed(
    content: bytes | None, fields: dict[str, str], rig: Rig
) -> None:
    """Neither and both are refused."""
    reply = await rig.hear(content, **fields)
    assert (reply.status_code, message(reply)) == (400, "exactly one of `file` and `url` must be given")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"response_format": "srt"}, "response_format must be one of [json text verbose_json]"),
        ({"prompt": "x" * 897}, "prompt must be at most 896 characters"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities requires"),
        ({"timestamp_granularities[]": "line", "response_format": "verbose_json"}, "timestamp_granularities must be"),
        ({"model": "openai/gpt-oss-20b"}, "The model `openai/gpt-oss-20b` does not support audio transcription"),
    ],
)
async def test_what_groq_does_not_take_is_a_400(fields: dict[str, str], words: str, rig: Rig) -> None:
    """Subtitles, long prompts, word times without verbose_json, chat models."""
    reply = await rig.hear(silence(1), **fields)
    assert reply.status_code == 400
    assert message(reply).startswith(words)


async def test_a_prompt_of_896_characters_is_taken(rig: Rig) -> None:
    """The longest there is."""
    assert (await rig.hear(silence(1), prompt="x" * 896)).status_code == 200


async def test_only_whisper_large_v3_translates(rig: Rig) -> None:
    """The turbo model does not."""
    good = await rig.hear(silence(1), path="translations", model="whisper-large-v3", response_format="verbose_json")
    bad = await rig.hear(silence(1), path="translations", model="whisper-large-v3-turbo")
    assert (good.status_code, good.json()["task"]) == (200, "translate")
    assert (bad.status_code, message(bad)) == (400, "The model `whisper-large-v3-turbo` does not support translation")


async def test_speech_is_a_valid_wav_as_long_as_its_text(rig: Rig) -> None:
    """About fifteen characters a second."""
    reply = await rig.speak(input="x" * 150)
    with wave.open(io.BytesIO(reply.content)) as audio:
        assert audio.getnframes() / audio.getframerate() == pytest.approx(10)
    assert (reply.headers["content-type"], reply.headers["x-simulated"]) == ("audio/wav", "true")
    assert reply.headers["x-ratelimit-remaining-tokens"] == "1050"


@pytest.mark.parametrize("voice", ["autumn", "diana", "hannah", "austin", "daniel", "troy"])
async def test_english_speech_has_six_voices(voice: str, rig: Rig) -> None:
    """Each of them speaks."""
    assert (await rig.speak(voice=voice, response_format="wav")).status_code == 200


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"voice": "nobody"}, "voice must be one of [autumn diana hannah austin daniel troy]"),
        ({"input": "x" * 201}, "input must be at most 200 characters"),
        ({"input": ""}, "'input' : value must be a string that is not empty"),
        ({"input": 3}, "'input' : value must be a string that is not empty"),
        ({"response_format": "mp3"}, "response_format must be one of [wav]"),
        ({"sample_rate": 11_025}, "sample_rate must be one of [8000 16000 22050 24000 32000 44100 48000]"),
        ({"speed": 0.4}, "speed must be between 0.5 and 5"),
        ({"speed": "fast"}, "speed must be between 0.5 and 5"),
        ({"model": "whisper-large-v3"}, "The model `whisper-large-v3` does not support speech"),
    ],
)
async def test_speech_that_cannot_be_is_a_400(fields: dict[str, object], words: str, rig: Rig) -> None:
    """Foreign voices, long texts, other formats and models."""
    reply = await rig.speak(**fields)
    assert (reply.status_code, message(reply)) == (400, words)


@pytest.mark.parametrize(
    ("fields", "rate", "seconds"),
    [({}, 24_000, 2.0), ({"sample_rate": 8_000}, 8_000, 2.0), ({"speed": 2, "sample_rate": 48_000}, 48_000, 1.0)],
)
async def test_speech_has_the_rate_and_speed_asked_for(fields: dict[str, object], rate: int, seconds: float, rig: Rig) -> None:
    """Thirty characters take two seconds at the usual speed."""
    with wave.open(io.BytesIO((await rig.speak(input="x" * 30, **fields)).content)) as audio:
        assert (audio.getframerate(), audio.getnframes() / audio.getframerate()) == (rate, seconds)


async def test_200_characters_are_spoken(rig: Rig) -> None:
    """The longest there are."""
    assert (await rig.speak(input="x" * 200)).status_code == 200


async def test_a_form_that_is_none_is_a_400_in_groqs_form(rig: Rig) -> None:
    """Multipart without a boundary."""
    headers = rig.headers | {"content-type": "multipart/form-data"}
    reply = await rig.client.post("/openai/v1/audio/transcriptions", content=b"x", headers=headers)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")
