"""OpenTelemetry: sends spans and metrics of calls to a collector, over OTLP/HTTP, as the standard OTEL_ variables say.

Providers are ours alone, never the process's global ones: libraries that make spans of their own accord, with whatever text, send nothing by
this way. What is sent waits in bounded queues and leaves in threads beside the calls.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from urllib.parse import unquote

import anyio
import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Counter, Histogram, Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.util.types import AttributeValue

from groq_fallback_mcp import __version__
from groq_fallback_mcp.addresses import is_http_url
from groq_fallback_mcp.call import ANSWERED, CallRecord
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.redaction import register_secrets
from groq_fallback_mcp.settings import Settings, secrets_in
from groq_fallback_mcp.telemetry.labels import BoundedLabels
from groq_fallback_mcp.telemetry.spans import attempt_attributes, make_spans

__all__ = ["CallTelemetry", "connect"]

NAME = "groq-fallback-mcp"
MOST_MODELS = 200
ENDPOINT = "http://localhost:4318"
POLL_S = 0.01
# As the conventions advise.
BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)


class CallTelemetry:
    """A CallListener that makes spans and metrics of each call that has ended. `processor` gets the spans, `reader` reads the metrics."""

    def __init__(self, *, processor: SpanProcessor | None, reader: MetricReader | None) -> None:
        resource = _resource()
        # not at exit: that would wait for a collector that does not answer
        self._tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        if processor is not None:
            self._tracers.add_span_processor(processor)
        self._meters = MeterProvider([] if reader is None else [reader], resource=resource, shutdown_on_exit=False)
        self._tracer = None if processor is None else self._tracers.get_tracer(NAME, __version__)
        self._instruments = None if reader is None else _Instruments(self._meters.get_meter(NAME, __version__))

    def call_started(self) -> None:
        """Nothing: spans are made at the end, when all is known."""

    def call_ended(self, record: CallRecord) -> None:
        """Make its spans and count it. They are sent later, from another thread."""
        if self._tracer is not None:
            make_spans(self._tracer, record)
        if self._instruments is not None:
            self._instruments.count(record)

    async def aclose(self) -> None:
        """Send what waits. If this is cancelled, the thread goes on until the process ends, which does not wait for it."""
        # a thread of anyio's own would be waited for
        thread = threading.Thread(target=self._shut_down, name="otel-shutdown", daemon=True)
        thread.start()
        while thread.is_alive():  # noqa: ASYNC110 - threads tell nobody that they end
            await anyio.sleep(POLL_S)

    def _shut_down(self) -> None:
        self._tracers.shutdown()
        self._meters.shutdown()


class _Instruments:
    """What is measured of attempts, by the conventions, and of calls, by our own names."""

    def __init__(self, meter: Meter) -> None:
        def seconds(name: str, words: str) -> Histogram:
            return meter.create_histogram(name, unit="s", description=words, explicit_bucket_boundaries_advisory=BUCKETS)

        def tokens(name: str, words: str) -> Counter:
            return meter.create_counter(name, unit="{token}", description=words)

        self._models = BoundedLabels(MOST_MODELS)
        self._inference = seconds("gen_ai.client.inference.duration", "Duration of an attempt at a model.")
        self._first_chunk = seconds("gen_ai.client.inference.time_to_first_chunk", "Time to an attempt's first chunk.")
        self._input = tokens("gen_ai.client.inference.usage.input_tokens", "Input tokens used.")
        self._output = tokens("gen_ai.client.inference.usage.output_tokens", "Output tokens used.")
        self._call = seconds("groq_fallback.call.duration", "Duration of a call with all its attempts and waits.")
        self._wait = seconds("groq_fallback.call.wait", "Time that a call waited for rate limits.")
        self._fallbacks = meter.create_counter(
            "groq_fallback.call.fallbacks", unit="{call}", description="Calls answered by another model than the first choice."
        )

    def count(self, record: CallRecord) -> None:
        for attempt in record.attempts:
            if not attempt.sent:
                continue
            about = attempt_attributes(record, attempt)
            names = ("gen_ai.provider.name", "gen_ai.request.model")
            about |= zip(names, self._models.bounded(*(str(about[name]) for name in names)), strict=True)
            self._inference.record(attempt.duration_s, about)
            if attempt.first_token_s is not None:
                self._first_chunk.record(attempt.first_token_s, about)
            if attempt.outcome == ANSWERED:
                self._input.add(record.usage.input_tokens, about)
                self._output.add(record.usage.output_tokens, about)
        of_call: dict[str, AttributeValue] = {"gen_ai.operation.name": record.kind}
        if record.outcome != ANSWERED:
            of_call["error.type"] = record.outcome
        self._call.record(record.duration_s, of_call)
        self._wait.record(record.waited_s, of_call)
        if record.fallback:
            self._fallbacks.add(1, of_call)


def connect(settings: Settings) -> CallTelemetry | None:
    """What sends to the collector of the OTEL_ variables; None where those turn it off.

    Nothing is connected before something is sent. Raises ConfigurationError for a variable that cannot be used.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    spans, metrics = _is_sent("TRACES"), _is_sent("METRICS")
    if not spans and not metrics:
        return None
    _register_headers()
    try:
        return CallTelemetry(
            processor=BatchSpanProcessor(OTLPSpanExporter(session=_session(settings, "TRACES"))) if spans else None,
            reader=PeriodicExportingMetricReader(OTLPMetricExporter(session=_session(settings, "METRICS")))
            if metrics
            else None,
        )
    except ValueError as error:
        raise ConfigurationError(
            f"OpenTelemetry cannot be started ({error})", next_step="Correct the OTEL_ variable that sets this value"
        ) from None


def _is_sent(signal: str) -> bool:
    """Whether a signal is sent. OTLP over HTTP is the only way: others would need another exporter."""
    for name, known in (
        (f"OTEL_{signal}_EXPORTER", {"otlp", "none"}),
        (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", {"http/protobuf"}),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", {"http/protobuf"}),
    ):
        value = os.environ.get(name, "").strip().lower()
        if value and value not in known:
            raise ConfigurationError(f"{name} is {value[:80]!r}", next_step=f"Set it to {' or '.join(sorted(known))}")
        if value == "none":
            return False
    return True


def _resource() -> Resource:
    """Who sends: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence."""
    ours: Mapping[str, AttributeValue] = {SERVICE_NAME: NAME, SERVICE_VERSION: __version__}
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({SERVICE_VERSION: __version__} if named else ours)


def _session(settings: Settings, signal: str) -> requests.Session:
    """A connection by the proxy of our settings; like all others here it ignores HTTP_PROXY and ~/.netrc."""
    session = requests.Session()
    session.trust_env = False
    names = (f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    stated = next((name for name in names if os.environ.get(name)), None)
    endpoint = ENDPOINT if stated is None else os.environ[stated]
    if not is_http_url(endpoint):
        # it may have a password, so it is not shown
        raise ConfigurationError(f"{stated} is not an http(s) address", next_step="Set it to http://HOST:PORT or https://HOST")
    proxy = settings.proxy_to(endpoint)
    if proxy is not None:
        session.proxies = {"http": proxy, "https": proxy}
    return session


def _register_headers() -> None:
    """Keys for the collector, in headers or in its address, are in no output."""
    for name in ("", "TRACES_", "METRICS_"):
        for header in os.environ.get(f"OTEL_EXPORTER_OTLP_{name}HEADERS", "").split(","):
            value = unquote(header.partition("=")[2]).strip()
            register_secrets(value, value.rpartition(" ")[2])
        register_secrets(*secrets_in(os.environ.get(f"OTEL_EXPORTER_OTLP_{name}ENDPOINT", "")))
