"""Audio bytes to what the speech model hears: 16 kHz mono samples."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from groq_fallback_mcp.call import AudioFile
from groq_fallback_mcp.providers.local.turn import Abandoned, Stopped

__all__ = ["SAMPLE_RATE", "NotDecodable", "TooLong", "decode_speech"]

SAMPLE_RATE = 16_000

# The demuxer is named, not guessed: FFmpeg would take a playlist for audio and open the files and addresses in it.
_DEMUXER = {
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "audio/mp4": "mov",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "audio/webm": "matroska",
    "video/mpeg": "mpeg",
}


class NotDecodable(Exception):  # noqa: N818 - a finding about the input
    """The bytes are not the audio they claim to be, or hold no sound."""


class TooLong(Exception):  # noqa: N818 - a finding about the input
    """The recording is longer than what was asked for at most."""


def decode_speech(audio: AudioFile, *, longest_s: float, stopped: Stopped) -> Any:  # noqa: ANN401 - a numpy array
    """The first audio track as a float32 array in [-1, 1], `SAMPLE_RATE` samples a second.

    Damaged frames are skipped. Memory is bounded by `longest_s`, however well the file is compressed: 64 kB a second.
    Raises NotDecodable, TooLong, and Abandoned once `stopped()`.
    """
    av, numpy = import_module("av"), import_module("numpy")
    if audio.media_type not in _DEMUXER:
        raise NotDecodable(audio.media_type)
    pieces: list[Any] = []
    samples = 0
    try:
        with av.open(io.BytesIO(audio.content), format=_DEMUXER[audio.media_type], metadata_errors="ignore") as container:
            if not container.streams.audio:
                message = "no audio track"
                raise NotDecodable(message)
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            for piece in _resampled(_frames(container, av, stopped), resampler):
                pieces.append(piece)
                samples += piece.size
                if samples > longest_s * SAMPLE_RATE:
                    raise TooLong
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise NotDecodable(_first_line(error)) from error
    if not samples:
        message = "it holds no sound"
        raise NotDecodable(message)
    return numpy.concatenate(pieces).astype(numpy.float32) / 32_768.0


def _frames(container: Any, av: Any, stopped: Stopped) -> Iterator[Any]:  # noqa: ANN401 - PyAV is imported late
    frames = iter(container.decode(audio=0))
    while True:
        if stopped():
            raise Abandoned
        try:
            frame = next(frames)
        except StopIteration:
            return
        except av.InvalidDataError:
            continue
        frame.pts = None  # gaps in the time stamps of a damaged file stop the resampler
        yield frame


def _resampled(frames: Iterator[Any], resampler: Any) -> Iterator[Any]:  # noqa: ANN401 - PyAV is imported late
    for frame in frames:
        for piece in resampler.resample(frame):
            yield piece.to_ndarray().reshape(-1)
    for piece in resampler.resample(None):
        yield piece.to_ndarray().reshape(-1)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
