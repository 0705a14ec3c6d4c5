"""A conversation that any provider may have had a part in, as one of them takes it back.

Messages come in the form that `call.messages.read_messages` gives them. What a provider wants back with its own calls, and no
other takes, is kept here by call: thoughts, and the signatures that Gemini signs them with.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groq_fallback_mcp.call import Success
from groq_fallback_mcp.catalog import Dialect

__all__ = ["NOT_SIGNED", "CallMemory", "messages_in_dialect", "without_extra_content"]

# Calls of several agents at work at once, with the thoughts that led to them.
MOST_CALLS = 1_000
MOST_CHARS = 64_000
"""Of a thought, and of what a provider wants back with a call; what is longer is not kept."""
MOST_CHARS_KEPT = 4_000_000
"""Of all calls together: up to 16 MB, for a thought in an alphabet that takes four bytes a character."""
# Google's word for a call that another model made: as a last resort it skips the check.
NOT_SIGNED = {"google": {"thought_signature": "skip_thought_signature_validator"}}
_NINE = re.compile(r"[a-zA-Z0-9]{9}")
_LETTERS = string.ascii_letters + string.digits
_CALL_FIELDS = ("id", "type", "function")
# What comes between a tool's result and the next words of the user, or after the last words of a model.
_DONE = {"role": "assistant", "content": "Done."}
_GO_ON = {"role": "user", "content": "Continue."}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    reasoning: str | None
    extra_content: Mapping[str, Any] | None
    chars: int
    """Of both, and of what tells the call from others."""


class CallMemory:
    """What came with a provider's own calls of tools; the newest, within MOST_CALLS and MOST_CHARS_KEPT."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, str], _Kept] = OrderedDict()
        self._chars = 0

    def keep(self, answer: Success) -> None:
        """Remember what came with the calls of an answer."""
        reasoning = answer.reasoning or ""
        reasoning = reasoning if len(reasoning) <= MOST_CHARS else ""
        for call in answer.tool_calls:
            place = _place(str(call["id"]), str(call["name"]), str(call["arguments"]))
            extra = call.get("extra_content")
            extra_chars = _chars_in(extra) if extra else 0
            if extra_chars > MOST_CHARS:
                extra, extra_chars = None, 0
            chars = len(reasoning) + extra_chars + sum(map(len, place))
            self._forget(place)
            self._kept[place] = _Kept(reasoning=reasoning or None, extra_content=extra, chars=chars)
            self._chars += chars
        while len(self._kept) > MOST_CALLS or self._chars > MOST_CHARS_KEPT:
            self._forget(next(iter(self._kept)))

    def of(self, call: Mapping[str, Any]) -> _Kept | None:
        """What came with a call in OpenAI's form."""
        function = call["function"]
        return self._kept.get(_place(call["id"], function["name"], function["arguments"]))

    def _forget(self, place: tuple[str, str, str]) -> None:
        kept = self._kept.pop(place, None)
        self._chars -= 0 if kept is None else kept.chars


def messages_in_dialect(
    messages: Iterable[Mapping[str, Any]], dialect: Dialect, memory: CallMemory | None = None
) -> list[dict[str, Any]]:
    """The messages as a provider takes them; those given stay as they are."""
    sent = [_in_dialect(message, dialect, memory) for message in messages]
    if dialect.assistant_after_tool:
        sent = _with_an_answer_after_tools(sent)
    if dialect.last_is_user and sent and sent[-1]["role"] == "assistant":
        sent.append(dict(_GO_ON))
    return sent


def without_extra_content(message: dict[str, Any]) -> dict[str, Any]:
    """A message without what came with its calls for the provider that made them: Groq refuses it."""
    for call in message.get("tool_calls") or ():
        if "extra_content" in call:
            return {**message, "tool_calls": [_plain(each) for each in message["tool_calls"]]}
    return message


def _plain(call: Mapping[str, Any]) -> dict[str, Any]:
    return {name: call[name] for name in _CALL_FIELDS if name in call}


def _in_dialect(message: Mapping[str, Any], dialect: Dialect, memory: CallMemory | None) -> dict[str, Any]:
    sent = {name: value for name, value in message.items() if name not in {"reasoning", "reasoning_content"}}
    calls: Sequence[Mapping[str, Any]] = sent.get("tool_calls") or ()
    if calls:
        sent["tool_calls"] = _calls(calls, dialect, memory)
        if dialect.reasoning_history is not None:
            kept = memory.of(calls[0]) if memory is not None else None
            # of another model's calls there is nothing to give back, but the field must be there
            sent[dialect.reasoning_history] = (kept.reasoning if kept is not None else None) or ""
    if dialect.tool_call_ids == "nine_letters" and "tool_call_id" in sent:
        sent["tool_call_id"] = _nine_letters(sent["tool_call_id"])
    if dialect.text_content:
        sent["content"] = _text(sent.get("content"))
    if dialect.message_fields:
        fields = set(dialect.message_fields) - (set() if sent["role"] == "tool" else {"name"})
        fields |= {dialect.reasoning_history or "role"}
        sent = {name: value for name, value in sent.items() if name in fields}
    return sent


def _calls(calls: Sequence[Mapping[str, Any]], dialect: Dialect, memory: CallMemory | None) -> list[dict[str, Any]]:
    sent = [_plain(call) for call in calls]
    if dialect.tool_call_ids == "nine_letters":
        for call in sent:
            call["id"] = _nine_letters(call["id"])
    if dialect.thought_signatures:
        for call, given in zip(sent, calls, strict=True):
            kept = memory.of(given) if memory is not None else None
            extra = (kept.extra_content if kept is not None else None) or given.get("extra_content")
            if extra:
                call["extra_content"] = extra
        if not any("extra_content" in call for call in sent):
            # of calls at once only the first is signed
            sent[0]["extra_content"] = NOT_SIGNED
    return sent


def _nine_letters(id_: str) -> str:
    """The id where it is nine letters and digits, else nine that are always the same for it."""
    if _NINE.fullmatch(id_):
        return id_
    number = int.from_bytes(hashlib.blake2s(id_.encode("utf-8", "replace"), digest_size=8).digest())
    letters: list[str] = []
    for _ in range(9):
        number, at = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[at])
    return "".join(letters)


def _text(content: object) -> str:
    """Content as one string; what is not text is named."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    parts: list[Mapping[str, Any]] = content
    return "\n".join(part["text"] if part["type"] == "text" else f"[{part['type']}]" for part in parts)


def _with_an_answer_after_tools(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "user" and sent and sent[-1]["role"] == "tool":
            sent.append(dict(_DONE))
        sent.append(message)
    return sent


def _chars_in(extra: Mapping[str, Any]) -> int:
    try:
        return len(json.dumps(extra))
    except RecursionError:
        # nested as nothing is that a provider wants back
        return MOST_CHARS + 1


def _place(id_: str, name: str, arguments: str) -> tuple[str, str, str]:
    """What tells a call from all others: ids alone may repeat, and clients write arguments anew."""
    try:
        plain = json.dumps(json.loads(arguments), sort_keys=True)
    except (ValueError, RecursionError):
        plain = arguments
    return id_, name, hashlib.blake2s(plain.encode("utf-8", "replace")).hexdigest()
