"""Recordings as people hand them over, through the real server in memory against the simulated Groq."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import av
import pytest
from corpus.make_recordings import make
from fakes import GROQ_SPEECH_MODELS, World, provider_models
from servers import connected, text_of
from simulated import simulated_groq
from tone_speech import heard, script

from groq_fallback_mcp.audio import pcm
from groq_fallback_mcp.simulator import Transcribed
from groq_fallback_mcp.tools import transcribe as tool

pytestmark = pytest.mark.anyio
ROWS: Sequence[Mapping[str, Any]] = json.loads((Path(__file__).parent / "recordings.json").read_text(encoding="utf-8"))["cases"]
PART_S, LONG_S = 20.0, 40.0


class Ears:
    """Hears whatever Groq's decoder would: words of FLAC, the length of everything; or what a row says that it hears."""

    def __init__(self, said: Mapping[str, Any] | None) -> None:
        self.said = said
        self.seconds: list[float] = []
        self.begun_with: list[bytes] = []

    async def transcribe(self, content: bytes, *, language: str | None, translate: bool) -> Transcribed:
        """Every word."""
        self.begun_with.append(content[:4])
        self.seconds.append(await anyio.to_thread.run_sync(length_s, content))
        if self.said is not None:
            return Transcribed(text=self.said["text"], segments=self.said["segments"], words=self.said.get("words", ()))
        if not content.startswith(b"fLaC"):
            return Transcribed(text="heard", duration_s=self.seconds[-1])
        return await heard(content)


def length_s(content: bytes) -> float:
    """Seconds of sound that FFmpeg finds. ValueError for none."""
    seconds = 0.0
    with suppress(av.FFmpegError), av.open(io.BytesIO(content), metadata_errors="ignore") as container:
        for frame in container.decode(audio=0):
            seconds += frame.samples / frame.sample_rate
    if not seconds:
        message = "no sound"
        raise ValueError(message)
    return seconds


def marked() -> list[Any]:
    """Each row, with its fault as a mark."""
    return [pytest.param(row, id=row["id"], marks=pytest.mark.fault(row["row"])) for row in ROWS]


def test_there_are_rows_for_each_fault_of_recordings() -> None:
    """Each with a source, and none twice."""
    assert len(ROWS) >= 60
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    assert {row["row"] for row in ROWS} >= {"A6", "B6", "B22", "B23", "B24", "B25", "C9", "C10"}
    assert all(row["source"] == "neighbor" or row["source"].startswith("https://") for row in ROWS)


@pytest.mark.parametrize("row", marked())
async def test_a_recording_is_transcribed_or_refused_in_clear_words(
    row: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the row expects it."""
    (tmp_path / "project").mkdir()
    path = tmp_path / "project" / row.get("name", "recording")
    path.write_bytes(make(row["make"]))
    monkeypatch.setattr(tool, "LONGEST_AT_ONCE_S", LONG_S)
    monkeypatch.setattr(tool, "PART_S", PART_S)
    if not row.get("extra", True):
        monkeypatch.setattr(pcm, "find_spec", lambda name: None)
    world = World([provider_models("groq", GROQ_SPEECH_MODELS, plan="developer")])
    ears = Ears(row.get("hears"))
    app = simulated_groq(world, speech=ears)
    async with connected(world, folders=(path.parent,), state=tmp_path / "state") as client:
        result = await client.call_tool("transcribe", {"file": path.name, **row.get("arguments", {})})
    text, found, expected = text_of(result), dict(result.structured_content or {}), row["expect"]
    if "refused" in expected:
        assert result.is_error, text
        assert not ears.seconds
        assert not app.state.world.calls
        assert expected["refused"] in text
        assert all(words in text for words in expected.get("and", ()))
        return
    if "failed" in expected:
        assert result.is_error, text
        assert expected["failed"] in text
        return
    assert not result.is_error, text
    check(expected, text, found, ears)


def check(expected: Mapping[str, Any], text: str, found: Mapping[str, Any], ears: Ears) -> None:
    """Each expectation by its name."""
    for name, value in expected.items():
        if name != "within":
            assert CHECKS[name](value, found, ears, expected), (name, text)


def _times(name: str) -> Callable[..., bool]:
    return lambda value, found, ears, expected: [[row["start"], row["end"]] for row in found[name]] == value


CHECKS: Mapping[str, Callable[..., bool]] = {
    "seconds": lambda value, found, ears, expected: abs(found["audio_s"] - value) <= expected.get("within", 0.3),
    "words_of": lambda value, found, ears, expected: found["text"].split() == [word.word for word in script(value)],
    "parts": lambda value, found, ears, expected: (
        found.get("parts", 1) >= value and all(seconds <= PART_S + 3 for seconds in ears.seconds)
    ),
    "sent": lambda value, found, ears, expected: ears.begun_with == [bytes.fromhex(value)],
    "note": lambda value, found, ears, expected: value in " ".join(found.get("notes", ())),
    "no_note": lambda value, found, ears, expected: value not in " ".join(found.get("notes", ())),
    "text": lambda value, found, ears, expected: found["text"] == value,
    "output": lambda value, found, ears, expected: found["output"] == value,
    "segments": _times("segments"),
    "words": _times("words"),
}
