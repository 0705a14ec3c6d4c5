"""Spans and metrics of calls, read by OpenTelemetry's own in-memory exporter and reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import anyio
import pytest
from fakes import GROQ_CHAT_MODELS, World, failure, provider_models, rate_limited
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id
from servers import connected
from upstream import ask

from groq_fallback_mcp.call import CallOrigin, CallRecord, ChatRequest, FailureKind
from groq_fallback_mcp.gateway.app import gateway_app
from groq_fallback_mcp.gateway.endpoint import GatewayTimes
from groq_fallback_mcp.redaction import register_secrets
from groq_fallback_mcp.telemetry.otel import CallTelemetry
from groq_fallback_mcp.tools import Context

pytestmark = pytest.mark.anyio
FIRST, SECOND, _ = GROQ_CHAT_MODELS
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
WORDS = "the words of the prompt"


@dataclass
class Collected:
    """What was made of calls."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def __post_init__(self) -> None:
        self.telemetry = CallTelemetry(processor=SimpleSpanProcessor(self.exporter), reader=self.reader)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """The spans, in the order in which they began."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: (span.start_time or 0, span.kind.value == 2))

    def points(self, name: str) -> list[tuple[dict[str, object], float]]:
        """Attributes and sum of each series of a metric."""
        found = self.reader.get_metrics_data()
        assert found is not None
        return [
            (dict(point.attributes or {}), point.sum if hasattr(point, "sum") else point.value)
            for resource in found.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


@pytest.fixture
def collected() -> Iterator[Collected]:
    found = Collected()
    yield found
    found.telemetry._shut_down()


def request(**fields: object) -> ChatRequest:
    return ChatRequest(messages=({"role": "user", "content": WORDS},), **fields)  # type: ignore[arg-type]


def parent_of(span: ReadableSpan) -> tuple[str, str]:
    """The ids of the trace and of the parent."""
    assert span.parent is not None
    return format_trace_id(span.parent.trace_id), format_span_id(span.parent.span_id)


async def test_a_call_is_a_span_with_a_child_for_each_attempt(collected: Collected) -> None:
    world = World(listeners=[collected.telemetry])
    world.groq.script(FIRST, rate_limited(60.0))
    began = world.clock.wall()
    await world.engine.with_origin(CallOrigin(endpoint="/v1/messages", client="kilo", session="s1")).serve(request())
    call, first, second = collected.spans
    assert [(span.name, span.kind) for span in (call, first, second)] == [
        (f"chat {SECOND}", SpanKind.SERVER),
        (f"chat {FIRST}", SpanKind.CLIENT),
        (f"chat {SECOND}", SpanKind.CLIENT),
    ]
    assert first.parent == second.parent == call.context
    assert call.parent is None
    assert call.start_time == pytest.approx(began * 1e9, abs=1e6)
    assert (call.end_time or 0) - (call.start_time or 0) == pytest.approx(0.2e9, abs=0.05e9)
    assert (first.end_time or 0) <= (second.start_time or 0)
    assert dict(first.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "groq",
        "gen_ai.request.model": FIRST,
        "error.type": "rate_limited",
        "http.response.status_code": 429,
    }
    assert dict(second.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "groq",
        "gen_ai.request.model": SECOND,
        "gen_ai.response.model": SECOND,
        "gen_ai.usage.input_tokens": 50,
        "gen_ai.usage.output_tokens": 50,
    }
    about = dict(call.attributes or {})
    assert about["groq_fallback.fallback"] is True
    assert (about["groq_fallback.session"], about["groq_fallback.client"]) == ("s1", "kilo")
    assert "gen_ai.usage.input_tokens" not in about
    assert [span.status.status_code for span in (call, first, second)] == [
        StatusCode.UNSET,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]


async def test_a_model_that_was_skipped_is_an_event_of_the_call(collected: Collected) -> None:
    world = World(listeners=[collected.telemetry])
    world.groq.script(FIRST, rate_limited(60.0))
    await world.engine.serve(request())
    collected.exporter.clear()
    await world.engine.serve(request())
    call, attempt = collected.spans
    (event,) = call.events
    assert (event.name, dict(event.attributes or {})) == (
        "groq_fallback.attempt.skipped",
        {"gen_ai.provider.name": "groq", "gen_ai.request.model": FIRST, "groq_fallback.reason": "rate_limited"},
    )
    assert attempt.name == f"chat {SECOND}"


async def test_the_trace_of_an_http_request_goes_on(collected: Collected) -> None:
    world = World(listeners=[collected.telemetry])
    app = gateway_app(Context(engine=world.engine, folders=()), times=GatewayTimes())
    body = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": WORDS}]}
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}
    assert (await ask(app, body, headers=headers)).status == 200
    call, attempt = collected.spans
    assert parent_of(call) == (TRACE, PARENT)
    assert call.parent is not None
    assert call.parent.is_remote
    assert call.context.trace_state.get("vendor") == "1"
    assert attempt.parent == call.context


async def test_the_trace_of_an_mcp_client_goes_on(collected: Collected) -> None:
    """It comes in _meta."""
    world = World(listeners=[collected.telemetry])
    async with connected(world) as client:
        await client.call_tool("groq_chat", {"prompt": WORDS}, meta={"traceparent": TRACEPARENT})  # type: ignore[arg-type]
    call, attempt = collected.spans
    assert parent_of(call) == (TRACE, PARENT)
    assert call.kind is SpanKind.INTERNAL
    assert attempt.parent == call.context


async def test_a_span_that_is_current_is_the_parent(collected: Collected) -> None:
    """As the MCP SDK's own is, where a program around the server has set up OpenTelemetry; it is in the caller's trace already."""
    world = World(listeners=[collected.telemetry])
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("around")
    with tracer.start_as_current_span("tools/call groq_chat") as around:
        await world.engine.with_origin(CallOrigin(endpoint="/v1/messages", traceparent=TRACEPARENT)).serve(request())
    call = collected.spans[0]
    assert call.parent == around.get_span_context()
    assert call.kind is SpanKind.INTERNAL


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "nonsense",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
        "é" * 600,
    ],
)
async def test_a_trace_context_that_is_no_such_thing_is_ignored(traceparent: str, collected: Collected) -> None:
    world = World(listeners=[collected.telemetry])
    await world.engine.with_origin(CallOrigin(traceparent=traceparent, tracestate="\x00=")).serve(request())
    call = collected.spans[0]
    assert call.parent is None
    assert format_trace_id(call.context.trace_id) != TRACE


async def test_a_trace_state_without_end_is_dropped_and_the_trace_goes_on(collected: Collected) -> None:
    world = World(listeners=[collected.telemetry])
    await world.engine.with_origin(CallOrigin(traceparent=TRACEPARENT, tracestate="a=" + "b" * 1_000_000)).serve(request())
    assert parent_of(collected.spans[0]) == (TRACE, PARENT)
    assert len(collected.spans[0].context.trace_state.to_header()) < 1_000


async def test_a_trace_that_is_not_sampled_makes_no_spans(collected: Collected) -> None:
    """Its metrics count all the same."""
    world = World(listeners=[collected.telemetry])
    await world.engine.with_origin(CallOrigin(traceparent=f"00-{TRACE}-{PARENT}-00")).serve(request())
    assert not collected.spans
    assert collected.points("groq_fallback.call.duration")


async def test_a_call_that_fails_or_is_cancelled_has_an_error_status(collected: Collected) -> None:
    world = World([provider_models("groq", [FIRST])], listeners=[collected.telemetry])
    world.groq.script(FIRST, failure(FailureKind.AUTHENTICATION))
    await world.engine.serve(request())
    failed = collected.spans[0]
    assert (failed.status.status_code, (failed.attributes or {})["error.type"]) == (StatusCode.ERROR, "authentication")

    collected.exporter.clear()
    started = anyio.Event()

    async def hang() -> None:
        started.set()
        await anyio.sleep_forever()

    world = World(listeners=[collected.telemetry])
    world.groq.before = hang
    async with anyio.create_task_group() as group:
        group.start_soon(world.engine.serve, request())
        await started.wait()
        group.cancel_scope.cancel()
    for span in collected.spans:
        assert (span.status.status_code, (span.attributes or {})["error.type"]) == (StatusCode.ERROR, "cancelled")
    assert len(collected.spans) == 2


async def test_metrics_follow_the_conventions_and_count_what_only_we_know(collected: Collected) -> None:
    world = World(listeners=[collected.telemetry])
    world.groq.script(FIRST, rate_limited(60.0))
    await world.engine.serve(request())
    answered = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "groq", "gen_ai.request.model": SECOND}
    limited = {**answered, "gen_ai.request.model": FIRST, "error.type": "rate_limited"}
    seconds = collected.points("gen_ai.client.inference.duration")
    assert [about for about, _ in seconds] == [limited, answered]
    assert [taken for _, taken in seconds] == [pytest.approx(0.1, abs=0.01)] * 2
    assert collected.points("gen_ai.client.inference.usage.input_tokens") == [(answered, 50)]
    assert collected.points("gen_ai.client.inference.usage.output_tokens") == [(answered, 50)]
    of_call = {"gen_ai.operation.name": "chat"}
    assert collected.points("groq_fallback.call.fallbacks") == [(of_call, 1)]
    assert collected.points("groq_fallback.call.wait") == [(of_call, 0)]


async def test_any_number_of_models_makes_a_bounded_number_of_series(collected: Collected) -> None:
    from groq_fallback_mcp.call import AttemptRecord

    for number in range(1_000):
        attempt = AttemptRecord(provider="local", model=f"model{number}", outcome="answered")
        collected.telemetry.call_ended(CallRecord(id="1", started_at=0.0, attempts=[attempt]))
    assert len(collected.points("gen_ai.client.inference.duration")) == 201


async def test_neither_text_nor_a_secret_is_in_spans_or_metrics(collected: Collected) -> None:
    register_secrets("s3cret-of-the-owner")
    world = World([provider_models("groq", ["s3cret-of-the-owner-1", FIRST])], listeners=[collected.telemetry])
    world.groq.default = failure(FailureKind.SERVER_ERROR)
    origin = CallOrigin(
        endpoint="groq_chat", client="s3cret-of-the-owner", caller="s3cret-of-the-owner", session="s3cret-of-the-owner"
    )
    await world.engine.with_origin(origin).serve(request(model=FIRST))
    record = CallRecord(
        id="1",
        started_at=0.0,
        origin=origin,
        requested_model="s3cret-of-the-owner",
        provider="s3cret-of-the-owner",
        model="s3cret-of-the-owner",
    )
    collected.telemetry.call_ended(record)
    shown = "".join(span.to_json() for span in collected.spans) + str(collected.reader.get_metrics_data())
    assert "[redacted]" in shown
    assert "s3cret" not in shown
    assert "words" not in shown


async def test_a_fault_of_the_sdk_costs_no_call(collected: Collected, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("groq_fallback_mcp.telemetry.otel.make_spans", broken)
    world = World(listeners=[collected.telemetry])
    answered = await world.engine.serve(request())
    assert getattr(answered, "model", "") == FIRST
