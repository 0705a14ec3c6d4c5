"""What bytes are is told by their content."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.audio.kind import AudioKind, sniff
from groq_fallback_mcp.audio.samples import sample_path


@pytest.mark.parametrize("name", ["wav", "flac", "ogg", "mp3", "mpga", "m4a", "mp4", "webm"])
def test_each_container_is_recognized_by_its_content(name: str, record: Callable[[str, float], bytes]) -> None:
    """A real file of each kind, made by FFmpeg."""
    assert sniff(record(name, 1.0)) == AudioKind(name)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GROQ_API_KEY=made-up\nOTHER=1\n" * 50,
        b"#!/bin/sh\nexit 0\n",
        b"\x89PNG\r\n\x1a\n" + bytes(64),
        b"%PDF-1.7\n",
        b"PK\x03\x04" + bytes(64),
        b"RIFF\x24\x00\x00\x00AVI LIST",
        b"RIFF\x24\x00\x00\x00WEBPVP8 ",
        b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00",
        b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska",
        b"OggS" + bytes(24) + b"\x80theora",
        b"\xff\xfe#\x00!\x00" + "text in UTF-16".encode("utf-16-le") * 40,
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n",
    ],
    ids=["empty", "env", "script", "png", "pdf", "zip", "avi", "webp", "heic", "matroska", "theora", "utf-16", "playlist"],
)
def test_what_is_not_audio_is_not_taken_for_audio(head: bytes) -> None:
    """Secrets, documents, pictures, video-only containers and playlists have no audio kind."""
    assert sniff(head) is None


def test_a_tag_before_the_audio_is_looked_past() -> None:
    """ID3 is written before MP3 and, by some programs, before FLAC."""
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x05" + bytes(5)

    assert sniff(tag + sample_path().read_bytes()[:4096]) is AudioKind.FLAC
    assert sniff(tag + b"GROQ_API_KEY=made-up") is None


def test_one_frame_header_by_chance_is_no_mpeg_audio() -> None:
    """Where the next frame should be there is none."""
    assert sniff(b"\xff\xfb\x90\x00" + b"not a frame at all " * 100) is None


@given(st.binary(max_size=600), st.sampled_from([b"", b"ID3", b"\xff\xfb", b"OggS", b"RIFF0000WAVE", b"\x1a\x45\xdf\xa3"]))
def test_junk_never_raises(junk: bytes, start: bytes) -> None:
    """Arbitrary bytes have a kind or none."""
    kind = sniff(start + junk)

    assert kind is None or kind.media_type.split("/")[0] in {"audio", "video"}
