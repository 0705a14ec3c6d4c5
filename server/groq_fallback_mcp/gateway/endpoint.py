"""A request for a model's answer, in any dialect: it becomes a call of the engine, and its outcome an answer, a stream or an error."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from groq_fallback_mcp.call import ChatRequest, Limit
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.fallback import Answer, CallTimeouts, FallbackEngine
from groq_fallback_mcp.fallback.call_state import Check
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.gateway.chat_body import ChatBody
from groq_fallback_mcp.gateway.dialect import Dialect, Exchange
from groq_fallback_mcp.gateway.held_text import Diverged, HeldText
from groq_fallback_mcp.gateway.http import (
    answer_headers,
    gone,
    json_response,
    outcome_of,
    raw_headers,
    read_request,
    refusal_response,
    unless_gone,
    who_answers,
)
from groq_fallback_mcp.gateway.refusals import Refusal, failed, invalid, too_large
from groq_fallback_mcp.gateway.sessions import preferred_model, session_key, stays_after
from groq_fallback_mcp.policy.estimate import estimate_prompt_tokens
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.quota import ConversationModel, ModelQuota
from groq_fallback_mcp.tools.schema_check import SchemaCheck

__all__ = ["HOLD_HEADER", "TIMEOUTS", "AnswerEndpoint", "GatewayTimes"]

_log = logging.getLogger(__name__)

HOLD_HEADER = "x-groq-fallback-hold-s"
LONGEST_HOLD_S = 30.0
# A stream that moves may take this long. The first token is awaited for 15 s while another model is left, the last model's for two minutes.
TIMEOUTS = CallTimeouts(deadline_s=1_800.0, attempt_timeout_s=15.0, max_wait_s=2.0, silence_s=120.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTimes:
    """How long text is held, how long a call may wait for limits, in seconds, and the times of its attempts."""

    hold_s: float = 0.0
    max_wait_s: float = 20.0
    call: CallTimeouts = TIMEOUTS


class AnswerEndpoint:
    """Answers requests of one dialect with an engine."""

    def __init__(self, dialect: Dialect, engine: FallbackEngine, *, times: GatewayTimes) -> None:
        self.dialect = dialect
        self._engine = engine.with_timeouts(times.call)
        self._times = times

    async def __call__(self, request: Request) -> Response:
        now = int(self._engine.clock.wall())
        exchange = await read_request(request, lambda given: self.dialect.read(given, catalog=self._engine.catalog, now=now))
        if isinstance(exchange, Refusal):
            return refusal_response(exchange, self.dialect)
        body = exchange.body
        hold_s = _hold_s(request.headers.get(HOLD_HEADER), self._times.hold_s)
        caller = "" if self._engine.caller is None else self._engine.caller.name
        session = _session_of(request, body, caller)
        try:
            check = None if body.request.schema is None else SchemaCheck(dict(body.request.schema))
        except InputRefused as error:
            refusal = invalid(str(error).replace("response_schema", "response_format"), param="response_format")
            return refusal_response(refusal, self.dialect)
        stays = await self._engine.ledger.conversation_model(session)
        preferred = preferred_model(stays, has_open_calls=body.has_open_calls)
        call = _Call(
            engine=self._engine.with_origin(replace(self._engine.origin, session=session)),
            exchange=exchange,
            request=replace(body.request, preferred=preferred),
            check=check,
            session=session,
            stayed=stays,
            longest_wait_s=self._times.max_wait_s,
        )
        if body.stream:
            return _StreamedResponse(call, self, hold_s=hold_s)
        return _WholeResponse(call, self)

    async def limit_headers(self, provider: str, model: str) -> dict[str, str]:
        """What is left of the model's limits, in Groq's own headers."""
        found = [one for one in self._engine.registry.models() if one.name == provider]
        offered = found[0].models.get(model) if found else None
        if offered is None:
            return {}
        claim = self._engine.claim(Candidate(provider=provider, model=model, wire_model=model, documented=offered.documented))
        return _limit_headers((await self._engine.ledger.peek([claim]))[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One call of the engine. `stayed`: the model that answered this conversation so far, instead of its first."""

    engine: FallbackEngine
    exchange: Exchange
    request: ChatRequest
    check: Check | None
    session: str
    stayed: ConversationModel | None
    longest_wait_s: float

    async def serve(self, observer: HeldText | None) -> Answer | CallFailed | Refusal:
        """The outcome; never raises but for cancellation."""
        outcome = await outcome_of(
            self.engine.serve(
                self.request,
                observer=observer,
                check=self.check,
                repair=self.check is not None,
                longest_wait_s=self.longest_wait_s,
            )
        )
        notes = self.exchange.body.notes
        return replace(outcome, notes=(*notes, *outcome.notes)) if notes and isinstance(outcome, Answer) else outcome

    async def remember(self, answer: Answer) -> None:
        """Who answered the conversation."""
        stays = stays_after(answer, stayed=self.stayed)
        if stays is not None or self.stayed is not None:
            await self.engine.ledger.set_conversation_model(self.session, stays)

    async def start_over(self, candidate: Candidate) -> None:
        """The conversation goes on with a candidate when its request is sent again, and stays there."""
        model = ConversationModel(provider=candidate.provider, model=candidate.model, starts_over=True)
        await self.engine.ledger.set_conversation_model(self.session, model)


class _WholeResponse(Response):
    """An answer in one piece. A client that goes away ends the call."""

    def __init__(self, call: _Call, endpoint: AnswerEndpoint) -> None:
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
            outcome = _refusal(outcome, call.request)
        if isinstance(outcome, Refusal):
            return refusal_response(outcome, self._endpoint.dialect)
        await call.remember(outcome)
        value = call.exchange.whole(outcome)
        limits = await self._endpoint.limit_headers(outcome.provider, outcome.model)
        return json_response(value, headers={**answer_headers(outcome, session=call.session), **limits})


class _StreamedResponse(Response):
    """An answer as it comes."""

    def __init__(self, call: _Call, endpoint: AnswerEndpoint, *, hold_s: float) -> None:
        super().__init__()
        self._call = call
        self._endpoint = endpoint
        self._held = HeldText(hold_s=hold_s, clock=call.engine.clock.monotonic)
        self._writer = call.exchange.stream()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        serving = asyncio.ensure_future(self._call.serve(self._held))
        leaving = asyncio.ensure_future(gone(receive))
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
            if self._held.has_shown:
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
        begun = held.has_shown
        text = held.take()
        if not text:
            return
        first = b"" if begun else await self._begin(send)
        assert held.candidate is not None  # noqa: S101 - text comes from an attempt
        self._writer.model = held.candidate.model
        await _write(send, first + self._writer.text(text))

    async def _begin(self, send: Send, answer: Answer | None = None) -> bytes:
        """Send the status and the headers; returns the first events. Who answers is known now, what it costs only at the end."""
        call, candidate = self._call, self._held.candidate
        if answer is not None:
            headers, identity = answer_headers(answer, session=call.session), (answer.provider, answer.model)
        else:
            assert candidate is not None  # noqa: S101 - text comes from an attempt
            identity = candidate.identity
            headers = who_answers(*identity, session=call.session, notes=(*call.exchange.body.notes, *candidate.notes))
        self._writer.model = identity[1]
        headers |= await self._endpoint.limit_headers(*identity)
        headers |= {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        await send({"type": "http.response.start", "status": 200, "headers": raw_headers(headers)})
        return self._writer.begin("".join(self._held.reasoning) if call.exchange.body.include_reasoning else "")

    async def _finish(self, outcome: Answer | CallFailed | Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        held, call = self._held, self._call
        if isinstance(outcome, CallFailed):
            outcome = _refusal(outcome, call.request)
        if isinstance(outcome, Refusal):
            if held.has_shown:
                await self._break_off(send, f"The answer broke off, and no other model could continue it. {outcome.message}")
            else:
                await refusal_response(outcome, self._endpoint.dialect)(scope, receive, send)
            return
        rest = held.rest_of(outcome.success.text)
        if isinstance(rest, Diverged):
            await self._diverge(send)
            return
        await call.remember(outcome)
        last = b""
        if not held.has_shown:
            if outcome.success.reasoning and not held.reasoning:
                held.reasoning = [outcome.success.reasoning]
            last = await self._begin(send, outcome)
        writer = self._writer
        writer.model = outcome.model
        last += writer.text(rest) if rest else b""
        await send({"type": "http.response.body", "body": last + writer.end(outcome), "more_body": False})

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
        await _write(send, self._writer.broken(refusal))


def _refusal(error: CallFailed, request: ChatRequest) -> Refusal:
    """The error of a call that failed; for what fits no model one that agents show and do not repeat."""
    if error.code != "too_large":
        return failed(error)
    return too_large(error, estimate_prompt_tokens(request), answer=request.max_tokens or 0)


async def _write(send: Send, events: bytes) -> None:
    await send({"type": "http.response.body", "body": events, "more_body": True})


def _hold_s(stated: str | None, usual_s: float) -> float:
    """What a client's header asks for, within bounds; the usual time where it says nothing sensible."""
    try:
        wanted = usual_s if stated is None else float(stated)
    except ValueError:
        return usual_s
    return min(max(wanted, 0.0), LONGEST_HOLD_S) if wanted == wanted else usual_s  # noqa: PLR0124 - not a number


def _session_of(request: Request, body: ChatBody, caller: str) -> str:
    asked = body.request
    model = asked.model or asked.use_case
    return session_key(request.headers, names=body.names, model=model, messages=asked.messages, caller=caller)


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
