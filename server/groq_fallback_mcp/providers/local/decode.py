"""Audio bytes to what the speech model hears: 16 kHz mono samples from -1 to 1, all at once."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from groq_fallback_mcp.audio.stream import SAMPLE_RATE, Abandoned, NotDecodable, decoded
from groq_fallback_mcp.call import AudioFile
from groq_fallback_mcp.providers.local.turn import Stopped

__all__ = ["SAMPLE_RATE", "Abandoned", "NotDecodable", "TooLong", "decode_speech"]


class TooLong(Exception):  # noqa: N818 - a finding about the input
    """The recording is longer than what was asked for at most."""


def decode_speech(audio: AudioFile, *, longest_s: float, stopped: Stopped) -> Any:  # noqa: ANN401 - a numpy array
    """The first audio track as a float32 array in [-1, 1], `SAMPLE_RATE` samples a second.

    Damaged frames are skipped. Memory is bounded by `longest_s`, however well the file is compressed: 64 kB a second.
    Raises NotDecodable, TooLong, and Abandoned once `stopped()`.
    """
    numpy = import_module("numpy")
    pieces: list[Any] = []
    samples = 0
    with audio.open() as file:
        for piece in decoded(file, audio.media_type, stopped=stopped):
            pieces.append(piece)
            samples += piece.size
            if samples > longest_s * SAMPLE_RATE:
                raise TooLong
    return numpy.concatenate(pieces).astype(numpy.float32) / 32_768.0
