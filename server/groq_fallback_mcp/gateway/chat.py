"""POST /v1/chat/completions: a body becomes a call of the engine, and its outcome a completion, a stream or an error."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import secrets
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.fallback import Answer, CallTimeouts, FallbackEngine
from groq_fallback_mcp.fallback.call_state import Check
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.gateway.chat_body import ChatBody, read_chat_body
from groq_fallback_mcp.gateway.chat_stream import Diverged, HeldText
from groq_fallback_mcp.gateway.completions import DONE, Chunks, answer_headers, completion, error_event
from groq_fallback_mcp.gateway.model_list import effective_window
from groq_fallback_mcp.gateway.refusals import Refusal, failed, invalid, refused, too_large
from groq_fallback_mcp.gateway.sessions import preferred_model, session_key, stays_after
from groq_fallback_mcp.policy.estimate import estimate_prompt_tokens
from groq_fallback_mcp.policy.model_choice import is_retired
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.quota import ConversationModel, ModelQuota
from groq_fallback_mcp.redaction import clean_json, sanitize, sanitize_json
from groq_fallback_mcp.render import clean
from groq_fallback_mcp.tools.schema_check import SchemaCheck

__all__ = [
    "HOLD_HEADER",
    "TIMEOUTS",
    "ChatEndpoint",
    "GatewayTimes",
    "ascii_headers",
    "json_response",
    "outcome_of",
    "read_json",
    "refusal_response",
    "unless_gone",
]

_log = logging.getLogger(__name__)
T = TypeVar("T")

HOLD_HEADER = "x-groq-fallback-hold-s"
LONGEST_HOLD_S = 30.0
# A stream that moves may take this long. The first token is awaited for 15 s while another model is left, the last model's for two minutes.
TIMEOUTS = CallTimeouts(deadline_s=1_800.0, attempt_timeout_s=15.0, max_wait_s=2.0, silence_s=120.0)
# What may become half a character, as of an emoji that an agent cut in two, or a zero byte.
_UNSENDABLE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
# Reasons why a model was left out that another size of the request would mend.
_SIZES = ("do not fit its context window", "leave no room in its")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTimes:
    """How long text is held, how long a call may wait for limits, in seconds, and the times of its attempts."""

    hold_s: float = 0.0
    max_wait_s: float = 20.0
    call: CallTimeouts = TIMEOUTS


class ChatEndpoint:
    """Answers chats with an engine. `plan` is the name of Groq's plan, for messages."""

    def __init__(self, engine: FallbackEngine, *, times: GatewayTimes, plan: str) -> None:
        self._engine = engine.with_timeouts(times.call)
        self._times = times
        self._plan = plan

    async def __call__(self, request: Request) -> Response:
        given = read_json(await request.body())
        if isinstance(given, Refusal):
            return refusal_response(given)
        body = read_chat_body(given, catalog=self._engine.catalog)
        if isinstance(body, Refusal):
            return refusal_response(body)
        hold_s = _hold_s(request.headers.get(HOLD_HEADER), self._times.hold_s)
        caller = "" if self._engine.caller is None else self._engine.caller.name
        session = session_key(request.headers, given if isinstance(given, dict) else {}, caller=caller)
        try:
            check = None if body.request.schema is None else SchemaCheck(dict(body.request.schema))
        except InputRefused as error:
            return refusal_response(invalid(str(error).replace("response_schema", "response_format"), param="response_format"))
        stays = await self._engine.ledger.conversation_model(session)
        preferred = preferred_model(stays, has_open_calls=body.has_open_calls)
        body = replace(body, request=replace(body.request, preferred=preferred))
        call = _Call(self._engine, body, check=check, session=session, stayed=stays, longest_wait_s=self._times.max_wait_s)
        if body.stream:
            return _StreamedResponse(call, self, hold_s=hold_s)
        return _WholeResponse(call, self)

    async def refusal(self, error: CallFailed, body: ChatBody) -> Refusal:
        """The error of a call that failed; for what fits no model one that agents show and do not repeat."""
        sizes = [exclusion for exclusion in error.exclusions if any(part in exclusion.reason for part in _SIZES)]
        too_long = error.code == "too_large" or (error.code == "no_model" and bool(sizes))
        if not too_long:
            return failed(error)
        tokens = estimate_prompt_tokens(body.request)
        day = today(self._engine.clock)
        windows = [
            (model, window)
            for provider in self._engine.registry.models()
            for model, offered in provider.models.items()
            if offered.row.capabilities.tools and (window := effective_window(offered)) is not None
            if not is_retired(model, catalog=self._engine.catalog, provider=provider, today=day)
        ]
        return too_large(tokens, sorted(windows, key=lambda row: -row[1]), plan=self._plan)

    async def limit_headers(self, provider: str, model: str) -> dict[str, str]:
        """What is left of the model's limits, in Groq's own headers."""
        found = [one for one in self._engine.registry.models() if one.name == provider]
        offered = found[0].models.get(model) if found else None
        if offered is None:
            return {}
        claim = self._engine.claim(Candidate(provider=provider, model=model, wire_model=model, documented=offered.documented))
        return _limit_headers((await self._engine.ledger.peek([claim]))[0])


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of the engine. `stayed`: the model that answered this conversation so far, instead of its first."""

    engine: FallbackEngine
    body: ChatBody
    check: Check | None
    session: str
    stayed: ConversationModel | None
    longest_wait_s: float

    async def serve(self, observer: HeldText | None) -> Answer | CallFailed | Refusal:
        """The outcome; never raises but for cancellation."""
        return await outcome_of(
            self.engine.serve(
                self.body.request,
                observer=observer,
                check=self.check,
                repair=self.check is not None,
                longest_wait_s=self.longest_wait_s,
            )
        )

    async def remember(self, answer: Answer) -> None:
        """Who answered the conversation."""
        stays = stays_after(answer, stayed=self.stayed)
        if stays is not None or self.stayed is not None:
            await self.engine.ledger.set_conversation_model(self.session, stays)

    async def start_over(self, candidate: Candidate) -> None:
        """The conversation goes on with a candidate when its request is sent again, and stays there."""
        model = ConversationModel(provider=candidate.provider, model=candidate.model, starts_over=True)
        await self.engine.ledger.set_conversation_model(self.session, model)

    def now(self) -> int:
        """Unix seconds."""
        return int(self.engine.clock.wall())


class _WholeResponse(Response):
    """An answer in one piece. A client that goes away ends the call."""

    def __init__(self, call: _Call, endpoint: ChatEndpoint) -> None:
        super().__init__()
        self._call = call
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        outcome = await unless_gone(receive, self._call.serve(None))
        if outcome is None:
            return
        response = await self._response(outcome)
        await response(scope, receive, send)

    async def _response(self, outcome: Answer | CallFailed | Refusal) -> Response:
        call = self._call
        if isinstance(outcome, CallFailed):
            outcome = await self._endpoint.refusal(outcome, call.body)
        if isinstance(outcome, Refusal):
            return refusal_response(outcome)
        await call.remember(outcome)
        value = completion(outcome, id_=_new_id(), created=call.now(), include_reasoning=call.body.include_reasoning)
        limits = await self._endpoint.limit_headers(outcome.provider, outcome.model)
        return json_response(value, headers={**answer_headers(outcome, session=call.session), **limits})


class _StreamedResponse(Response):
    """An answer as it comes."""

    def __init__(self, call: _Call, endpoint: ChatEndpoint, *, hold_s: float) -> None:
        super().__init__()
        self._call = call
        self._endpoint = endpoint
        self._held = HeldText(hold_s=hold_s, clock=call.engine.clock.monotonic)
        self._chunks = Chunks(id_=_new_id(), created=call.now(), model="")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        serving = asyncio.ensure_future(self._call.serve(self._held))
        leaving = asyncio.ensure_future(_gone(receive))
        serving.add_done_callback(lambda _: self._held.wake())
        leaving.add_done_callback(lambda _: self._held.wake())
        try:
            while not serving.done() and not leaving.done() and not self._held.diverged:
                await self._held.changed()
                await self._send_text(send)
            if leaving.done():
                return
            if self._held.diverged:
                await self._diverge(send)
                return
            await self._finish(serving.result(), scope, receive, send)
        except asyncio.CancelledError:
            if self._held.has_sent:
                with anyio.CancelScope(shield=True):
                    await self._break_off(send, "The gateway is stopping")
            raise
        finally:
            leaving.cancel()
            if not serving.done():
                serving.cancel()
            await asyncio.gather(serving, leaving, return_exceptions=True)

    async def _send_text(self, send: Send) -> None:
        held = self._held
        if held.diverged or held.held_s() != 0.0:
            return
        begun = held.has_sent
        text = held.take()
        if not text:
            return
        first = b"" if begun else await self._begin(send)
        assert held.candidate is not None  # noqa: S101 - text comes from an attempt
        self._chunks.model = held.candidate.model
        await _write(send, first + self._chunks.text(text))

    async def _begin(self, send: Send, answer: Answer | None = None) -> bytes:
        """Send the status and the headers; returns the first events. Who answers is known now, what it costs only at the end."""
        call, candidate = self._call, self._held.candidate
        if answer is not None:
            headers, identity = answer_headers(answer, session=call.session), (answer.provider, answer.model)
        else:
            assert candidate is not None  # noqa: S101 - text comes from an attempt
            identity = candidate.identity
            headers = {
                "x-groq-fallback-model": candidate.model,
                "x-groq-fallback-provider": candidate.provider,
                "x-groq-fallback-session": call.session,
            }
            if candidate.notes:
                headers["x-groq-fallback-notes"] = "; ".join(candidate.notes)[:500]
        self._chunks.model = identity[1]
        headers |= await self._endpoint.limit_headers(*identity)
        headers |= {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        await send({"type": "http.response.start", "status": 200, "headers": _raw(headers)})
        first = self._chunks.role()
        if call.body.include_reasoning and self._held.reasoning:
            first += self._chunks.reasoning("".join(self._held.reasoning))
        return first

    async def _finish(self, outcome: Answer | CallFailed | Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        held, call = self._held, self._call
        if isinstance(outcome, CallFailed):
            outcome = await self._endpoint.refusal(outcome, call.body)
        if isinstance(outcome, Refusal):
            if held.has_sent:
                await self._break_off(send, f"The answer broke off, and no other model could continue it. {outcome.message}")
            else:
                await refusal_response(outcome)(scope, receive, send)
            return
        rest = held.rest_of(outcome.success.text)
        if isinstance(rest, Diverged):
            await self._diverge(send)
            return
        await call.remember(outcome)
        last = b""
        if not held.has_sent:
            if outcome.success.reasoning and not held.reasoning:
                held.reasoning = [outcome.success.reasoning]
            last = await self._begin(send, outcome)
        chunks = self._chunks
        chunks.model = outcome.model
        last += chunks.text(rest) if rest else b""
        if outcome.success.tool_calls:
            last += chunks.calls(outcome.success)
        last += chunks.end(outcome.success)
        if call.body.include_usage:
            last += chunks.usage(outcome)
        await send({"type": "http.response.body", "body": last + DONE, "more_body": False})

    async def _diverge(self, send: Send) -> None:
        """Another model answers in other words: the request, sent again, is for that one."""
        if self._held.candidate is not None:
            await self._call.start_over(self._held.candidate)
        await self._break_off(send, "The model that answered broke off, and another did not continue its words")

    async def _break_off(self, send: Send, why: str) -> None:
        """An error in the stream, and no end: what was sent is not the whole answer, and must not look like it."""
        _log.warning("a streamed answer ended in an error: %s", why)
        message = f"{why.rstrip('.')}. Send the request again"
        # Continue repeats a request whose error is a server_error
        refusal = Refusal(status=502, type="server_error", code="answer_broken_off", message=message)
        await _write(send, error_event(refusal))


async def _write(send: Send, events: bytes) -> None:
    await send({"type": "http.response.body", "body": events, "more_body": True})


async def _gone(receive: Receive) -> None:
    """Until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, work: Any) -> Any:
    """What `work` returns; None where the client left first, which ends it."""
    with anyio.CancelScope() as scope:
        leaving = asyncio.ensure_future(_gone(receive))
        leaving.add_done_callback(lambda left: None if left.cancelled() else scope.cancel())
        try:
            return await work
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
    return None


async def outcome_of(work: Awaitable[T], *, param: str | None = None) -> T | Refusal:
    """What the work returns; a refusal instead of an exception. `param` is the field that it is about."""
    try:
        return await work
    except InputRefused as error:
        refusal = refused(error)
        return refusal if param is None else replace(refusal, param=param)
    except Exception:  # noqa: BLE001 - whatever it is, it goes through the log, where keys are taken out
        _log.exception("a call failed unexpectedly")
        return Refusal(status=500, type="api_error", message="Internal error. See the gateway's log")


def read_json(content: bytes) -> object | Refusal:
    """A body's JSON, as it can be sent on, or what is wrong with it."""
    try:
        text = content.decode("utf-8", "replace")
        value: object = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
        return clean(value) if _UNSENDABLE.search(text) else value
    except (ValueError, RecursionError):
        return invalid("The body is not valid JSON. Send a JSON object")


def _finite(text: str) -> float | None:
    """A number; None beyond what JSON can hold."""
    number = float(text)
    return number if math.isfinite(number) else None


def json_response(value: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response of JSON without secrets."""
    return Response(clean_json(value), status_code=status, headers=ascii_headers(headers or {}), media_type="application/json")


def refusal_response(refusal: Refusal) -> Response:
    """A response that is an error."""
    return json_response(refusal.body(), status=refusal.status, headers=refusal.all_headers())


def _hold_s(stated: str | None, usual_s: float) -> float:
    """What a client's header asks for, within bounds; the usual time where it says nothing sensible."""
    try:
        wanted = usual_s if stated is None else float(stated)
    except ValueError:
        return usual_s
    return min(max(wanted, 0.0), LONGEST_HOLD_S) if wanted == wanted else usual_s  # noqa: PLR0124 - not a number


def _new_id() -> str:
    return f"chatcmpl-{secrets.token_hex(12)}"


def _limit_headers(quota: ModelQuota) -> dict[str, str]:
    buckets = quota.all_buckets
    # as Groq names them; of a provider that has no such limit, the one that clients would read there
    requests = next((limit for limit in (Limit.RPD, Limit.RPH, Limit.RPM) if limit in buckets), Limit.RPD)
    tokens = next((limit for limit in (Limit.TPM, Limit.ITPM, Limit.TPH, Limit.TPD) if limit in buckets), Limit.TPM)
    named = (("requests", requests), ("tokens", tokens))
    headers: dict[str, str] = {}
    for name, limit in named:
        bucket = buckets.get(limit)
        if bucket is None:
            continue
        left = max(int(bucket.level_at(quota.now)), 0)
        headers[f"x-ratelimit-limit-{name}"] = f"{bucket.capacity:.0f}"
        headers[f"x-ratelimit-remaining-{name}"] = str(left)
        headers[f"x-ratelimit-reset-{name}"] = f"{bucket.full_in_s(quota.now):.3f}s"
    if "x-ratelimit-remaining-tokens" in headers:
        headers["x-groq-fallback-remaining-tokens"] = headers["x-ratelimit-remaining-tokens"]
    return headers


def ascii_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """As headers may be: printable, of one line."""
    # one look at all of them mostly finds nothing
    together = " ".join((*headers, *headers.values()))
    if together.isascii() and together.isprintable() and sanitize(together) == together:
        return dict(headers)
    return {
        name: "".join(char if " " <= char <= "~" else "?" for char in str(value))
        for name, value in sanitize_json(headers).items()
    }


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in ascii_headers(headers).items()]
