"""A fast stand-in for Groq's chat endpoint, in a process of its own: `python -m benchmarks.speed.upstream`.

It prints its port, answers each model as it was told to by POST /set, and counts what it was asked (GET /counts).
Written on a bare asyncio protocol, so that it is not what limits a contender; what one answer costs is a row of the report.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from dataclasses import dataclass, field
from typing import Any

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator.generation import estimate_tokens
from groq_fallback_mcp.simulator.rate_limits import Charge, Limits, Refusal

__all__ = ["State", "main", "stand_in"]

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
    "rpm": 60, "limits": {"RPM": 60, "TPM": 8000}, "words": 20, "every_ms": 10}}.

    `limits` are exact buckets as Groq has them. A stream is one event with the whole answer; with `words` it is so many events,
    each with the time that it was sent at as its text (monotonic, ns).
    """

    rules: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    since: float = field(default_factory=time.monotonic)
    calls: dict[str, int] = field(default_factory=dict[str, int])
    in_flight: dict[str, int] = field(default_factory=dict[str, int])
    most_in_flight: dict[str, int] = field(default_factory=dict[str, int])
    refused: int = 0
    levels: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    audio_bytes: int = 0
    buckets: Limits = field(init=False)

    def __post_init__(self) -> None:
        limits = {model: rule.get("limits", {}) for model, rule in self.rules.items()}
        tables = {model: {Limit[name]: figure for name, figure in rows.items()} for model, rows in limits.items()}
        self.buckets = Limits(SystemClock(), tables)

    def admit(self, request: dict[str, Any]) -> Charge | Refusal:
        """Take the most that a request may use from its model's exact buckets."""
        tokens = estimate_tokens(request["messages"]) + (request.get("max_completion_tokens") or 0)
        admitted = self.buckets.admit("org_01", request["model"], {Limit.RPM: 1.0, Limit.TPM: tokens})
        self.refused += isinstance(admitted, Refusal)
        return admitted

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
            data = self._skipped(data)
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._held[:end])
            found = _LENGTH.search(head)
            length = int(found[1]) if found else 0
            if b"/audio/" in head.split(b"\r\n", 1)[0]:
                if _CHUNKED.search(head):
                    raise NotImplementedError("uploads say their length")
                self._skip = length
                self._held = bytearray(self._skipped(bytes(self._held[end + 4 :])))
                continue
            if len(self._held) < end + 4 + length:
                return
            body = bytes(self._held[end + 4 : end + 4 + length])
            del self._held[: end + 4 + length]
            self._handle(head, body)

    def _skipped(self, data: bytes) -> bytes:
        """What follows an upload's body, which is counted and thrown away, and answered at its end."""
        taken = min(self._skip, len(data))
        self._skip -= taken
        self._state.audio_bytes += taken
        if not self._skip:
            self._reply(200, json.dumps({"text": ANSWER, "x_groq": {"id": "req_1"}}).encode())
        return data[taken:]

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
        if "limits" in rule:
            admitted = state.admit(request)
            rule = {**rule, "charge" if isinstance(admitted, Charge) else "refusal": admitted}
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
        if isinstance(refusal := rule.get("refusal"), Refusal):
            extra = b"retry-after: %d\r\n" % math.ceil(refusal.wait_s) if refusal.status == 429 else b""
            error = {"message": refusal.message, "type": refusal.type, "code": "rate_limit_exceeded"}
            return self._reply(refusal.status, json.dumps({"error": error}).encode(), extra)
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
        stated = _LIMITS
        if isinstance(charge := rule.get("charge"), Charge):
            asked = estimate_tokens(request["messages"])
            usage |= {"prompt_tokens": asked, "total_tokens": asked + usage["completion_tokens"]}
            self._state.buckets.settle(charge, {Limit.TPM: usage["total_tokens"]})
            stated = "".join(
                f"{name}: {value}\r\n" for name, value in self._state.buckets.headers("org_01", model).items()
            ).encode()
        base = {
            "id": "chatcmpl-1",
            "created": 1_790_000_000,
            "model": model,
            "service_tier": "on_demand",
            "x_groq": {"id": "req_1"},
        }
        if request.get("stream"):
            first = {**base, "object": "chat.completion.chunk"}
            if "words" in rule:
                return self._stream(first, usage, stated, rule)
            events = [
                {**first, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ANSWER}, "finish_reason": None}]},
                {**first, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage},
            ]
            text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            return self._reply(200, text.encode(), kind=b"text/event-stream")
        said = {"role": "assistant", "content": ANSWER}
        choices = [{"index": 0, "message": said, "finish_reason": "stop", "logprobs": None}]
        return self._reply(
            200, json.dumps({**base, "object": "chat.completion", "choices": choices, "usage": usage}).encode(), stated
        )

    def _stream(self, first: dict[str, Any], usage: dict[str, Any], stated: bytes, rule: dict[str, Any]) -> None:
        """Events at an even pace, each at its own time, as a chunked body."""
        loop = asyncio.get_running_loop()
        begun, pause_s, words = loop.time(), rule.get("every_ms", 0) / 1000, rule["words"]
        choices = [{"index": 0, "delta": {"content": "?"}, "finish_reason": None}]
        opening, closing = f"data: {json.dumps({**first, 'choices': choices})}\n\n".split("?")

        def send(number: int) -> None:
            if self._transport is None or self._transport.is_closing():
                return
            while number < words and begun + number * pause_s <= loop.time():
                self._chunk(f"{opening}{time.monotonic_ns()} {closing}")
                number += 1
            if number < words:
                loop.call_at(begun + number * pause_s, send, number)
                return
            last = {**first, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}
            self._chunk(f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n")
            self._transport.write(b"0\r\n\r\n")

        assert self._transport is not None
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n%stransfer-encoding: chunked\r\n\r\n" % stated
        )
        send(0)

    def _chunk(self, text: str) -> None:
        assert self._transport is not None
        self._transport.write(b"%x\r\n%s\r\n" % (len(text), text.encode()))

    def _reply(self, status: int, body: bytes, extra: bytes = b"", kind: bytes = b"application/json") -> None:
        if self._transport is not None:
            self._transport.write(
                b"HTTP/1.1 %d X\r\ncontent-type: %s\r\n%scontent-length: %d\r\n\r\n%s" % (status, kind, extra, len(body), body)
            )


def stand_in(state: State) -> asyncio.Protocol:
    """What answers on one connection."""
    return _Connection(state)


async def main() -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    state = State()
    server = await loop.create_server(lambda: stand_in(state), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), open(0, "rb", buffering=0))  # noqa: ASYNC230, SIM115
    loop.create_task(reader.read()).add_done_callback(lambda _: ended.set())
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
