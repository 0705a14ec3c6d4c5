"""What a model wrote into its content, separated into reasoning and answer.

Providers should send reasoning in a field of its own. Where a model, template or parser fails, it arrives in the content:
between tags, before a closing tag that was never opened, or in the channels of OpenAI's Harmony format. Content can also be
a list of parts (Mistral, Gemini's and Cohere's compatible endpoints) instead of a string.

The Harmony format is documented in https://cookbook.openai.com/articles/openai-harmony.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

__all__ = ["AnswerText", "content_pieces", "function_name", "separate"]

_TAG = re.compile(r"<(?P<end>/?)(?:think|thinking|thought|thoughts|reasoning|reflection|seed:think)>", re.IGNORECASE)
_CODE = r"```.*?```|~~~.*?~~~|`[^`\n]+`"
_CODE_OR_TAG = re.compile(f"{_CODE}|{_TAG.pattern}", re.IGNORECASE | re.DOTALL)
_MARKER = re.compile(r"<\|(?:channel|message|start|end|return|call|constrain)\|>")
_CODE_OR_MARKER = re.compile(f"{_CODE}|(?P<marker>{_MARKER.pattern})", re.DOTALL)
# One message of Harmony: its header names the channel and, for a tool call, the recipient.
_MESSAGE = re.compile(
    r"<\|channel\|>(?P<header>[^<]*)(?:<\|constrain\|>[^<]*)?<\|message\|>(?P<body>.*?)"
    r"(?:<\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)|\Z)",
    re.DOTALL,
)
# A role or a channel whose message never came.
_LEFT_OVER = re.compile(r"<\|start\|>(?:assistant)?|<\|channel\|>(?:analysis|commentary|final)?(?: to=[^\s<]*)?")
# The same where a template removed the markers and left the words between them.
_UNMARKED = ("analysis", "assistantfinal")
# These end a turn; a template that does not know them leaks them.
_END_TOKENS = (
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "<|end|>", "<|return|>", "<|call|>"),
    *("</s>", "<end_of_turn>"),
)
# A list of parts that hold a list of parts; providers nest no deeper.
MOST_NESTED = 8
_THINKING_PARTS = {"thinking", "reasoning", "redacted_thinking", "thought"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerText:
    """`text` is the answer alone, `reasoning` what preceded it, None without any."""

    text: str
    reasoning: str | None = None


def content_pieces(content: object, *, depth: int = MOST_NESTED) -> tuple[str, str]:
    """The text and the reasoning of a `content` field: a string, a list of parts, or one part. Nothing below `depth` levels."""
    if isinstance(content, str):
        return content, ""
    if depth == 0 or not isinstance(content, Mapping | Sequence):
        return "", ""
    if isinstance(content, Mapping):
        return _part(cast("Mapping[str, Any]", content), depth - 1)
    pieces = [content_pieces(part, depth=depth - 1) for part in cast("Sequence[object]", content)]
    return "".join(text for text, _ in pieces), "".join(reasoning for _, reasoning in pieces)


def separate(content: str) -> AnswerText:
    """The answer in `content`, and the reasoning that was written before or between its parts.

    Tags and markers inside code stay: an answer may be about them.
    """
    begin, end = _UNMARKED
    if content.startswith(begin) and end in content:
        reasoning, _, text = content.removeprefix(begin).partition(end)
        return AnswerText(text=text.strip(), reasoning=reasoning.strip() or None)
    if "<" not in content:
        return AnswerText(text=content)
    channels = ""
    if _MARKER.search(content) is not None:
        content, channels = _without_channels(content)
    text, tagged = _without_tags(_without_end_tokens(content))
    return AnswerText(text=text, reasoning=_joined((channels, tagged)) or None)


def function_name(name: str, known: Sequence[str]) -> str:
    """The name of a called function without what Harmony leaks into it: `functions.f<|channel|>commentary` -> `f`."""
    plain = name.split("<|", 1)[0].strip()
    if plain not in known and plain.removeprefix("functions.") in known:
        return plain.removeprefix("functions.")
    return plain


def _part(part: Mapping[str, Any], depth: int) -> tuple[str, str]:
    kind = str(part.get("type", "text"))
    if kind in _THINKING_PARTS:
        inner = part.get("thinking", part.get("reasoning", part.get("text", part.get("summary"))))
        return "", "".join(content_pieces(inner, depth=depth))
    for name in ("text", "refusal"):
        if isinstance(part.get(name), str):
            return part[name], ""
    return content_pieces(part.get("content", part.get("parts")), depth=depth) if kind in {"text", "message"} else ("", "")


def _without_tags(content: str) -> tuple[str, str]:
    kept: list[str] = []
    thoughts: list[str] = []
    taken = searched = depth = opened = 0
    while True:
        # code is looked for outside the reasoning only: a fence left open in it must not hide its end
        found = (_TAG if depth else _CODE_OR_TAG).search(content, searched)
        if found is None:
            break
        searched = found.end()
        if found["end"] is None:
            continue  # code
        closing = bool(found["end"])
        if depth == 0 and closing:
            if taken == 0 and not kept:
                # a template that opens the tag itself leaves only the end of it: all before belongs to it
                thoughts.append(content[: found.start()])
                taken = searched
            continue
        if depth == 0 or (depth == 1 and closing):
            (thoughts if closing else kept).append(content[taken : found.start()])
            taken, opened = searched, found.start()
        depth += -1 if closing else 1
    if taken == 0:
        return content, ""
    if depth and content[:opened].rpartition("\n")[2].strip():
        # never closed and in the middle of a line: the answer speaks of the tag
        kept.append(content[opened:])
    else:
        (thoughts if depth else kept).append(content[taken:])
    return "".join(kept).strip(), _joined(thoughts)


def _without_channels(content: str) -> tuple[str, str]:
    """What the channels of Harmony hold for the user, and the rest of them; unchanged where markers stand in code only."""
    if not any(found["marker"] for found in _CODE_OR_MARKER.finditer(content)):
        return content, ""
    final: list[str] = []
    preamble: list[str] = []
    others: list[str] = []
    for message in _MESSAGE.finditer(content):
        channel, *recipient = message["header"].split() or [""]
        # without a recipient it speaks to the user, unless the arguments of a lost tool call stand in it
        speaks = channel == "commentary" and not recipient and not message["body"].lstrip().startswith("{")
        (final if channel == "final" else preamble if speaks else others).append(message["body"])
    outside = _MARKER.sub("", _LEFT_OVER.sub("", _MESSAGE.sub("", content))).strip()
    if final:
        return _joined(final), _joined([*preamble, *others])
    return _joined([outside, *preamble]), _joined(others)


def _without_end_tokens(content: str) -> str:
    shorter = content.rstrip()
    while shorter.endswith(_END_TOKENS):
        shorter = shorter[: shorter.rindex("<")].rstrip()
        content = shorter
    return content


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(stripped for part in parts if (stripped := part.strip()))
