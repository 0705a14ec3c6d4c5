"""Recordings are decoded in a process of its own: what it may take, and that it ends with the call."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from corpus.make_recordings import flac_silence, make, wav_header
from tone_speech import SAMPLE_RATE, encoded, script, wav

from groq_fallback_mcp.audio import decoder
from groq_fallback_mcp.audio.decoder import measure_s, read_samples, split_apart
from groq_fallback_mcp.audio.headers import UNKNOWN
from groq_fallback_mcp.audio.kind import AudioKind, Convertible
from groq_fallback_mcp.audio.parts import TooLongError
from groq_fallback_mcp.audio.pcm import AbandonedError, NotDecodableError, OutOfMemoryError, pcm
from groq_fallback_mcp.call import Opened, Spooled

RUN_S = 60.0
FLAC, WAV = AudioKind.FLAC.media_type, AudioKind.WAV.media_type


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, dict[str, Any]]]]:
    """Each process that is started, and how."""
    found: list[tuple[Any, dict[str, Any]]] = []
    real = subprocess.Popen

    def popen(*arguments: Any, **options: Any) -> Any:
        process = real(*arguments, **options)
        found.append((process, options))
        return process

    monkeypatch.setattr(decoder.subprocess, "Popen", popen)
    yield found
    assert all(process.poll() is not None for process, _ in found)


def samples_of(content: bytes, media_type: str, *, longest_s: float = 1_000.0) -> int:
    """How many samples come out."""
    blocks = read_samples(content, media_type, longest_s=longest_s, longest_run_s=RUN_S, stopped=lambda: False)
    return sum(map(len, blocks)) // 2


@pytest.mark.fault("A6")
def test_bytes_a_file_and_a_part_of_an_open_file_are_decoded_alike(tmp_path: Path) -> None:
    """The process reads a descriptor at a place of its own."""
    content = encoded(script(5), 5, "flac", "flac")
    (tmp_path / "a.flac").write_bytes(content)
    (tmp_path / "b").write_bytes(b"x" * 100 + content)
    wanted = 5 * SAMPLE_RATE
    assert samples_of(content, FLAC) == wanted
    spooled = Spooled(path=tmp_path / "a.flac", size=len(content))
    with (tmp_path / "b").open("rb") as file:
        opened = Opened(descriptor=file.fileno(), size=len(content), start=100)
        for recording in (spooled, opened):
            assert measure_s(recording, FLAC, longest_s=60, longest_run_s=RUN_S, stopped=lambda: False) == pytest.approx(5)
        assert file.tell() == 0


@pytest.mark.fault("A6")
def test_the_decoder_gets_no_key_and_no_folder_of_ours(
    started: list[tuple[Any, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that is taken over finds nothing to take along."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_secret")
    monkeypatch.setenv("OTHER_TOKEN", "secret")
    samples_of(wav(script(1), 1), WAV)
    ((process, options),) = started
    assert "secret" not in str(options["env"])
    assert "-P" in process.args
    assert not set(options["env"]) & {"HOME", "GROQ_API_KEY"}


@pytest.mark.fault("A2")
@pytest.mark.parametrize("path", ["", ".", "sub", ":"])
def test_the_decoder_imports_nothing_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Whatever PYTHONPATH says: a cloned repository may hold an av.py."""
    for folder in (tmp_path, tmp_path / "sub"):
        folder.mkdir(exist_ok=True)
        for name in ("av", "json", "pydantic", "numpy", "signal"):
            (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", path)
    assert samples_of(wav(script(2.0), 2.0), WAV) == 2 * SAMPLE_RATE
    assert not (tmp_path / "ran").exists()


@pytest.mark.fault("A6")
def test_a_recording_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    """By the decoder itself."""
    content = make({"bytes": "ogg_comment", "with": {"size": 24_000_000}})
    with pytest.raises(OutOfMemoryError, match="more than 40 MB"):
        samples_of(content, AudioKind.OGG.media_type)


@pytest.mark.fault("A6")
@pytest.mark.parametrize(("status", "raised"), [(0, NotDecodableError), (3, NotDecodableError), (77, OutOfMemoryError)])
def test_a_decoder_that_ends_without_a_result_is_a_finding_about_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, raised: type[Exception]
) -> None:
    """Not a crash of the server."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nexit {status}\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(raised):
        samples_of(wav(script(1), 1), WAV)


@pytest.mark.fault("B6")
def test_the_decoder_ends_when_nobody_waits(started: list[tuple[Any, dict[str, Any]]]) -> None:
    """In the middle of its work, and whether it is told or left."""
    content = flac_silence(seconds=20_000)
    asked: list[bool] = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) > 1

    with pytest.raises(AbandonedError):
        measure_s(content, FLAC, longest_s=1e6, longest_run_s=RUN_S, stopped=stopped)
    blocks = read_samples(content, FLAC, longest_s=1e6, longest_run_s=RUN_S, stopped=lambda: False)
    with closing(blocks):
        next(blocks)
    assert len(started) == 2


def test_what_is_longer_than_asked_for_is_not_read_to_its_end() -> None:
    """However small the file is."""
    with pytest.raises(TooLongError):
        samples_of(flac_silence(seconds=1_000), FLAC, longest_s=10.0)


@pytest.mark.fault("A6")
@pytest.mark.parametrize("rate", [1, 8, 999, 768_001, 0x7FFF_FFFF])
def test_a_sample_rate_out_of_range_is_refused_before_a_block_explodes(rate: int) -> None:
    """In the process that decodes."""
    with pytest.raises(NotDecodableError):
        for _ in pcm(io.BytesIO(wav_header(rate=rate, bits=8)), WAV, stopped=lambda: False):
            pass


@pytest.mark.fault("B25")
@pytest.mark.parametrize("kind", [*AudioKind, *Convertible])
@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n",
        "ffconcat version 1.0\nfile /etc/hostname\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
        '<?xml version="1.0"?><MPD><BaseURL>file:///etc/</BaseURL></MPD>',
        "GROQ_API_KEY=made-up\n" * 500,
    ],
    ids=["hls", "concat", "sdp", "dash", "secrets"],
)
def test_no_kind_that_is_decoded_makes_sound_of_text(kind: AudioKind | Convertible, text: str) -> None:
    """Each demuxer is given what it does not expect, and opens nothing that is named there."""
    with pytest.raises(NotDecodableError):
        for _ in pcm(io.BytesIO(text.encode()), kind.media_type, stopped=lambda: False):
            pass


@pytest.mark.fault("A6")
def test_parts_are_written_by_the_decoder(tmp_path: Path) -> None:
    """As private as ever."""
    content = wav(script(60), 60)
    found = split_apart(content, WAV, tmp_path, part_s=20, headers=UNKNOWN, longest_run_s=RUN_S, stopped=lambda: False)
    assert found.parts[-1].end_s == pytest.approx(60, abs=0.1)
    assert all((tmp_path / part.file).stat().st_mode & 0o777 == 0o600 for part in found.parts)
    with pytest.raises(OSError, match="No such file"):
        split_apart(content, WAV, tmp_path / "none", part_s=20, headers=UNKNOWN, longest_run_s=RUN_S, stopped=lambda: False)
    assert list(tmp_path.iterdir())
