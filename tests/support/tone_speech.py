"""Speech whose words are known exactly: each is a pair of tones, written and read by arithmetic.

What real speech does to a seam it does too: pauses between sentences, short gaps between words, and a word that is cut
through at the edge of a part is heard as something else.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
import av
import numpy as np

from groq_fallback_mcp.audio.pcm import SAMPLE_RATE, decoded
from groq_fallback_mcp.call import AudioSegment, AudioWord, Transcript
from groq_fallback_mcp.simulator import Transcribed

TONES = 20
LOW, HIGH, STEP = 300.0, 2_500.0, 100.0
WORD_S, GAP_S, PAUSE_S = (0.22, 0.40), (0.06, 0.16), (0.5, 0.9)
FRAME = SAMPLE_RATE // 100
MUMBLED = "mumble"


@dataclass(frozen=True)
class Spoken:
    """A word and when it is said."""

    word: str
    start: float
    end: float


def script(seconds: float, *, seed: int = 1, pauses: bool = True) -> list[Spoken]:
    """Words of a recording that long: sentences of some ten words, never the same word twice in a row."""
    draw = np.random.default_rng(seed)
    words: list[Spoken] = []
    at, left, last = 0.3, 10, -1
    while True:
        length = draw.uniform(*WORD_S)
        if at + length > seconds - 0.2:
            return words
        number = int(draw.integers(TONES * TONES))
        number = number if number != last else (number + 1) % (TONES * TONES)
        words.append(Spoken(f"w{number}", at, at + length))
        left, last = left - 1, number
        pause = pauses and left <= 0
        at += length + draw.uniform(*(PAUSE_S if pause else GAP_S))
        left = int(draw.integers(6, 14)) if pause else left


def samples(words: Sequence[Spoken], seconds: float, *, block_s: float = 60.0) -> Iterator[Any]:
    """The recording as int16 blocks, with a little noise."""
    draw = np.random.default_rng(7)
    total = int(seconds * SAMPLE_RATE)
    size = int(block_s * SAMPLE_RATE)
    for begin in range(0, total, size):
        end = min(begin + size, total)
        block = draw.normal(0.0, 12.0, end - begin)
        for spoken in words:
            first, last = int(spoken.start * SAMPLE_RATE), int(spoken.end * SAMPLE_RATE)
            if last <= begin or first >= end:
                continue
            at = np.arange(max(first, begin), min(last, end))
            block[at - begin] += _tone(spoken.word, at)
        yield np.clip(block, -32_768, 32_767).astype(np.int16)


def wav(words: Sequence[Spoken], seconds: float) -> bytes:
    """The recording as a WAV file."""
    import wave

    target = io.BytesIO()
    with wave.open(target, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(SAMPLE_RATE)
        for block in samples(words, seconds):
            audio.writeframes(block.tobytes())
    return target.getvalue()


async def heard(content: bytes) -> Transcribed:
    """What is said in a FLAC file, as the simulator answers it."""
    found = await anyio.to_thread.run_sync(hear, content)
    return Transcribed(
        text=found.text,
        duration_s=found.duration_s or 0.0,
        segments=[{"start": s.start, "end": s.end, "text": s.text} for s in found.segments],
        words=[{"start": w.start, "end": w.end, "word": w.word} for w in found.words],
    )


def hear(content: bytes) -> Transcript:
    """What is said in a FLAC file, word by word; a sentence is a segment."""
    pieces = list(decoded(io.BytesIO(content), "audio/flac", stopped=lambda: False))
    sound = np.concatenate(pieces).astype(np.float32)
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    loud = np.sqrt((frames**2).mean(axis=1)) > 1_000.0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
    words: list[AudioWord] = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        cut_through = first <= 1 or last >= len(frames) - 1
        word = MUMBLED if cut_through or last - first < 10 else _read(sound[first * FRAME : last * FRAME])
        words.append(AudioWord(start=first / 100, end=last / 100, word=word))
    segments: list[AudioSegment] = []
    sentence: list[AudioWord] = []
    for index, word in enumerate(words):
        sentence.append(word)
        if index + 1 == len(words) or words[index + 1].start - word.end > 0.4:
            text = " ".join(each.word for each in sentence)
            segments.append(AudioSegment(start=sentence[0].start, end=sentence[-1].end, text=text))
            sentence = []
    text = " ".join(segment.text for segment in segments)
    return Transcript(text=text, duration_s=len(sound) / SAMPLE_RATE, segments=tuple(segments), words=tuple(words))


def encoded(words: Sequence[Spoken], seconds: float, form: str, codec: str) -> bytes:
    """The recording in another container."""
    target = io.BytesIO()
    with av.open(target, "w", format=form) as container:
        stream = container.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
        at = 0
        for block in samples(words, seconds):
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, at
            at += len(block)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def _tone(word: str, at: Any) -> Any:
    number = int(word[1:])
    low, high = LOW + STEP * (number // TONES), HIGH + STEP * (number % TONES)
    turn = 2 * np.pi * at / SAMPLE_RATE
    return 6_000.0 * (np.sin(low * turn) + np.sin(high * turn))


def _read(sound: Any) -> str:
    size = 4_096
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), size))
    bins = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)

    def nearest(first: float) -> int:
        return int(np.argmax([power[np.argmin(np.abs(bins - (first + STEP * n)))] for n in range(TONES)]))

    return f"w{nearest(LOW) * TONES + nearest(HIGH)}"
