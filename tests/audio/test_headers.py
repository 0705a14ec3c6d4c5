"""How long a recording lasts is read from its headers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.audio.headers import read_headers
from groq_fallback_mcp.audio.kind import AudioKind
from groq_fallback_mcp.audio.samples import sample_path

STARTS = {
    AudioKind.WAV: b"RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00",
    AudioKind.FLAC: b"fLaC\x00\x00\x00\x22",
    AudioKind.OGG: b"OggS\x00\x02" + bytes(22) + b"OpusHead",
    AudioKind.MP3: b"\xff\xfb\x90\x00",
    AudioKind.MP4: b"\x00\x00\x00\x00moov\x00\x00\x00\x40mvhd",
    AudioKind.WEBM: b"\x18\x53\x80\x67\xff\x15\x49\xa9\x66\xff\x44\x89\x88",
}


@pytest.mark.parametrize("name", ["wav", "flac", "ogg", "mp3", "mpga", "m4a", "mp4", "webm"])
@pytest.mark.parametrize("seconds", [0.7, 3.0, 61.0])
def test_the_length_of_each_container_is_found(name: str, seconds: float, record: Callable[[str, float], bytes]) -> None:
    """Within the padding of a codec's frames, a tenth of a second."""
    assert read_headers(record(name, seconds), AudioKind(name)).duration_s == pytest.approx(seconds, abs=0.15)


def test_the_shipped_sample_lasts_five_seconds() -> None:
    """FLAC states its samples and rate exactly."""
    assert read_headers(sample_path().read_bytes(), AudioKind.FLAC).duration_s == pytest.approx(4.925)


def wav(seconds: float, *, stated: int | None = None) -> bytes:
    """16 kHz mono silence; `stated` is what the data chunk says of its size."""
    data = bytes(int(seconds * 32_000))
    size = len(data) if stated is None else stated
    rate = (16_000).to_bytes(4, "little") + (32_000).to_bytes(4, "little")
    fmt = b"fmt \x10\x00\x00\x00\x01\x00\x01\x00" + rate + b"\x02\x00\x10\x00"
    return b"RIFF\xff\xff\xff\xffWAVE" + fmt + b"LIST\x03\x00\x00\x00abc\x00data" + size.to_bytes(4, "little") + data


@pytest.mark.parametrize("stated", [None, 0, 0xFFFF_FFFF])
def test_a_streamed_wav_is_measured_by_what_is_there(stated: int | None) -> None:
    """Programs that write to a pipe cannot know the size and leave a placeholder."""
    assert read_headers(wav(2.0, stated=stated), AudioKind.WAV).duration_s == pytest.approx(2.0)


@pytest.mark.parametrize("stated_bytes", [0, 1_000])
def test_what_looks_like_an_mp3_frame_in_the_tag_at_the_end_breaks_nothing(stated_bytes: int) -> None:
    """Found by the fuzzer."""
    index = b"VBRI" + bytes(6) + stated_bytes.to_bytes(4, "big") + (1).to_bytes(4, "big")
    content = (b"TAG\xff\xfb\x90\x00" + bytes(32) + index).ljust(128, b"\0")
    found = read_headers(content, AudioKind.MP3)
    assert found.duration_s == (None if stated_bytes else 1_152 / 44_100)


def test_mp3_without_an_index_is_estimated_from_its_bit_rate() -> None:
    """100 frames of 128 kbit/s MPEG-1 layer III at 44.1 kHz are 2.6 s; the trailing tag does not count."""
    frame = b"\xff\xfb\x90\x00" + bytes(413)

    assert read_headers(frame * 100 + b"TAG" + bytes(125), AudioKind.MP3).duration_s == pytest.approx(2.606, abs=0.01)


def test_chained_streams_have_no_known_length() -> None:
    """The last page counts its own stream only, and an understated length would understate the price."""
    first = b"OggS\x00\x02" + bytes(8) + b"AAAA" + bytes(10) + b"OpusHead\x01\x01\x38\x01" + bytes(10)
    last = b"OggS\x00\x04" + (96_000).to_bytes(8, "little")

    assert read_headers(first + last + b"AAAA" + bytes(20), AudioKind.OGG).duration_s == pytest.approx(2.0, abs=0.01)
    assert read_headers(first + last + b"BBBB" + bytes(20), AudioKind.OGG).duration_s is None


@given(
    kind=st.sampled_from(AudioKind),
    start=st.sampled_from([b"", *STARTS.values()]),
    junk=st.binary(max_size=400),
)
def test_junk_never_raises_and_never_lasts_forever(kind: AudioKind, start: bytes, junk: bytes) -> None:
    """Arbitrary bytes behind a plausible beginning: a believable length or none."""
    duration_s = read_headers(start + junk, kind).duration_s

    assert duration_s is None or 0 < duration_s < 100 * 86_400
