"""Audio of any kind as 16 kHz mono samples, block by block: an hour is never held in memory. Needs PyAV.

What others made is decoded in a process of its own, see decoder.py: libraries that read it can be made to take any amount of
memory, or to crash.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, BinaryIO

from groq_fallback_mcp.audio.kind import AudioKind, Convertible

__all__ = [
    "BYTES_A_SAMPLE",
    "MEMORY_BYTES",
    "OUT_OF_MEMORY",
    "SAMPLE_RATE",
    "AbandonedError",
    "Damage",
    "NotDecodableError",
    "OutOfMemoryError",
    "can_decode",
    "decoded",
    "encode_flac",
    "measured_s",
    "pcm",
]

SAMPLE_RATE = 16_000
BYTES_A_SAMPLE = 2
MOST_FUTILE_READS = 100
# What decoding may take beside the code itself. A part of five minutes has 10 MB, the index of ten hours of M4A 50.
MEMORY_BYTES = 40 * 1024 * 1024
# The status of a decoder that has taken more, where the system does not refuse it.
OUT_OF_MEMORY = 77
# At 1 Hz a second of sound is a sample of input and 32 kB of output: a block of 64 kB becomes 2 GB.
LEAST_RATE, MOST_RATE = 1_000, 768_000

# The demuxer is named, not guessed: FFmpeg would take a playlist for audio and open the files and addresses in it.
_DEMUXER: Mapping[str, str] = {
    AudioKind.FLAC.media_type: "flac",
    AudioKind.MP3.media_type: "mp3",
    AudioKind.MP4.media_type: "mov",
    AudioKind.OGG.media_type: "ogg",
    AudioKind.WAV.media_type: "wav",
    AudioKind.WEBM.media_type: "matroska",
    AudioKind.MPEG.media_type: "mpeg",
    Convertible.AAC.media_type: "aac",
    Convertible.AC3.media_type: "ac3",
    Convertible.AIFF.media_type: "aiff",
    Convertible.AMR.media_type: "amr",
    Convertible.APE.media_type: "ape",
    Convertible.AU.media_type: "au",
    Convertible.AVI.media_type: "avi",
    Convertible.CAF.media_type: "caf",
    Convertible.DSF.media_type: "dsf",
    Convertible.DTS.media_type: "dts",
    Convertible.EAC3.media_type: "eac3",
    Convertible.FLV.media_type: "flv",
    Convertible.IFF.media_type: "iff",
    Convertible.IRCAM.media_type: "ircam",
    Convertible.LATM.media_type: "loas",
    Convertible.MKV.media_type: "matroska",
    Convertible.MOV.media_type: "mov",
    Convertible.MPC.media_type: "mpc",
    Convertible.MPC8.media_type: "mpc8",
    Convertible.NUT.media_type: "nut",
    Convertible.OGV.media_type: "ogg",
    Convertible.OMA.media_type: "oma",
    Convertible.QCP.media_type: "qcp",
    Convertible.RF64.media_type: "wav",
    Convertible.RM.media_type: "rm",
    Convertible.SHN.media_type: "shn",
    Convertible.SOX.media_type: "sox",
    Convertible.TAK.media_type: "tak",
    Convertible.TS.media_type: "mpegts",
    Convertible.TTA.media_type: "tta",
    Convertible.VOC.media_type: "voc",
    Convertible.W64.media_type: "w64",
    Convertible.WMA.media_type: "asf",
    Convertible.WV.media_type: "wv",
    Convertible.XWMA.media_type: "xwma",
}
# Of these the length that FFmpeg gives stands in a header; of others it is a guess from the bit rate, or from what is there.
_STATES_LENGTH = {"aiff", "ape", "asf", "avi", "caf", "flac", "flv", "matroska", "mov", "ogg", "tak", "tta", "wv"}

# FFmpeg reads WAV four kilobytes at a time, and each packet costs as much as a large one. Not for what is compressed: after
# a bad block the decoder drops the rest of its packet.
_LARGE_PACKETS = {"max_size": "65536"}
_UNCOMPRESSED = "pcm_"
# Nothing but the file itself is opened, whatever stands in it.
_ALONE = {"protocol_whitelist": "none"}


class AbandonedError(Exception):
    """Raised by work that has seen that it should stop."""


class NotDecodableError(Exception):
    """The bytes are not the audio they claim to be, or hold no sound."""


class OutOfMemoryError(NotDecodableError):
    """Decoding it takes more memory than a decoder is given."""


def can_decode() -> bool:
    """Whether what decodes is installed; it is not imported."""
    return all(find_spec(name) is not None for name in ("av", "numpy"))


@dataclass(slots=True)
class Damage:
    """What is wrong with a recording: how many stretches its decoder refused, how long it says it is, and which time, in
    seconds from its beginning, its last packet has; None where times are only counted from what is there.
    """

    stretches: int = 0
    stated_s: float | None = None
    reached_s: float | None = None


def decoded(file: BinaryIO, media_type: str, *, stopped: Callable[[], bool], damage: Damage | None = None) -> Iterator[Any]:
    """The first audio track as int16 arrays, SAMPLE_RATE samples a second; see `pcm`."""
    numpy = import_module("numpy")
    for block in pcm(file, media_type, stopped=stopped, damage=damage):
        yield numpy.frombuffer(block, dtype=numpy.int16)


def pcm(file: BinaryIO, media_type: str, *, stopped: Callable[[], bool], damage: Damage | None = None) -> Iterator[bytes]:
    """The first audio track as 16-bit samples of this machine's byte order, SAMPLE_RATE a second, mono. Blocking.

    What is damaged is skipped and counted in `damage`. Raises NotDecodableError, and AbandonedError once `stopped()`.
    """
    damage = Damage() if damage is None else damage
    found = False
    with _refusing(), _opened(file, media_type) as (av, container):
        if container.duration is not None and _states_length(file, media_type):
            damage.stated_s = container.duration / av.time_base
        for piece in _resampled(av, _frames(container, av, stopped, damage)):
            found = found or len(piece) > 0
            yield piece
    if not found:
        message = "it contains no sound"
        raise NotDecodableError(message)


def measured_s(file: BinaryIO, media_type: str, *, stopped: Callable[[], bool], longest_s: float) -> float:
    """Seconds of the first audio track by its packets, none of which is decoded; more than `longest_s` are not counted. Blocking.

    Raises NotDecodableError, and AbandonedError once `stopped()`.
    """
    counted, first, last = 0, None, 0
    with _refusing(), _opened(file, media_type) as (av, container):
        stream = container.streams.audio[0]
        _check_rate(stream.rate)
        tick_s = float(stream.time_base or 0)
        most = longest_s / tick_s if tick_s > 0 else 0.0
        for packet in _packets(container, av, Damage()):
            if stopped():
                raise AbandonedError
            length, begin = packet.duration or 0, packet.pts
            counted += max(length, 0)
            if begin is not None:
                first = begin if first is None else min(first, begin)
                last = max(last, begin + length)
            if counted > most:
                break
    # packets of live recordings may tell when they begin, and not how long they last
    return (counted or (0 if first is None else last - first)) * tick_s


def encode_flac(samples: bytes | memoryview, target: BinaryIO) -> None:
    """Write 16-bit mono samples of SAMPLE_RATE as FLAC. Blocking."""
    av = import_module("av")
    view = memoryview(samples).cast("B")
    step = SAMPLE_RATE * BYTES_A_SAMPLE
    with av.open(target, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        stream.codec_context.thread_count = 1
        for at in range(0, len(view), step):
            block = bytes(view[at : at + step])
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(block) // BYTES_A_SAMPLE)
            frame.planes[0].update(block)
            frame.sample_rate = SAMPLE_RATE
            frame.pts = at // BYTES_A_SAMPLE
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


@contextmanager
def _refusing() -> Generator[None]:
    """What FFmpeg and PyAV raise, as findings about the file."""
    av = import_module("av")
    try:
        yield
    except (MemoryError, av.error.MemoryError) as error:
        message = "it needs more memory than the decoder may use"
        raise OutOfMemoryError(message) from error
    except (av.FFmpegError, ValueError, EOFError, OverflowError) as error:
        raise NotDecodableError(_first_line(error)) from error


@contextmanager
def _opened(file: BinaryIO, media_type: str) -> Generator[tuple[Any, Any]]:
    """PyAV, and a container with an audio track."""
    av = import_module("av")
    demuxer = _DEMUXER.get(media_type)
    if demuxer is None:
        raise NotDecodableError(media_type)
    start = file.tell()
    with _container(av, file, demuxer) as container:
        if not container.streams.audio:
            message = "it has no audio track"
            raise NotDecodableError(message)
        if demuxer != "wav" or not container.streams.audio[0].codec_context.name.startswith(_UNCOMPRESSED):
            yield av, container
            return
    file.seek(start)
    with _container(av, file, demuxer, **_LARGE_PACKETS) as container:
        yield av, container


def _container(av: Any, file: BinaryIO, demuxer: str, **options: str) -> Any:
    return av.open(file, format=demuxer, options=_ALONE | options, metadata_errors="ignore", io_open=_nothing_else)


def _nothing_else(*_: object, **__: object) -> Any:
    message = "it refers to other files, which is not allowed"
    raise ValueError(message)


def _states_length(file: BinaryIO, media_type: str) -> bool:
    demuxer = _DEMUXER[media_type]
    if demuxer in _STATES_LENGTH:
        return True
    if demuxer != "mp3":
        return False
    at = file.tell()
    file.seek(0)
    head = file.read(1 << 16)
    file.seek(at)
    return any(mark in head for mark in (b"Xing", b"Info", b"VBRI"))


def _check_rate(rate: int | None) -> None:
    if rate is not None and not LEAST_RATE <= rate <= MOST_RATE:
        message = f"its sample rate is {rate:,} Hz, and {LEAST_RATE:,} to {MOST_RATE:,} Hz are decoded"
        raise NotDecodableError(message)


def _frames(container: Any, av: Any, stopped: Callable[[], bool], damage: Damage) -> Iterator[Any]:
    stream = container.streams.audio[0]
    stream.codec_context.thread_count = 1
    _check_rate(stream.rate)
    begin, tick_s = stream.start_time or 0, float(stream.time_base or 0)
    for packet in _packets(container, av, damage):
        if stopped():
            raise AbandonedError
        if packet.pts is not None and container.format.name != "mp3":
            damage.reached_s = max(damage.reached_s or 0.0, (packet.pts - begin) * tick_s)
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            damage.stretches += 1
            continue
        for frame in frames:
            _check_rate(frame.sample_rate)
            frame.pts = None  # gaps in the time stamps of a damaged file stop the resampler
            yield frame


def _packets(container: Any, av: Any, damage: Damage) -> Iterator[Any]:
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


def _resampled(av: Any, frames: Iterator[Any]) -> Iterator[bytes]:
    resampler: Any = None
    form: object = None
    for frame in frames:
        # recordings that were joined may change in the middle
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if now != form:
            yield from _rest(resampler)
            resampler, form = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE), now
            with _one_processor():
                pieces = resampler.resample(frame)
        else:
            pieces = resampler.resample(frame)
        for piece in pieces:
            yield _bytes(piece)
    yield from _rest(resampler)


@contextmanager
def _one_processor() -> Generator[None]:
    """FFmpeg starts a thread for each processor, whose stacks would count as memory of a decoder, and never uses them."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_of_them)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


def _rest(resampler: Any) -> Iterator[bytes]:
    for piece in () if resampler is None else resampler.resample(None):
        yield _bytes(piece)


def _bytes(frame: Any) -> bytes:
    return bytes(memoryview(frame.planes[0])[: frame.samples * BYTES_A_SAMPLE])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
