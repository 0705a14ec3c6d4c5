"""What reads bytes that somebody else wrote, each as a function of bytes that fails only by a broken promise.

Run by hypothesis in test_targets.py, and by atheris, guided by coverage, with `make fuzz`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping

from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from groq_fallback_mcp.audio import headers as audio_headers
from groq_fallback_mcp.audio.kind import AudioKind, sniff
from groq_fallback_mcp.audio.link import check_link
from groq_fallback_mcp.call import AudioLink, AudioRequest, Failure, QuotaSnapshot, Success
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.durations import parse_duration, parse_retry_after
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.gateway.completions import ChatCompletions
from groq_fallback_mcp.gateway.http import read_json
from groq_fallback_mcp.gateway.messages import Messages
from groq_fallback_mcp.gateway.refusals import Refusal as GatewayRefusal
from groq_fallback_mcp.gateway.responses import Responses
from groq_fallback_mcp.providers.audio_wire import read_transcript
from groq_fallback_mcp.providers.classify import classify, classify_stream_error
from groq_fallback_mcp.providers.openai_wire import read_chat
from groq_fallback_mcp.providers.rate_limit_headers import read_headers, snapshot
from groq_fallback_mcp.providers.served_models import read_models
from groq_fallback_mcp.redaction import clean_json, sanitize
from groq_fallback_mcp.transport.jsonrpc import Overlong, Refusal, read_line, refuse_overlong, write_line

CATALOG = load_catalog()
DIALECTS = (ChatCompletions(), Responses(), Messages())
__all__ = ["SAMPLES", "TARGETS"]

NOW = 1_795_000_000.0
LONGEST_WAIT_S = 86_400.0 * 366


def client_line(data: bytes) -> None:
    """A line of the client is a message or a refusal that can be written."""
    for found in read_line(data):
        if isinstance(found, Refusal):
            assert json.loads(write_line(found.as_message()))["error"]["code"] in {-32700, -32600}
        else:
            assert isinstance(found, JSONRPCRequest | JSONRPCNotification | JSONRPCResponse | JSONRPCError)


def overlong_line(data: bytes) -> None:
    """A refusal whatever its ends hold."""
    half = len(data) // 2
    refusal = refuse_overlong(Overlong(size=10**8, head=data[:half], tail=data[half:]), 10**7)
    json.loads(write_line(refusal.as_message()))


def chat_answer(data: bytes) -> None:
    """A success has text; everything else is a failure with a message."""
    found = read_chat(data, model="m", quota=QuotaSnapshot(), simulated=False, now_wall=NOW)
    if isinstance(found, Success):
        assert found.text
        assert found.text.strip()
        sanitize(found.text).encode()
    else:
        assert found.message


def transcript(data: bytes) -> None:
    """Times are finite and not negative."""
    request = AudioRequest(audio=AudioLink(url="https://example.com/a.wav"))
    found = read_transcript(data, request=request, model="m", quota=QuotaSnapshot(), simulated=False)
    if isinstance(found, Success):
        assert found.transcript is not None
        for segment in found.transcript.segments:
            assert 0 <= segment.start < math.inf
            assert 0 <= segment.end < math.inf


def model_list(data: bytes) -> None:
    """Rows or a failure."""
    found = read_models(data)
    assert isinstance(found, Failure) or all(row.id is not None for row in found)


def error_body(data: bytes) -> None:
    """A failure with a wait that ends, at any status."""
    status = 400 + (data[0] if data else 0) % 200
    text = data[1:].decode("utf-8", "surrogateescape")
    headers = {"retry-after": text[:40], "x-ratelimit-remaining-tokens": text[:20], "x-ratelimit-reset-tokens": text[20:40]}
    for found in (classify(status, headers, text, now_wall=NOW), classify_stream_error(text, now_wall=NOW)):
        assert found.retry_after_s is None or 0 <= found.retry_after_s <= LONGEST_WAIT_S
        for reading in found.quota.readings:
            for figure in (reading.capacity, reading.remaining):
                assert figure is None or 0 <= figure < math.inf


def durations(data: bytes) -> None:
    """Seconds, or None."""
    text = data.decode("latin-1")
    for found in (parse_duration(text), parse_retry_after(text, now_wall=NOW)):
        assert found is None or 0 <= found < math.inf


def limit_headers(data: bytes) -> None:
    """Readings are finite."""
    parts = data.decode("latin-1").split("\n")
    names = ("limit-requests", "limit-tokens", "remaining-requests", "remaining-tokens", "reset-requests", "reset-tokens")
    headers = {f"x-ratelimit-{name}": value for name, value in zip(names, parts, strict=False)}
    read_headers(headers)
    snapshot(headers)


def recording(data: bytes) -> None:
    """A length is positive and finite, or unknown."""
    kinds = [kind] if (kind := sniff(data[:64])) is not None else list(AudioKind)
    for each in kinds:
        length_s = audio_headers.read_headers(data, each).duration_s
        assert length_s is None or 0 <= length_s < math.inf


def address(data: bytes) -> None:
    """Taken or refused; what is taken is https without user info."""
    try:
        link = check_link(data.decode("utf-8", "replace"))
    except InputRefused:
        return
    assert link.url.lower().startswith("https://")
    # the user info would be before the path, the query or the fragment, whichever comes first
    assert "@" not in re.split(r"[/?#]", link.url)[2]


def gateway_body(data: bytes) -> None:
    """In every API a request that can be sent on, or an error that its clients can read."""
    given = read_json(data)
    for dialect in DIALECTS:
        exchange = given if isinstance(given, GatewayRefusal) else dialect.read(given, catalog=CATALOG, now=int(NOW))
        if isinstance(exchange, GatewayRefusal):
            status, body = dialect.error(exchange)
            assert 400 <= status < 500
            clean_json(body)
        else:
            assert exchange.body.request.messages
            clean_json({"messages": list(exchange.body.request.messages), "tools": list(exchange.body.request.tools)})


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    function.__name__: function
    for function in (
        client_line,
        overlong_line,
        chat_answer,
        transcript,
        model_list,
        error_body,
        durations,
        limit_headers,
        recording,
        address,
        gateway_body,
    )
}

# What such bytes look like when they are well.
SAMPLES = (
    b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}',
    (
        b'{"error":{"message":"Rate limit reached for model `m` on tokens per minute (TPM): Limit 6000, Used 5800, Requested 900. '
        b'Please try again in 7.66s.","type":"tokens","code":"rate_limit_exceeded"}}'
    ),
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}',
    b'{"text":"x","segments":[{"start":0,"end":1e999,"text":"y"}],"duration":1}',
    b'{"model":"auto","input":[{"type":"function_call","call_id":"c","name":"x","arguments":"{}"}],"tools":[{"type":"custom"}]}',
    b'{"model":"auto","max_tokens":9,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"c"}]}]}',
    b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data\xff\xff\xff\xff",
    b"fLaC\x00\x00\x00\x22",
    b"OggS\x00\x02",
    b"\x00\x00\x00\x20ftypM4A ",
    b"\x1aE\xdf\xa3",
    b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f",
    b"https://example.com/a.wav",
    b"1e309",
    b"-7m99999999999999s",
    b"Fri, 31 Dec 2099 23:59:59 GMT",
)
