"""What a model wrote into its content, separated into reasoning and answer.

Providers should send reasoning in a field of its own. Where a model, template or parser fails, it arrives in the content:
between tags, before a closing tag that was never opened, or in the channels of OpenAI's Harmony format. Content can also be
a list of parts (Mistral, Gemini's and Cohere's compatible endpoints) instead of a string.

An answer may be about all of this, so only what has the place and the form of a leak is taken for one: a block at the very
beginning, a closing tag that no opening tag precedes and no sentence surrounds, a whole message of Harmony.
The Harmony format is documented in https://cookbook.openai.com/articles/openai-harmony.
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["AnswerText", "content_pieces", "json_text", "separate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerText:
    """`text` is the answer alone, `reasoning` what preceded it, None without any."""

    text: str
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class _Tag:
    """How some model delimits its reasoning. `always`: between these nothing but reasoning is ever written."""

    opens: re.Pattern[str]
    closes: re.Pattern[str]
    always: bool = True


def _tag(opens: str, closes: str, *, always: bool = True) -> _Tag:
    return _Tag(re.compile(opens, re.IGNORECASE), re.compile(closes, re.IGNORECASE), always)


_TAGS = (
    _tag(r"<think(?:\s[^<>]{0,80})?>", r"</think\s{0,8}>"),
    _tag(r"<thinking(?:\s[^<>]{0,80})?>", r"</thinking\s{0,8}>"),
    _tag(r"<seed:think>", r"</seed:think>"),
    _tag(r"\[THINK\]", r"\[/THINK\]"),
    _tag(r"◁think▷", r"◁/think▷"),
    _tag(r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    _tag(r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    _tag(r"<\|channel>thought\n?", r"<channel\|>"),
    _tag(r"<unused94>(?:thought\n)?", r"<unused95>"),
    # what is asked for as XML may have these names too
    *(_tag(f"<{name}>", f"</{name}>", always=False) for name in ("thought", "thoughts", "reasoning", "reflection")),
)
_XML = re.compile(r"<[a-zA-Z]")
# Cohere and Sky mark the answer too.
_RESPONSE_MARKS = re.compile(
    r"\A\s{0,80}<\|(?:START_RESPONSE|begin_of_solution)\|>|<\|(?:END_RESPONSE|end_of_solution)\|>\s{0,80}\Z"
)
# How a template begins the model's turn.
_TURN_HEADER = re.compile(
    r"\A\s{0,80}(?:<\|im_start\|>assistant\s|<\|start_header_id\|>assistant<\|end_header_id\|>|<\uff5cAssistant\uff5c>)\s{0,80}"
)
_OTHER_TURN = re.compile(r"\s{0,80}<(?:\|im_start\||\|start_header_id\||start_of_turn)>(?!assistant|model)")
# A tag that a sentence or a quotation surrounds is spoken of.
_SPOKEN_OF_BEFORE = " \t\"'`([{\u201c\u2018\xab"
_SPOKEN_OF_AFTER = " \t\"'`)]}\u201d\u2019\xbb,.;:!?"
_LINE_END = re.compile(r"[ \t]{0,80}(?:[\r\n]|\Z)")
# A line that opens or closes a block of code, and code within a line.
_FENCE_LINE = re.compile(r"^[ \t]{0,8}(`{3,}+|~{3,}+)([^\n`]{0,80})", re.MULTILINE)
_INLINE_CODE = re.compile(r"(?<!`)`[^`\n]{1,500}`(?!`)")
_CHANNEL = re.compile(r"<\|channel\|>(?:analysis|commentary|final)\b")
# One message of Harmony: its header names the channel and, for a tool call, the recipient. What looks like its end in the
# middle of it is spoken of.
_MESSAGE = re.compile(
    r"<\|channel\|>(?P<header>[^<]*)(?:<\|constrain\|>[^<]*)?<\|message\|>(?P<body>.*?)"
    r"(?:<\|(?:end|return|call)\|>\s{0,8}(?=<\|start\|>|<\|channel\|>|\Z)|(?=<\|start\|>|<\|channel\|>)|\Z)",
    re.DOTALL,
)
# A role or a channel whose message never came, and what ends a message.
_LEFT_OVER = re.compile(
    r"<\|start\|>(?:assistant)?|<\|channel\|>(?:analysis|commentary|final)?(?: to=[^\s<]*)?|<\|(?:end|return|call|message)\|>"
)
# The same where a template removed the markers and left the words between them: `analysisWe need ...assistantfinalfour`.
_UNMARKED = re.compile(r"analysis(?=[A-Z\n])|(?:commentary)?(?=assistantfinal)")
_UNMARKED_END = "assistantfinal"
# A turn that the model made up for the other side.
_NEXT_TURN = re.compile(
    r"(?:<\|im_end\|>|<\|eot_id\|>|<end_of_turn>)\s{0,8}<(?:\|im_start\||\|start_header_id\||start_of_turn)>"
    r"|<\|endoftext\|>\s{0,8}(?:Human|User|Question):"
)
# These end a turn; a template that does not know them leaks them, right behind the last word.
_END_TOKENS = (
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "<|end|>", "<|return|>", "<|call|>"),
    *("</s>", "<end_of_turn>", "<eos>", "[/INST]", "<\uff5cend\u2581of\u2581sentence\uff5c>"),
)
_STRUCK = re.compile(r"<s[\s>]")
# Of a line that holds nothing but a tag.
MOST_INDENT = 80
# A list of parts that hold a list of parts; providers nest no deeper.
MOST_NESTED = 8
_THINKING_PARTS = {"thinking", "reasoning", "redacted_thinking", "thought"}
# A line that opens a code fence, and the language named behind it.
_FENCE = re.compile(r"^[ \t]{0,8}(`{3,16}|~{3,16})[^\n`]{0,80}\n", re.MULTILINE)


def content_pieces(content: object, *, depth: int = MOST_NESTED) -> tuple[str, str]:
    """The text and the reasoning of a `content` field: a string, a list of parts, or one part. Nothing below `depth` levels."""
    if isinstance(content, str):
        return content, ""
    if depth == 0 or not isinstance(content, Mapping | Sequence):
        return "", ""
    if isinstance(content, Mapping):
        return _part(content, depth - 1)
    pieces = [content_pieces(part, depth=depth - 1) for part in content]
    return "".join(text for text, _ in pieces), "".join(reasoning for _, reasoning in pieces)


def separate(content: str, *, reasoned: bool = False) -> AnswerText:
    """The answer in `content`, and the reasoning that was written before it.

    `reasoned`: the reasoning came in a field of its own, so that nothing of it can be in the content.
    """
    if reasoned or _is_json(content):
        return AnswerText(text=content)
    unmarked = _UNMARKED.match(content)
    if unmarked is not None:
        begin, found, end = content[unmarked.end() :].partition(_UNMARKED_END)
        if found and not begin[-1:].isspace():
            return AnswerText(text=end.strip(), reasoning=begin.strip() or None)
    if not any(mark in content for mark in ("<", "[/", "[THINK", "◁")):
        return AnswerText(text=content)
    if _OTHER_TURN.match(content):
        # a transcript of turns that was asked for
        return AnswerText(text=content)
    content, channels = _without_channels(_TURN_HEADER.sub("", content))
    text, tagged = _without_tags(_without_end_tokens(content))
    return AnswerText(text=text, reasoning=_joined((channels, tagged)) or None)


def json_text(content: str) -> str:
    """The JSON in an answer that was asked for as JSON: without a code fence or a sentence around it; as it is without any."""
    text = content.removeprefix("\ufeff").strip()
    if _is_json(text, of_any_kind=True):
        return text
    begins = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    ends = max(text.rfind("}"), text.rfind("]"))
    tried = [*_fenced(text), text[min(begins) : ends + 1] if begins else ""]
    return next((found for found in tried if _is_json(found)), content)


def _fenced(text: str) -> tuple[str, ...]:
    """What is in the first code block, up to the nearest and up to the last fence that could close it."""
    opened = _FENCE.search(text)
    if opened is None:
        return ()
    ends = (text.find(f"\n{opened[1]}", opened.end() - 1), text.rfind(f"\n{opened[1]}"))
    return tuple(text[opened.end() : end].strip() for end in ends if end > opened.end())


def _part(part: Mapping[str, Any], depth: int) -> tuple[str, str]:
    kind = str(part.get("type", "text"))
    if kind in _THINKING_PARTS:
        inner = part.get("thinking", part.get("reasoning", part.get("text", part.get("summary"))))
        return "", "".join(content_pieces(inner, depth=depth))
    for name in ("text", "refusal"):
        given = part.get(name)
        # OpenAI's assistants have the words one level deeper
        words = given.get("value") if isinstance(given, Mapping) else given
        if isinstance(words, str):
            return words, ""
    inside = part.get("content", part.get("parts"))
    return content_pieces(inside, depth=depth) if kind in {"text", "message"} else ("", "")


def _is_json(text: str, *, of_any_kind: bool = False) -> bool:
    """Whether a text is a JSON object or list, or JSON `of_any_kind`."""
    if not of_any_kind and not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _without_tags(content: str) -> tuple[str, str]:
    begin = len(content) - len(content.lstrip())
    for tag in _TAGS:
        opened = tag.opens.match(content, begin)
        if opened is not None:
            return _without_blocks(content, tag, opened)
    stray = _stray_close(content)
    if stray is None:
        return content, ""
    return _answer_of(content[stray.end() :]), content[: stray.start()].strip()


def _without_blocks(content: str, tag: _Tag, opened: re.Match[str]) -> tuple[str, str]:
    """A content that begins with reasoning: its blocks are taken out, those further on as well."""
    kept: list[str] = []
    thoughts: list[str] = []
    next_open: re.Match[str] | None = opened
    at = 0
    while next_open is not None:
        kept.append(content[at : next_open.start()])
        end = _matching_close(content, tag, next_open.end())
        if end is None:
            at = len(content)
            thoughts.append(content[next_open.end() :])
            break
        thoughts.append(content[next_open.end() : end.start()])
        at = end.end()
        next_open = tag.opens.search(content, at)
    kept.append(content[at:])
    text = _answer_of("".join(kept))
    # a document in XML may have such a part, beside others
    if not tag.always and (not text or _XML.match(text)):
        return content, ""
    return text, "\n\n".join(part.strip() for part in thoughts if part.strip())


def _matching_close(content: str, tag: _Tag, at: int) -> re.Match[str] | None:
    """The close of a block that begins at `at`; blocks of the same name may stand in it.

    Without one, the last: then an opening tag in it was spoken of.
    """
    depth = 1
    closed = None
    while (found := tag.closes.search(content, at)) is not None:
        closed = found
        depth += sum(1 for _ in tag.opens.finditer(content, at, closed.start())) - 1
        if depth == 0:
            break
        at = closed.end()
    return closed


def _stray_close(content: str) -> re.Match[str] | None:
    """The end of reasoning whose beginning the template wrote; None where such a tag is only spoken of, or stands in code."""
    code: list[int] | None = None
    for tag in _TAGS:
        opened = tag.opens.search(content) if tag.always else None
        for found in tag.closes.finditer(content) if tag.always else ():
            if opened is not None and opened.start() < found.start():
                break
            if not _stands_alone(content, found) and _is_spoken_of(content, found):
                continue
            code = _code_edges(content) if code is None else code
            # an even number of edges before it: outside of all code
            if bisect(code, found.start()) % 2 == 0:
                return found
    return None


def _is_spoken_of(content: str, found: re.Match[str]) -> bool:
    before, after = content[max(found.start() - 1, 0) : found.start()], content[found.end() : found.end() + 2]
    if after[:1] in {'"', "'"} and after[1:] in {")", "]", ";", ","}:
        # the end of a text in a program
        return True
    return before in _SPOKEN_OF_BEFORE and (after[:1] in _SPOKEN_OF_AFTER or before not in " \t")


def _stands_alone(content: str, found: re.Match[str]) -> bool:
    """Whether there is nothing else on its line."""
    line = content[max(found.start() - MOST_INDENT, 0) : found.start()].rstrip(" \t")
    return line[-1:] in {"", "\n"} and _LINE_END.match(content, found.end()) is not None


def _without_channels(content: str) -> tuple[str, str]:
    """What the channels of Harmony hold for the user, and the rest of them; unchanged where they are only spoken of."""
    begun = content.lstrip().removeprefix("assistant").startswith(("<|channel|>", "<|start|>", "<|message|>"))
    found = _CHANNEL.search(content)
    if not begun and (found is None or "<|message|>" not in content or _in_code(content, found.start())):
        return content, ""
    final: list[str] = []
    preamble: list[str] = []
    others: list[str] = []
    for message in _MESSAGE.finditer(content):
        channel, *recipient = message["header"].split() or [""]
        # without a recipient it speaks to the user, unless the arguments of a lost tool call stand in it
        speaks = channel == "commentary" and not recipient and not message["body"].lstrip().startswith("{")
        (final if channel == "final" else preamble if speaks else others).append(message["body"])
    if final:
        return _joined(final), _joined([*preamble, *others])
    outside = _LEFT_OVER.sub("", _MESSAGE.sub("", content)).strip().removeprefix("assistant")
    return _joined([outside, *preamble]), _joined(others)


def _in_code(content: str, at: int) -> bool:
    return bisect(_code_edges(content), at) % 2 == 1


def _code_edges(content: str) -> list[int]:
    """Where code begins and ends, by turns. A block that is never closed, or in which another one is opened, is none."""
    edges: list[int] = []
    opened: re.Match[str] | None = None
    for line in _FENCE_LINE.finditer(content):
        names_language = bool(line[2].strip())
        closes = opened is not None and line[1].startswith(opened[1]) and not names_language
        if opened is None or (names_language and line[1][0] == opened[1][0]):
            opened = line
        elif closes:
            edges += [opened.start(), line.end()]
            opened = None
    blocks = list(edges)
    for inline in _INLINE_CODE.finditer(content):
        if bisect(blocks, inline.start()) % 2 == 0:
            edges += inline.span()
    return sorted(edges)


def _without_end_tokens(content: str) -> str:
    turn = _NEXT_TURN.search(content)
    if turn is not None and not _in_code(content, turn.start()):
        return content[: turn.start()].rstrip()
    struck = _STRUCK.search(content)
    opened = -1 if struck is None else struck.start()
    end = _end_of_text(content, len(content))
    while (mark := next((mark for mark in _END_TOKENS if content.endswith(mark, 0, end)), None)) is not None:
        cut = end - len(mark)
        # behind a space, and where the answer itself opened it, it belongs to a sentence
        if content[cut - 1 : cut] in {" ", "\t"} or (mark == "</s>" and 0 <= opened < cut):
            break
        end = _end_of_text(content, cut)
    return content[:end] if end < len(content.rstrip()) else content


def _end_of_text(content: str, end: int) -> int:
    """Where the text before `end` ends without the white space behind it."""
    while end > 0 and content[end - 1].isspace():
        end -= 1
    return end


def _answer_of(text: str) -> str:
    return _RESPONSE_MARKS.sub("", text).strip()


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(stripped for part in parts if (stripped := part.strip()))
