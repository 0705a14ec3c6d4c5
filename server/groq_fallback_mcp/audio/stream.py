"""Audio of any kind as 16 kHz mono samples, block by block: an hour is never held in memory. Needs PyAV and numpy."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, BinaryIO

__all__ = ["SAMPLE_RATE", "Abandoned", "Damage", "NotDecodable", "can_decode", "decoded", "encode_flac"]

SAMPLE_RATE = 16_000
MOST_FUTILE_READS = 100

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


# FFmpeg reads WAV four kilobytes at a time, and each packet costs as much as a large one. Not for what is compressed: after
# a bad block the decoder drops the rest of its packet.
_LARGE_PACKETS = {"max_size": "65536"}
_UNCOMPRESSED = "pcm_"


class Abandoned(Exception):  # noqa: N818 - nobody waits for the result any more; not an error
    """Raised by work that has seen that it should stop."""


class NotDecodable(Exception):  # noqa: N818 - a finding about the input
    """The bytes are not the audio they claim to be, or hold no sound."""


def can_decode() -> bool:
    """Whether what decodes is installed; it is not imported."""
    return all(find_spec(name) is not None for name in ("av", "numpy"))


@dataclass(slots=True)
class Damage:
    """How many stretches of a recording were refused by its decoder, and how many seconds it says it holds."""

    stretches: int = 0
    stated_s: float | None = None


def decoded(file: BinaryIO, media_type: str, *, stopped: Callable[[], bool], damage: Damage | None = None) -> Iterator[Any]:
    """The first audio track as int16 arrays, SAMPLE_RATE samples a second. Blocking: run it in a thread.

    What is damaged is skipped and counted in `damage`. Raises NotDecodable, and Abandoned once `stopped()`.
    """
    av = import_module("av")
    if media_type not in _DEMUXER:
        raise NotDecodable(media_type)
    found = False
    try:
        with _opened(av, file, _DEMUXER[media_type]) as container:
            if damage is not None and container.duration is not None:
                damage.stated_s = container.duration / av.time_base
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            for piece in _resampled(_frames(container, av, stopped, damage or Damage()), resampler):
                found = found or piece.size > 0
                yield piece
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise NotDecodable(_first_line(error)) from error
    if not found:
        message = "it holds no sound"
        raise NotDecodable(message)


@contextmanager
def _opened(av: Any, file: BinaryIO, demuxer: str) -> Generator[Any]:  # noqa: ANN401 - PyAV is imported late
    """A container with an audio track."""
    start = file.tell()
    with av.open(file, format=demuxer, metadata_errors="ignore") as container:
        if not container.streams.audio:
            message = "no audio track"
            raise NotDecodable(message)
        if demuxer != "wav" or not container.streams.audio[0].codec_context.name.startswith(_UNCOMPRESSED):
            yield container
            return
    file.seek(start)
    with av.open(file, format=demuxer, options=_LARGE_PACKETS, metadata_errors="ignore") as container:
        yield container


def encode_flac(samples: Any, target: BinaryIO) -> None:  # noqa: ANN401 - a numpy array
    """Write int16 samples as FLAC. Blocking."""
    av, numpy = import_module("av"), import_module("numpy")
    with av.open(target, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        for at in range(0, len(samples), SAMPLE_RATE):
            block = numpy.ascontiguousarray(samples[at : at + SAMPLE_RATE]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            frame.pts = at
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


def _frames(container: Any, av: Any, stopped: Callable[[], bool], damage: Damage) -> Iterator[Any]:  # noqa: ANN401 - PyAV is imported late
    for packet in _packets(container, av, damage):
        if stopped():
            raise Abandoned
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            damage.stretches += 1
            continue
        for frame in frames:
            frame.pts = None  # gaps in the time stamps of a damaged file stop the resampler
            yield frame


def _packets(container: Any, av: Any, damage: Damage) -> Iterator[Any]:  # noqa: ANN401 - PyAV is imported late
    """All packets of the first audio track. An error ends the library's own iteration, though more may follow it."""
    futile = 0
    while futile < MOST_FUTILE_READS:
        try:
            for packet in container.demux(audio=0):
                futile = 0
                yield packet
        except av.InvalidDataError:
            damage.stretches += 1
            futile += 1
        else:
            return


def _resampled(frames: Iterator[Any], resampler: Any) -> Iterator[Any]:  # noqa: ANN401 - PyAV is imported late
    for frame in frames:
        for piece in resampler.resample(frame):
            yield piece.to_ndarray().reshape(-1)
    for piece in resampler.resample(None):
        yield piece.to_ndarray().reshape(-1)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
