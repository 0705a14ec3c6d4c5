"""Audio files from the outside: what begins like one, how long it lasts, and a short one to send back."""

from __future__ import annotations

import io
import math
import struct
import wave

__all__ = ["is_audio", "make_wav", "seconds_of"]

# Compressed speech is mostly stored at about 64 kbit/s: a guess for kinds whose headers the standard library cannot read.
COMPRESSED_BYTES_PER_S = 8_000.0
SPOKEN_CHARS_PER_S = 15.0
SAMPLE_RATE_HZ = 24_000
TONE_HZ = 220.0
LOUDNESS = 3_000  # of 32,767: a quiet hum

_BEGINNINGS = (b"fLaC", b"ID3", b"OggS", b"\x1a\x45\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"#!AMR")


def is_audio(content: bytes) -> bool:
    """Whether the first bytes are those of a kind Groq takes: flac mp3 mp4 mpeg mpga m4a ogg wav webm."""
    if content.startswith(_BEGINNINGS):
        return True
    if content[:4] == b"RIFF":
        return content[8:12] == b"WAVE"
    is_mpeg_frame = len(content) > 1 and content[0] == 0xFF and content[1] & 0xE0 == 0xE0  # noqa: PLR2004 - the sync word
    return is_mpeg_frame or content[4:8] == b"ftyp"


def seconds_of(content: bytes) -> float:
    """How long a file lasts: read from a WAV header, guessed from the size of anything else."""
    try:
        with wave.open(io.BytesIO(content)) as reader:
            frame_bytes = reader.getnchannels() * reader.getsampwidth()
            # a header may claim more than there is, as those of streamed files do
            frames = min(reader.getnframes(), len(content) // frame_bytes)
            return frames / reader.getframerate()
    except (wave.Error, EOFError, ZeroDivisionError):
        return len(content) / COMPRESSED_BYTES_PER_S


def make_wav(text: str) -> bytes:
    """A mono 16-bit WAV that hums as long as it would take to say `text`."""
    samples = int(SAMPLE_RATE_HZ * max(len(text), 1) / SPOKEN_CHARS_PER_S)
    one_turn = [
        int(LOUDNESS * math.sin(2 * math.pi * TONE_HZ * i / SAMPLE_RATE_HZ)) for i in range(round(SAMPLE_RATE_HZ / TONE_HZ))
    ]
    hum = struct.pack(f"<{len(one_turn)}h", *one_turn)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE_HZ)
        writer.writeframes((hum * (samples // len(one_turn) + 1))[: samples * 2])
    return file.getvalue()
