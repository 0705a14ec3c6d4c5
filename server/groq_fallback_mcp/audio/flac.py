"""The frames of FLAC: the numbers in their headers, and their checksums."""

from __future__ import annotations

__all__ = ["flac_checksum", "flac_frame_number"]


def flac_frame_number(header: bytes) -> int | None:
    """The number of the frame, or of its first sample, that a frame header holds; None where it is none."""
    if len(header) < 6 or header[2] >> 4 == 0 or header[2] & 15 == 15 or header[3] & 1:  # noqa: PLR2004 - reserved values
        return None
    first = header[4]
    ones = 8 - (first ^ 0xFF).bit_length()
    length = 1 if ones == 0 else ones
    if ones in {1, 8}:
        return None
    number = first & (0x7F >> ones)
    for byte in header[5 : 4 + length]:
        if byte >> 6 != 2:  # noqa: PLR2004 - a byte that goes on
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
        value = (value << 8 & 0xFFFF) ^ _TABLE[value >> 8 ^ byte]
    return value


def _table() -> tuple[int, ...]:
    table: list[int] = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x8005) & 0xFFFF if value & 0x8000 else value << 1
        table.append(value)
    return tuple(table)


_TABLE = _table()
