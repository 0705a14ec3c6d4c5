"""The boxes of MP4 and the elements of WebM: names, and where their bodies begin and end. No damaged content raises."""

from __future__ import annotations

from collections.abc import Iterator

from groq_fallback_mcp.audio.file_bytes import Content

__all__ = ["MOST_STEPS", "ebml_elements", "iso_boxes"]

# A day of WebM in clusters of five seconds has 17,000.
MOST_STEPS = 20_000


def iso_boxes(content: Content, at: int, end: int, *, most: int = MOST_STEPS) -> Iterator[tuple[bytes, int, int, int]]:
    """Each ISO box between two offsets: its name, where its body begins and ends, and where it says that it ends."""
    for _ in range(most):
        if at + 8 > end:
            return
        head = content[at : at + 16]
        size, header = int.from_bytes(head[:4]), 8
        if size == 1:
            size, header = int.from_bytes(head[8:16]), 16
        elif size == 0:
            size = end - at
        if size < header:
            return
        yield head[4:8], at + header, min(at + size, end), at + size
        at += size


def ebml_elements(content: Content, at: int, end: int, *, most: int = MOST_STEPS) -> Iterator[tuple[int, int, int, int]]:
    """Each EBML element between two offsets: its id, where its body begins and ends, and where it says that it ends."""
    for _ in range(most):
        if at >= end:
            return
        head = content[at : min(at + 12, end)]
        id_length = 9 - head[0].bit_length() if head else 9
        if id_length > 4 or id_length >= len(head):
            return
        size_length = 9 - head[id_length].bit_length()
        body = at + id_length + size_length
        if size_length > 8 or body > end:
            return
        mask = (1 << 7 * size_length) - 1
        size = int.from_bytes(head[id_length : id_length + size_length]) & mask
        stated_end = end if size == mask else body + size
        yield int.from_bytes(head[:id_length]), body, min(stated_end, end), stated_end
        at = stated_end
