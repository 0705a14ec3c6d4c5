"""A stream of server-sent events, read within bounds, and the completion put together from its pieces.

The format is that of the HTML standard, section 9.2; of its fields only `event` and `data` matter here. An answer is whole
only where its last piece said why it ended: a stream that breaks off is a failure, never a shorter answer.

Reading takes time linear in the size of the stream, however it is cut into chunks, lines, events or tool-call pieces, and
holds at most one event and MOST_ANSWER_CHARS of the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from groq_fallback_mcp.call import Failure, FailureKind, QuotaSnapshot, Speed, Success
from groq_fallback_mcp.call.messages import called_function, stated_calls
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.providers.answer_text import content_pieces
from groq_fallback_mcp.providers.classify import classify_stream_error
from groq_fallback_mcp.providers.finish_reason import finish_reason, worst_reason
from groq_fallback_mcp.providers.json_fields import bad_response, count, json_object, mapping, text_of, whole
from groq_fallback_mcp.providers.openai_wire import chat_outcome, choice_of, reasoning_of, stated_error
from groq_fallback_mcp.providers.rate_limit_headers import Sender
from groq_fallback_mcp.providers.tool_calls import extra_content

__all__ = ["ChatStream"]

# Of one event, its data lines together.
EVENT_BYTES = 1024 * 1024
# A million tokens; of text, reasoning and tool calls together.
MOST_ANSWER_CHARS = 4 * 1024 * 1024
# What search and code tools at the provider report, beside the answer.
MOST_REPORTED_BYTES = 1024 * 1024
MOST_TOOL_CALLS = 128
# Four times what OpenAI takes.
MOST_NAME_CHARS = 256
# In whatever case and quotation marks, and the words by which a connection is kept open.
_END = re.compile(rb"\"?\[?DONE\]?\"?\Z", re.IGNORECASE)
_HEARTBEAT = re.compile(rb"(?:\{\}|\[\]|null|\"?:? ?(?:ping|pong|keep-?_?alive|heartbeat|processing)\"?)?\Z", re.IGNORECASE)
_OF_PLAIN_TEXT = {"role", "content"}
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class _ToolCall:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])
    extra: Mapping[str, Any] | None = None

    @property
    def is_half(self) -> bool:
        """Whether more of its arguments must follow."""
        return bool(self.arguments) and not self.arguments[-1].rstrip().endswith("}")


class ChatStream:
    """Takes the bytes of a stream as they come. `pieces` counts those that carried something of the answer.

    `on_progress` is called with that count at each of them, `on_text` with the visible text they carried, `on_reasoning` with what
    the model thinks; `is_shown` says whether anybody has seen text of it. `tools` are the names of the functions that may be
    called, None where that is not checked.
    """

    def __init__(
        self,
        *,
        model: str,
        clock: Clock,
        on_progress: Callable[[int], None] | None = None,
        on_text: Callable[[str], None] | None = None,
        on_reasoning: Callable[[str], None] | None = None,
        is_shown: Callable[[], bool] | None = None,
        tools: Sequence[str] | None = None,
        sender: Sender = "groq",
    ) -> None:
        self._model = model
        self._clock = clock
        self._on_progress = on_progress
        self._on_text = on_text
        self._on_reasoning = on_reasoning
        self._is_shown = is_shown
        self._tools = tools
        self._sender: Sender = sender
        self._started = clock.monotonic()
        self._first_token_s: float | None = None
        self._line = bytearray()
        self._after_cr = False
        self._first_line = True
        self._event = b""
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._chars = 0
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, _ToolCall] = {}
        self._reported: dict[str, list[Any]] = {}
        self._reported_bytes = 0
        self._about: dict[str, Any] = {}
        self._index: int | None = None
        self._finish_reason: str | None = None
        self._failure: Failure | None = None
        self.pieces = 0
        self.ended = False

    @property
    def whole(self) -> bool:
        """Whether the answer has said why it ended, so that nothing of it can be missing."""
        return self._finish_reason is not None and self._failure is None

    def feed(self, chunk: bytes) -> bool:
        """Take a chunk. True when it carried something of the answer, so that the caller can go on waiting."""
        before, texts, thoughts = self.pieces, len(self._content), len(self._reasoning)
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        start = 0
        for end in _LINE_END.finditer(chunk):
            if self.ended:
                break
            if end.start() > start:
                self._take(chunk[start : end.start()])
            self._end_line()
            start = end.end()
        if not self.ended and start < len(chunk):
            self._take(chunk[start:])
        if self.pieces == before:
            return False
        if self._first_token_s is None:
            self._first_token_s = self._clock.monotonic() - self._started
        self._tell(texts, thoughts)
        return True

    def _tell(self, texts: int, thoughts: int) -> None:
        """Pass on what came after so many pieces of text and thoughts."""
        if self._on_progress is not None:
            self._on_progress(self.pieces)
        if self._on_reasoning is not None and len(self._reasoning) > thoughts:
            self._on_reasoning("".join(self._reasoning[thoughts:]))
        if self._on_text is not None and len(self._content) > texts:
            self._on_text("".join(self._content[texts:]))

    def outcome(self, *, quota: QuotaSnapshot, simulated: bool) -> Success | Failure:
        """What the stream amounts to, once it has ended or broken off."""
        self._take_the_rest()
        if self._failure is not None:
            return self._failure
        if self._finish_reason is None:
            message = f"the stream ended after {self.pieces} chunks, before the answer was complete"
            return Failure(kind=FailureKind.CONNECTION_LOST, message=message, status=200, quota=quota)
        answer: dict[str, Any] = {"content": "".join(self._content), **self._reported}
        if self._reasoning:
            answer["reasoning"] = "".join(self._reasoning)
        if self._calls:
            answer["tool_calls"] = [
                {
                    "id": call.id,
                    "function": {"name": call.name, "arguments": "".join(call.arguments)},
                    "extra_content": call.extra,
                }
                for _, call in sorted(self._calls.items())
            ]
        value = {**self._about, "choices": [{"message": answer, "finish_reason": self._finish_reason}]}
        speed = Speed(first_token_s=self._first_token_s, tokens_per_s=self._tokens_per_s())
        is_shown = self._is_shown is not None and self._is_shown()
        return chat_outcome(
            value, model=self._model, quota=quota, simulated=simulated, speed=speed, tools=self._tools, is_shown=is_shown
        )

    def _tokens_per_s(self) -> float | None:
        tokens = count((mapping(self._about.get("usage")) or {}).get("completion_tokens"))
        wrote_s = self._clock.monotonic() - self._started - (self._first_token_s or 0.0)
        return tokens / wrote_s if tokens and self._first_token_s is not None and wrote_s > 0 else None

    def _take(self, part: bytes) -> None:
        """More of the line that has not ended."""
        self._line += part
        if len(self._line) + self._data_bytes > EVENT_BYTES:
            self._fail(bad_response(f"an event of more than {EVENT_BYTES} bytes in a stream"))

    def _end_line(self) -> None:
        line, self._line = bytes(self._line), bytearray()
        if self._first_line:
            line, self._first_line = line.removeprefix(_BOM), False
        if not line:
            self._dispatch()
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._event = value
        elif name == b"data":
            if len(self._data) == 1 and _is_whole(self._data[0]):
                # some endpoints omit the empty line between two events
                self._dispatch()
            self._data.append(value)
            # an empty line of data is a line too
            self._data_bytes += len(value) + 1

    def _take_the_rest(self) -> None:
        """The last event where the stream ended without the empty line behind it; nothing of half an event."""
        if self.ended:
            return
        self._end_line()
        if self._data and _is_whole(b"\n".join(self._data)):
            self._dispatch()

    def _dispatch(self) -> None:
        data, event = b"\n".join(self._data).strip(), self._event
        self._data, self._data_bytes, self._event = [], 0, b""
        if _HEARTBEAT.match(data):
            return
        if _END.match(data):
            self.ended = True
            return
        piece = json_object(data)
        if isinstance(piece, Failure):
            stated = piece if data.startswith(b"{") else data.decode("utf-8", "replace")
            self._error(stated)
            return
        x_groq = mapping(piece.get("x_groq")) or {}
        error = stated_error(piece) or _error_in(x_groq)
        if error is not None or event == b"error":
            self._error(error or data.decode("utf-8", "replace"))
        else:
            self._piece(piece, x_groq, size=len(data))

    def _piece(self, piece: Mapping[str, Any], x_groq: Mapping[str, Any], *, size: int) -> None:
        for name in ("model", "system_fingerprint"):
            if text_of(piece.get(name)) is not None:
                self._about[name] = piece[name]
        usage = mapping(x_groq.get("usage")) or mapping(piece.get("usage"))
        if usage is not None:
            # some servers send a part of it with each piece
            known = self._about.get("usage", {})
            self._about["usage"] = {**known, **{name: figure for name, figure in usage.items() if figure is not None}}
        if text_of(x_groq.get("id")):
            self._about["x_groq"] = {"id": x_groq["id"]}
        choice = choice_of(piece, self._index)
        if choice is None:
            return
        if self._index is None:
            self._index = whole(choice.get("index")) or 0
        delta = self._delta_of(choice)
        error = _error_in(choice) or _error_in(delta)
        if error is not None:
            self._error(error)
            return
        stated = finish_reason(choice)
        if stated is not None:
            self._finish_reason = worst_reason((stated, self._finish_reason or stated))
        self._delta(delta, size=size)

    def _delta_of(self, choice: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a piece adds. Some endpoints send the whole message, as the only piece or again in the last."""
        delta = mapping(choice.get("delta"))
        if delta is None and text_of(choice.get("text")):
            return {"content": choice["text"]}
        message = mapping(choice.get("message"))
        return message if message is not None and not delta and self.pieces == 0 else delta or {}

    def _error(self, stated: str | Failure) -> None:
        """An error in the stream. Behind the end of an answer it takes nothing from it."""
        if self.whole:
            self.ended = True
            return
        if not isinstance(stated, Failure):
            stated = classify_stream_error(stated, now_wall=self._clock.wall(), sender=self._sender)
        self._fail(stated)

    def _delta(self, delta: Mapping[str, Any], *, size: int) -> None:
        plain = delta.get("content")
        if plain and isinstance(plain, str) and delta.keys() <= _OF_PLAIN_TEXT:
            # nearly every piece, of which there are hundreds a second
            self._content.append(plain)
            self._count(len(plain))
            self.pieces += 1
            return
        content, thought = content_pieces(delta.get("content"))
        content = content or text_of(delta.get("refusal")) or ""
        reasoning = reasoning_of(delta) or thought
        calls = stated_calls(delta)
        if content:
            self._content.append(content)
        if reasoning:
            self._reasoning.append(reasoning)
        for row in calls:
            self._tool_call(row, size=size)
        for name in ("executed_tools", "annotations"):
            self._report(name, delta.get(name), size)
        self._count(len(content) + len(reasoning))
        if content or reasoning or calls:
            self.pieces += 1

    def _tool_call(self, row: Mapping[str, Any], *, size: int) -> None:
        """Groq sends a call in one piece, OpenAI its arguments in many."""
        function = called_function(row)
        name = text_of(function.get("name")) or ""
        arguments = function.get("arguments")
        # a few endpoints send the object itself
        text = json.dumps(arguments) if isinstance(arguments, dict) else text_of(arguments) or ""
        call = self._call_of(_index(row), text_of(row.get("id")) or "", name)
        if call is None:
            self._fail(bad_response(f"more than {MOST_TOOL_CALLS} tool calls"))
            return
        # some endpoints repeat it in each piece
        call.name += name if name != call.name else ""
        if len(call.name) > MOST_NAME_CHARS:
            self._fail(bad_response(f"the name of a tool of more than {MOST_NAME_CHARS} characters"))
            return
        call.arguments += [text] if text else []
        if (extra := extra_content(row)) is not None:
            call.extra = extra
            self._count(size)
        self._count(len(name) + len(text))

    def _call_of(self, index: int | None, id_: str, name: str) -> _ToolCall | None:
        """The call that a piece belongs to, a new one where it begins one; None where there are too many.

        Some endpoints leave the index out, or give each of several calls the index 0: then a name with a new id, or with
        neither, begins a new call, unless the one with this index is half written.
        """
        last = next(reversed(self._calls), None)
        by_id = next((at for at, call in self._calls.items() if id_ and call.id == id_), last)
        at = by_id if index is None else index
        known = None if at is None else self._calls.get(at)
        begins = known is None or bool(
            name
            and (id_ != known.id if id_ and known.id else index is None and known.name)
            and not (index is not None and known.is_half)
        )
        if known is not None and not begins:
            known.id = known.id or id_
            return known
        if len(self._calls) >= MOST_TOOL_CALLS:
            return None
        free = index if index is not None and known is None else max(self._calls, default=-1) + 1
        return self._calls.setdefault(free, _ToolCall(id=id_))

    def _report(self, name: str, given: object, size: int) -> None:
        """What tools at the provider report, as far as it is bounded; the answer is whole without it."""
        if not isinstance(given, list) or not given:
            return
        self._reported_bytes += size
        if self._reported_bytes <= MOST_REPORTED_BYTES:
            self._reported.setdefault(name, []).extend(given)

    def _count(self, chars: int) -> None:
        self._chars += chars
        if self._chars > MOST_ANSWER_CHARS:
            self._fail(bad_response(f"an answer of more than {MOST_ANSWER_CHARS} characters"))

    def _fail(self, failure: Failure) -> None:
        self._failure = self._failure or failure
        self.ended = True
        # what is not an answer is not held either
        self._content, self._reasoning, self._calls, self._reported, self._data = [], [], {}, {}, []
        self._line = bytearray()


def _error_in(fields: Mapping[str, Any]) -> str | None:
    """The error that a part of a piece states."""
    return stated_error({"error": fields["error"]}) if fields.get("error") else None


def _is_whole(data: bytes) -> bool:
    """Whether these lines of data are an event, with nothing missing."""
    data = data.strip()
    if not (data.startswith(b"{") and data.endswith(b"}")):
        return _END.match(data) is not None
    return not isinstance(json_object(data), Failure)


def _index(row: Mapping[str, Any]) -> int | None:
    stated = row.get("index")
    return int(stated) if isinstance(stated, str) and stated.isdecimal() and len(stated) < 4 else whole(stated)
