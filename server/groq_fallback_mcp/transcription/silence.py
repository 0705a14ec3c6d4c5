"""Drops what a speech model wrote where there is no speech. Pure.

Whisper always writes something: of silence it makes "You" or "Thank you." again and again. It says itself how likely it is that
nobody speaks; the rule to believe it is OpenAI's, with which every implementation drops such segments. Where it is less sure, the
same few words over and over are left out if their text compresses as no speech does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from groq_fallback_mcp.call import AudioSegment, Transcript
from groq_fallback_mcp.transcription.join_transcripts import spaced

__all__ = ["NO_SPEECH", "left_out", "without_silence"]

NO_SPEECH_PROB = 0.6
LEAST_LOGPROB = -1.0
# Above it a text repeats itself, which speech does not.
MOST_COMPRESSION = 2.4
# Below it somebody speaks, whatever the text looks like: a chorus, a chant.
LEAST_DOUBT = 0.1
# So many identical segments of so few words are no conversation, if most likely nobody spoke.
IDENTICAL_RUN = 3
FEW_WORDS = 4
# So often a segment says the same few words.
LOOPS = 5
NO_SPEECH = "No speech was found in the recording."


def left_out(count: int) -> str:
    """That so many segments were skipped, for the reader of the transcript."""
    return f"{count} segment{'' if count == 1 else 's'} without speech {'was' if count == 1 else 'were'} removed"


def without_silence(transcript: Transcript) -> tuple[Transcript, int]:
    """The transcript without segments in which nobody speaks and without their words, and how many those were."""
    silent = _silent(transcript.segments)
    if not any(silent):
        return transcript, 0
    kept = tuple(segment for segment, no_speech in zip(transcript.segments, silent, strict=True) if not no_speech)
    dropped = [segment for segment, no_speech in zip(transcript.segments, silent, strict=True) if no_speech]
    words = tuple(word for word in transcript.words if not _within((word.start + word.end) / 2, dropped))
    return replace(transcript, text=spaced(*(segment.text for segment in kept)), segments=kept, words=words), len(dropped)


def _silent(segments: Sequence[AudioSegment]) -> list[bool]:
    silent = [_by_itself(segment) for segment in segments]
    begin = 0
    for at in range(1, len(segments) + 1):
        if at < len(segments) and _plain(segments[at]) == _plain(segments[begin]):
            continue
        run = segments[begin:at]
        if len(run) >= IDENTICAL_RUN and len(_plain(run[0]).split()) <= FEW_WORDS and (_mostly_no_speech(run) or _is_loop(run)):
            silent[begin:at] = [True] * len(run)
        begin = at
    return silent


def _by_itself(segment: AudioSegment) -> bool:
    if segment.no_speech_prob is None or segment.no_speech_prob <= NO_SPEECH_PROB:
        return _repeats_itself(_plain(segment).split()) and _is_loop([segment])
    if not _plain(segment):
        return True
    unsure = segment.avg_logprob is not None and segment.avg_logprob < LEAST_LOGPROB
    return unsure or _compresses(segment)


def _mostly_no_speech(run: Sequence[AudioSegment], least: float = NO_SPEECH_PROB) -> bool:
    known = sorted(segment.no_speech_prob for segment in run if segment.no_speech_prob is not None)
    return bool(known) and known[len(known) // 2] > least


def _is_loop(run: Sequence[AudioSegment]) -> bool:
    """Whether segments that repeat the same words do so because the model was caught in a loop."""
    return all(_compresses(segment) for segment in run) and _mostly_no_speech(run, LEAST_DOUBT)


def _compresses(segment: AudioSegment) -> bool:
    return segment.compression_ratio is not None and segment.compression_ratio > MOST_COMPRESSION


def _repeats_itself(words: Sequence[str]) -> bool:
    return any(
        len(words) >= LOOPS * length and all(words[at] == words[at % length] for at in range(len(words)))
        for length in range(1, FEW_WORDS + 1)
    )


def _plain(segment: AudioSegment) -> str:
    return "".join(letter for letter in segment.text.casefold() if letter.isalnum() or letter.isspace()).strip()


def _within(at_s: float, segments: Sequence[AudioSegment]) -> bool:
    return any(segment.start <= at_s <= segment.end for segment in segments)
