"""What the headers of a recording tell without decoding a sample: how long it lasts, whether the file is whole.

The length prices a call before it is sent; where a header does not tell, it is None. No parser raises on damaged content:
slices beyond the end are empty, every loop moves forward, and none looks at more than MOST_STEPS boxes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from groq_fallback_mcp.audio.boxes import MOST_STEPS, ebml_elements, iso_boxes
from groq_fallback_mcp.audio.file_bytes import Content
from groq_fallback_mcp.audio.frames import flac_frame_number, id3_length, mpeg_frame
from groq_fallback_mcp.audio.kind import AudioKind, Convertible

__all__ = ["UNKNOWN", "Headers", "early_end", "read_headers"]

LONGEST_BELIEVABLE_S = 100 * 86_400.0
_SYNC_SEARCH_BYTES = 65_536
_OGG_TAIL_BYTES = 131_072
_FLAC_TAIL_BYTES = 262_144
_UNKNOWN_GRANULE = 0xFFFF_FFFF_FFFF_FFFF
# Programs that write to a pipe cannot know a size; they leave 0, or one of these and more.
_WAV_PLACEHOLDER = 0x7FFF_0000
_BITRATE_LOOKS = 16
# WebM's, of a track.
_TRACK_TYPE, _SOUND_TRACK = 0x83, 2
# Less is missing by rounding and by the delay of codecs.
LEAST_MISSING_S = 1.0
WHOLE_FROM_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    """What the headers tell. `duration_s`: seconds that are there, `stated_s`: seconds that should be; None where unknown.

    `cut`: the file certainly ends before its headers say. `without_index`: and what it needs to be played is missing.
    `has_sound` is False where the headers list the tracks and none of them is sound.
    """

    duration_s: float | None = None
    stated_s: float | None = None
    cut: bool = False
    without_index: bool = False
    has_sound: bool = True


UNKNOWN = Headers()


def read_headers(content: Content, kind: AudioKind | Convertible) -> Headers:
    """What the headers of a whole file of this kind tell. MP3 without an index is taken as constant bit rate if it looks so."""
    parser = _PARSERS.get(kind)
    found = UNKNOWN if parser is None else parser(content)
    stated_s, duration_s = _believable(found.stated_s), _believable(found.duration_s)
    if stated_s is not None and duration_s is not None and stated_s - duration_s < LEAST_MISSING_S:
        return replace(found, duration_s=duration_s, stated_s=stated_s, cut=False)
    return replace(found, duration_s=duration_s, stated_s=stated_s)


def early_end(stated_s: float | None, held_s: float | None) -> str:
    """That a recording ends before its headers say, for the reader of the transcript."""
    held = "" if held_s is None else f"holds {_short(held_s)}"
    if stated_s is None:
        return f"The file ends early: its last block is cut off{', and it ' if held else ''}{held}."
    return f"The file ends early: it states {_short(stated_s)}{', and ' if held else ''}{held}."


def _short(seconds: float) -> str:
    """Tenths only where they say something."""
    return f"{seconds:.0f} s" if seconds >= WHOLE_FROM_S else f"{seconds:.1f} s".replace(".0 s", " s")


def _believable(seconds: float | None) -> float | None:
    if seconds is None or not math.isfinite(seconds) or not 0 < seconds < LONGEST_BELIEVABLE_S:
        return None
    return seconds


def _wav(content: Content) -> Headers:
    at, bytes_per_s = 12, 0
    for _ in range(MOST_STEPS):
        if at + 8 > len(content):
            break
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if name == b"fmt ":
            bytes_per_s = _wav_bytes_per_s(content[at + 8 : at + 24])
        elif name == b"data":
            there = len(content) - at - 8
            known = 0 < size < _WAV_PLACEHOLDER
            if not bytes_per_s:
                return UNKNOWN
            held_s = (min(size, there) if known else there) / bytes_per_s
            return Headers(duration_s=held_s, stated_s=size / bytes_per_s if known else None, cut=known and size > there)
        at += 8 + size + size % 2
    return UNKNOWN


def _wav_bytes_per_s(fmt: bytes) -> int:
    """What a second takes; of PCM by what decoders go by, as the figure that states it is often wrong."""
    form, rate = int.from_bytes(fmt[:2], "little"), int.from_bytes(fmt[4:8], "little")
    channels, bits = int.from_bytes(fmt[2:4], "little"), int.from_bytes(fmt[14:16], "little")
    plain = rate * channels * ((bits + 7) // 8) if form in {1, 3, 0xFFFE} else 0
    return plain or int.from_bytes(fmt[8:12], "little")


def _flac(content: Content) -> Headers:
    start = id3_length(content)
    body = content[start : start + 26]
    if body[:4] != b"fLaC" or len(body) < 26:
        return UNKNOWN
    fields = int.from_bytes(body[18:26])
    sample_rate, samples = fields >> 44, fields & 0xF_FFFF_FFFF
    if not sample_rate or not samples:
        return UNKNOWN
    stated_s = samples / sample_rate
    held = _flac_samples(content, int.from_bytes(body[8:10]), samples)
    if held is None or stated_s - held / sample_rate < LEAST_MISSING_S:
        return Headers(duration_s=stated_s, stated_s=stated_s)
    return Headers(duration_s=held / sample_rate, stated_s=stated_s, cut=True)


def _flac_samples(content: Content, block_size: int, stated: int) -> int | None:
    """Where the last frame ends, by the frame headers near the end of the file; None where none is found."""
    tail = content[max(len(content) - _FLAC_TAIL_BYTES, 0) :]
    furthest: int | None = None
    for sync, fixed in ((b"\xff\xf8", True), (b"\xff\xf9", False)):
        at = tail.rfind(sync)
        for _ in range(MOST_STEPS):
            if at < 0:
                break
            number = flac_frame_number(tail[at : at + 16])
            if number is not None:
                end = (number + 1) * block_size if fixed else number + block_size
                if end <= stated + block_size:
                    furthest = max(furthest or 0, min(end, stated))
            at = tail.rfind(sync, 0, at)
    return furthest


def _ogg(content: Content) -> Headers:
    serial, first = content[14:18], content[:512]
    opus, vorbis, flac = first.find(b"OpusHead"), first.find(b"\x01vorbis"), first.find(b"\x7fFLAC")
    rate, skip, stated = 0, 0, 0
    if opus >= 0:
        rate, skip = 48_000, int.from_bytes(first[opus + 10 : opus + 12], "little")
    elif vorbis >= 0:
        rate = int.from_bytes(first[vorbis + 12 : vorbis + 16], "little")
    elif flac >= 0:
        fields = int.from_bytes(first[flac + 27 : flac + 35])
        rate, stated = fields >> 44, fields & 0xF_FFFF_FFFF
    if not rate:
        return UNKNOWN
    tail_at = max(len(content) - _OGG_TAIL_BYTES, 0)
    tail = content[tail_at:]
    at, cut = tail.rfind(b"OggS"), False
    for _ in range(MOST_STEPS):
        if at < 0:
            break
        granule = int.from_bytes(tail[at + 6 : at + 14], "little")
        lacing = tail[at + 27 : at + 27 + tail[at + 26]] if at + 26 < len(tail) else b""
        whole = at + 27 <= len(tail) and len(lacing) == tail[at + 26] and at + 27 + len(lacing) + sum(lacing) <= len(tail)
        if whole and tail[at + 14 : at + 18] != serial:
            return Headers(cut=cut)  # chained or multiplexed: the last page speaks for its own stream only
        if whole and granule != _UNKNOWN_GRANULE:
            held_s = (granule - skip) / rate
            stated_s = stated / rate if stated else None
            return Headers(duration_s=held_s, stated_s=stated_s, cut=cut or (stated_s or 0) - held_s > LEAST_MISSING_S)
        cut = cut or not whole
        at = tail.rfind(b"OggS", 0, at)
    return Headers(cut=cut)


def _mp3(content: Content) -> Headers:
    begin = id3_length(content)
    window = content[begin : begin + _SYNC_SEARCH_BYTES]
    found = window.find(b"\xff")
    while found >= 0:
        at = begin + found
        frame = mpeg_frame(content, at)
        if frame is not None and (at + frame.length + 4 > len(content) or mpeg_frame(content, at + frame.length) is not None):
            side = (17 if frame.mono else 32) if frame.version_1 else (9 if frame.mono else 17)
            frames, size = _xing(content, at + 4 + side)
            if not frames:
                frames, size = _vbri(content, at + 36)
            # what looks like a frame may lie in the tag
            there = max(len(content) - (128 if content[-128:-125] == b"TAG" else 0) - at, 0)
            if frames:
                stated_s = frames * frame.samples / frame.sample_rate
                cut = size > there
                return Headers(duration_s=stated_s * there / size if cut else stated_s, stated_s=stated_s, cut=cut)
            return Headers(duration_s=there * 8 / frame.bitrate) if _one_bitrate(content, at, frame.bitrate) else UNKNOWN
        found = window.find(b"\xff", found + 1)
    return UNKNOWN


def _one_bitrate(content: Content, begin: int, bitrate: int) -> bool:
    """Whether frames all over the file have this bit rate: of a variable one the first frame tells nothing."""
    for look in range(1, _BITRATE_LOOKS):
        at = begin + (len(content) - begin) * look // _BITRATE_LOOKS
        window = content[at : at + 4_096]
        found = window.find(b"\xff")
        while found >= 0:
            frame = mpeg_frame(window, found)
            after = None if frame is None else mpeg_frame(window, found + frame.length)
            if frame is not None and after is not None:
                if frame.bitrate != bitrate or after.bitrate != bitrate:
                    return False
                break
            found = window.find(b"\xff", found + 1)
    return True


def _xing(content: Content, at: int) -> tuple[int, int]:
    """Frames and bytes that a Xing or LAME header states, 0 for what it does not."""
    head = content[at : at + 16]
    if head[:4] not in {b"Xing", b"Info"}:
        return 0, 0
    flags = int.from_bytes(head[4:8])
    frames = int.from_bytes(head[8:12]) if flags & 1 else 0
    size = 0 if not flags & 2 else int.from_bytes(head[12:16] if flags & 1 else head[8:12])
    return frames, size


def _vbri(content: Content, at: int) -> tuple[int, int]:
    """Frames and bytes that a VBRI header states, 0 without one."""
    head = content[at : at + 18]
    return (int.from_bytes(head[14:18]), int.from_bytes(head[10:14])) if head[:4] == b"VBRI" else (0, 0)


def _mp4(content: Content) -> Headers:
    stated_s: float | None = None
    index = has_tracks = has_sound = fragmented = False
    cut, share, reached = False, 1.0, 0
    for name, start, end, stated_end in iso_boxes(content, 0, len(content)):
        reached = stated_end
        if stated_end > len(content):
            cut = True
        if name == b"moov":
            index = True
            for inner, at, stop, _ in iso_boxes(content, start, end):
                if inner == b"mvhd":
                    stated_s = _movie_header(content[at : at + 32])
                elif inner == b"trak":
                    has_tracks = True
                    has_sound = has_sound or _handler(content, at, stop) in {b"soun", b""}
        elif name == b"moof":
            fragmented = True
        elif name == b"mdat" and stated_end > end and stated_end > start:
            share = (end - start) / (stated_end - start)
    silent = has_tracks and not has_sound
    whole = reached >= len(content)
    if fragmented:
        return Headers(cut=cut, has_sound=not silent, stated_s=stated_s, duration_s=None if cut else stated_s)
    held_s = None if stated_s is None else stated_s * share
    return Headers(
        duration_s=held_s, stated_s=stated_s, cut=cut, without_index=cut and whole and not index, has_sound=not silent
    )


def _handler(content: Content, start: int, end: int) -> bytes:
    """The kind of a track: soun, vide; empty where it does not tell."""
    for name, at, stop, _ in iso_boxes(content, start, end):
        if name == b"mdia":
            for inner, body, _, _ in iso_boxes(content, at, stop):
                if inner == b"hdlr":
                    return content[body + 8 : body + 12]
    return b""


def _movie_header(body: bytes) -> float | None:
    if body[:1] == b"\x01":
        scale, duration = int.from_bytes(body[20:24]), int.from_bytes(body[24:32])
    else:
        scale, duration = int.from_bytes(body[12:16]), int.from_bytes(body[16:20])
    return duration / scale if scale and duration else None


def _webm(content: Content) -> Headers:
    """Segment > Info > Duration, in units of TimestampScale nanoseconds. Live recordings have none."""
    for name, start, end, stated_end in ebml_elements(content, 0, len(content)):
        if name == 0x1853_8067:
            return _webm_segment(content, start, end, cut=stated_end > len(content))
    return UNKNOWN


def _webm_segment(content: Content, start: int, end: int, *, cut: bool) -> Headers:
    scale_ns, ticks, last_cluster = 1_000_000, None, None
    types: set[int] = set()
    for name, at, stop, stated_end in ebml_elements(content, start, end):
        cut = cut or stated_end > len(content)
        if name == 0x1549_A966:
            scale_ns, ticks = _webm_info(content, at, stop)
        elif name == 0x1654_AE6B:
            types = _webm_tracks(content, at, stop)
        elif name == 0x1F43_B675:
            last_cluster = at
    stated_s = None if ticks is None else ticks * scale_ns / 1e9
    held_s = stated_s if not cut or last_cluster is None else _webm_timestamp(content, last_cluster, end) * scale_ns / 1e9
    return Headers(duration_s=held_s, stated_s=stated_s, cut=cut, has_sound=not types or _SOUND_TRACK in types)


def _webm_timestamp(content: Content, start: int, end: int) -> int:
    for (name, at, stop, _), _ in zip(ebml_elements(content, start, end), range(8), strict=False):
        if name == 0xE7:
            return int.from_bytes(content[at : min(stop, at + 8)])
    return 0


def _webm_tracks(content: Content, start: int, end: int) -> set[int]:
    """The types of all tracks: 1 is video, 2 sound."""
    types: set[int] = set()
    for name, at, stop, _ in ebml_elements(content, start, end):
        if name == 0xAE:
            inside = ebml_elements(content, at, stop)
            types |= {int.from_bytes(content[body : body + 1]) for inner, body, _, _ in inside if inner == _TRACK_TYPE}
    return types


def _webm_info(content: Content, start: int, end: int) -> tuple[int, float | None]:
    scale_ns, ticks = 1_000_000, None
    for name, at, stop, _ in ebml_elements(content, start, end):
        body = content[at : min(stop, at + 8)]
        if name == 0x2AD7B1:
            scale_ns = int.from_bytes(body)
        elif name == 0x4489 and stop - at in {4, 8}:
            ticks = float(struct.unpack(">f" if len(body) == 4 else ">d", body)[0])
    return scale_ns, ticks


def _rf64(content: Content) -> Headers:
    """WAV whose sizes stand in a chunk of their own."""
    stated = int.from_bytes(content[28:36], "little") if content[12:16] == b"ds64" else 0
    found = _wav(content)
    if found.duration_s is None or not stated or stated >= _WAV_PLACEHOLDER << 32:
        return found
    at = content[:_SYNC_SEARCH_BYTES].find(b"data")
    there = len(content) - at - 8
    if at < 0 or stated <= there:
        return replace(found, stated_s=None, cut=False)
    return Headers(duration_s=found.duration_s, stated_s=found.duration_s * stated / there if there > 0 else None, cut=True)


def _riff(content: Content) -> Headers:
    """A file whose first box holds all of it: whether that is there."""
    size = int.from_bytes(content[4:8], "little")
    return Headers(cut=0 < size < _WAV_PLACEHOLDER and size + 8 > len(content) + 1)


def _w64(content: Content) -> Headers:
    size = int.from_bytes(content[16:24], "little")
    return Headers(cut=0 < size < 1 << 62 and size > len(content) + 8)


def _iff(content: Content) -> Headers:
    size = int.from_bytes(content[4:8])
    return Headers(cut=0 < size < _WAV_PLACEHOLDER and size + 8 > len(content) + 1)


def _dsf(content: Content) -> Headers:
    return Headers(cut=len(content) < int.from_bytes(content[12:20], "little") < 1 << 62)


def _voc(content: Content) -> Headers:
    """Blocks; a block of type 0 is the end."""
    at = int.from_bytes(content[20:22], "little")
    for _ in range(MOST_STEPS):
        head = content[at : at + 4]
        if len(head) < 4 or head[0] == 0:
            break
        at += 4 + int.from_bytes(head[1:], "little")
    return Headers(cut=at > len(content))


def _sox(content: Content) -> Headers:
    """Samples of four bytes, which are counted in the header."""
    order = "<" if content.startswith(b".SoX") else ">"
    begin, samples, rate, channels = struct.unpack(f"{order}IQdI", content[4:28].ljust(24, b"\0"))
    held = max(len(content) - begin - 4, 0)
    return _partly(held, samples * 4, rate * channels * 4) if held < samples * 4 < 1 << 62 else UNKNOWN


def _au(content: Content) -> Headers:
    order = "<" if content.startswith(b"dns.") else ">"
    begin, size, coding, rate, channels = struct.unpack(f"{order}5I", content[4:24].ljust(20, b"\0"))
    held = min(size, max(len(content) - begin, 0))
    if not 0 < size < _WAV_PLACEHOLDER or held == size:
        return UNKNOWN
    return _partly(held, size, rate * channels * _AU_SAMPLE_BYTES.get(coding, 0))


def _caf(content: Content) -> Headers:
    """Chunks, of which that with the sound may be of unknown size, which is then the last."""
    at, bytes_per_s = 8, 0.0
    for _ in range(MOST_STEPS):
        head = content[at : at + 12]
        if len(head) < 12:
            break
        size = int.from_bytes(head[4:], signed=True)
        if head.startswith(b"desc"):
            rate, packet_bytes, packet_frames = struct.unpack(">d8xII", content[at + 12 : at + 36].ljust(24, b"\0"))
            bytes_per_s = rate * packet_bytes / packet_frames if packet_frames else 0.0
        if size < 0:
            break
        there = len(content) - at - 12
        if size > there:
            # the first four bytes count edits
            return _partly(max(there - 4, 0), size - 4, bytes_per_s) if head.startswith(b"data") else Headers(cut=True)
        at += 12 + size
    return UNKNOWN


def _partly(held: int, stated: int, bytes_per_s: float) -> Headers:
    """Of so many bytes of sound only the first are there."""
    known = math.isfinite(bytes_per_s) and bytes_per_s > 0
    return Headers(duration_s=held / bytes_per_s if known else None, stated_s=stated / bytes_per_s if known else None, cut=True)


# 8-bit μ-law and A-law, PCM of 8 to 32 bits, floats; what is not here is compressed.
_AU_SAMPLE_BYTES = {1: 1, 27: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8}
_PARSERS: Mapping[AudioKind | Convertible, Callable[[Content], Headers]] = {
    AudioKind.WAV: _wav,
    AudioKind.FLAC: _flac,
    AudioKind.OGG: _ogg,
    AudioKind.MP3: _mp3,
    AudioKind.MPGA: _mp3,
    AudioKind.MP4: _mp4,
    AudioKind.M4A: _mp4,
    AudioKind.WEBM: _webm,
    Convertible.AU: _au,
    Convertible.AVI: _riff,
    Convertible.CAF: _caf,
    Convertible.DSF: _dsf,
    Convertible.IFF: _iff,
    Convertible.MKV: _webm,
    Convertible.MOV: _mp4,
    Convertible.QCP: _riff,
    Convertible.RF64: _rf64,
    Convertible.SOX: _sox,
    Convertible.VOC: _voc,
    Convertible.W64: _w64,
    Convertible.XWMA: _riff,
}
