"""An answer on a terminal as it is written."""

from __future__ import annotations

import io
import re

from fakes import candidate
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from groq_fallback_mcp.call import Attempt, FailureKind
from groq_fallback_mcp.cli.answer_view import AnswerView, whole_blocks
from groq_fallback_mcp.redaction import register_secrets

BLOCKS = [
    "A paragraph.",
    "- one\n- two",
    "1. first\n\n   more of it",
    "```python\nx = 1\n\ny = 2\n```",
    "# Title",
    "| a |\n|---|\n| 1 |",
]


def view() -> tuple[AnswerView, Console]:
    """A view that writes to a terminal of 80 columns."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24, color_system=None, legacy_windows=False)
    return AnswerView(out=console, status=console), console


def shown(console: Console) -> str:
    """What stays on the screen: lines drawn over are gone."""
    lines, row = [""], 0
    for piece in re.findall(r"\x1b\[(?:1A|2K)|\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written(console)):
        if piece == "\x1b[1A":
            row -= 1
        elif piece == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif piece in {"\x1b[2K", "\r"}:
            # a line is only returned to in order to be drawn again
            lines[row] = ""
        elif not piece.startswith("\x1b"):
            lines[row] += piece
    return "\n".join(lines)


def written(console: Console) -> str:
    """All that was sent to the terminal."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@given(st.lists(st.sampled_from(BLOCKS), min_size=2, max_size=6))
def test_all_blocks_but_the_last_are_whole(blocks: list[str]) -> None:
    """A code block is not cut at its empty lines, nor a list item at its second paragraph."""
    text = "\n\n".join(blocks)
    end = whole_blocks(text)
    assert text[:end].rstrip("\n") == "\n\n".join(blocks[:-1])


@given(st.text(alphabet="a \n`~-#", max_size=60), st.integers(min_value=0, max_value=60))
def test_more_text_never_takes_back_what_was_whole(text: str, cut: int) -> None:
    """What was printed stays true."""
    assert whole_blocks(text[:cut]) <= whole_blocks(text)


def test_an_answer_in_pieces_is_printed_once() -> None:
    """However it is cut."""
    answer = "First paragraph.\n\nSecond one.\n\n- a\n- b\n"
    one, console = view()
    with one:
        one.attempt_started(candidate("m"), ())
        for piece in re.findall(r".{1,3}", answer, re.DOTALL):
            one.text_received(piece)
            assert one._live is not None
            one._live.refresh()
        one.finish(answer.strip())
    lines = [line.strip() for line in shown(console).splitlines()]
    assert [lines.count(text) for text in ("First paragraph.", "Second one.")] == [1, 1]


def test_a_fallback_after_visible_text_is_marked() -> None:
    """The text of the first stays, and what follows is the whole answer of the second."""
    broke = Attempt(provider="groq", model="openai/first", sent=True, outcome="x", kind=FailureKind.CONNECTION_LOST)
    one, console = view()
    with one:
        one.attempt_started(candidate("openai/first"), ())
        one.text_received("Half a sentence that ")
        one.attempt_started(candidate("openai/second"), (broke,))
        one.text_received("All of it.")
        one.finish("All of it.")
    text = " ".join(shown(console).split())
    assert "[first broke off; second starts over]" in text
    assert text.index("Half a sentence that") < text.index("starts over") < text.rindex("All of it.")


def test_an_answer_that_was_revised_is_printed_whole() -> None:
    """As when the thoughts of a model stood in its text."""
    one, console = view()
    with one:
        one.attempt_started(candidate("m"), ())
        one.text_received("<think>hm</think>\n\nYes.\n\nAnd ")
        one.finish("Yes.\n\nAnd no.")
    assert "And no." in shown(console)


def test_no_part_of_a_secret_is_shown() -> None:
    """Not even while the word is being written."""
    secret = "sesame-0123456789abcdef"
    register_secrets(secret)
    one, console = view()
    with one:
        one.attempt_started(candidate("m"), ())
        one.text_received("The key is sesame-01234567")
        assert one._live is not None
        one._live.refresh()
        one.text_received("89abcdef and so on")
        one._live.refresh()
        one.finish("The key is sesame-0123456789abcdef and so on")
    assert "sesame" not in written(console)


def test_control_sequences_and_hidden_links_of_an_answer_do_not_reach_the_terminal() -> None:
    """The address of a link is shown."""
    one, console = view()
    with one:
        one.attempt_started(candidate("m"), ())
        one.finish("\x1b]0;title\x07[click](https://evil.example/x)")
    assert "\x1b]" not in written(console)
    assert "https://evil.example/x" in shown(console)


def test_what_looks_like_html_is_shown_as_it_is() -> None:
    """Of an answer about code it is the code."""
    one, console = view()
    with one:
        one.attempt_started(candidate("m"), ())
        one.finish("Use <br>, a List<String> and `x`.\n\n<div>whole</div>\n\n| a | b |\n|---|---|\n| std::vector<int> | 2 |")
    text = shown(console)
    for words in ("<br>", "List<String>", "<div>whole</div>", "std::vector<int>"):
        assert words in text
