"""HTTP to values: every reply and every way a connection fails becomes an outcome."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import anyio
import httpx2
import pytest
from fake_clock import FakeClock
from fakes import candidate

from groq_fallback_mcp.call import (
    AudioFile,
    AudioLink,
    AudioRequest,
    ChatRequest,
    Failure,
    FailureKind,
    Limit,
    Outcome,
    Spooled,
    Success,
    Usage,
)
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.base import StreamOptions
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.providers.reply import BODY_BYTES

pytestmark = pytest.mark.anyio
Handler = Callable[[httpx2.Request], httpx2.Response]
KEY = "gsk_canary0123456789"
GOOD = {
    "id": "chatcmpl-1",
    "model": "openai/gpt-oss-20b",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello", "reasoning": "hm"}}],
    "usage": {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    },
    "x_groq": {"id": "req_1"},
}


def provider(handler: Handler, *, key: str | None = KEY, hint: str | None = "no key") -> OpenAICompatible:
    """A provider whose transport is a function."""
    return OpenAICompatible(
        "groq",
        base_url="https://groq.test/openai/v1",
        key=key,
        clock=FakeClock(),
        key_hint=hint,
        transport=httpx2.MockTransport(handler),
    )


def call(**fields: object) -> tuple[ChatRequest, Candidate]:
    """A chat call."""
    request = ChatRequest(messages=({"role": "user", "content": "hi"},), **fields)  # type: ignore[arg-type]
    return request, candidate("openai/gpt-oss-20b", max_tokens=64)


async def chatted(handler: Handler, *, timeout_s: float = 5.0) -> Outcome:
    """The outcome of one chat call."""
    groq = provider(handler)
    try:
        return await groq.chat(*call(), timeout_s=timeout_s)
    finally:
        await groq.aclose()


def replying(status: int = 200, **content: object) -> Handler:
    """Always the same response."""
    return lambda request: httpx2.Response(status, **content)  # type: ignore[arg-type]


async def test_a_chat_reply_becomes_a_success_with_usage_and_quota() -> None:
    """All that the ledger and the agent need."""
    headers = {"x-ratelimit-limit-tokens": "8000", "x-ratelimit-remaining-tokens": "7900"}
    outcome = await chatted(replying(json=GOOD, headers=headers))
    assert isinstance(outcome, Success)
    assert (outcome.text, outcome.reasoning, outcome.request_id, outcome.finish_reason) == ("hello", "hm", "req_1", "stop")
    assert outcome.usage == Usage(input_tokens=10, output_tokens=5, cached_tokens=4, reasoning_tokens=2)
    assert outcome.quota.readings[0].limit is Limit.TPM
    assert not outcome.simulated


async def test_the_request_has_our_user_agent_the_key_and_no_encoding() -> None:
    """And goes to the path below the base URL."""
    seen: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json=GOOD)

    await chatted(handler)
    request = seen[0]
    assert str(request.url) == "https://groq.test/openai/v1/chat/completions"
    assert request.headers["user-agent"].startswith("groq-fallback-mcp/")
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert json.loads(request.content) == {
        "model": "openai/gpt-oss-20b",
        "messages": [{"role": "user", "content": "hi"}],
        "max_completion_tokens": 64,
    }


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("json_schema", {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}),
        ("json_object", {"type": "json_object"}),
        ("prompted", None),
    ],
)
async def test_a_schema_goes_on_the_wire_in_the_mode_the_model_takes(mode: str, expected: object) -> None:
    """Where the model has no strict mode the prompt says it."""
    bodies: list[dict[str, object]] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return httpx2.Response(200, json=GOOD)

    groq = provider(handler)
    request = ChatRequest(
        messages=({"role": "user", "content": "hi"},), schema={"type": "object"}, temperature=0.2, tools=({"type": "function"},)
    )
    await groq.chat(request, candidate("m", max_tokens=9, json_mode=mode, reasoning_effort="low"), timeout_s=5)
    await groq.aclose()
    body = bodies[0]
    assert body.get("response_format") == expected
    assert (body["temperature"], body["reasoning_effort"], body["tools"]) == (0.2, "low", [{"type": "function"}])
    roles = [message["role"] for message in body["messages"]]  # type: ignore[attr-defined]
    assert roles == (["user"] if mode == "json_schema" else ["system", "user"])


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"<html>502</html>",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}',
        b'{"choices": [{"message": {"content": ""}, "finish_reason": "length"}], "usage": {"completion_tokens": 64}}',
        b'{"choices": [{"message": {"content": "\xff"}}]}',
        DEEP,
        b'{"n": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda content: repr(content[:40]),
)
async def test_a_broken_200_is_a_bad_upstream_response(content: bytes) -> None:
    """Never a crash, never an empty success."""
    outcome = await chatted(replying(content=content))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.BAD_RESPONSE
    assert "bad upstream response" in outcome.message


async def test_reasoning_that_ate_all_tokens_says_what_to_raise() -> None:
    """finish_reason length with empty content."""
    body = {"choices": [{"message": {"content": ""}, "finish_reason": "length"}], "usage": {"completion_tokens": 64}}
    outcome = await chatted(replying(json=body))
    assert isinstance(outcome, Failure)
    assert "all 64 tokens were used before any text came; raise max_tokens" in outcome.message


async def test_an_error_inside_a_200_is_that_error() -> None:
    """Some proxies do that."""
    outcome = await chatted(replying(json={"error": {"message": "M is currently over capacity"}}))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.OVERLOADED


async def test_a_reply_without_usage_is_not_charged_as_zero() -> None:
    """The claim stands."""
    outcome = await chatted(replying(json={"choices": [{"message": {"content": "x"}}]}))
    assert isinstance(outcome, Success)
    assert not outcome.usage_reported


@pytest.mark.parametrize(
    ("error", "kind", "sent"),
    [
        (httpx2.ConnectError("refused"), FailureKind.UNREACHABLE, False),
        (httpx2.ConnectTimeout("slow"), FailureKind.UNREACHABLE, False),
        (httpx2.ReadError("reset"), FailureKind.CONNECTION_LOST, True),
        (httpx2.RemoteProtocolError("Server disconnected"), FailureKind.CONNECTION_LOST, True),
        (httpx2.RemoteProtocolError("Receive buffer too long"), FailureKind.BAD_RESPONSE, True),
        (httpx2.ProxyError("407"), FailureKind.UNREACHABLE, False),
        (RecursionError("deep"), FailureKind.BAD_RESPONSE, True),
        (httpx2.ReadTimeout("slow"), FailureKind.CONNECTION_LOST, True),
        (ValueError("odd"), FailureKind.BAD_RESPONSE, True),
    ],
)
async def test_a_connection_that_fails_is_a_failure_that_says_whether_it_was_sent(
    error: Exception, kind: FailureKind, sent: bool
) -> None:
    """What was not sent is not charged."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        raise error

    outcome = await chatted(handler)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.sent) == (kind, sent)


async def test_the_key_never_reaches_a_message() -> None:
    """Not even when an exception quotes it."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        message = f"Illegal header value b'Bearer {KEY}'"
        raise httpx2.LocalProtocolError(message)

    outcome = await chatted(handler)
    assert isinstance(outcome, Failure)
    assert KEY not in repr(outcome)


@pytest.mark.parametrize("status", [200, 401])
async def test_a_key_of_any_form_that_an_upstream_echoes_is_taken_out(status: int) -> None:
    """Also in a body that is no JSON."""
    key = "AIzaOddlyShapedKey"
    groq = provider(replying(status, content=f"Authorization: {key} no".encode()), key=key)
    outcome = await groq.chat(*call(), timeout_s=5)
    await groq.aclose()
    assert isinstance(outcome, Failure)
    assert key not in outcome.message


async def test_a_call_that_never_ends_is_ended_by_its_total_time() -> None:
    """Httpx's own time-outs would not."""
    import anyio

    async def endless(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    outcome = await chatted(endless, timeout_s=0.02)  # type: ignore[arg-type]
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.sent) == (FailureKind.TIMED_OUT, True)


async def test_redirects_are_not_followed() -> None:
    """The target sees nothing."""
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(str(request.url))
        return httpx2.Response(307, headers={"location": "https://elsewhere.test/"})

    outcome = await chatted(handler)
    assert isinstance(outcome, Failure)
    assert (outcome.status, len(seen)) == (307, 1)


@pytest.mark.parametrize("encoding", ["gzip", "br", "made-up"])
async def test_encoded_bodies_are_refused(encoding: str) -> None:
    """None was asked for, and a bomb would be one."""
    outcome = await chatted(replying(headers={"content-encoding": encoding}, stream=httpx2.ByteStream(b"x")))
    assert isinstance(outcome, Failure)
    assert f"{encoding} encoding" in outcome.message


async def test_a_body_beyond_the_cap_is_refused() -> None:
    """While it streams."""
    outcome = await chatted(replying(content=b"x" * (BODY_BYTES + 1)))
    assert isinstance(outcome, Failure)
    assert str(BODY_BYTES) in outcome.message


async def test_a_body_that_is_said_to_be_beyond_the_cap_is_not_read() -> None:
    """Its first piece is enough of a reason never to ask for the second."""

    async def pieces() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    headers = {"content-length": str(BODY_BYTES + 1)}
    outcome = await chatted(replying(headers=headers, content=pieces()))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, str(BODY_BYTES) in outcome.message) == (FailureKind.BAD_RESPONSE, True)


@pytest.mark.parametrize(
    "content",
    [b"[" + b"[]," * 200_001 + b"1]", b"[" + b"1," * 1_000_001 + b"1]"],
    ids=["containers", "values"],
)
async def test_a_body_of_more_values_than_an_answer_has_is_not_parsed(content: bytes) -> None:
    """A few megabytes of it become a hundred of objects."""
    outcome = await chatted(replying(content=content))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, "too many values" in outcome.message) == (FailureKind.BAD_RESPONSE, True)


async def test_a_body_in_very_many_very_small_pieces_is_refused() -> None:
    """Each costs as much work as a large one."""

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b" "

    outcome = await chatted(replying(content=pieces()))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, "16385 pieces" in outcome.message) == (FailureKind.BAD_RESPONSE, True)


async def test_a_stream_of_events_is_refused_before_it_is_read() -> None:
    """None was asked for, and it may be without end."""

    async def events() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    outcome = await chatted(replying(headers={"content-type": "text/event-stream; charset=utf-8"}, content=events()))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, "stream of events" in outcome.message) == (FailureKind.BAD_RESPONSE, True)


async def broken_off() -> AsyncIterator[bytes]:
    """The beginning of an error, then the end of the connection."""
    yield b'{"error": '
    raise httpx2.ReadError("")


async def endless() -> AsyncIterator[bytes]:
    """More than anybody reads of an error."""
    while True:
        yield b"x" * 65_536


@pytest.mark.parametrize("body", [broken_off, endless])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_refusal_counts_by_its_status_whatever_its_body(
    body: Callable[[], AsyncIterator[bytes]], encoding: str
) -> None:
    """A 429 stays one, with the wait it states."""
    headers = {"retry-after": "7", "content-encoding": encoding}
    outcome = await chatted(replying(429, headers=headers, content=body()))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.retry_after_s) == (FailureKind.RATE_LIMITED, 7.0)


async def test_an_error_of_html_that_is_all_beginnings_of_tags_is_read_in_no_time() -> None:
    """Patterns over long texts are an attack of their own."""
    started = time.perf_counter()
    outcome = await chatted(replying(502, content=b"<html>" + b"<script" * 9_000 + b">"))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.SERVER_ERROR
    assert time.perf_counter() - started < 0.5


class ResetOnTheWay(httpx2.AsyncBaseTransport):
    """Resets the connection after so many pieces of a form."""

    def __init__(self, pieces: int) -> None:
        self._pieces = pieces

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Never answers."""
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        taken = 0
        async for _ in request.stream:
            taken += 1
            if taken == self._pieces:
                break
        raise httpx2.ReadError("")


async def uploaded(pieces: int, size: int) -> Outcome:
    """The outcome of a transcription whose connection is reset on the way."""
    groq = OpenAICompatible(
        "groq", base_url="https://groq.test/openai/v1", key=KEY, clock=FakeClock(), transport=ResetOnTheWay(pieces)
    )
    audio = AudioFile(name="a.wav", content=b"x" * size, media_type="audio/wav", duration_s=2.0)
    outcome = await groq.transcribe(AudioRequest(audio=audio), candidate("whisper-large-v3"), timeout_s=5)
    await groq.aclose()
    return outcome


async def test_a_connection_that_closes_on_the_way_of_an_upload_is_an_early_413() -> None:
    """The reset overtakes it. Where nothing was taken of a small one, the connection may just have been too old."""
    for pieces, size in ((2, 1_000), (2, 1_000_000), (1, 1_000_000)):
        outcome = await uploaded(pieces, size)
        assert isinstance(outcome, Failure)
        assert (outcome.kind, outcome.status) == (FailureKind.PAYLOAD_TOO_LARGE, None)
        assert "larger than the provider accepts" in outcome.message
    outcome = await uploaded(1, 1_000)
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.CONNECTION_LOST


async def test_without_a_key_nothing_is_sent() -> None:
    """And the hint is the message."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError

    groq = provider(handler, key=None, hint="no key is set")
    outcome = await groq.chat(*call(), timeout_s=5)
    await groq.aclose()
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.message, outcome.sent) == (FailureKind.AUTHENTICATION, "no key is set", False)


async def test_an_endpoint_that_needs_no_key_is_asked_without_one() -> None:
    """Such as a local server."""
    seen: list[httpx2.Headers] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers)
        return httpx2.Response(200, json=GOOD)

    endpoint = provider(handler, key=None, hint=None)
    assert isinstance(await endpoint.chat(*call(), timeout_s=5), Success)
    await endpoint.aclose()
    assert "authorization" not in seen[0]


HEARD = {
    "text": " Hello there. ",
    "language": "english",
    "duration": 3.5,
    "segments": [{"start": 0.0, "end": 3.5, "text": " Hello there."}, {"start": "odd"}, 7],
    "words": [{"word": "Hello", "start": 0.0, "end": 1.0}, {"word": 5, "start": 0, "end": 1}],
}


async def heard(request: AudioRequest, body: object) -> tuple[Outcome, httpx2.Request]:
    """The outcome of one transcription, and the request it made."""
    seen: list[httpx2.Request] = []

    def handler(sent: httpx2.Request) -> httpx2.Response:
        sent.read()
        seen.append(sent)
        return httpx2.Response(200, json=body, headers={"x-simulated": "true"})

    groq = provider(handler)
    outcome = await groq.transcribe(request, candidate("whisper-large-v3"), timeout_s=5)
    await groq.aclose()
    return outcome, seen[0]


FILE = AudioFile(name="a.wav", content=b"RIFF....", media_type="audio/wav", duration_s=2.0)


async def test_a_file_goes_as_multipart_with_its_fields() -> None:
    """verbose_json always, so that subtitles can be rendered here."""
    request = AudioRequest(audio=FILE, language="en", prompt="Groq", temperature=0.0, words=True)
    outcome, sent = await heard(request, HEARD)
    body = sent.content.decode()
    assert sent.url.path.endswith("/audio/transcriptions")
    for words in (
        'name="model"',
        "verbose_json",
        'name="language"',
        "Groq",
        'filename="a.wav"',
        "segment",
        "word",
        'name="temperature"',
    ):
        assert words in body
    assert isinstance(outcome, Success)
    assert outcome.simulated
    assert outcome.transcript is not None
    assert (outcome.transcript.text, len(outcome.transcript.segments), len(outcome.transcript.words)) == ("Hello there.", 1, 1)
    assert outcome.usage.audio_s == 10.0


async def test_a_link_goes_as_a_field_and_translation_to_its_own_path() -> None:
    """Nothing is fetched here."""
    request = AudioRequest(audio=AudioLink(url="https://example.com/a.wav"), translate=True)
    outcome, sent = await heard(request, {"text": "Hello", "duration": 42.0})
    assert sent.url.path.endswith("/audio/translations")
    assert 'name="url"' in sent.content.decode()
    assert "filename" not in sent.content.decode()
    assert isinstance(outcome, Success)
    assert outcome.usage.audio_s == 42.0


async def test_without_a_stated_duration_the_probed_one_counts() -> None:
    """Or none, and then the claim stands."""
    outcome, _ = await heard(AudioRequest(audio=FILE), {"text": "Hello", "duration": True})
    assert isinstance(outcome, Success)
    assert outcome.transcript is not None
    assert outcome.transcript.duration_s == 2.0
    outcome, _ = await heard(AudioRequest(audio=AudioLink(url="https://example.com/a.wav")), {"text": "Hello"})
    assert isinstance(outcome, Success)
    assert not outcome.usage_reported


@pytest.mark.parametrize("body", [{"no": "text"}, [], None])
async def test_a_transcription_without_text_is_a_bad_response(body: object) -> None:
    """Never an empty success."""
    outcome, _ = await heard(AudioRequest(audio=FILE), body)
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.BAD_RESPONSE


async def test_the_live_list_is_read_and_odd_rows_are_passed_over() -> None:
    """Ids and windows."""
    rows = [{"id": "a", "active": False, "context_window": 5}, {"id": "b", "context_window": "x"}, {"no": 1}, 3]
    groq = provider(replying(json={"data": rows}))
    models = await groq.live_models(timeout_s=5)
    assert not isinstance(models, Failure)
    assert [(model.id, model.active, model.context_window) for model in models] == [("a", False, 5), ("b", True, None)]
    await groq.aclose()
    for bad in (replying(json={"data": None}), replying(content=b"x"), replying(503)):
        groq = provider(bad)
        assert isinstance(await groq.live_models(timeout_s=5), Failure)
        await groq.aclose()


class SlowUplink(httpx2.AsyncBaseTransport):
    """Takes a piece of the request each `pause_s` seconds, then answers after `answer_s`."""

    def __init__(self, *, pause_s: float, answer_s: float = 0.0) -> None:
        self.pause_s = pause_s
        self.answer_s = answer_s

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        async for _ in request.stream:  # type: ignore[union-attr]
            await anyio.sleep(self.pause_s)
        await anyio.sleep(self.answer_s)
        return httpx2.Response(200, json={"text": "hello", "duration": 5.0})


@pytest.mark.fault("B26")
@pytest.mark.parametrize(
    ("uplink", "longest_s", "answered"),
    [
        (SlowUplink(pause_s=0.05), 30.0, True),
        (SlowUplink(pause_s=0.05), 0.4, False),
        (SlowUplink(pause_s=0.05), None, False),
        (SlowUplink(pause_s=0.0, answer_s=2.0), 30.0, False),
        (SlowUplink(pause_s=2.0), 30.0, False),
    ],
    ids=["moves", "to its bound", "a call like any other", "no answer", "stuck"],
)
async def test_an_upload_may_take_as_long_as_it_moves(
    uplink: SlowUplink, longest_s: float | None, answered: bool, tmp_path: Path
) -> None:
    """Within what its job has left: a part on a slow network takes minutes."""
    path = tmp_path / "part.flac"
    path.write_bytes(b"fLaC" + bytes(1_500_000))
    audio = AudioFile(
        name="part.flac", content=Spooled(path=path, size=path.stat().st_size), media_type="audio/flac", duration_s=5.0
    )
    groq = OpenAICompatible(
        "groq", base_url="https://groq.test/openai/v1", key=KEY, clock=FakeClock(), key_hint=None, transport=uplink
    )
    found = await groq.transcribe(AudioRequest(audio=audio), candidate("m"), longest_s=longest_s, timeout_s=0.7)
    assert isinstance(found, Success) is answered
    if isinstance(found, Failure):
        assert found.kind is FailureKind.TIMED_OUT


PROVIDERS = load_catalog().providers


def of_catalog(name: str, handler: Handler) -> OpenAICompatible:
    """A provider of the catalog whose transport is a function."""
    return OpenAICompatible(
        name,
        base_url="https://other.test/v1",
        key=None,
        clock=FakeClock(),
        groq=False,
        row=PROVIDERS[name],
        transport=httpx2.MockTransport(handler),
    )


async def asked_of(name: str, reply: object, *, status: int = 200, tools: bool = False) -> Outcome:
    """The outcome of one call that a provider of the catalog answers so."""
    source = of_catalog(name, replying(status, json=reply))
    try:
        return await source.chat(*call(tools=(LOOK,) if tools else ()), timeout_s=5.0)
    finally:
        await source.aclose()


LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
HIGH_DEMAND = {"code": 503, "message": "This model is experiencing high demand.", "status": "UNAVAILABLE"}
CUT = {"code": 429, "message": "rate-limited upstream"}


@pytest.mark.parametrize(
    ("name", "reply", "kind"),
    [
        ("gemini", [{"error": HIGH_DEMAND}], FailureKind.OVERLOADED),
        ("gemini", [], FailureKind.BAD_RESPONSE),
        ("nvidia", {"status": 429, "title": "Too Many Requests"}, FailureKind.RATE_LIMITED),
        ("mistral", {"object": "error", "message": "Rate limit exceeded", "code": "1300"}, FailureKind.RATE_LIMITED),
        (
            "cerebras",
            {"message": "x", "type": "too_many_requests_error", "code": "request_quota_exceeded"},
            FailureKind.RATE_LIMITED,
        ),
        ("zai", {"error": {"code": "1305", "message": "busy"}}, FailureKind.OVERLOADED),
        ("lmstudio", {"error": "n_keep: 7010 >= n_ctx: 4096, the context length"}, FailureKind.CONTEXT_TOO_LONG),
        (
            "openrouter",
            {"choices": [{"finish_reason": "error", "error": CUT, "message": {"content": "Hel"}}]},
            FailureKind.RATE_LIMITED,
        ),
        ("openrouter", {"choices": [{"finish_reason": "error", "message": {"content": "Hel"}}]}, FailureKind.SERVER_ERROR),
        (
            "zai",
            {"choices": [{"finish_reason": "stop", "message": {"content": "", "reasoning_content": "hm"}}]},
            FailureKind.BAD_RESPONSE,
        ),
        ("lmstudio", {"choices": [{"finish_reason": "stop", "message": {"content": ""}}]}, FailureKind.BAD_RESPONSE),
    ],
)
async def test_a_200_that_is_no_answer_is_the_failure_that_it_states(name: str, reply: object, kind: FailureKind) -> None:
    """Lists, flat bodies, half answers and empty ones."""
    outcome = await asked_of(name, reply)

    assert isinstance(outcome, Failure)
    assert outcome.kind is kind


async def test_thoughts_in_a_list_of_parts_are_not_the_answer() -> None:
    """Mistral's reasoning models."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    message = {"role": "assistant", "content": [thinking, {"type": "text", "text": "Hello"}]}

    outcome = await asked_of("mistral", {"choices": [{"finish_reason": "stop", "message": message}]})

    assert isinstance(outcome, Success)
    assert (outcome.text, outcome.reasoning) == ("Hello", "hm")


SIGNED = {"google": {"thought_signature": "c2lnbmVk"}}
MADE = {"id": "function-1", "type": "function", "function": {"name": "look", "arguments": "{}"}, "extra_content": SIGNED}


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_gemini_gives_with_a_call_reaches_the_caller_and_goes_back(streamed: bool) -> None:
    """Also where the caller loses it."""
    heard: list[dict[str, object]] = []
    message = {"role": "assistant", "content": None, "tool_calls": [MADE]}
    piece = {"choices": [{"index": 0, "delta": {"tool_calls": [{**MADE, "index": 0}]}, "finish_reason": "tool_calls"}]}

    def handler(request: httpx2.Request) -> httpx2.Response:
        heard.append(json.loads(request.content))
        if streamed:
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=f"data: {json.dumps(piece)}\n\n")
        return httpx2.Response(200, json={"choices": [{"message": message, "finish_reason": "tool_calls"}]})

    gemini = of_catalog("gemini", handler)
    request, fitted = call(tools=(LOOK,))
    stream = StreamOptions(longest_s=5.0) if streamed else None
    first = await gemini.chat(request, fitted, timeout_s=5.0, stream=stream)
    assert isinstance(first, Success)
    back = [
        {"role": "assistant", "tool_calls": [{**MADE, "extra_content": {}}]},
        {"role": "tool", "tool_call_id": "function-1"},
    ]
    await gemini.chat(replace(request, messages=(*request.messages, *back)), fitted, timeout_s=5.0, stream=stream)
    await gemini.aclose()

    assert first.tool_calls == ({"id": "function-1", "name": "look", "arguments": "{}", "extra_content": SIGNED},)
    messages = heard[1]["messages"]
    assert isinstance(messages, list)
    assert messages[1]["tool_calls"] == [MADE]


async def test_without_a_key_no_authorization_is_sent() -> None:
    """Kilo takes calls without one, and refuses a wrong one."""
    seen: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json=GOOD)

    await of_catalog("kilo", handler).chat(*call(), timeout_s=5.0)

    assert "authorization" not in seen[0].headers


ECHO = json.dumps("def main():\n    print('content policy, rate limit exceeded')\n" * 400)
TOOL_USE_FAILED = '{"error":{"message":"Failed to call a function.","type":"invalid_request_error","code":"tool_use_failed",'


@pytest.mark.parametrize(
    "body",
    [
        f'{TOOL_USE_FAILED}"failed_generation":{ECHO}}}}}',
        f'{{"error":{{"failed_generation":{ECHO},"message":"Failed","code":"tool_use_failed"}}}}',
        f'{TOOL_USE_FAILED}"failed_generation":{ECHO}'[:-40],
        f'{TOOL_USE_FAILED}"failed_generation":{ECHO * 40}}}}}',
    ],
    ids=["whole", "echo first", "cut within the echo", "longer than is read"],
)
async def test_a_long_failed_generation_hides_neither_the_code_nor_the_message(body: str) -> None:
    """As of an agent whose model botches the writing of a file."""
    outcome = await chatted(replying(400, content=body.encode(), headers={"content-type": "application/json"}))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.code) == (FailureKind.GENERATION_FAILED, "tool_use_failed")
    assert "print" not in outcome.message


async def test_json_that_was_cut_off_is_no_page_of_a_firewall() -> None:
    """A 403 that is not JSON is one."""
    body = '{"error": {"message": "The model `x` is blocked", "details": "' + "x" * 600_000
    outcome = await chatted(replying(403, content=body.encode()))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.MODEL_BLOCKED


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": "10", "completion_tokens": "5"},
        {"prompt_tokens": 10.0, "completion_tokens": 5.0},
        {"prompt_tokens": 10, "total_tokens": 15},
    ],
)
async def test_usage_is_read_in_every_form_that_servers_write(usage: dict[str, object]) -> None:
    """Or else the call would seem to have been free of charge."""
    outcome = await chatted(replying(json={**GOOD, "usage": usage}))
    assert isinstance(outcome, Success)
    assert outcome.usage_reported
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (10, 5)


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": 10},
        {"prompt_tokens": 10, "total_tokens": 10},
        {"completion_tokens": 5},
        {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": 10.5, "completion_tokens": 5},
        {"prompt_tokens": "ten", "completion_tokens": 5},
        {"prompt_tokens": float("1e300"), "completion_tokens": 5},
        {"prompt_tokens": "9" * 5_000, "completion_tokens": 5},
    ],
    ids=str,
)
async def test_usage_that_cannot_be_read_is_not_charged_as_zero(usage: dict[str, object]) -> None:
    """The claim stands."""
    outcome = await chatted(replying(json={**GOOD, "usage": usage}))
    assert isinstance(outcome, Success)
    assert not outcome.usage_reported


@pytest.mark.parametrize("field", ["queue_time", "prompt_time", "completion_time"])
async def test_a_number_that_no_float_can_hold_is_no_time(field: str) -> None:
    """Nor does it cost the answer."""
    usage = json.dumps({**GOOD["usage"], field: 1}).replace(f'"{field}": 1', f'"{field}": {"9" * 400}')  # type: ignore[dict-item]
    body = json.dumps({**GOOD, "usage": None}).replace('"usage": null', f'"usage": {usage}')
    outcome = await chatted(replying(content=body.encode()))
    assert isinstance(outcome, Success)
    assert outcome.text == "hello"
