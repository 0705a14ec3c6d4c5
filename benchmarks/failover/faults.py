"""The faults: what the first model does on the wire, and what a client should get.

The next model is well, unless the request itself is wrong. Then each model refuses it, and an error is the right result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.failover.wire import Wire, error_body, head, response

__all__ = [
    "FAULTS",
    "GOOD_CALL",
    "GOOD_TEXT",
    "HANG",
    "KEEP_ALIVE",
    "RESET",
    "Fault",
    "Play",
    "begun_by_assistant",
    "fault_of",
    "good",
    "number_of",
    "of_slug",
    "request_of",
]

HANG, RESET, KEEP_ALIVE = b"(hang)", b"(reset)", b"(keep alive)"
"""Among the pieces that are sent: nothing more comes; the connection is reset; a comment or a space each half a second, forever."""
Play = Callable[[Wire, bool], Sequence[bytes]]
"""What is sent, with the head, given the API and whether it is streamed. Where it is whole, the connection goes on."""

WORDS = ("The answer", " is", " 42", ".")
GOOD_TEXT = "".join(WORDS)
GOOD_CALL = '{"path": "a.txt"}'
OTHER_WORDS = ("I think that", " it is")
CONTINUED = " 42."
SSE, JSON, HTML = "text/event-stream", "application/json", "text/html"
OVERLOADED = "The model is over capacity."


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of the first model, and the right result."""

    slug: str
    name: str
    play: Play
    wanted: Literal["answer", "error"] = "answer"
    # Of an error that is wanted, so that a client neither repeats it nor takes it for another.
    statuses: Collection[int] = ()
    # The good answer is a tool call.
    uses_tool: bool = False
    # Nothing listens at the first model's address.
    is_refused: bool = False
    # The next model does the same.
    is_everywhere: bool = False
    # A gateway has to wait before it can know.
    is_slow: bool = False
    # Another whole text, of a model that continued what was visible.
    also_right: str = ""


def good(wire: Wire, *, stream: bool, uses_tool: bool, begun: str = "") -> Sequence[bytes]:
    """The next model's answer; `begun` is text that it is to continue."""
    if uses_tool:
        events = [*wire.call(['{"path": ', '"a.txt"}']), *wire.ending("tool_calls")] if stream else []
        body = wire.whole(None, GOOD_CALL, finish="tool_calls")
    else:
        text = GOOD_TEXT.removeprefix(begun) if GOOD_TEXT.startswith(begun) else CONTINUED
        words = WORDS if text == GOOD_TEXT else [text]
        events = [*wire.words(words), *wire.ending("stop")] if stream else []
        body = wire.whole(text, finish="stop")
    return [head(200, SSE), *_chunks(events), _LAST] if stream else [response(200, body)]


_LAST = b"0\r\n\r\n"


def _chunks(pieces: Sequence[bytes]) -> Sequence[bytes]:
    return [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]


def _status(status: int, body: bytes, kind: str = JSON, **headers: str) -> Play:
    return lambda _wire, _stream: [response(status, body, kind, **headers)]


def _error(status: int, message: str, code: str | None = None, **headers: str) -> Play:
    return _status(status, error_body(message, code=code), **headers)


def _sent(*pieces: bytes) -> Play:
    return lambda _wire, _stream: pieces


def _in_the_head(*pieces: bytes) -> Play:
    """After the head of a 200."""
    return lambda _wire, stream: [head(200, SSE) if stream else head(200, JSON, length=500), *pieces]


def _partial(wire: Wire, words: Sequence[str] = WORDS[:2]) -> Sequence[bytes]:
    return [head(200, SSE), *_chunks(wire.words(words))]


def _half(body: bytes) -> bytes:
    """A body as it is cut, its length stated."""
    return response(200, body)[: -len(body) // 2]


def _truncated(wire: Wire, stream: bool) -> Sequence[bytes]:
    if stream:
        return [head(200, SSE), *_chunks([wire.words(WORDS)[-1][:40]]), _LAST]
    body = wire.whole(GOOD_TEXT, finish="stop")
    return [response(200, body[: len(body) // 2])]


def _empty(wire: Wire, stream: bool) -> Sequence[bytes]:
    if stream:
        return [head(200, SSE), *_chunks([*wire.words([]), *wire.ending("stop")]), _LAST]
    return [response(200, wire.whole("", finish="stop"))]


def _cut(words: Sequence[str]) -> Play:
    def play(wire: Wire, stream: bool) -> Sequence[bytes]:
        return [*_partial(wire, words), RESET] if stream else [_half(wire.whole("".join(words), finish="stop")), RESET]

    return play


def _ends(wire: Wire, stream: bool) -> Sequence[bytes]:
    return [*_partial(wire), _LAST] if stream else [response(200, wire.whole("The answer is", finish=None))]


def _error_in_text(wire: Wire, stream: bool) -> Sequence[bytes]:
    if stream:
        return [*_partial(wire), *_chunks([wire.error_event(OVERLOADED)]), _LAST]
    return [response(200, wire.whole("The answer is", finish="error", error=OVERLOADED))]


def _malformed(wire: Wire, stream: bool) -> Sequence[bytes]:
    if stream:
        events = list(wire.words(WORDS))
        events[-2] = events[-2][:60] + b"\n\n"
        return [head(200, SSE), *_chunks([*events, *wire.ending("stop")]), _LAST]
    body = wire.whole(GOOD_TEXT, finish="stop")
    return [response(200, body.replace(b'"The answer', b'The answer"'))]


def _stalls(wire: Wire, stream: bool) -> Sequence[bytes]:
    return [*_partial(wire), HANG] if stream else [_half(wire.whole(GOOD_TEXT, finish="stop")), HANG]


def _broken_call(wire: Wire, stream: bool) -> Sequence[bytes]:
    if stream:
        return [head(200, SSE), *_chunks([*wire.call(['{"path": ', '"a.t']), *wire.ending("tool_calls")]), _LAST]
    return [response(200, wire.whole(None, '{"path": "a.t', finish="tool_calls"))]


def _cut_call(wire: Wire, stream: bool) -> Sequence[bytes]:
    if stream:
        return [head(200, SSE), *_chunks(wire.call(['{"path": ', '"a.t'])), RESET]
    return [_half(wire.whole(None, GOOD_CALL, finish="tool_calls")), RESET]


LIMITED = "Rate limit reached for model `m` on tokens per minute (TPM): Limit 8000, Used 7000, Requested 2000."
FAULTS: Sequence[Fault] = (
    Fault(
        slug="bad-request",
        name="400 the request is wrong",
        play=_error(400, "'messages.0.content' is invalid."),
        wanted="error",
        statuses={400, 422},
        is_everywhere=True,
    ),
    Fault(
        slug="too-large",
        name="413 too large for every model",
        play=_error(413, "Request too large. Please reduce your message size and try again.", "request_too_large"),
        wanted="error",
        statuses={400, 413},
        is_everywhere=True,
    ),
    Fault(
        slug="context",
        name="400 context too long for this model",
        play=_error(400, "Please reduce the length of the messages or completion.", "context_length_exceeded"),
    ),
    Fault(slug="key", name="401 key refused", play=_error(401, "Invalid API Key", "invalid_api_key")),
    Fault(
        slug="blocked",
        name="403 model blocked",
        play=_error(403, "The model `m` is blocked at the project level.", "model_permission_blocked_project"),
    ),
    Fault(
        slug="gone",
        name="404 model not found",
        play=_error(404, "The model `m` does not exist or you do not have access to it.", "model_not_found"),
    ),
    Fault(slug="408", name="408 request timeout", play=_error(408, "Request timed out.")),
    Fault(
        slug="429-short",
        name="429, retry after 1 s",
        play=_error(429, f"{LIMITED} Please try again in 1s.", "rate_limit_exceeded", retry_after="1"),
        is_slow=True,
    ),
    Fault(
        slug="429-long",
        name="429, retry after an hour",
        play=_error(429, f"{LIMITED} Please try again in 1h0m0s.", "rate_limit_exceeded", retry_after="3600"),
        is_slow=True,
    ),
    Fault(slug="429-html", name="429 in HTML", play=_status(429, b"<html>Too Many Requests</html>", HTML)),
    Fault(slug="498", name="498 capacity exceeded", play=_error(498, "Flex tier capacity exceeded.", "capacity_exceeded")),
    Fault(slug="500", name="500", play=_error(500, "Internal Server Error")),
    Fault(slug="502-html", name="502 in HTML", play=_status(502, b"<html>Bad Gateway</html>", HTML)),
    Fault(slug="503", name="503", play=_error(503, "Service Unavailable")),
    Fault(slug="529", name="529 overloaded", play=_error(529, OVERLOADED)),
    Fault(slug="refused", name="connection refused", play=_sent(RESET), is_refused=True),
    Fault(slug="reset", name="connection reset before the head", play=_sent(RESET)),
    Fault(
        slug="garbage",
        name="bytes that are not HTTP",
        play=_sent(b"\x16\x03\x01\x02\x00\x01\x00garbage\x00\xff\r\n\r\n", RESET),
    ),
    Fault(slug="hang", name="hangs before the head", play=_sent(HANG), is_slow=True),
    Fault(slug="reset-head", name="connection reset after the head", play=_in_the_head(RESET)),
    Fault(slug="hang-head", name="hangs after the head", play=_in_the_head(HANG), is_slow=True),
    Fault(slug="comments", name="keep-alive comments or spaces only", play=_in_the_head(KEEP_ALIVE), is_slow=True),
    Fault(slug="200-error", name="200 with an error body", play=_status(200, error_body(OVERLOADED, code=503))),
    Fault(slug="200-empty", name="200 with an empty body", play=_status(200, b"")),
    Fault(slug="200-html", name="200 in HTML", play=_status(200, b"<html>Welcome</html>", HTML)),
    Fault(slug="truncated", name="200 with truncated JSON", play=_truncated),
    Fault(slug="no-content", name="an answer without content", play=_empty),
    Fault(slug="cut", name="cut in the text", play=_cut(WORDS[:2])),
    Fault(
        slug="cut-other",
        name="cut in a text that the next model would not repeat",
        play=_cut(OTHER_WORDS),
        also_right="".join(OTHER_WORDS) + CONTINUED,
    ),
    Fault(slug="ends", name="ends in the text without a finish reason", play=_ends),
    Fault(slug="error-event", name="an error in the text", play=_error_in_text),
    Fault(slug="malformed", name="malformed JSON in the text", play=_malformed),
    Fault(slug="stalls", name="stalls in the text", play=_stalls, is_slow=True),
    Fault(slug="call-broken", name="a tool call with broken arguments", play=_broken_call, uses_tool=True),
    Fault(slug="call-cut", name="a tool call cut in its arguments", play=_cut_call, uses_tool=True),
)
_BY_SLUG: Mapping[str, Fault] = {fault.slug: fault for fault in FAULTS}


def of_slug(slug: str) -> Fault:
    """The fault of a slug."""
    return _BY_SLUG[slug]


def begun_by_assistant(request: Mapping[str, Any]) -> str:
    """The text that a request wants to have continued: that of the assistant's last message, as no prompt has another."""
    messages = request.get("messages") or request.get("input")
    turns = [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
    content = next((turn.get("content") for turn in reversed(turns) if turn.get("role") == "assistant"), None)
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


def fault_of(body: bytes) -> Fault | None:
    """The fault that a request names in its prompt, such as "[fault: cut]"."""
    return _BY_SLUG.get(_named(body, b"fault"))


def number_of(body: bytes) -> str:
    """The number that a request has in its prompt, such as "[number: 7]"."""
    return _named(body, b"number")


def _named(body: bytes, name: bytes) -> str:
    return body.partition(b"[" + name + b": ")[2].partition(b"]")[0].decode()


def request_of(body: bytes) -> Mapping[str, Any]:
    """The request's body."""
    parsed: Mapping[str, Any] = json.loads(body)
    return parsed
