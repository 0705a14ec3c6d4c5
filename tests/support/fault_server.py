"""An upstream that misbehaves in one way at a time, on loopback. Raw sockets: no HTTP library can be made to do all this."""

from __future__ import annotations

import gzip
import json
import re
import select
import socket
import struct
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from groq_fallback_mcp.catalog import Kind, load_catalog

__all__ = ["MODES", "FaultServer", "fault_server"]

MIB = 1024 * 1024
TICK_S = 1.0
LINGER_NOT = struct.pack("ii", 1, 0)
_MODEL_IN_FORM = re.compile(rb'name="model"\r\n\r\n([^\r\n]{1,200})\r\n')
Seen = tuple[str, str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as far as it was read. `model` is None where the body was not read or names none."""

    method: str
    path: str
    json: Any
    model: str | None


class Line:
    """One connection, with what a fault does to it."""

    def __init__(self, connection: socket.socket, stop: threading.Event, elsewhere: str) -> None:
        self.socket = connection
        self.stopped = stop
        self.elsewhere = elsewhere

    def send(self, data: bytes) -> None:
        """Raw bytes; raises OSError once the client is gone."""
        self.socket.sendall(data)

    def gone(self, within_s: float = TICK_S) -> bool:
        """Wait; whether the client closed, or the test is over, before the time was up."""
        readable, _, _ = select.select([self.socket], [], [], within_s)
        if self.stopped.is_set():
            return True
        if not readable:
            return False
        with suppress(OSError):
            return self.socket.recv(65_536) == b""
        return True

    def drip(self, data: bytes) -> None:
        """A byte a second until the client has had enough."""
        for byte in data:
            self.send(bytes([byte]))
            if self.gone():
                return

    def reset(self) -> None:
        """End with RST in place of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        self.socket.close()


Act = Callable[[Line], object]


def _reply(
    body: bytes | str = b"", status: int = 200, *, type_: str = "application/json", length: bool = True, **headers: str
) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    fields = {"content-type": type_} | {name.replace("_", "-"): value for name, value in headers.items()}
    if length:
        fields.setdefault("content-length", str(len(body)))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Odd\r\n{head}\r\n".encode() + body


def _chat(text: object = "good answer", **changes: object) -> dict[str, Any]:
    return {
        "id": "chatcmpl-fault",
        "object": "chat.completion",
        "model": "fault",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        **changes,
    }


def _error(message: str, *, code: str | None = None, kind: str = "invalid_request_error") -> str:
    return json.dumps({"error": {"message": message, "type": kind, "code": code}})


CHAT = json.dumps(_chat())
TRANSCRIPT = json.dumps({"text": "good words", "language": "english", "duration": 12.0, "segments": []})
LIMITED = _error("Rate limit reached", code="rate_limit_exceeded", kind="tokens")
PART = 'data: {"choices":[{"index":0,"delta":{"content":"half an answer"}}]}\n\n'


def _models() -> bytes:
    rows = [
        {"id": row.id, "object": "model", "active": True, "context_window": row.context_window}
        for row in load_catalog().by_kind(Kind.CHAT)
    ]
    return _reply(json.dumps({"object": "list", "data": rows}))


def _closed(line: Line) -> None:
    while not line.gone():
        pass


def _slow_headers(line: Line) -> None:
    line.drip(_reply(CHAT))


def _trickle(line: Line) -> None:
    head, _, body = _reply(CHAT).partition(b"\r\n\r\n")
    line.send(head + b"\r\n\r\n")
    line.drip(body)


def _hang_in_body(line: Line) -> None:
    line.send(_reply(CHAT)[:-10])
    _closed(line)


def _flood(piece: bytes, pieces: int, head: bytes) -> Act:
    def act(line: Line) -> None:
        line.send(head)
        for _ in range(pieces):
            line.send(piece)
            if line.stopped.is_set():
                return

    return act


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def _stream(*events: str, ends: bool = True) -> bytes:
    head = _reply(type_="text/event-stream", length=False, transfer_encoding="chunked")
    return head + b"".join(_chunk(event.encode()) for event in events) + (b"0\r\n\r\n" if ends else b"")


def _bomb() -> bytes:
    return gzip.compress(b'{"a":"' + b"a" * (100 * MIB) + b'"}', 1)


def _split_utf8(line: Line) -> None:
    text = 'data: {"choices":[{"delta":{"content":"é"}}]}\n\n'.encode()
    cut = text.index(b"\xc3") + 1
    line.send(_stream(ends=False) + _chunk(text[:cut]) + _chunk(text[cut:]) + b"0\r\n\r\n")


def _keep_alive(line: Line) -> None:
    line.send(_stream(ends=False))
    while not line.gone():
        line.send(_chunk(b": ping\n\n"))


def _refuses_and_hangs(line: Line) -> None:
    line.send(_reply(LIMITED, 429, content_length="5000", retry_after="2"))
    _closed(line)


def _redirect(line: Line) -> None:
    line.send(_reply(status=307, location=f"{line.elsewhere}/openai/v1/chat/completions"))


def _sends(reply: bytes | Callable[[], bytes], *, then_closes: bool = False) -> Act:
    def act(line: Line) -> None:
        line.send(reply if isinstance(reply, bytes) else reply())
        if then_closes:
            line.socket.close()

    return act


def _limited(retry_after: str) -> Act:
    return _sends(_reply(LIMITED, 429, retry_after=retry_after))


def _event(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish}]})}\n\n".encode()


def _piecewise(first: bytes, piece: bytes, *, at_once: int = 1_000, end: bytes = b"") -> Act:
    """A stream that begins well and goes on in very many chunks of the same few bytes."""

    def act(line: Line) -> None:
        line.send(_stream(ends=False) + _chunk(first))
        many = _chunk(piece) * at_once
        for _ in range(_ENDLESS):
            line.send(many)
            if line.stopped.is_set():
                return

    def once(line: Line) -> None:
        line.send(_stream(ends=False) + _chunk(first) + _chunk(piece) * at_once + _chunk(end) + b"0\r\n\r\n")

    return once if end else act


_CALL_BEGINS = {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}]}
_CALL_GOES_ON = {"tool_calls": [{"index": 0, "function": {"arguments": " " * 16}}]}
_ANNOTATIONS = {"content": "a", "annotations": [{"a": number} for number in range(20_000)]}
_TOOLS_RAN = {"content": "a", "executed_tools": [{"type": "search", "output": "b" * 60_000}]}
_HEAD_300_MB = _reply(length=False, content_length=str(300 * MIB))
_HEAD_CHUNKED = _reply(length=False, transfer_encoding="chunked")
_ENDLESS = 1_000_000
# What happens once a request was read. "refused", "reset_at_once", "tls" and "early_413" act before that.
_FAULTS: Mapping[str, Act] = {
    "ok": _sends(_reply(CHAT)),
    # the connection
    "reset": Line.reset,
    "early_close": _sends(b"HTTP/1.1 200 OK\r\nconte", then_closes=True),
    "lost_after_post": lambda line: line.socket.close(),
    "short_body": _sends(_reply(CHAT, content_length="5000"), then_closes=True),
    "no_http": _sends(b"220 mail.example ESMTP\r\n", then_closes=True),
    # time
    "hang": _closed,
    "hang_in_body": _hang_in_body,
    "slow_headers": _slow_headers,
    "trickle": _trickle,
    # what a body holds
    "truncated_json": _sends(_reply(CHAT[:-20])),
    "html": _sends(_reply("<html><body>Welcome</body></html>", type_="text/html")),
    "empty": _sends(_reply()),
    "null": _sends(_reply("null")),
    "no_choices": _sends(_reply(json.dumps(_chat(choices=[])))),
    "null_choices": _sends(_reply(json.dumps(_chat(choices=None)))),
    "null_content": _sends(_reply(json.dumps(_chat(None)))),
    "blank_content": _sends(_reply(json.dumps(_chat(" \n")))),
    "deep_json": _sends(_reply("[" * 200_000 + "]" * 200_000)),
    "deep_content": _sends(_reply(json.dumps(_chat("@")).replace('"@"', "[" * 300 + '{"type":"text","text":[]}' + "]" * 300))),
    "deep_message": _sends(_reply('{"error":' + '{"message":' * 300 + '"x"' + "}" * 301)),
    "deep_error": _sends(_reply('{"error":' + "[" * 900 + "]" * 900 + "}")),
    "huge_integer": _sends(_reply('{"choices": ' + "9" * 10_000 + "}")),
    "bad_charset": _sends(_reply(CHAT.encode().replace(b"good", b"\xff\xfe\xe9"), type_="application/json; charset=klingon")),
    "surrogate": _sends(_reply(CHAT.replace("good answer", "good \\ud83d answer"))),
    "nan": _sends(_reply(CHAT.replace('"completion_tokens": 5', '"completion_tokens": NaN, "total_time": Infinity'))),
    "error_in_200": _sends(_reply(_error("the model is over capacity"))),
    # size
    "gzip": _sends(lambda: _reply(gzip.compress(CHAT.encode()), content_encoding="gzip")),
    "bad_gzip": _sends(_reply(b"no gzip at all", content_encoding="gzip")),
    "gzip_bomb": _sends(lambda: _reply(_bomb(), content_encoding="gzip")),
    "body_300_mb": _flood(b"x" * MIB, 300, _HEAD_300_MB),
    "body_300_mb_in_chunks": _flood(_chunk(b" " * MIB), 300, _HEAD_CHUNKED),
    "body_of_tiny_chunks": _flood(_chunk(b" ") * 10_000, 3_000, _HEAD_CHUNKED),
    "json_bomb": _sends(_reply('{"choices":[' + "[],{}," * 600_000 + "1]}")),
    "header_1_mb": _sends(lambda: _reply(CHAT, x_long="a" * MIB)),
    "many_headers": _flood(b"x-a: b\r\n" * 10_000, 1_000, b"HTTP/1.1 200 OK\r\n"),
    # server-sent events that nobody asked for
    "sse_endless": _flood(_chunk(PART.encode()), _ENDLESS, _stream(ends=False)),
    "sse_keep_alive": _keep_alive,
    "sse_cut": _sends(_stream(PART, ends=False), then_closes=True),
    "sse_error": _sends(_stream(PART, 'event: error\ndata: {"error":{"message":"over capacity","status_code":503}}\n\n')),
    "sse_junk": _sends(_stream("data: {nonsense\n\n", "\x00\x01junk\n", "data: [DONE]\n\n")),
    "sse_split_utf8": _split_utf8,
    "sse_giant_line": _flood(_chunk(b"a" * MIB), 300, _stream("data: ", ends=False)),
    # streams that were asked for, cut in every way
    "stream_of_bytes": _piecewise(b'data: {"choices":[{"delta":{"content":"' + b"a" * 850_000, b"a"),
    "stream_of_lines": _piecewise(PART.encode(), b"\n"),
    "stream_of_comments": _piecewise(PART.encode(), b": \n\n"),
    "stream_of_fields": _piecewise(PART.encode(), b"data:\n"),
    "stream_of_events": _piecewise(PART.encode(), _event({"content": "a"})),
    "stream_of_thoughts": _piecewise(PART.encode(), _event({"reasoning": "a" * 64})),
    "stream_of_tool_pieces": _piecewise(
        _event(_CALL_BEGINS), _event(_CALL_GOES_ON), at_once=40_000, end=_event({}, "tool_calls") + b"data: [DONE]\n\n"
    ),
    "stream_of_tool_calls": _piecewise(PART.encode(), _event({"tool_calls": [{"id": "c", "function": {"name": "f"}}]})),
    "stream_of_annotations": _piecewise(PART.encode(), _event(_ANNOTATIONS), at_once=10),
    "stream_of_tools_that_ran": _piecewise(PART.encode(), _event(_TOOLS_RAN), at_once=10),
    "stream_of_data_lines": _piecewise(PART.encode(), b"data: " + b" " * 60_000 + b"\n", at_once=100),
    "stream_of_long_text": _piecewise(PART.encode(), _event({"content": "\U0001f4a3" * 60_000}), at_once=10),
    "stream_of_nothing": _piecewise(PART.encode(), _event({})),
    # refusals
    "429": _sends(_reply(LIMITED, 429)),
    "429_retry_after": _limited("2"),
    "429_retry_after_1e9": _limited("1e9"),
    "429_retry_after_negative": _limited("-5"),
    "429_retry_after_abc": _limited("abc"),
    "429_retry_after_nan": _limited("nan"),
    "429_retry_after_inf": _limited("inf"),
    "429_retry_after_2099": _limited("Wed, 21 Oct 2099 07:28:00 GMT"),
    "429_gzip": _sends(lambda: _reply(gzip.compress(LIMITED.encode()), 429, content_encoding="gzip", retry_after="2")),
    "429_endless": _flood(b"x" * MIB, 300, _reply(status=429, length=False, content_length=str(300 * MIB), retry_after="2")),
    "429_hangs": _refuses_and_hangs,
    "500": _sends(_reply(_error("Internal Server Error", kind="internal_server_error"), 500)),
    "502": _sends(_reply("<html><body>Bad Gateway</body></html>", 502, type_="text/html")),
    "503": _sends(_reply(_error("Service Unavailable", kind="service_unavailable"), 503)),
    "498": _sends(_reply(_error("Flex tier capacity exceeded", code="capacity_exceeded"), 498)),
    "401": _sends(_reply(_error("Invalid API Key", code="invalid_api_key"), 401)),
    "402": _sends(_reply(_error("Insufficient balance", code="insufficient_balance"), 402)),
    "403": _sends(_reply(_error("Organization has been restricted", code="organization_restricted"), 403)),
    "403_html": _sends(_reply("<html>Access denied</html>", 403, type_="text/html")),
    "400": _sends(_reply(_error("'messages.0' is wrong"), 400)),
    "404": _sends(_reply(_error("The model `x` does not exist", code="model_not_found"), 404)),
    "413": _sends(_reply(_error("Request Entity Too Large", code="request_too_large"), 413)),
    "redirect": _redirect,
}
_BEFORE_READING = ("refused", "reset_at_once", "tls", "early_413")
MODES = (*_FAULTS, *_BEFORE_READING)


class FaultServer:
    """Misbehaves as `mode` says, which may be changed at any time. `requests` are those that were read, in order.

    With `faults` it recovers after so many faulty answers. Models in `good_models` get a good answer whatever the mode.
    The live list is good, unless the mode begins with `models:`; then calls get good answers.
    """

    def __init__(self, mode: str, *, good_models: Collection[str] = (), faults: int | None = None) -> None:
        assert mode.removeprefix("models:") in MODES, mode
        self.mode = mode
        self.good_models = good_models
        self.requests: list[Seen] = []
        self.redirected = 0
        self.accepted = 0
        self._faults_left = faults
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        # bound but not listening: nobody else can get the port, and connections are refused
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128) if mode != "refused" else _bound()
        self._elsewhere = socket.create_server(("127.0.0.1", 0))
        if mode != "refused":
            self._start(self._listener, self._serve)
        self._start(self._elsewhere, self._count)

    @property
    def url(self) -> str:
        """What GROQ_BASE_URL is to be."""
        scheme = "https" if self.mode == "tls" else "http"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def chats(self) -> list[str]:
        """The models asked, in order."""
        return [body["model"] for _, path, body in self.requests if path.endswith("/chat/completions") and body]

    def open_connections(self) -> int:
        """How many connections the client holds open."""
        with self._lock:
            return len(self._open)

    def recover(self) -> None:
        """Be good from now on."""
        if self.mode == "refused":
            self._listener.listen(128)
            self._start(self._listener, self._serve)
        self.mode = "ok"

    def close(self) -> None:
        """Close everything, whatever is under way."""
        self._stop.set()
        with self._lock:
            for one in (self._listener, self._elsewhere, *self._open):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()
        self._elsewhere.close()

    def _start(self, listener: socket.socket, handle: Callable[[socket.socket], None]) -> None:
        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    self.accepted += 1
                    thread = threading.Thread(target=self._hold, args=(connection, handle), daemon=True)
                    thread.start()
                    self._threads.append(thread)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _hold(self, connection: socket.socket, handle: Callable[[socket.socket], None]) -> None:
        with self._lock:
            self._open.add(connection)
        try:
            with suppress(OSError):
                handle(connection)
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _count(self, connection: socket.socket) -> None:
        self.redirected += 1

    def _serve(self, connection: socket.socket) -> None:
        line = Line(connection, self._stop, f"http://127.0.0.1:{self._elsewhere.getsockname()[1]}")
        if self.mode == "reset_at_once":
            line.reset()
            return
        if self.mode == "tls":
            line.send(b"no TLS is spoken here\r\n")
            return
        pending = b""
        while connection.fileno() >= 0 and not self._stop.is_set():
            while b"\r\n\r\n" not in pending:
                more = connection.recv(65_536)
                if not more:
                    return
                pending += more
            head, _, rest = pending.partition(b"\r\n\r\n")
            method, path = head.split(b" ", 2)[:2]
            if self.mode == "early_413" and method == b"POST":
                # what the client still sends is never read, so the end of this connection is a reset
                self.requests.append((method.decode(), path.decode(), None))
                line.send(_FAULT_413)
                return
            found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            length = int(found[1]) if found else 0
            body = bytearray(rest)
            while len(body) < length:
                more = connection.recv(1 << 20)
                if not more:
                    return
                body += more
            pending = bytes(body[length:])
            self._answer(line, _asked(method.decode(), path.decode(), bytes(body[:length])))

    def _answer(self, line: Line, asked: Asked) -> None:
        self.requests.append((asked.method, asked.path, asked.json))
        mode = "ok" if asked.model in self.good_models else self.mode
        if asked.path.endswith("/models"):
            if mode.startswith("models:"):
                _FAULTS[mode.removeprefix("models:")](line)
            else:
                line.send(_models())
            return
        if mode.startswith("models:"):
            mode = "ok"
        if mode != "ok" and self._faults_left is not None:
            if self._faults_left == 0:
                mode = "ok"
            else:
                self._faults_left -= 1
        if mode == "ok" and "/audio/" in asked.path:
            line.send(_reply(TRANSCRIPT))
            return
        _FAULTS[mode](line)


_FAULT_413 = _reply(_error("Request Entity Too Large", code="request_too_large"), 413, connection="close")


def _bound() -> socket.socket:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


def _asked(method: str, path: str, body: bytes) -> Asked:
    try:
        value = json.loads(body)
    except ValueError:
        found = _MODEL_IN_FORM.search(body)
        return Asked(method, path, None, found[1].decode() if found else None)
    model = value.get("model") if isinstance(value, dict) else None
    return Asked(method, path, value, model)


@contextmanager
def fault_server(mode: str, *, good_models: Collection[str] = (), faults: int | None = None) -> Iterator[FaultServer]:
    """A fault server that is closed at the end; see FaultServer."""
    server = FaultServer(mode, good_models=good_models, faults=faults)
    try:
        yield server
    finally:
        server.close()
