"""A recording as parts on disk."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tone_speech import encoded, hear, script, wav

from groq_fallback_mcp.audio import parts as audio_parts
from groq_fallback_mcp.audio.parts import OVERLAP_S, Part, TooLongError, find_cut, split
from groq_fallback_mcp.audio.pcm import SAMPLE_RATE, AbandonedError, Damage, NotDecodableError, decoded

SPEECH, SILENCE = -20.0, -70.0


def parted(source: io.BytesIO, media_type: str, folder: Path, **options: Any) -> tuple[Part, ...]:
    """The parts alone."""
    return split(source, media_type, folder, **options).parts


def test_parts_cover_the_whole_overlap_a_little_and_are_private(tmp_path: Path) -> None:
    """Each fits where it is sent."""
    found = parted(io.BytesIO(wav(script(100), 100)), "audio/wav", tmp_path, stopped=lambda: False, part_s=30)
    assert found[0].start_s == 0
    assert found[-1].until_s == found[-1].end_s == pytest.approx(100, abs=0.1)
    for left, right in pairwise(found):
        assert 15 <= left.until_s - max(left.start_s - OVERLAP_S, 0) <= 32
        assert left.end_s == pytest.approx(left.until_s + OVERLAP_S)
        assert right.start_s == pytest.approx(left.until_s - OVERLAP_S)
    for part in found:
        path = tmp_path / part.file
        assert path.stat().st_mode & 0o777 == 0o600
        assert hear(path.read_bytes()).duration_s == pytest.approx(part.end_s - part.start_s, abs=0.01)


@pytest.mark.parametrize(
    ("form", "codec", "media_type"),
    [("ogg", "libopus", "audio/ogg"), ("mp3", "libmp3lame", "audio/mpeg"), ("flac", "flac", "audio/flac")],
)
def test_other_containers_are_decoded(tmp_path: Path, form: str, codec: str, media_type: str) -> None:
    """Whatever Groq takes."""
    content = encoded(script(40), 40, form, codec)
    found = parted(io.BytesIO(content), media_type, tmp_path, stopped=lambda: False, part_s=20)
    assert found[-1].end_s == pytest.approx(40, abs=0.2)


def test_a_rest_too_short_for_a_part_is_added_to_the_last(tmp_path: Path) -> None:
    """Half a second alone is hard to understand."""
    found = parted(io.BytesIO(wav(script(20.4), 20.4)), "audio/wav", tmp_path, stopped=lambda: False, part_s=20)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("form", "codec", "media_type"),
    [("mp3", "libmp3lame", "audio/mpeg"), ("ogg", "libopus", "audio/ogg"), ("flac", "flac", "audio/flac")],
)
def test_damage_in_the_middle_costs_what_is_damaged_only_and_is_told(
    tmp_path: Path, form: str, codec: str, media_type: str
) -> None:
    """What cannot be read must not go missing silently."""
    content = bytearray(encoded(script(60), 60, form, codec))
    middle = len(content) // 2
    content[middle : middle + 30_000] = b"\x00" * 30_000
    found = split(io.BytesIO(bytes(content)), media_type, tmp_path, stopped=lambda: False, part_s=20)
    assert found.parts[-1].end_s > 45
    assert found.unread_s >= 1
    sound = split(io.BytesIO(encoded(script(60), 60, form, codec)), media_type, tmp_path, stopped=lambda: False, part_s=20)
    assert sound.unread_s == 0


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(b"RIFF\x00\x00\x00\x00WAVE", "audio/wav"), (b"#EXTM3U\nhttp://x", "audio/mpeg"), (b"x", "text/html")],
)
def test_what_is_no_audio_is_said_to_be_none(tmp_path: Path, content: bytes, media_type: str) -> None:
    """And nothing it names is opened."""
    with pytest.raises(NotDecodableError):
        parted(io.BytesIO(content), media_type, tmp_path, stopped=lambda: False)


@pytest.mark.parametrize("codec", ["adpcm_ms", "adpcm_ima_wav"])
@pytest.mark.parametrize("block", [0, 20, 100])
def test_a_bad_block_of_compressed_wav_costs_no_more_than_its_neighbors(codec: str, block: int) -> None:
    """The decoder drops the rest of the packet it came in: a large one would be seconds of a telephone call."""
    content = bytearray(encoded(script(60), 60, "wav", codec))
    begin, size = wav_blocks(bytes(content))
    whole = sum(map(len, decoded(io.BytesIO(bytes(content)), "audio/wav", stopped=lambda: False)))
    content[begin + block * size : begin + block * size + 4] = b"\xff" * 4
    damage = Damage()
    left = sum(map(len, decoded(io.BytesIO(bytes(content)), "audio/wav", stopped=lambda: False, damage=damage)))
    assert 0 < (whole - left) / SAMPLE_RATE < 0.6


def wav_blocks(content: bytes) -> tuple[int, int]:
    """Where the sound of a WAV file begins, and how many bytes a block of it has."""
    at, size = 12, 0
    while content[at : at + 4] != b"data":
        if content[at : at + 4] == b"fmt ":
            size = int.from_bytes(content[at + 20 : at + 22], "little")
        at += 8 + int.from_bytes(content[at + 4 : at + 8], "little")
    return at + 8, size


def test_who_no_longer_waits_is_not_worked_for(tmp_path: Path) -> None:
    """It ends at the next block."""
    asked: list[bool] = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) > 10

    with pytest.raises(AbandonedError):
        parted(io.BytesIO(wav(script(60), 60)), "audio/wav", tmp_path, stopped=stopped, part_s=20)


def test_what_is_longer_than_a_day_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However well it is compressed."""
    monkeypatch.setattr(audio_parts, "LONGEST_S", 30.0)
    with pytest.raises(TooLongError):
        parted(io.BytesIO(wav(script(60), 60)), "audio/wav", tmp_path, stopped=lambda: False, part_s=20)


def levels(*stretches: tuple[float, int]) -> list[float]:
    """Loudness of stretches, in frames."""
    return [level for level, count in stretches for _ in range(count)]


def test_the_cut_falls_into_the_middle_of_the_longest_pause() -> None:
    """Not into the first one, and not into a gap inside a word."""
    found = find_cut(
        levels((SPEECH, 200), (SILENCE, 15), (SPEECH, 50), (SILENCE, 40), (SPEECH, 50), (SILENCE, 5), (SPEECH, 20)),
        earliest=100,
    )
    assert found.in_pause
    assert found.frame == 200 + 15 + 50 + 20


def test_of_two_pauses_as_long_the_later_is_taken() -> None:
    """Fewer parts."""
    found = find_cut(levels((SPEECH, 100), (SILENCE, 20), (SPEECH, 50), (SILENCE, 20), (SPEECH, 50)), earliest=50)
    assert found.frame == 100 + 20 + 50 + 10


def test_what_lies_before_the_earliest_place_is_not_looked_at() -> None:
    """A part keeps its least length."""
    found = find_cut(levels((SPEECH, 50), (SILENCE, 100), (SPEECH, 100), (SILENCE, 13), (SPEECH, 10)), earliest=160)
    assert found.frame == 250 + 6


def test_without_a_pause_the_quietest_place_is_taken_and_said_to_be_none() -> None:
    """It may go through a word."""
    found = find_cut(levels((SPEECH, 200), (-30.0, 12), (SPEECH, 100)), earliest=100)
    assert not found.in_pause
    assert 200 <= found.frame <= 212


def test_a_quiet_recording_has_pauses_too() -> None:
    """The threshold follows the speech."""
    found = find_cut(levels((-45.0, 200), (-80.0, 30), (-45.0, 100)), earliest=100)
    assert found.in_pause


@given(st.lists(st.floats(-90, 0), min_size=30, max_size=300), st.data())
def test_the_cut_lies_where_it_was_asked_for(loudness: list[float], data: st.DataObject) -> None:
    """Whatever is heard."""
    earliest = data.draw(st.integers(0, len(loudness) - 20))
    assert earliest <= find_cut(loudness, earliest=earliest).frame <= len(loudness)
