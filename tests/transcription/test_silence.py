"""What a model wrote where nobody spoke is left out, and what somebody said is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.call import AudioSegment, AudioWord, Transcript
from groq_fallback_mcp.transcription.silence import left_out, without_silence

SURE, UNSURE = -0.3, -1.2


def segment(number: int, text: str, no_speech: float | None, logprob: float | None = SURE, ratio: float = 0.9) -> AudioSegment:
    """A second of something."""
    return AudioSegment(
        start=number, end=number + 1, text=text, no_speech_prob=no_speech, avg_logprob=logprob, compression_ratio=ratio
    )


def heard(*segments: AudioSegment) -> Transcript:
    """A transcript of these, each with one word."""
    words = tuple(AudioWord(start=s.start, end=s.end, word=s.text) for s in segments)
    return Transcript(text=" ".join(s.text for s in segments), segments=segments, words=words)


@pytest.mark.fault("C9")
def test_seventy_times_you_is_nothing() -> None:
    """Although the model is sure of each."""
    found, silent = without_silence(heard(*(segment(n, "You", 0.9) for n in range(70))))
    assert (found.text, found.segments, found.words, silent) == ("", (), (), 70)


@pytest.mark.fault("C9")
@pytest.mark.parametrize(
    ("one", "dropped"),
    [
        (segment(1, "Thanks for watching!", 0.85, UNSURE), True),
        (segment(1, "so so so so", 0.85, SURE, 5.0), True),
        (segment(1, "...", 0.85), True),
        (segment(1, "Come closer.", 0.85), False),
        (segment(1, "Mumble.", 0.2, UNSURE), False),
        (segment(1, "Thank you." + " Thank you." * 19, 0.3, SURE, 5.0), True),
        (segment(1, "Thank you." + " Thank you." * 19, 0.3), False),
        (segment(1, "Never, never, never, never give up.", 0.3, SURE, 2.5), False),
        (segment(1, "We want more!" + " We want more!" * 19, 0.05, SURE, 5.0), False),
        (segment(1, "Hello.", None, None), False),
        (segment(1, "Hello.", 0.6, UNSURE), False),
    ],
    ids=[
        "unsure",
        "loop",
        "dots",
        "sure",
        "speech",
        "unsure-loop",
        "repeated-once",
        "emphasis",
        "chant",
        "unknown",
        "at-the-bound",
    ],
)
def test_a_segment_is_left_out_by_the_usual_rule(one: AudioSegment, dropped: bool) -> None:
    """Nobody speaks, most likely, and the model is unsure of what it wrote, or repeats itself."""
    found, silent = without_silence(heard(segment(0, "Before.", 0.1), one, segment(2, "After.", 0.1)))
    assert silent == dropped
    assert found.text == ("Before. After." if dropped else f"Before. {one.text} After.")
    assert len(found.words) == 3 - dropped


@pytest.mark.fault("C9")
@pytest.mark.parametrize(
    ("segments", "dropped"),
    [
        ([segment(n, "You", 0.9) for n in range(3)], 3),
        ([segment(n, text, 0.9) for n, text in enumerate(("you", "You.", "YOU"))], 3),
        ([segment(n, "You", 0.9) for n in range(2)], 0),
        ([segment(n, "Thank you.", 0.3, SURE, 5.0) for n in range(20)], 20),
        ([segment(n, "Thank you.", 0.3) for n in range(20)], 0),
        ([segment(n, "No.", 0.05, SURE, 5.0) for n in range(20)], 0),
        ([segment(n, "You", None, SURE, 5.0) for n in range(5)], 0),
        ([segment(n, "No.", 0.1) for n in range(5)], 0),
        ([segment(n, "We shall fight on the beaches", 0.9) for n in range(5)], 0),
        ([segment(n, "You", None) for n in range(5)], 0),
    ],
    ids=["run", "spelling", "two", "loop", "one-by-one", "chant", "no-figure", "chorus", "sentences", "unknown"],
)
def test_a_run_of_the_same_few_words_is_left_out_where_nobody_speaks(segments: list[AudioSegment], dropped: int) -> None:
    """A chorus is not, nor what no figure speaks against."""
    assert without_silence(heard(*segments))[1] == dropped


@pytest.mark.fault("C9")
@given(st.lists(st.floats(0, 0.6), max_size=8), st.text(max_size=10), st.booleans())
def test_what_is_most_likely_speech_is_never_touched(likely: list[float], text: str, compresses: bool) -> None:
    """Whatever it says; where it looks like a loop, if it is surely speech."""
    found = [value / 6 for value in likely] if compresses else likely
    transcript = heard(*(segment(n, text, value, UNSURE, 9.0 if compresses else 2.4) for n, value in enumerate(found)))
    assert without_silence(transcript) == (transcript, 0)


def test_the_count_is_said_in_a_sentence() -> None:
    """One or many."""
    assert left_out(1) == "1 segment without speech was removed"
    assert left_out(70) == "70 segments without speech were removed"
