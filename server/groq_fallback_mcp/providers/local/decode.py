"""Audio bytes to what the speech model hears: 16 kHz mono samples from -1 to 1, all at once."""

from __future__ import annotations

from contextlib import closing
from importlib import import_module
from typing import Any

from groq_fallback_mcp.audio.decoder import read_samples
from groq_fallback_mcp.audio.parts import TooLong
from groq_fallback_mcp.audio.pcm import BYTES_A_SAMPLE, SAMPLE_RATE, Abandoned, NotDecodable
from groq_fallback_mcp.call import AudioFile
from groq_fallback_mcp.providers.local.turn import Stopped

__all__ = ["SAMPLE_RATE", "Abandoned", "NotDecodable", "TooLong", "decode_speech"]

# A day of speech takes a minute or two.
LONGEST_RUN_S = 300.0


def decode_speech(audio: AudioFile, *, longest_s: float, stopped: Stopped) -> Any:  # noqa: ANN401 - a numpy array
    """The first audio track as a float32 array in [-1, 1], `SAMPLE_RATE` samples a second. Decoded in a process of its own.

    Damaged frames are skipped. Memory is bounded by `longest_s`, however well the file is compressed: 64 kB a second.
    Raises NotDecodable, TooLong, and Abandoned once `stopped()`.
    """
    numpy = import_module("numpy")
    heard = bytearray()
    blocks = read_samples(audio.content, audio.media_type, longest_s=longest_s, longest_run_s=LONGEST_RUN_S, stopped=stopped)
    with closing(blocks):
        for block in blocks:
            heard += block
    assert len(heard) % BYTES_A_SAMPLE == 0  # noqa: S101 - blocks hold whole samples
    return numpy.frombuffer(heard, dtype=numpy.int16).astype(numpy.float32) / 32_768.0
