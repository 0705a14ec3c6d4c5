"""Transcripts of overlapping parts made one: no word lost, none doubled, times counted from the beginning. Pure.

Two neighbors hear the same seconds around a cut. Where both have the same word there, the first speaks up to it and the
second from behind it. Where they agree on none, each speaks up to the cut by the times of its words; and where a
model gives no times, the longest run of words that ends the one and begins the other is taken once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from groq_fallback_mcp.audio.parts import Part
from groq_fallback_mcp.call import AudioSegment, AudioWord, Transcript

__all__ = ["join_transcripts", "spaced"]

# Words that stand in both, but whose times are further apart, are two words.
SAME_WORD_S = 1.0
MOST_SHARED_WORDS = 40
_NOT_A_LETTER = re.compile(r"[^\w']+")


def join_transcripts(heard: Sequence[tuple[Part, Transcript]]) -> Transcript:
    """One transcript of a whole recording, from its parts in order and what was heard in each.

    A part speaks for what lies before its cut, `until_s`. Beyond that the next one speaks, although this one heard a little of it.
    """
    shifted = [_shifted(transcript, part.start_s) for part, transcript in heard]
    joined = shifted[0]
    for (part, _), transcript in zip(heard, shifted[1:], strict=False):
        joined = _joined(joined, transcript, part.until_s)
    return replace(joined, duration_s=heard[-1][0].end_s)


def _shifted(transcript: Transcript, by_s: float) -> Transcript:
    return replace(
        transcript,
        segments=tuple(replace(s, start=s.start + by_s, end=s.end + by_s) for s in transcript.segments),
        words=tuple(replace(w, start=w.start + by_s, end=w.end + by_s) for w in transcript.words),
    )


def _joined(left: Transcript, right: Transcript, cut_s: float) -> Transcript:
    language = left.language or right.language
    if not left.text or not right.text:
        whole = left if left.text else right
        return replace(whole, language=language)
    if not left.words or not right.words:
        return replace(_joined_by_text(left, right, cut_s), language=language)
    keep_left, keep_right = _by_anchor(left.words, right.words, cut_s) or _by_time(left.words, right.words, cut_s)
    ours, theirs = _kept(left, 0, keep_left), _kept(right, keep_right, len(right.words))
    return Transcript(
        text=spaced(ours.text, theirs.text),
        language=language,
        segments=ours.segments + theirs.segments,
        words=ours.words + theirs.words,
    )


def _by_anchor(left: Sequence[AudioWord], right: Sequence[AudioWord], cut_s: float) -> tuple[int, int] | None:
    """How many words of the left to keep, and from which of the right: at the shared word nearest to the cut."""
    heads = [(index, word, _plain(word.word)) for index, word in enumerate(right[:MOST_SHARED_WORDS])]
    best: tuple[float, int, int] | None = None
    for index in range(max(len(left) - MOST_SHARED_WORDS, 0), len(left)):
        word, plain = left[index], _plain(left[index].word)
        for other, theirs, their_plain in heads:
            if plain and plain == their_plain and abs(_middle(word) - _middle(theirs)) <= SAME_WORD_S:
                away = abs((_middle(word) + _middle(theirs)) / 2 - cut_s) + abs(_middle(word) - _middle(theirs))
                if best is None or away < best[0]:
                    best = (away, index + 1, other + 1)
    return None if best is None else best[1:]


def _by_time(left: Sequence[AudioWord], right: Sequence[AudioWord], cut_s: float) -> tuple[int, int]:
    keep_left = next((index for index, word in enumerate(left) if _middle(word) >= cut_s), len(left))
    # not by the cut again: of a word on both sides of it, spelt and timed a little differently, one must stay
    spoken_s = left[keep_left - 1].end if keep_left else 0.0
    keep_right = next((index for index, word in enumerate(right) if _middle(word) >= spoken_s), len(right))
    return keep_left, keep_right


def _kept(transcript: Transcript, first: int, end: int) -> Transcript:
    """The transcript with words `first` to before `end`; segments that lose some are written from what is left of them."""
    words = transcript.words
    if first == 0 and end == len(words):
        return transcript
    segments: list[AudioSegment] = []
    at = 0
    for segment in transcript.segments:
        begin = at
        while at < len(words) and (_middle(words[at]) < segment.end or segment is transcript.segments[-1]):
            at += 1
        left = words[max(begin, first) : min(at, end)]
        if len(left) == at - begin and left:
            segments.append(segment)
        elif left:
            text = spaced(*(word.word for word in left))
            segments.append(AudioSegment(start=left[0].start, end=left[-1].end, text=text))
    kept = words[first:end]
    texts = [segment.text for segment in segments] if segments else [word.word for word in kept]
    return replace(transcript, text=spaced(*texts), segments=tuple(segments), words=kept)


def _joined_by_text(left: Transcript, right: Transcript, cut_s: float) -> Transcript:
    ours, theirs = left.text.split(), right.text.split()
    shared = _shared_run([_plain(word) for word in ours], [_plain(word) for word in theirs])
    text = spaced(left.text, " ".join(theirs[shared:]))
    kept = [segment for segment in left.segments if segment.start < cut_s]
    # one that both heard is the left's; what the right heard after it is the right's
    spoken_s = max([cut_s, *(segment.end for segment in kept)])
    segments = [*kept, *(s for s in right.segments if (s.start + s.end) / 2 >= spoken_s)]
    return Transcript(text=text, segments=tuple(segments))


def _shared_run(left: Sequence[str], right: Sequence[str]) -> int:
    """How many words end the left and begin the right."""
    most = min(len(left), len(right), MOST_SHARED_WORDS)
    return next((count for count in range(most, 0, -1) if list(left[-count:]) == list(right[:count])), 0)


def spaced(*pieces: str) -> str:
    """The pieces as one text: with spaces, but not between two letters of a script that is written without."""
    text = ""
    for piece in (stripped for each in pieces if (stripped := each.strip())):
        wide = bool(text) and all(unicodedata.east_asian_width(letter) in {"W", "F"} for letter in (text[-1], piece[0]))
        text = piece if not text else f"{text}{piece}" if wide else f"{text} {piece}"
    return text


def _plain(word: str) -> str:
    return _NOT_A_LETTER.sub("", word).casefold()


def _middle(word: AudioWord) -> float:
    return (word.start + word.end) / 2
