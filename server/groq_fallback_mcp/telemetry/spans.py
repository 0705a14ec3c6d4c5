"""A call as spans of OpenTelemetry: one for the call, a child for each attempt that was sent, an event for each that was skipped.

Names follow the GenAI semantic conventions 0.1.0 (github.com/open-telemetry/semantic-conventions-genai, read on 2026-11-29). Token counts
are on the attempt that answered and nowhere else, so that a sum over spans counts them once.
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from groq_fallback_mcp.call import ANSWERED, AttemptRecord, CallOrigin, CallRecord
from groq_fallback_mcp.telemetry.labels import label

__all__ = ["attempt_attributes", "make_spans"]

NS = 1_000_000_000
# Where the conventions have another name for a provider than we do.
_PROVIDERS = {"gemini": "gcp.gemini", "mistral": "mistral_ai", "moonshot": "moonshot_ai"}
_PROPAGATOR = TraceContextTextMapPropagator()


def make_spans(tracer: Tracer, record: CallRecord) -> None:
    """Make the spans of a call that has ended, with the times at which things happened."""
    parent, is_local = _parent(record.origin)
    started = int(record.started_at * NS)
    # a call that came over HTTP enters the process here, unless the web framework has made a span of its own
    kind = SpanKind.SERVER if record.origin.endpoint.startswith("/") and not is_local else SpanKind.INTERNAL
    model = label(record.requested_model or record.model)
    span = tracer.start_span(
        f"{record.kind} {model}".rstrip(), context=parent, kind=kind, attributes=_call_attributes(record), start_time=started
    )
    of_call = trace.set_span_in_context(span)
    for attempt in record.attempts:
        begun = started + int(attempt.begun_s * NS)
        if attempt.sent:
            _attempt_span(tracer, record, attempt, of_call, begun)
        else:
            span.add_event("groq_fallback.attempt.skipped", _skipped(attempt), timestamp=begun)
    _set_status(span, record.outcome)
    span.end(started + int(record.duration_s * NS))


def attempt_attributes(record: CallRecord, attempt: AttemptRecord) -> dict[str, AttributeValue]:
    """What tells an attempt from others: operation, provider, model and how it ended."""
    found: dict[str, AttributeValue] = {
        "gen_ai.operation.name": record.kind,
        "gen_ai.provider.name": _PROVIDERS.get(attempt.provider, label(attempt.provider)),
        "gen_ai.request.model": label(attempt.model),
    }
    if attempt.outcome != ANSWERED:
        found["error.type"] = attempt.outcome
    return found


def _parent(origin: CallOrigin) -> tuple[Context, bool]:
    """The trace that a call belongs to, and whether its span is of this process.

    A span that is current, such as the MCP SDK's or a web framework's, already belongs to the caller's trace.
    """
    current = trace.get_current_span().get_span_context()
    if current.is_valid:
        return get_current(), not current.is_remote
    carrier = {"traceparent": origin.traceparent, "tracestate": origin.tracestate}
    return _PROPAGATOR.extract(carrier, context=Context()), False


def _call_attributes(record: CallRecord) -> Mapping[str, AttributeValue]:
    origin = record.origin
    named = {
        "gen_ai.request.model": record.requested_model,
        "gen_ai.response.model": record.model,
        "groq_fallback.session": origin.session,
        "groq_fallback.call.id": record.id,
        "groq_fallback.endpoint": origin.endpoint,
        "groq_fallback.client": origin.client,
        "groq_fallback.token": origin.caller,
        "groq_fallback.use_case": record.use_case,
    }
    found: dict[str, AttributeValue] = {
        "gen_ai.operation.name": record.kind,
        "groq_fallback.fallback": record.fallback,
        "groq_fallback.wait": record.waited_s,
        **{name: label(value) for name, value in named.items() if value},
    }
    if record.cost_usd is not None:
        found["groq_fallback.cost_usd"] = float(record.cost_usd)
    if record.simulated:
        found["groq_fallback.simulated"] = True
    return found


def _attempt_span(tracer: Tracer, record: CallRecord, attempt: AttemptRecord, parent: Context, begun: int) -> None:
    attributes = attempt_attributes(record, attempt)
    if attempt.first_token_s is not None:
        attributes |= {"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": attempt.first_token_s}
    if attempt.status is not None:
        attributes["http.response.status_code"] = attempt.status
    if attempt.outcome == ANSWERED:
        attributes |= _usage(record)
    name = f"{record.kind} {label(attempt.model)}"
    span = tracer.start_span(name, context=parent, kind=SpanKind.CLIENT, attributes=attributes, start_time=begun)
    if attempt.outcome != ANSWERED:
        span.set_status(StatusCode.ERROR)
    span.end(begun + int(attempt.duration_s * NS))


def _usage(record: CallRecord) -> Mapping[str, AttributeValue]:
    usage = record.usage
    known = {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }
    return {"gen_ai.response.model": label(record.model), **{name: count for name, count in known.items() if count}}


def _skipped(attempt: AttemptRecord) -> Mapping[str, AttributeValue]:
    return {
        "gen_ai.provider.name": _PROVIDERS.get(attempt.provider, label(attempt.provider)),
        "gen_ai.request.model": label(attempt.model),
        "groq_fallback.reason": attempt.reason or attempt.outcome,
    }


def _set_status(span: Span, outcome: str) -> None:
    if outcome != ANSWERED:
        span.set_attribute("error.type", outcome)
        span.set_status(StatusCode.ERROR)
