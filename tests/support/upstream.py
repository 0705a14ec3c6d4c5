"""An upstream in memory that answers each model by script, as JSON or as events, and the gateway asked without a socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
from fakes import World
from starlette.types import ASGIApp

from groq_fallback_mcp.fallback import CallTimeouts
from groq_fallback_mcp.gateway.app import gateway_app
from groq_fallback_mcp.gateway.endpoint import GatewayTimes
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.tools import Context

__all__ = [
    "HANG",
    "LOST",
    "QUICK",
    "Asked",
    "Received",
    "Upstream",
    "ask",
    "calls",
    "error",
    "events",
    "gateway",
    "text",
    "whole",
]

HANG = b"(hang)"
LOST = b"(lost)"
"""Among the pieces of a body: nothing more comes; the connection is lost."""
QUICK = CallTimeouts(deadline_s=20.0, attempt_timeout_s=0.3, max_wait_s=2.0, silence_s=0.6)
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def events(*deltas: Mapping[str, Any] | bytes, finish: str | None = "stop", done: bool = True) -> list[bytes]:
    """The pieces of a stream; bytes are sent as they are. It ends well unless `finish` is None."""
    pieces = [one if isinstance(one, bytes) else _event(one) for one in deltas]
    if finish is not None:
        pieces.append(_event({}, finish, usage=USAGE))
    return [*pieces, b"data: [DONE]\n\n"] if done else pieces


def text(*words: str) -> list[Mapping[str, Any]]:
    """Deltas of visible text."""
    return [{"content": word} for word in words]


def calls(*arguments: str, name: str = "read_file", id_: str = "call_1", index: int = 0) -> list[Mapping[str, Any]]:
    """Deltas of one call, its arguments in pieces."""
    first = {"index": index, "id": id_, "type": "function", "function": {"name": name, "arguments": arguments[0]}}
    return [
        {"tool_calls": [first]},
        *({"tool_calls": [{"index": index, "function": {"arguments": more}}]} for more in arguments[1:]),
    ]


def whole(content: str | None = None, *, finish: str | None = "stop", **message: Any) -> bytes:
    """A completion in one piece."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return json.dumps({"id": "c", "model": "m", "choices": [choice], "usage": USAGE}).encode()


def error(message: str, *, code: str | None = None, type_: str = "invalid_request_error") -> bytes:
    """The body of an error, as Groq gives it."""
    return json.dumps({"error": {"message": message, "type": type_, "code": code}}).encode()


def _event(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice], **more}).encode() + b"\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A response of the upstream. `pieces` are the body's."""

    pieces: Sequence[bytes]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


Answering = Callable[[Mapping[str, Any]], Asked | Exception]


class _Body(httpx2.AsyncByteStream):
    def __init__(self, upstream: Upstream, pieces: Sequence[bytes]) -> None:
        self._upstream = upstream
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if piece == HANG:
                self._upstream.hangs.set()
                await anyio.sleep_forever()
            if piece == LOST:
                raise httpx2.ReadError("the connection was lost")
            yield piece
            await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        self._upstream.closed += 1


class Upstream(httpx2.AsyncBaseTransport):
    """Answers as `answers` says, by model; `requests` are the bodies that came."""

    def __init__(self, answers: Answering) -> None:
        self.answers = answers
        self.requests: list[Mapping[str, Any]] = []
        self.closed = 0
        self.hangs = anyio.Event()

    @property
    def asked(self) -> list[str]:
        """The models, in order."""
        return [str(request["model"]) for request in self.requests]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(b"".join([piece async for piece in request.stream]))  # type: ignore[union-attr]
        self.requests.append(body)
        answer = self.answers(body)
        if isinstance(answer, Exception):
            raise answer
        if answer.pieces[:1] == [HANG] and not answer.headers:
            await anyio.sleep_forever()
        return httpx2.Response(answer.status, headers=dict(answer.headers), stream=_Body(self, answer.pieces))


def gateway(
    world: World, upstream: Upstream, *, hold_s: float = 0.0, max_wait_s: float = 20.0, call: CallTimeouts = QUICK
) -> ASGIApp:
    """The gateway over a world whose Groq is the upstream."""
    provider: Any = OpenAICompatible(
        "groq", base_url="http://upstream.test/v1", key="gsk_test", clock=world.clock, transport=upstream
    )
    world.providers["groq"] = provider
    times = GatewayTimes(hold_s=hold_s, max_wait_s=max_wait_s, call=call)
    return gateway_app(Context(engine=world.engine, folders=()), times=times)


@dataclass(slots=True)
class Received:
    """What a client got. `clean`: the response was ended as it should be."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    clean: bool = False

    @property
    def json(self) -> Any:
        """The body, where it is one object."""
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The events of a stream; "DONE" at its end."""
        data = [line[6:] for line in self.body.decode().split("\n\n") if line.startswith("data: ")]
        return ["DONE" if one == "[DONE]" else json.loads(one) for one in data]

    @property
    def deltas(self) -> list[Mapping[str, Any]]:
        """The deltas of a stream."""
        return [one["choices"][0]["delta"] for one in self.events if one != "DONE" and one.get("choices")]

    @property
    def text(self) -> str:
        """The visible text, streamed or not."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            return "".join(delta.get("content") or "" for delta in self.deltas)
        return str(self.json["choices"][0]["message"]["content"] or "")

    @property
    def tool_calls(self) -> list[Any]:
        """The calls, streamed or not; a stream must have each in one piece."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            return [call for delta in self.deltas for call in delta.get("tool_calls", ())]
        return list(self.json["choices"][0]["message"].get("tool_calls", ()))

    @property
    def finish(self) -> str | None:
        """Why the answer ended; None where it did not."""
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            return None if self.status >= 400 else str(self.json["choices"][0]["finish_reason"])
        reasons = [one["choices"][0]["finish_reason"] for one in self.events if one != "DONE" and one.get("choices")]
        return next((str(reason) for reason in reversed(reasons) if reason), None)

    @property
    def error(self) -> Mapping[str, Any] | None:
        """The error, as the response or in the stream."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            return next((one["error"] for one in self.events if one != "DONE" and "error" in one), None)
        return self.json.get("error") if self.status >= 400 else None


async def ask(
    app: ASGIApp,
    body: Any,
    *,
    path: str = "/v1/chat/completions",
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    leave_after: int | None = None,
) -> Received:
    """Ask the application as a server would; with `leave_after` the client leaves after so many pieces."""
    received = Received()
    left, pieces = anyio.Event(), 0
    if leave_after == 0:
        left.set()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    incoming = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Any:
        if incoming:
            return incoming.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal pieces
        if message["type"] == "http.response.start":
            received.status = message["status"]
            received.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        received.body += message.get("body", b"")
        received.clean = not message.get("more_body", False)
        pieces += 1
        if leave_after is not None and pieces >= leave_after:
            left.set()

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8788),
    }
    with anyio.fail_after(20):
        await app(scope, receive, send)
    return received
