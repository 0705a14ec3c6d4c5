"""Recordings in every container, made on the spot by PyAV, which the extra `local` brings."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import pytest

Record = Callable[[str, float], bytes]

# name: FFmpeg's container, codec, sample rate
CONTAINERS = {
    "wav": ("wav", "pcm_s16le", 16_000),
    "flac": ("flac", "flac", 16_000),
    "ogg": ("ogg", "libopus", 48_000),
    "mp3": ("mp3", "libmp3lame", 16_000),
    "mpga": ("mp2", "mp2", 16_000),
    "m4a": ("ipod", "aac", 16_000),
    "mp4": ("mp4", "aac", 16_000),
    "webm": ("webm", "libopus", 48_000),
}


@pytest.fixture
def record() -> Record:
    """A function that makes a quiet tone of so many seconds in a container of `CONTAINERS`."""
    if find_spec("av") is None:
        pytest.skip("PyAV is not installed: pip install 'groq-fallback-mcp[local]'")
    av, numpy = import_module("av"), import_module("numpy")

    def make(name: str, seconds: float) -> bytes:
        container_format, codec, rate = CONTAINERS[name]
        target = io.BytesIO()
        with av.open(target, "w", format=container_format) as container:
            stream = container.add_stream(codec, rate=rate, layout="mono")
            times = numpy.arange(int(seconds * rate)) / rate
            tone = (numpy.sin(times * 2 * numpy.pi * 440) * 3000).astype(numpy.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, 0
            resampler = av.AudioResampler(
                format=stream.codec_context.format, layout="mono", rate=rate, frame_size=stream.codec_context.frame_size
            )
            for piece in (*resampler.resample(frame), *resampler.resample(None), None):
                container.mux(stream.encode(piece))
        return target.getvalue()

    return make
