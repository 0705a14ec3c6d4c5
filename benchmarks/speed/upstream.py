"""A fast stand-in for Groq's chat endpoint, in a process of its own: `python -m benchmarks.speed.upstream`.

It prints its port, answers each model as it was told to by POST /set, and counts what it was asked (GET /counts).
Written on a bare asyncio protocol, so that it is not what limits a contender; what one answer costs is a row of the report.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

__all__ = ["main"]

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"transfer-encoding:\s*chunked", re.IGNORECASE)
ANSWER = "A stand-in's answer, always the same."
_LIMITS = (
    b"x-ratelimit-limit-requests: 100000000\r\nx-ratelimit-limit-tokens: 1000000000\r\n"
    b"x-ratelimit-remaining-requests: 99999999\r\nx-ratelimit-remaining-tokens: 999999999\r\n"
    b"x-ratelimit-reset-requests: 1ms\r\nx-ratelimit-reset-tokens: 1ms\r\n"
)


@dataclass(slots=True)
class State:
    """How models answer: {"MODEL or *": {"status": 429, "retry_after": 2, "until_s": 2, "delay_ms": 50, "hang": true,
    "rpm": 60}}.
    """

    rules: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    since: float = field(default_factory=time.monotonic)
    calls: dict[str, int] = field(default_factory=dict[str, int])
    in_flight: dict[str, int] = field(default_factory=dict[str, int])
    most_in_flight: dict[str, int] = field(default_factory=dict[str, int])
    refused: int = 0
    levels: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    audio_bytes: int = 0

    def takes(self, model: str, rpm: float) -> bool:
        """Whether a bucket of `rpm` that refills within a minute, as Groq's do, has room for one more."""
        now = time.monotonic()
        level, at = self.levels.get(model, (rpm, now))
        level = min(rpm, level + (now - at) * rpm / 60)
        taken = level >= 1
        self.levels[model] = (level - taken, now)
        self.refused += not taken
        return taken


class _Connection(asyncio.Protocol):
    def __init__(self, state: State) -> None:
        self._state = state
        self._held = bytearray()
        self._skip = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None

    def data_received(self, data: bytes) -> None:
        if self._skip:
            # an upload's body is counted and thrown away
            taken = min(self._skip, len(data))
            self._skip -= taken
            self._state.audio_bytes += taken
            if self._skip:
                return
            self._reply(200, json.dumps({"text": ANSWER, "x_groq": {"id": "req_1"}}).encode())
            data = data[taken:]
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._held[:end])
            found = _LENGTH.search(head)
            length = int(found[1]) if found else 0
            if b"/audio/" in head.split(b"\r\n", 1)[0]:
                if _CHUNKED.search(head):
                    raise NotImplementedError("uploads say their length")
                rest = len(self._held) - end - 4
                self._held.clear()
                self._skip = length - rest
                self._state.audio_bytes += rest
                return
            if len(self._held) < end + 4 + length:
                return
            body = bytes(self._held[end + 4 : end + 4 + length])
            del self._held[: end + 4 + length]
            self._handle(head, body)

    def _handle(self, head: bytes, body: bytes) -> None:
        line = head.split(b"\r\n", 1)[0]
        if b" /set" in line:
            self._state.__init__(rules=json.loads(body))  # type: ignore[misc] # a fresh state in the same place
            return self._reply(200, b"{}")
        if b" /counts" in line:
            shown = {
                "calls": self._state.calls,
                "most_in_flight": self._state.most_in_flight,
                "refused": self._state.refused,
                "audio_bytes": self._state.audio_bytes,
                "cpu_s": time.process_time(),
            }
            return self._reply(200, json.dumps(shown).encode())
        if b"/models" in line:
            return self._reply(200, b'{"object":"list","data":[]}')
        request = json.loads(body)
        model = request["model"]
        state = self._state
        state.calls[model] = state.calls.get(model, 0) + 1
        flying = state.in_flight[model] = state.in_flight.get(model, 0) + 1
        state.most_in_flight[model] = max(state.most_in_flight.get(model, 0), flying)
        rule = state.rules.get(model) or state.rules.get("*", {})
        if rule.get("hang"):
            return None
        if "rpm" in rule and not state.takes(model, float(rule["rpm"])):
            rule = {"status": 429, "retry_after": 1, "rpm": rule["rpm"]}
        if delay := rule.get("delay_ms", 0):
            asyncio.get_running_loop().call_later(delay / 1000, self._answer, request, rule)
        else:
            self._answer(request, rule)
        return None

    def _answer(self, request: dict[str, Any], rule: dict[str, Any]) -> None:
        model = request["model"]
        self._state.in_flight[model] = max(0, self._state.in_flight.get(model, 0) - 1)
        failing = "status" in rule and time.monotonic() - self._state.since < rule.get("until_s", float("inf"))
        if failing:
            status = rule["status"]
            extra = b"retry-after: %d\r\n" % rule["retry_after"] if "retry_after" in rule else b""
            kind = "rate_limit_exceeded" if status == 429 else "service_unavailable"
            message = "Service Unavailable"
            if status == 429:
                limit = (
                    f"Limit {rule['rpm']}, Used {rule['rpm']}, Requested 1"
                    if "rpm" in rule
                    else "Limit 30, Used 30, Requested 1"
                )
                message = (
                    f"Rate limit reached for model `{model}` in organization `org_01` service tier `on_demand` on requests per "
                    f"minute (RPM): {limit}. Please try again in {rule['retry_after']}s. Need more tokens?"
                )
            return self._reply(status, json.dumps({"error": {"message": message, "type": kind, "code": kind}}).encode(), extra)
        usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30, "total_time": 0.01}
        base = {
            "id": "chatcmpl-1",
            "created": 1_790_000_000,
            "model": model,
            "service_tier": "on_demand",
            "x_groq": {"id": "req_1"},
        }
        if request.get("stream"):
            first = {**base, "object": "chat.completion.chunk"}
            events = [
                {**first, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ANSWER}, "finish_reason": None}]},
                {**first, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage},
            ]
            text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            return self._reply(200, text.encode(), kind=b"text/event-stream")
        message = {"role": "assistant", "content": ANSWER}
        choices = [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}]
        return self._reply(
            200, json.dumps({**base, "object": "chat.completion", "choices": choices, "usage": usage}).encode(), _LIMITS
        )

    def _reply(self, status: int, body: bytes, extra: bytes = b"", kind: bytes = b"application/json") -> None:
        if self._transport is not None:
            self._transport.write(
                b"HTTP/1.1 %d X\r\ncontent-type: %s\r\n%scontent-length: %d\r\n\r\n%s" % (status, kind, extra, len(body), body)
            )


async def main() -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    state = State()
    server = await loop.create_server(lambda: _Connection(state), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), open(0, "rb", buffering=0))  # noqa: ASYNC230, SIM115
    loop.create_task(reader.read()).add_done_callback(lambda _: ended.set())
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
