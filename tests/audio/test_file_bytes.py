"""A file looked at as if it were its bytes."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groq_fallback_mcp.audio.file_bytes import FileBytes
from groq_fallback_mcp.audio.headers import read_headers
from groq_fallback_mcp.audio.kind import AudioKind
from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.call import AudioFile, Opened

CONTENT = random.Random(1).randbytes(300_000)


@pytest.fixture(scope="module")
def descriptor(tmp_path_factory: pytest.TempPathFactory) -> int:
    """An open file of CONTENT."""
    path = tmp_path_factory.mktemp("window") / "content"
    path.write_bytes(CONTENT)
    return os.open(path, os.O_RDONLY)


places = st.none() | st.integers(-310_000, 310_000)


@given(st.lists(st.tuples(places, places), min_size=1, max_size=8))
@settings(deadline=None)
def test_a_window_has_the_bytes_of_the_file_wherever_it_is_looked_at(
    descriptor: int, looks: list[tuple[int | None, int | None]]
) -> None:
    """In any order, near and far, and beyond its ends."""
    window = FileBytes(descriptor, len(CONTENT))
    for begin, end in looks:
        assert window[begin:end] == CONTENT[begin:end]
        at = (begin or 0) % len(CONTENT)
        assert window[at] == CONTENT[at]
    assert window.startswith(CONTENT[:5])
    with pytest.raises(IndexError):
        _ = window[len(CONTENT)]


def test_the_length_of_a_recording_is_the_same_seen_through_a_window() -> None:
    """No parser needs all of it."""
    with sample_path().open("rb") as file:
        window = FileBytes(file.fileno(), sample_path().stat().st_size)
        assert (
            read_headers(window, AudioKind.FLAC).duration_s
            == read_headers(sample_path().read_bytes(), AudioKind.FLAC).duration_s
        )


def test_an_open_recording_can_be_read_by_several_at_once(descriptor: int) -> None:
    """An attempt that was given up must not move the place of the next."""
    audio = AudioFile(name="x", content=Opened(descriptor=descriptor, size=len(CONTENT)), media_type="x/y", duration_s=None)
    first, second = audio.open(), audio.open()
    assert first.read(100_000) == CONTENT[:100_000]
    assert second.read() == CONTENT
    assert first.read() == CONTENT[100_000:]
    assert first.seek(0, os.SEEK_END) == audio.size


def test_a_file_that_becomes_shorter_while_it_is_sent_is_an_error_and_no_shorter_recording(tmp_path: Path) -> None:
    """Its length was promised to the provider."""
    path = tmp_path / "recording"
    path.write_bytes(CONTENT)
    with path.open("rb") as file:
        audio = AudioFile(
            name="x", content=Opened(descriptor=file.fileno(), size=len(CONTENT)), media_type="x/y", duration_s=None
        )
        os.truncate(path, 1000)
        with pytest.raises(OSError, match="shrank while"):
            audio.open().read()
