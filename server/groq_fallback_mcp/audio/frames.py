"""Rows of MPEG, AAC, AC-3, LATM and FLAC frames: sound whose headers agree and follow one another, with or without a container."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from groq_fallback_mcp.audio.file_bytes import Content

__all__ = [
    "ac3_length",
    "adts_length",
    "amr_row",
    "flac_checksum",
    "flac_frame_number",
    "id3_length",
    "loas_length",
    "mpeg_frame",
    "mpeg_length",
    "row",
]

# Bytes of the frame at an offset and what all frames of a file have in common, None where there is no frame.
Length = Callable[[Content, int], tuple[int, object] | None]


def row(content: Content, at: int, length: Length, count: int) -> bool:
    """Whether `count` whole frames follow one another from here, all alike, and then another one or the end."""
    common: object = None
    for number in range(count):
        found = length(content, at)
        if found is None or (number and found[1] != common):
            return False
        common = found[1]
        at += found[0]
    if at + _LONGEST_HEADER > len(content):
        return at <= len(content)
    last = length(content, at)
    return last is not None and last[1] == common


def id3_length(content: Content, at: int = 0) -> int:
    """Bytes taken by an ID3v2 tag at offset `at`, 0 without one."""
    head = content[at : at + 10]
    if not head.startswith(b"ID3") or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if head[5] & 0x10 else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MpegFrame:
    """An MPEG audio frame header. `length` is in bytes, `samples` per channel and frame."""

    layer: int
    bitrate: int
    sample_rate: int
    samples: int
    length: int
    version_1: bool
    mono: bool


def mpeg_frame(content: Content, at: int) -> MpegFrame | None:
    """The MPEG audio frame header at offset `at`, None when there is no valid one."""
    header = int.from_bytes(content[at : at + 4])
    version, layer_bits = header >> 19 & 3, header >> 17 & 3
    bitrate_index, rate_index = header >> 12 & 15, header >> 10 & 3
    if len(content) < at + 4 or header >> 21 != 0x7FF:
        return None
    if version == 1 or layer_bits == 0 or bitrate_index in {0, 15} or rate_index == 3:
        return None
    layer, version_1 = 4 - layer_bits, version == 3
    bitrate = _KBIT[version_1, layer][bitrate_index - 1] * 1000
    sample_rate = (44_100, 48_000, 32_000)[rate_index] // {3: 1, 2: 2, 0: 4}[version]
    samples = 384 if layer == 1 else 576 if layer == 3 and not version_1 else 1152
    padding = header >> 9 & 1
    slot = 4 if layer == 1 else 1
    return MpegFrame(
        layer=layer,
        bitrate=bitrate,
        sample_rate=sample_rate,
        samples=samples,
        length=(samples // 8 // slot * bitrate // sample_rate + padding) * slot,
        version_1=version_1,
        mono=header >> 6 & 3 == 3,
    )


def mpeg_length(content: Content, at: int) -> tuple[int, object] | None:
    """A `Length` of MPEG audio."""
    frame = mpeg_frame(content, at)
    if frame is None or frame.length < 4:
        return None
    return frame.length, (frame.layer, frame.sample_rate, frame.version_1)


def adts_length(content: Content, at: int) -> tuple[int, object] | None:
    """A `Length` of AAC with ADTS headers."""
    head = content[at : at + 7]
    header = int.from_bytes(head)
    # twelve bits of sync, a version, two bits of layer that are zero
    if len(head) < 7 or header >> 44 != 0xFFF or header >> 41 & 3 or header >> 34 & 15 > 12:
        return None
    size = header >> 13 & 0x1FFF
    return (size, header >> 32 & 0xFFFF) if size > 7 else None


def ac3_length(content: Content, at: int) -> tuple[int, object] | None:
    """A `Length` of AC-3 and E-AC-3; what they have in common is the version."""
    head = content[at : at + 6]
    if head[:2] != b"\x0b\x77" or len(head) < 6:
        return None
    version = head[5] >> 3
    if version > 10:
        return ((int.from_bytes(head[2:4]) & 0x7FF) + 1) * 2, version
    rate, code = head[4] >> 6, head[4] & 0x3F
    if rate == 3 or code >> 1 >= len(_AC3_KBIT):
        return None
    kbit = _AC3_KBIT[code >> 1]
    words = {0: kbit * 2, 1: kbit * 96_000 // 44_100 + (code & 1), 2: kbit * 3}[rate]
    return words * 2, version


def loas_length(content: Content, at: int) -> tuple[int, object] | None:
    """A `Length` of AAC in LATM."""
    head = content[at : at + 3]
    header = int.from_bytes(head)
    return ((header & 0x1FFF) + 3, None) if header >> 13 == 0x2B7 and len(head) == 3 else None


def amr_row(content: Content) -> bool:
    """Whether an AMR file is frames to its end, of which the last may be cut off. Each is as long as its first byte says."""
    wide = content.startswith(b"#!AMR-WB\n")
    if not wide and not content.startswith(b"#!AMR\n"):
        return False
    at, sizes = (9, _AMR_WB) if wide else (6, _AMR_NB)
    for number in range(MOST_AMR_FRAMES):
        if at >= len(content):
            return number > 0
        first = content[at]
        size = sizes.get(first >> 3 & 15)
        # the first bit and the last two are padding
        if size is None or first & 0x83:
            return False
        at += 1 + size
    return True


# Ten minutes: what goes on so long is not there by chance.
MOST_AMR_FRAMES = 30_000
_AMR_NB = {0: 12, 1: 13, 2: 15, 3: 17, 4: 19, 5: 20, 6: 26, 7: 31, 8: 5, 15: 0}
_AMR_WB = {0: 17, 1: 23, 2: 32, 3: 36, 4: 40, 5: 46, 6: 50, 7: 58, 8: 60, 9: 5, 14: 0, 15: 0}
_LONGEST_HEADER = 7
_V1_L1 = (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_V1_L2 = (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V1_L3 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V2_L1 = (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_V2_L23 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBIT: Mapping[tuple[bool, int], tuple[int, ...]] = {
    (True, 1): _V1_L1,
    (True, 2): _V1_L2,
    (True, 3): _V1_L3,
    (False, 1): _V2_L1,
    (False, 2): _V2_L23,
    (False, 3): _V2_L23,
}
_AC3_KBIT = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)


def flac_frame_number(header: bytes) -> int | None:
    """The number of the frame, or of its first sample, that a frame header holds; None where it is none."""
    if len(header) < 6 or header[2] >> 4 == 0 or header[2] & 15 == 15 or header[3] & 1:
        return None
    first = header[4]
    ones = 8 - (first ^ 0xFF).bit_length()
    length = 1 if ones == 0 else ones
    if ones in {1, 8}:
        return None
    number = first & (0x7F >> ones)
    for byte in header[5 : 4 + length]:
        if byte >> 6 != 2:
            return None
        number = number << 6 | byte & 0x3F
    end = 4 + length + {6: 1, 7: 2}.get(header[2] >> 4, 0) + {12: 1, 13: 2, 14: 2}.get(header[2] & 15, 0)
    return number if end < len(header) and _crc8(header[:end]) == header[end] else None


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07) & 0xFF if value & 0x80 else value << 1
    return value


def flac_checksum(frame: bytes) -> int:
    """The CRC-16 of a frame; 0 where the frame ends with its own."""
    value = 0
    for byte in frame:
        value = (value << 8 & 0xFFFF) ^ _CRC16[value >> 8 ^ byte]
    return value


def _crc16_table() -> tuple[int, ...]:
    table: list[int] = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x8005) & 0xFFFF if value & 0x8000 else value << 1
        table.append(value)
    return tuple(table)


_CRC16 = _crc16_table()
