"""A stream of server-sent events, read within bounds, and the completion put together from its pieces.

The format is that of the HTML standard, section 9.2; of its fields only `event` and `data` matter here. An answer is whole
only where its last piece said why it ended: a stream that breaks off is a failure, never a shorter answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from groq_fallback_mcp.call import Failure, FailureKind, QuotaSnapshot, Speed, Success
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.policy.classify import classify_stream_error
from groq_fallback_mcp.providers.chat_wire import chat_outcome
from groq_fallback_mcp.providers.reading import bad_response, mapping, rows, text_of, whole

__all__ = ["ChatStream"]

LINE_BYTES = 1024 * 1024
MOST_TOOL_CALLS = 128
END = "[DONE]"


class ChatStream:
    """Takes the bytes of a stream as they come. `pieces` counts those that carried something of the answer.

    `told` is called with that count at each of them.
    """

    def __init__(self, *, model: str, clock: Clock, told: Callable[[int], None] | None = None) -> None:
        self._model = model
        self._clock = clock
        self._told = told
        self._started = clock.monotonic()
        self._first_token_s: float | None = None
        self._rest = b""
        self._event = ""
        self._data: list[str] = []
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._more: dict[str, Any] = {}
        self._about: dict[str, Any] = {}
        self._finish_reason: str | None = None
        self._failure: Failure | None = None
        self.pieces = 0
        self.ended = False

    def feed(self, chunk: bytes) -> bool:
        """Take a chunk. True when it carried something of the answer, so that whoever waits can wait on."""
        before = self.pieces
        lines = (self._rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LINE_BYTES:
            self._fail(bad_response(f"a line of more than {LINE_BYTES} bytes in a stream"))
        for line in lines:
            if self.ended:
                break
            self._line(line.decode("utf-8", "replace"))
        if self.pieces == before:
            return False
        if self._first_token_s is None:
            self._first_token_s = self._clock.monotonic() - self._started
        if self._told is not None:
            self._told(self.pieces)
        return True

    def outcome(self, *, quota: QuotaSnapshot, simulated: bool) -> Success | Failure:
        """What the stream amounts to, once it has ended or broken off."""
        if self._failure is not None:
            return self._failure
        if self._finish_reason is None:
            message = f"the stream broke off after {self.pieces} pieces, before the answer was whole"
            return Failure(kind=FailureKind.CONNECTION_LOST, message=message, status=200, quota=quota)
        answer: dict[str, Any] = {"content": "".join(self._content), **self._more}
        if self._reasoning:
            answer["reasoning"] = "".join(self._reasoning)
        if self._calls:
            answer["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        value = {**self._about, "choices": [{"message": answer, "finish_reason": self._finish_reason}]}
        speed = Speed(first_token_s=self._first_token_s, tokens_per_s=self._tokens_per_s())
        return chat_outcome(value, model=self._model, quota=quota, simulated=simulated, speed=speed)

    def _tokens_per_s(self) -> float | None:
        tokens = whole((mapping(self._about.get("usage")) or {}).get("completion_tokens"))
        wrote_s = self._clock.monotonic() - self._started - (self._first_token_s or 0.0)
        return tokens / wrote_s if tokens and self._first_token_s is not None and wrote_s > 0 else None

    def _line(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            self._dispatch()
        elif name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)

    def _dispatch(self) -> None:
        data, event = "\n".join(self._data), self._event
        self._data, self._event = [], ""
        if not data:
            return
        if data == END:
            self.ended = True
            return
        try:
            value: Any = json.loads(data)
        except (ValueError, RecursionError):
            value = None
        piece = cast("Mapping[str, Any]", value) if isinstance(value, dict) else None
        x_groq = mapping(piece.get("x_groq")) if piece is not None else None
        told = x_groq.get("error") if x_groq is not None else None
        if event == "error" or piece is None or "error" in piece:
            self._fail(classify_stream_error(data, now_wall=self._clock.wall()))
        elif told is not None:
            self._fail(classify_stream_error(json.dumps({"error": told}), now_wall=self._clock.wall()))
        else:
            self._piece(piece, x_groq or {})

    def _piece(self, piece: Mapping[str, Any], x_groq: Mapping[str, Any]) -> None:
        for name in ("model", "system_fingerprint", "usage"):
            if piece.get(name) is not None:
                self._about[name] = piece[name]
        if x_groq.get("usage") is not None:
            self._about["usage"] = x_groq["usage"]
        if text_of(x_groq.get("id")):
            self._about["x_groq"] = {"id": x_groq["id"]}
        choices = rows(piece.get("choices"))
        if not choices:
            return
        self._finish_reason = text_of(choices[0].get("finish_reason")) or self._finish_reason
        self._delta(mapping(choices[0].get("delta")) or {})

    def _delta(self, delta: Mapping[str, Any]) -> None:
        content = text_of(delta.get("content"))
        reasoning = text_of(delta.get("reasoning")) or text_of(delta.get("reasoning_content"))
        calls = rows(delta.get("tool_calls"))
        if content:
            self._content.append(content)
        if reasoning:
            self._reasoning.append(reasoning)
        for row in calls:
            self._tool_call(row)
        for name in ("executed_tools", "annotations"):
            if isinstance(delta.get(name), list):
                self._more.setdefault(name, []).extend(delta[name])
        if content or reasoning or calls:
            self.pieces += 1

    def _tool_call(self, row: Mapping[str, Any]) -> None:
        """Groq sends a call in one piece, OpenAI its arguments in many."""
        index = whole(row.get("index"))
        index = len(self._calls) if index is None else index
        if index not in self._calls and len(self._calls) >= MOST_TOOL_CALLS:
            self._fail(bad_response(f"more than {MOST_TOOL_CALLS} tool calls"))
            return
        function = mapping(row.get("function")) or {}
        call = self._calls.setdefault(index, {"id": "", "function": {"name": "", "arguments": ""}})
        call["id"] = text_of(row.get("id")) or call["id"]
        call["function"]["name"] += text_of(function.get("name")) or ""
        call["function"]["arguments"] += text_of(function.get("arguments")) or ""

    def _fail(self, failure: Failure) -> None:
        self._failure = self._failure or failure
        self.ended = True
