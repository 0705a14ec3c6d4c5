"""An answer on a terminal while it is written: one status line, then the text, Markdown rendered, block by block.

What is whole (a paragraph, a list, a code block) is printed and stays; only the block under way is redrawn. So an answer longer
than the screen scrolls as any text does.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.text import Text

from groq_fallback_mcp.call import Attempt, FailureKind
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.redaction import sanitize

__all__ = ["AnswerView", "short_name", "whole_blocks"]

REFRESH_S = 0.1
# Lines of the screen that the block under way leaves to the status line and the prompt.
SPARE_LINES = 3
# rich drops what looks like HTML, which in an answer about code is the code
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_WORDS = {
    FailureKind.RATE_LIMITED: "rate limited",
    FailureKind.TIMED_OUT: "timed out",
    FailureKind.OVERLOADED: "over capacity",
    FailureKind.CONNECTION_LOST: "broke off",
}


class AnswerView:
    """Follows a call. With `out` the answer is written there as it comes; `status` is where the status line is shown.

    Either may be None: what is not a terminal gets the whole answer at the end, and no status.
    """

    def __init__(self, *, out: Console | None, status: Console | None) -> None:
        self._out = out
        self._status = status
        self._live: Live | None = None
        self._started = time.monotonic()
        self._doing = "choosing a model"
        self._model = ""
        self._text = ""
        self._printed = 0
        self._is_first = True
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        console = self._out or self._status
        if console is not None:
            self._live = Live(
                console=console,
                get_renderable=self._render,
                # rich's own thread may write between the parts of what is printed here
                auto_refresh=False,
                transient=True,
                vertical_overflow="crop",
            )
            self._live.start(refresh=True)
            threading.Thread(target=self._refresh, name="answer view", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        with self._lock:
            live, self._live = self._live, None
        if live is not None:
            live.stop()
            if kind is not None:
                # what was on the screen stays there
                self._print_to(len(self._text))

    def attempt_started(self, candidate: Candidate, earlier: Sequence[Attempt]) -> None:
        """A model is tried; text of an earlier one that is visible stays, marked as void."""
        model = short_name(candidate.model)
        failed = next((attempt for attempt in reversed(earlier) if attempt.kind is not None), None)
        why = "" if failed is None else f"{short_name(failed.model)} {_reason(failed)}"
        with self._lock:
            if self._text.strip() and self._out is not None:
                self._print_to(len(self._text))
                self._remark(f"[{why or f'{self._model} broke off'}; {model} starts over]")
            self._text, self._printed, self._model = "", 0, model
            self._doing = f"{why}, trying {model}" if why else f"{model} is thinking"

    def text_received(self, text: str) -> None:
        """More of the answer."""
        with self._lock:
            self._text += text
            self._doing = f"{self._model} is writing"
            if self._out is not None and "\n" in text:
                self._print_to(self._printed + whole_blocks(self._text[self._printed :]))

    @property
    def has_shown(self) -> bool:
        """Text is on the screen as soon as it comes."""
        return self._out is not None and bool(self._text.strip())

    def reasoning_received(self, text: str) -> None:
        """Not shown: the status line says that the model thinks."""

    def attempt_failed(self) -> None:
        """Nothing: what is visible is marked as void when another model starts."""

    def waiting(self, seconds: float) -> None:
        """No model may be tried for so long."""
        self._doing = f"all models are rate limited, waiting {seconds:.0f} s"

    def finish(self, text: str) -> None:
        """Print what is missing of the accepted answer; all of it where it is not what was shown."""
        if self._out is None:
            return
        text = text.lstrip()
        with self._lock:
            begun = self._text[: self._printed].lstrip()
            if not text.startswith(begun):
                self._remark("[the text above was revised]")
                begun = ""
            self._text, self._printed = text, len(begun)
            self._print_to(len(text))

    def _print_to(self, end: int) -> None:
        """Print the text up to there, for good. What is drawn below it no longer shows it."""
        text, self._printed = self._text[self._printed : end], end
        if self._out is None or not text.strip():
            return
        with self._lock:
            if self._live is not None:
                self._live.refresh()
            self._out.print(_Block(text, first=self._is_first), end="")
            self._is_first = False

    def _remark(self, text: str) -> None:
        if self._out is not None:
            with self._lock:
                self._out.print(Text(text, style="dim italic"))
                self._is_first = True

    def _refresh(self) -> None:
        while not self._ended.wait(REFRESH_S):
            with self._lock:
                if self._live is not None:
                    self._live.refresh()

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = []
        pending = self._text[self._printed :]
        # not the word under way: half a secret would not be recognized
        pending = pending[: max(pending.rfind(" "), pending.rfind("\n")) + 1]
        if self._out is not None and pending.strip():
            parts.append(_Block(pending, first=self._is_first, most_lines=max(self._out.height - SPARE_LINES, 1)))
        if self._status is not None:
            took_s = time.monotonic() - self._started
            parts.append(Text(sanitize(f"{self._doing} ... {took_s:.0f} s"), style="dim", no_wrap=True, overflow="ellipsis"))
        return Group(*parts)


class _Block:
    """Markdown without the empty lines that rich puts around some of it, but one above where it isn't the first.

    Of one that does not fit on the screen, the last `most_lines` are shown.
    """

    def __init__(self, text: str, *, first: bool, most_lines: int | None = None) -> None:
        self._text = text
        self._first = first
        self._most_lines = most_lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(_markdown(self._text), options.update(height=None), pad=False)
        full = [number for number, line in enumerate(lines) if any(segment.text.strip() for segment in line)]
        if not full:
            return
        lines = lines[full[0] : full[-1] + 1]
        if not self._first:
            lines.insert(0, [])
        for line in lines if self._most_lines is None else lines[-self._most_lines :]:
            yield from line
            yield Segment.line()


def _markdown(text: str) -> Markdown:
    """Text of an answer for a terminal. Tags are shown as they are, and the address of a link is never hidden behind its words."""
    drawn = Markdown("", hyperlinks=False)
    drawn.parsed = _MARKDOWN.parse(sanitize(text))
    return drawn


def whole_blocks(text: str) -> int:
    """How many characters of `text` are blocks of Markdown that nothing after them can change: up to the last gap between two."""
    fence: str | None = None
    end = position = 0
    gap = False
    for line in text.splitlines(keepends=True):
        if fence is None and gap and not line.isspace() and not line.startswith((" ", "\t")):
            end = position
        mark = _FENCE.match(line)
        if mark is not None and fence is None:
            fence = mark[1]
        elif mark is not None and fence is not None and mark[1].startswith(fence) and not line[mark.end() :].strip():
            fence = None
        gap = line.isspace() and fence is None
        position += len(line)
    return end


def short_name(model: str) -> str:
    """A model without its maker, as `--model` takes it."""
    return model.rpartition("/")[2]


def _reason(attempt: Attempt) -> str:
    return _WORDS.get(attempt.kind, attempt.outcome.replace("_", " ")) if attempt.kind is not None else "failed"
