"""What a file is to its last byte: how much of it is sound of the container that it begins as, and how much belongs to nothing.

Whatever is sent as it is leaves this machine whole, so it must be known whole. Nothing is decoded, no damaged content raises,
and the work is bounded by MOST_UNITS.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from groq_fallback_mcp.audio.boxes import ebml_elements, iso_boxes
from groq_fallback_mcp.audio.file_bytes import Content
from groq_fallback_mcp.audio.frames import flac_checksum, flac_frame_number, id3_length, mpeg_frame, mpeg_length, row
from groq_fallback_mcp.audio.kind import AGREEING_FRAMES, AudioKind
from groq_fallback_mcp.audio.not_audio import is_text

__all__ = ["Extent", "extent"]

# 100 MB of MP3 at 32 kbit/s have 700,000 frames, of WebM in blocks of 20 ms about as many.
MOST_UNITS = 1_000_000
MOST_GAPS = 64
# Of zeros behind a recording, as disks and recorders write them.
MOST_PADDING = 64 * 1024
BLOCK_BYTES = 256 * 1024
# Of FLAC whose header does not state it: 65,535 samples of 24 bits in 8 channels.
LARGEST_FLAC_FRAME = 1_600_000
MOST_TABLE_ENTRIES = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Bytes of `size` that are sound or pictures (`media`) and that belong to no part of the container (`stray`).

    Padding of zeros is not counted.

    `pictures`: there is a track of them. `text`: what should be samples is text.
    """

    size: int
    media: int
    stray: int
    pictures: bool = False
    text: bool = False

    @property
    def mostly_media(self) -> bool:
        """Whether more than half of the file is sound or pictures."""
        return self.media * 2 > self.size

    @property
    def whole(self) -> bool:
        """Whether the file is this container and nothing else. The end may be cut off."""
        return self.mostly_media and not self.stray and not self.text


def extent(content: Content, kind: AudioKind) -> Extent:
    """What is in a whole file of this kind, which may begin with tags. Blocking; a second for 100 MB."""
    return _WALKS[kind](content)


def _to_the_end(content: Content, at: int, media: int, *, pictures: bool = False) -> Extent:
    """Nothing is known of what comes from `at` on, but zeros and a line break pad a file."""
    left = content[at : at + MOST_PADDING] if len(content) - at <= MOST_PADDING else None
    padded = left is not None and not left.strip(b"\0" if len(left) > 2 else b"\0\r\n")
    return Extent(size=len(content), media=media, stray=0 if padded else max(len(content) - at, 0), pictures=pictures)


def _wav(content: Content) -> Extent:
    """Chunks with printable names, of which only that with the samples may be cut off; a placeholder for its size is the rest."""
    at, media, form = 12, 0, b""
    for _ in range(MOST_UNITS):
        if at >= len(content):
            break
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        body = at + 8
        if not _CHUNK_NAME.fullmatch(name) or body > len(content):
            return _to_the_end(content, at, media)
        there = len(content) - body
        if name == b"fmt ":
            form = content[body : body + 16]
        if name == b"data" and not media:
            size = there if size == 0 or size >= _WAV_PLACEHOLDER else min(size, there)
            if _is_text(content[body : body + 512], form):
                return Extent(size=len(content), media=0, stray=0, text=True)
            media = size if _plausible(form) else 0
        elif size > there:
            return _to_the_end(content, at, media)
        # some writers do not pad the last chunk
        at = body + size + (size % 2 if body + size < len(content) else 0)
    return _to_the_end(content, at, media)


def _is_text(samples: bytes, form: bytes) -> bool:
    """Whether samples are text. One byte a sample, a tone may have none of the control characters either."""
    return is_text(samples) and (form[14:16] not in {b"\0\0", b"\x08\0"} or samples.isascii())


def _plausible(form: bytes) -> bool:
    """Whether a WAV format states channels and a sample rate."""
    channels, rate = int.from_bytes(form[2:4], "little"), int.from_bytes(form[4:8], "little")
    return len(form) == 16 and channels > 0 and rate > 0


_CHUNK_NAME = re.compile(rb"[ -~]{4}")
# As in headers: what programs that write to a pipe leave for a size.
_WAV_PLACEHOLDER = 0x7FFF_0000


def _flac(content: Content) -> Extent:
    """Blocks of metadata, then frames whose numbers count up; the last of a complete recording ends with the file."""
    at, most, samples, block, padding = 4, LARGEST_FLAC_FRAME, 0, 0, 0
    for number in range(MOST_UNITS):
        head = content[at : at + 4]
        kind, size = head[0] & 0x7F if head else 127, int.from_bytes(head[1:4])
        if kind > 6 or (number == 0) != (kind == 0) or at + 4 + size > len(content):
            return _to_the_end(content, at, 0)
        if kind == 0:
            body = content[at + 4 : at + 4 + size]
            block, samples = int.from_bytes(body[:2]), int.from_bytes(body[10:18]) & 0xF_FFFF_FFFF
            most = int.from_bytes(body[7:10]) or LARGEST_FLAC_FRAME
        if kind == 1 and not content[at + 4 : at + 4 + size].strip(b"\0"):
            padding += size
        at += 4 + size
        if head[0] & 0x80:
            break
    begin, sync = at, content[at : at + 2]
    if sync not in {b"\xff\xf8", b"\xff\xf9"} or flac_frame_number(content[at : at + 16]) is None:
        return _to_the_end(content, at, 0)
    last, number = _last_flac_frame(content, begin, sync, most)
    end = len(content) - (128 if content[len(content) - 128 : len(content) - 125] == b"TAG" else 0)
    if end - last > most + 16:
        return _to_the_end(content, last, last - begin)
    complete = samples and (number + 1) * block >= samples if sync == b"\xff\xf8" else samples and number + block >= samples
    if complete and flac_checksum(content[last:end]) != 0:
        return _to_the_end(content, last, last - begin)
    return Extent(size=len(content) - padding, media=end - begin, stray=0)


def _last_flac_frame(content: Content, begin: int, sync: bytes, most: int) -> tuple[int, int]:
    """Where the last frame begins that can be reached from the first one, and its number."""
    last, number = begin, flac_frame_number(content[begin : begin + 16]) or 0
    at = begin + 2
    while at < len(content):
        block = content[at : at + BLOCK_BYTES]
        found = block.find(sync)
        while found >= 0:
            there = at + found
            if there - last > most:
                return last, number
            next_number = flac_frame_number(content[there : there + 16])
            if next_number is not None and (next_number == number + 1 or (sync == b"\xff\xf9" and next_number > number)):
                last, number = there, next_number
            found = block.find(sync, found + 1)
        at += max(len(block) - 1, 1)
    return last, number


def _ogg(content: Content) -> Extent:
    """Pages, one after the other."""
    at, media, pictures = 0, 0, False
    for _ in range(MOST_UNITS):
        if at >= len(content):
            break
        head = content[at : at + 27 + 255]
        if not head.startswith(b"OggS\x00") and not b"OggS\x00".startswith(head):
            return _to_the_end(content, at, media, pictures=pictures)
        lacing = head[27 : 27 + head[26]] if len(head) > 26 else b""
        body = at + 27 + len(lacing)
        end = body + sum(lacing)
        if head[5:6] == b"\x02":
            pictures = pictures or content[body : body + 9].startswith(_OGG_PICTURES)
        media += max(min(end, len(content)) - body, 0)
        at = end
    return _to_the_end(content, at, media, pictures=pictures)


_OGG_PICTURES = (b"\x80theora", b"OVP80", b"BBCD\x00", b"\x01video")


def _mpeg_audio(content: Content) -> Extent:
    """Frames back to back, with tags before, between and behind them, and zeros at the end. What is between is stray."""
    at, media, stray, gaps = 0, 0, 0, 0
    for _ in range(MOST_UNITS):
        at, found = _frames(content, at)
        media += found
        tag = _tag(content, at)
        if tag:
            at += tag
        elif len(content) - at < 4:
            at = len(content)
            break
        elif gaps == MOST_GAPS:
            break
        else:
            again = _next_row(content, at + 1)
            stray, gaps, at = stray + again - at, gaps + 1, again
    return Extent(size=len(content), media=media, stray=stray + max(len(content) - at, 0))


def _frames(content: Content, begin: int) -> tuple[int, int]:
    """Where the row of frames that begins here ends, and its bytes. The last frame may be cut off."""
    lengths: dict[bytes, int] = {}
    at = begin
    for _ in range(MOST_UNITS):
        header = content[at : at + 4]
        length = lengths.get(header)
        if length is None:
            frame = mpeg_frame(content, at)
            if frame is None or frame.length < 4:
                break
            length = lengths[header] = frame.length
        at += length
    return (at, at - begin) if at <= len(content) else (len(content), len(content) - begin)


def _next_row(content: Content, at: int) -> int:
    """Where the next row of frames begins, the end without one."""
    while at < len(content):
        block = content[at : at + BLOCK_BYTES]
        found = block.find(b"\xff")
        while found >= 0:
            if row(content, at + found, mpeg_length, AGREEING_FRAMES):
                return at + found
            found = block.find(b"\xff", found + 1)
        at += len(block)
    return len(content)


def _tag(content: Content, at: int) -> int:
    """Bytes of the tag that begins here, or of zeros to the end; 0 for neither."""
    head = content[at : at + 32]
    left = len(content) - at
    if head.startswith(b"ID3"):
        length = id3_length(content, at)
        return length if length <= left else 0
    if head.startswith(b"TAG") and left == 128:
        return 128
    if head.startswith(b"APETAGEX") and len(head) == 32:
        length = 32 + int.from_bytes(head[12:16], "little")
        return length if length <= left else 0
    return left if _all_zeros(content, at) else 0


def _all_zeros(content: Content, at: int) -> bool:
    while at < len(content):
        block = content[at : at + BLOCK_BYTES]
        if block.strip(b"\0"):
            return False
        at += len(block)
    return True


def _mp4(content: Content) -> Extent:
    """Known boxes one after the other, and tracks whose samples account for most of what the data boxes hold."""
    at, data, tracks, fragmented = 0, 0, _Tracks(), False
    for name, start, end, stated_end in iso_boxes(content, 0, len(content), most=MOST_UNITS):
        if name not in _BOXES:
            return _to_the_end(content, at, 0, pictures=tracks.pictures)
        if name == b"mdat":
            data += end - start
        elif name == b"moof":
            fragmented = True
        elif name == b"moov":
            tracks = _tracks(content, start, end)
        at = stated_end
    # a box whose header is cut off
    at = len(content) if len(content) - at < 8 and at > 0 else at
    media = 0 if not tracks.sound else data if fragmented else min(tracks.bytes, data)
    return _to_the_end(content, at, media, pictures=tracks.pictures)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tracks:
    sound: bool = False
    pictures: bool = False
    bytes: int = 0


def _tracks(content: Content, start: int, end: int) -> _Tracks:
    sound = pictures = False
    size = 0
    for name, at, stop, _ in iso_boxes(content, start, end):
        if name != b"trak":
            continue
        handler, held = _track(content, at, stop)
        sound, pictures = sound or handler == b"soun", pictures or handler == b"vide"
        size += held
    return _Tracks(sound=sound, pictures=pictures, bytes=size)


def _track(content: Content, start: int, end: int) -> tuple[bytes, int]:
    """The kind of a track, and the bytes of its samples."""
    handler, size = b"", 0
    for name, at, stop, _ in iso_boxes(content, start, end):
        if name in {b"mdia", b"minf", b"stbl"}:
            inner, held = _track(content, at, stop)
            handler, size = handler or inner, size + held
        elif name == b"hdlr" and not handler:
            handler = content[at + 8 : at + 12]
            handler = b"" if handler in {b"url ", b"alis"} else handler
        elif name == b"stsz":
            size += _sample_bytes(content, at, stop)
    return handler, size


def _sample_bytes(content: Content, start: int, end: int) -> int:
    each, count = struct.unpack(">II", content[start + 4 : start + 12].ljust(8, b"\0"))
    if each:
        return each * count if each > 1 else end
    count = min(count, (end - start - 12) // 4, MOST_TABLE_ENTRIES)
    total = 0
    for at in range(start + 12, start + 12 + 4 * count, BLOCK_BYTES):
        block = content[at : min(at + BLOCK_BYTES, start + 12 + 4 * count)]
        total += sum(struct.unpack(f">{len(block) // 4}I", block[: len(block) // 4 * 4]))
    return total


_BOXES = {
    *(b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"mfra", b"free", b"skip", b"wide"),
    *(b"sidx", b"ssix", b"meta", b"udta", b"uuid", b"pdin", b"emsg", b"prft", b"pnot"),
}


def _webm(content: Content) -> Extent:
    """Known elements one after the other. Attached files are not among them."""
    at, media, types, descends = 0, 0, set[int](), True
    while descends:
        descends = False
        for name, body, stop, stated_end in ebml_elements(content, at, len(content), most=MOST_UNITS):
            if name == _SEGMENT or (name == _CLUSTER and stop == len(content)):
                # of unknown size, or the last
                at, descends = body, True
                break
            if name not in _ELEMENTS:
                return _to_the_end(content, at, media, pictures=1 in types)
            if name == _TRACKS:
                types |= _track_types(content, body, stop)
            media += stop - body if name in _BLOCKS else 0
            at = stated_end
    # cut off within a head, or the end
    at = len(content) if len(content) - at < 12 else at
    return _to_the_end(content, at, media if 2 in types else 0, pictures=1 in types)


def _track_types(content: Content, start: int, end: int) -> set[int]:
    return {
        int.from_bytes(content[at : at + 1])
        for name, body, stop, _ in ebml_elements(content, start, end)
        if name == 0xAE
        for inner, at, _, _ in ebml_elements(content, body, stop)
        if inner == 0x83
    }


_SEGMENT, _CLUSTER, _TRACKS = 0x1853_8067, 0x1F43_B675, 0x1654_AE6B
# Clusters and the two kinds of blocks in them.
_BLOCKS = {_CLUSTER, 0xA3, 0xA0}
# The head, Void, CRC-32, SeekHead, Info, Tracks, Cues, Chapters, Tags; of clusters Timestamp, Position, PrevSize.
_ELEMENTS = {
    *(0x1A45_DFA3, 0xEC, 0xBF, 0x114D_9B74, 0x1549_A966, _TRACKS, 0x1C53_BB6B, 0x1043_A770, 0x1254_C367),
    *(0xE7, 0xA7, 0xAB),
    *_BLOCKS,
}


def _program_stream(content: Content) -> Extent:
    """Packs and packets, one after the other."""
    at, media, pictures, sound = 0, 0, False, False
    for _ in range(MOST_UNITS):
        head = content[at : at + 14]
        if len(head) < 6 or not head.startswith(b"\0\0\1"):
            break
        name = head[3]
        if name == 0xB9:
            at += 4
        elif name == 0xBA:
            at += 12 if head[4] >> 4 == 2 else 14 + (head[13] & 7 if len(head) > 13 else 0)
        elif name > 0xBA:
            size = 6 + int.from_bytes(head[4:6])
            media += size if 0xBD <= name <= 0xEF and name != 0xBE else 0
            sound = sound or name == 0xBD or 0xC0 <= name <= 0xDF
            pictures = pictures or 0xE0 <= name <= 0xEF
            at += size
        else:
            break
    at = len(content) if at < len(content) and (len(content) - at < 14 or _all_zeros(content, at)) else at
    return _to_the_end(content, at, media if sound else 0, pictures=pictures)


_WALKS: Mapping[AudioKind, Callable[[Content], Extent]] = {
    AudioKind.FLAC: _flac,
    AudioKind.MP3: _mpeg_audio,
    AudioKind.MP4: _mp4,
    AudioKind.MPEG: _program_stream,
    AudioKind.MPGA: _mpeg_audio,
    AudioKind.M4A: _mp4,
    AudioKind.OGG: _ogg,
    AudioKind.WAV: _wav,
    AudioKind.WEBM: _webm,
}
