"""Pieces of speech, each a WAV file, joined to one."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence

__all__ = ["WavFault", "join_wav"]


class WavFault(ValueError):  # noqa: N818 - a finding about what a provider sent
    """A piece that cannot be read, or does not fit the others."""


def join_wav(pieces: Sequence[bytes], *, pause_s: float) -> tuple[bytes, float]:
    """One WAV file with `pause_s` seconds of silence between the pieces, and its length in seconds.

    Raises WavFault for a piece that is no PCM WAV, or of another sample rate, width or number of channels.
    """
    shape: tuple[int, int, int] | None = None
    frames: list[bytes] = []
    for number, piece in enumerate(pieces, start=1):
        try:
            with wave.open(io.BytesIO(piece)) as audio:
                own = (audio.getnchannels(), audio.getsampwidth(), audio.getframerate())
                # what is written to a stream states more frames than there are
                found = audio.readframes(len(piece) // (own[0] * own[1]))
        except (wave.Error, EOFError, ZeroDivisionError) as error:
            message = f"piece {number} cannot be read as WAV: {error}"
            raise WavFault(message) from error
        if shape is not None and own != shape:
            message = f"piece {number} has another form than the first"
            raise WavFault(message)
        shape = own
        frames.append(found)
    if shape is None:
        message = "no piece"
        raise WavFault(message)
    channels, width, rate = shape
    # eight-bit samples have no sign: their middle is silence
    silence = (b"\x80" if width == 1 else b"\x00") * (int(pause_s * rate) * channels * width)
    target = io.BytesIO()
    with wave.open(target, "wb") as audio:
        audio.setnchannels(channels)
        audio.setsampwidth(width)
        audio.setframerate(rate)
        audio.writeframes(silence.join(frames))
    seconds = len(silence.join(frames)) / (channels * width * rate)
    return target.getvalue(), seconds
