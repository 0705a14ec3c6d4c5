"""Transcripts of overlapping parts: no word lost, none doubled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.audio.parts import Part
from groq_fallback_mcp.call import AudioSegment, AudioWord, Transcript
from groq_fallback_mcp.transcription.join_transcripts import join_transcripts

OVERLAP_S = 1.0


def heard(words: list[tuple[str, float, float]], start_s: float, end_s: float, shift: float = 0.0) -> Transcript:
    """What a part hears of words with times; `shift` is how wrong its times are."""
    inside = [word for word in words if word[1] >= start_s and word[2] <= end_s]
    spoken = tuple(AudioWord(start=max(b - start_s + shift, 0.0), end=e - start_s + shift, word=w) for w, b, e in inside)
    if not spoken:
        return Transcript(text="")
    segment = AudioSegment(start=spoken[0].start, end=spoken[-1].end, text=" ".join(word.word for word in spoken))
    return Transcript(text=segment.text, segments=(segment,), words=spoken)


def part(start_s: float, until_s: float, transcript: Transcript) -> tuple[Part, Transcript]:
    """A part of a recording and what was heard in it."""
    return Part(number=1, start_s=start_s, end_s=until_s, until_s=until_s, file="part.flac"), transcript


def parted(
    words: list[tuple[str, float, float]], cuts: list[float], end_s: float, shifts: list[float]
) -> list[tuple[Part, Transcript]]:
    """Parts with a second of overlap on each side of each cut."""
    edges = [0.0, *cuts, end_s]
    return [
        part(
            max(begin - OVERLAP_S, 0.0),
            until,
            heard(words, max(begin - OVERLAP_S, 0.0), min(until + OVERLAP_S, end_s), shift),
        )
        for begin, until, shift in zip(edges, edges[1:], shifts, strict=False)
    ]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefghij"), st.floats(0.15, 0.5), st.floats(0.02, 0.6)), min_size=20, max_size=60),
    st.lists(st.floats(2.0, 20.0), min_size=1, max_size=4),
)
def test_every_word_stands_once_wherever_the_cuts_fall(pieces: list[tuple[str, float, float]], gaps: list[float]) -> None:
    """Through words, in pauses, close together: words that differ from their neighbors."""
    words: list[tuple[str, float, float]] = []
    at = 0.0
    for number, (word, length, gap) in enumerate(pieces):
        words.append((f"{word}{number % 7}", at, at + length))
        at += length + gap
    cuts = [cut for cut in (sum(gaps[: n + 1]) for n in range(len(gaps))) if cut < at - 2.0]
    joined = join_transcripts(parted(words, cuts, at, [0.0] * (len(cuts) + 1)))
    assert joined.text.split() == [word for word, _, _ in words]
    assert [word.word for word in joined.words] == [word for word, _, _ in words]
    assert " ".join(segment.text for segment in joined.segments).split() == joined.text.split()
    assert all(abs(word.start - begin) < 0.01 for word, (_, begin, _) in zip(joined.words, words, strict=True))


WORDS = [(f"w{n}", n * 0.5, n * 0.5 + 0.4) for n in range(40)]


@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.3])
def test_times_that_are_a_little_wrong_cost_no_word(shift: float) -> None:
    """Models are off by some tenths of a second."""
    joined = join_transcripts(parted(WORDS, [10.0], 20.0, [0.0, shift]))
    assert joined.text.split() == [word for word, _, _ in WORDS]


def test_case_and_marks_do_not_make_two_words_of_one() -> None:
    """One part ends a sentence where the other is in its middle."""
    left = heard(WORDS, 0.0, 11.0)
    right = heard([(word.upper() + ".", begin, end) for word, begin, end in WORDS], 9.0, 20.0)
    parts = [part(0.0, 10.0, left), part(9.0, 20.0, right)]
    assert [word.strip(".").lower() for word in join_transcripts(parts).text.split()] == [w for w, _, _ in WORDS]


def test_without_times_the_shared_words_are_taken_once() -> None:
    """Some endpoints give text alone."""
    parts = [
        part(0.0, 5.0, Transcript(text="One two, three four.")),
        part(4.0, 9.0, Transcript(text="Three four five.")),
        part(8.0, 12.0, Transcript(text="Six.")),
    ]
    assert join_transcripts(parts).text == "One two, three four. five. Six."


def test_silent_parts_leave_the_others_alone() -> None:
    """An hour may begin with a minute of nothing."""
    quiet = Transcript(text="")
    parts = [
        part(0.0, 5.0, quiet),
        part(4.0, 9.0, heard(WORDS, 4.0, 9.0)),
        part(8.0, 12.0, quiet),
    ]
    joined = join_transcripts(parts)
    assert joined.text.split()[0] == "w8"
    assert joined.words[0].start == pytest.approx(4.0)
    assert joined.duration_s == 12.0


@pytest.mark.parametrize(("left_s", "right_s", "kept"), [(9.85, 9.75, "color"), (9.75, 9.85, "color")])
def test_a_word_across_the_cut_that_the_parts_spell_differently_stands_once(left_s: float, right_s: float, kept: str) -> None:
    """Timed a tenth of a second apart, so that each part, or neither, takes it for its own."""
    first = [AudioWord(start=1.0, end=2.0, word="one"), AudioWord(start=left_s, end=left_s + 0.4, word="color")]
    second = [AudioWord(start=right_s - 9.0, end=right_s - 8.6, word="color"), AudioWord(start=5.0, end=6.0, word="two")]
    parts = [
        part(start_s, until_s, Transcript(text=" ".join(w.word for w in words), words=tuple(words)))
        for start_s, until_s, words in ((0.0, 10.0, first), (9.0, 20.0, second))
    ]

    assert join_transcripts(parts).text == f"one {kept} two"


def test_a_segment_that_both_heard_stands_once_also_without_words() -> None:
    """Translations have no words: whoever dropped it here would lose a subtitle."""
    for early, late in ((-0.5, 1.0), (-1.0, 0.4), (-0.2, 0.9)):
        left = Transcript(
            text="before same",
            segments=(
                AudioSegment(start=8.0, end=9.0, text="before"),
                AudioSegment(start=10 + early, end=10 + late, text="same"),
            ),
        )
        right = Transcript(
            text="same after",
            segments=(
                AudioSegment(start=1 + early - 0.1, end=1 + late - 0.2, text="same"),
                AudioSegment(start=2.5, end=4.0, text="after"),
            ),
        )
        parts = [part(0.0, 10.0, left), part(9.0, 20.0, right)]
        joined = join_transcripts(parts)
        assert joined.text == "before same after"
        assert [segment.text for segment in joined.segments] == ["before", "same", "after"]


def test_scripts_without_spaces_get_none() -> None:
    """Chinese and Japanese."""
    parts = [
        part(0.0, 5.0, Transcript(text="\u4eca\u65e5\u306f")),
        part(4.0, 9.0, Transcript(text="\u826f\u3044\u5929\u6c17 today")),
    ]
    joined = join_transcripts(parts)
    assert joined.text == "\u4eca\u65e5\u306f\u826f\u3044\u5929\u6c17 today"
