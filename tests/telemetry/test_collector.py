"""OTLP over HTTP to a collector on this machine, decoded by OpenTelemetry's own protocol classes; and what it costs where it is off."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from fakes import GROQ_CHAT_MODELS, World, rate_limited
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.call import CallOrigin, CallRecord, ChatRequest
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.redaction import sanitize
from groq_fallback_mcp.settings import Settings, load_settings
from groq_fallback_mcp.telemetry.open_telemetry import open_telemetry
from groq_fallback_mcp.telemetry.otel import CallTelemetry, connect

pytestmark = pytest.mark.anyio
FIRST, SECOND, _ = GROQ_CHAT_MODELS
ON = Settings(otel=True)


@dataclass
class Collector:
    """Takes what is sent, as /v1/traces and /v1/metrics."""

    hangs: bool = False
    received: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list[tuple[str, dict[str, str], bytes]])
    port: int = 0

    def bodies(self, path: str) -> list[bytes]:
        """What came at a path."""
        return [body for at, _, body in self.received if at == path]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """One on loopback, named by the standard variable."""
    found, gone = Collector(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if found.hangs:
                gone.wait(30)
                return
            found.received.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    found.port = server.server_port
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{found.port}")
    try:
        yield found
    finally:
        gone.set()
        server.shutdown()
        server.server_close()
        thread.join()
        # what was given up on must not run beside other tests
        for left in threading.enumerate():
            if left.name.lower().startswith("otel"):
                left.join(20)


def opened(settings: Settings = ON) -> CallTelemetry:
    """What sends to the collector."""
    telemetry = connect(settings)
    assert telemetry is not None
    return telemetry


async def one_call(telemetry: CallTelemetry) -> None:
    """A call with a fallback."""
    world = World(listeners=[telemetry])
    world.groq.script(FIRST, rate_limited(60.0))
    await world.engine.with_origin(CallOrigin(endpoint="/v1/messages")).serve(
        ChatRequest(messages=({"role": "user", "content": "the words of the prompt"},))
    )


async def test_a_collector_gets_spans_and_metrics(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the headers and the name of the service that the standard variables state."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20key-of-the-collector")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    telemetry = opened()
    await one_call(telemetry)
    await telemetry.aclose()
    (sent,) = collector.bodies("/v1/traces")
    (resource,) = ExportTraceServiceRequest.FromString(sent).resource_spans
    about = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert (about["service.name"], about["deployment.environment.name"]) == ("groq-fallback-mcp", "test")
    (scope,) = resource.scope_spans
    assert sorted(span.name for span in scope.spans) == sorted([f"chat {SECOND}", f"chat {FIRST}", f"chat {SECOND}"])
    (counted,) = collector.bodies("/v1/metrics")
    names = {
        metric.name
        for resource in ExportMetricsServiceRequest.FromString(counted).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {"gen_ai.client.inference.duration", "groq_fallback.call.fallbacks"} <= names
    assert all(headers["authorization"] == "Bearer key-of-the-collector" for _, headers, _ in collector.received)
    assert sanitize("it is key-of-the-collector") == "it is [redacted]"
    assert b"words of the prompt" not in sent + counted


async def test_a_collector_that_hangs_slows_neither_calls_nor_the_end(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector.hangs = True
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    began = time.monotonic()
    async with open_context(Settings(otel=True, local="off")) as context:
        listener = next(one for one in context.engine._listeners if isinstance(one, CallTelemetry))
        for _ in range(200):
            listener.call_ended(CallRecord(id="1", started_at=0.0))
            await anyio.lowlevel.checkpoint()
        ending = time.monotonic()
    assert ending - began < 2.0
    assert time.monotonic() - ending < 1.8


async def test_a_proxy_of_the_environment_is_not_used(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for all other connections."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    telemetry = opened()
    await one_call(telemetry)
    await telemetry.aclose()
    assert collector.bodies("/v1/traces")


@pytest.mark.parametrize(
    ("name", "value", "paths"),
    [
        ("OTEL_TRACES_EXPORTER", "none", {"/v1/metrics"}),
        ("OTEL_METRICS_EXPORTER", "none", {"/v1/traces"}),
        ("OTEL_TRACES_SAMPLER", "always_off", {"/v1/metrics"}),
    ],
)
async def test_the_standard_variables_turn_either_signal_off(
    name: str, value: str, paths: set[str], collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    telemetry = opened()
    await one_call(telemetry)
    await telemetry.aclose()
    assert {path for path, _, _ in collector.received} == paths


async def test_off_by_the_sdks_own_variable_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert open_telemetry(ON) is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("OTEL_TRACES_EXPORTER", "jaeger", "OTEL_TRACES_EXPORTER is 'jaeger'. Set it to none or otlp."),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'. Set it to http/protobuf."),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "me:secret@collector:4318",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is not an http(s) address. Set it to http://HOST:PORT or https://HOST.",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://[::1",
            "OTEL_EXPORTER_OTLP_ENDPOINT is not an http(s) address. Set it to http://HOST:PORT or https://HOST.",
        ),
    ],
)
async def test_what_cannot_be_sent_as_a_variable_says_is_refused_at_the_start(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refusal:
        open_telemetry(ON)
    assert str(refusal.value) == words


async def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "groq_fallback_mcp.telemetry.otel", None)
    with pytest.raises(
        ConfigurationError, match=r"OpenTelemetry SDK is not installed .* Run .*otel.*GROQ_FALLBACK_OTEL to off"
    ):
        open_telemetry(ON)


async def test_it_is_off_unless_the_setting_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_telemetry(load_settings()) is None
    monkeypatch.setenv("GROQ_FALLBACK_OTEL", "on")
    assert load_settings().otel


@pytest.mark.parametrize(
    "program",
    [
        "from groq_fallback_mcp.cli.app import main\nsys.argv = ['groq-fallback-mcp', '--version']\ntry:\n    main()\nexcept SystemExit: pass",
        "from groq_fallback_mcp.cli.serve import serve\ntry:\n    serve()\nexcept SystemExit: pass",
    ],
    ids=["version", "stdio"],
)
def test_off_neither_the_sdk_nor_prometheus_is_imported(program: str) -> None:
    """Only the API is, by the MCP SDK."""
    after = "\nheavy = [name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter', 'prometheus_client', 'requests'))]\nsys.stderr.write(f'imported: {heavy}')"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}{after}"],
        input="",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr.endswith("imported: []")
