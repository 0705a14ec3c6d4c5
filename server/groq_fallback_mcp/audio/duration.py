"""How long a recording lasts, read from its headers without decoding a sample.

The figure prices a call before it is sent; where a header does not tell, it is None and the caller assumes the worst.
No parser raises on damaged content: slices beyond the end are empty, and every loop moves forward.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping

from groq_fallback_mcp.audio.kind import AudioKind, Content, id3_length, mpeg_frame

__all__ = ["probe_duration_s"]

LONGEST_BELIEVABLE_S = 100 * 86_400.0
_SYNC_SEARCH_BYTES = 65_536
_OGG_TAIL_BYTES = 131_072
_UNKNOWN_GRANULE = 0xFFFF_FFFF_FFFF_FFFF


def probe_duration_s(content: Content, kind: AudioKind) -> float | None:
    """Seconds of audio in `content`, a whole file of this kind; None when its headers do not tell.

    MP3 without a Xing or VBRI header is taken as constant bit rate, an estimate.
    """
    parser = _PARSERS.get(kind)
    duration_s = None if parser is None else parser(content)
    if duration_s is None or not math.isfinite(duration_s) or not 0 < duration_s < LONGEST_BELIEVABLE_S:
        return None
    return duration_s


def _wav(content: Content) -> float | None:
    at, bytes_per_s = 12, 0
    while at + 8 <= len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if name == b"fmt ":
            bytes_per_s = int.from_bytes(content[at + 16 : at + 20], "little")
        elif name == b"data":
            # Writers to a pipe leave the size at 0 or the maximum: what is really there is the bound.
            there = len(content) - at - 8
            return min(size or there, there) / bytes_per_s if bytes_per_s else None
        at += 8 + size + size % 2
    return None


def _flac(content: Content) -> float | None:
    start = id3_length(content)
    body = content[start : start + 26]
    if body[:4] != b"fLaC" or len(body) < 26:  # noqa: PLR2004 - marker, block header, the fields read here
        return None
    fields = int.from_bytes(body[18:26])
    sample_rate, samples = fields >> 44, fields & 0xF_FFFF_FFFF
    return samples / sample_rate if sample_rate and samples else None


def _ogg(content: Content) -> float | None:
    serial, first = content[14:18], content[:512]
    opus, vorbis = first.find(b"OpusHead"), first.find(b"\x01vorbis")
    if opus >= 0:
        rate, skip = 48_000, int.from_bytes(first[opus + 10 : opus + 12], "little")
    elif vorbis >= 0:
        rate, skip = int.from_bytes(first[vorbis + 12 : vorbis + 16], "little"), 0
    else:
        return None
    tail = content[-_OGG_TAIL_BYTES:]
    at = tail.rfind(b"OggS")
    while at >= 0:
        granule = int.from_bytes(tail[at + 6 : at + 14], "little")
        if tail[at + 14 : at + 18] != serial:
            return None  # chained or multiplexed: the last page speaks for its own stream only
        if granule != _UNKNOWN_GRANULE:
            return (granule - skip) / rate if rate else None
        at = tail.rfind(b"OggS", 0, at)
    return None


def _mp3(content: Content) -> float | None:
    start = id3_length(content)
    for at in range(start, min(len(content), start + _SYNC_SEARCH_BYTES)):
        if content[at] != 0xFF:  # noqa: PLR2004 - the first byte of sync
            continue
        frame = mpeg_frame(content, at)
        if frame is None or (at + frame.length + 4 <= len(content) and mpeg_frame(content, at + frame.length) is None):
            continue
        side = (17 if frame.mono else 32) if frame.version_1 else (9 if frame.mono else 17)
        frames = _xing_frames(content, at + 4 + side) or _vbri_frames(content, at + 36)
        if frames:
            return frames * frame.samples / frame.sample_rate
        end = len(content) - (128 if content[-128:-125] == b"TAG" else 0)
        return (end - at) * 8 / frame.bitrate
    return None


def _xing_frames(content: Content, at: int) -> int:
    if content[at : at + 4] not in {b"Xing", b"Info"} or not int.from_bytes(content[at + 4 : at + 8]) & 1:
        return 0
    return int.from_bytes(content[at + 8 : at + 12])


def _vbri_frames(content: Content, at: int) -> int:
    return int.from_bytes(content[at + 14 : at + 18]) if content[at : at + 4] == b"VBRI" else 0


def _mp4(content: Content) -> float | None:
    for name, start, end in _boxes(content, 0, len(content)):
        if name != b"moov":
            continue
        for inner, at, _ in _boxes(content, start, end):
            if inner == b"mvhd":
                return _movie_header(content[at : at + 32])
    return None


def _movie_header(body: bytes) -> float | None:
    if body[:1] == b"\x01":
        scale, duration = int.from_bytes(body[20:24]), int.from_bytes(body[24:32])
    else:
        scale, duration = int.from_bytes(body[12:16]), int.from_bytes(body[16:20])
    return duration / scale if scale and duration else None


def _boxes(content: Content, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Each ISO box between two offsets: its name, and where its body begins and ends."""
    while at + 8 <= end:
        size, header = int.from_bytes(content[at : at + 4]), 8
        if size == 1:
            size, header = int.from_bytes(content[at + 8 : at + 16]), 16
        elif size == 0:
            size = end - at
        if size < header:
            return
        yield content[at + 4 : at + 8], at + header, min(at + size, end)
        at += size


def _webm(content: Content) -> float | None:
    """Segment > Info > Duration, in units of TimestampScale nanoseconds. Live recordings have none."""
    for name, start, end in _elements(content, 0, len(content)):
        if name != 0x1853_8067:  # noqa: PLR2004 - Segment
            continue
        for inner, info, info_end in _elements(content, start, end):
            if inner == 0x1549_A966:  # noqa: PLR2004 - Info
                return _webm_info(content, info, info_end)
    return None


def _webm_info(content: Content, start: int, end: int) -> float | None:
    scale_ns, ticks = 1_000_000, None
    for name, at, stop in _elements(content, start, end):
        body = content[at:stop]
        if name == 0x2AD7B1:  # noqa: PLR2004 - TimestampScale
            scale_ns = int.from_bytes(body[:8])
        elif name == 0x4489 and len(body) in {4, 8}:  # noqa: PLR2004 - Duration
            ticks = float(struct.unpack(">f" if len(body) == 4 else ">d", body)[0])  # noqa: PLR2004 - bytes of a float
    return None if ticks is None else ticks * scale_ns / 1e9


def _elements(content: Content, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Each EBML element between two offsets: its id, and where its body begins and ends."""
    while at < end:
        id_length = 9 - content[at].bit_length()
        size_at = at + id_length
        if id_length > 4 or size_at >= end:  # noqa: PLR2004 - the longest id
            return
        size_length = 9 - content[size_at].bit_length()
        body = size_at + size_length
        if size_length > 8 or body > end:  # noqa: PLR2004 - the longest size
            return
        mask = (1 << 7 * size_length) - 1
        size = int.from_bytes(content[size_at:body]) & mask
        stop = end if size == mask else min(body + size, end)
        yield int.from_bytes(content[at:size_at]), body, stop
        at = stop


_PARSERS: Mapping[AudioKind, Callable[[Content], float | None]] = {
    AudioKind.WAV: _wav,
    AudioKind.FLAC: _flac,
    AudioKind.OGG: _ogg,
    AudioKind.MP3: _mp3,
    AudioKind.MPGA: _mp3,
    AudioKind.MP4: _mp4,
    AudioKind.M4A: _mp4,
    AudioKind.WEBM: _webm,
}
