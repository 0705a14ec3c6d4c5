"""Long text cut into chunks: for models that take little at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["TextChunk", "sentences", "text_chunks"]

# Where a reader pauses, longest pause first; the marks of other scripts by their code points.
_ENDS = ".!?\u2026\u061f\u3002\uff01\uff1f"
_BREAKS = (
    re.compile(r"\n\s*\n\s*"),
    re.compile(rf"(?<=[{_ENDS}])[\"')\]]*\s+"),
    re.compile(r"[,;:\u060c\u061b]\s+"),
    re.compile(r"\s+"),
)


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A stretch of a text, from character `start` to before `end`."""

    start: int
    end: int
    text: str


def text_chunks(text: str, *, fits: Callable[[str], bool], step: float = 0.75) -> list[TextChunk]:
    """Overlapping stretches that fit, which together hold every character.

    Each begins where `step` of the one before has passed, so that what stands across an end stands whole in the next.
    """
    found: list[TextChunk] = []
    start = 0
    while start < len(text):
        end = _longest(text, start, fits)
        found.append(TextChunk(start, end, text[start:end]))
        if end == len(text):
            break
        start += max(int((end - start) * step), 1)
    return found


def sentences(text: str, most: int) -> list[str]:
    """The text in pieces of at most `most` characters, broken where a reader would pause. No word is lost."""
    pieces: list[str] = []
    rest = text.strip()
    while len(rest) > most:
        cut = next((at for pattern in _BREAKS if (at := _last_break(pattern, rest, most))), most)
        pieces.append(rest[:cut].strip())
        rest = rest[cut:].strip()
    return [piece for piece in (*pieces, rest) if piece]


def _last_break(pattern: re.Pattern[str], text: str, most: int) -> int:
    """Where the last pause of a kind ends the first `most` characters; 0 without one in their later two thirds."""
    ends = [found.end() for found in pattern.finditer(text[: most + 1]) if found.end() >= most // 3]
    return ends[-1] if ends else 0


def _longest(text: str, start: int, fits: Callable[[str], bool]) -> int:
    low, high = start + 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(text[start:middle]):
            low = middle
        else:
            high = middle - 1
    return low
