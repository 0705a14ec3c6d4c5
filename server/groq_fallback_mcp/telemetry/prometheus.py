"""What Prometheus reads: counts of this process's calls, and at each scrape what is left of the limits, which processes share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from groq_fallback_mcp.call import CallRecord
from groq_fallback_mcp.fallback import FallbackEngine
from groq_fallback_mcp.telemetry.labels import BoundedLabels, label
from groq_fallback_mcp.telemetry.ledger_gauges import ledger_gauges

__all__ = ["CallMetrics"]

MOST_CLIENTS = 64
MOST_MODELS = 200
# Of endpoints, clients and models together.
MOST_CALLS = 1_000
# Seconds: from a fast provider's first token to the deadline of a call.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)
MODEL = ("provider", "model")


class CallMetrics:
    """A CallListener that counts, and the page for Prometheus. Its registry is its own: nothing of it is global."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._clients = BoundedLabels(MOST_CLIENTS)
        self._models = BoundedLabels(MOST_MODELS)
        self._combinations = BoundedLabels(MOST_CALLS)
        self._calls = self._counter(
            "calls", "Calls that ended, by endpoint, client, who answered and outcome.", "endpoint", "client", *MODEL, "outcome"
        )
        self._attempts = self._counter("attempts", "Attempts at a model, sent or skipped, by outcome.", *MODEL, "outcome")
        self._tokens = self._counter("tokens", "Tokens of answered calls.", *MODEL, "direction")
        self._cost = self._counter("cost_usd", "Cost in US dollars of answered calls whose price is known.", *MODEL)
        self._fallbacks = self._counter("fallbacks", "Calls answered by another model than the first choice.", *MODEL)
        self._duration = self._histogram("call_duration_seconds", "Seconds from the beginning of a call to its end.", *MODEL)
        self._first_token = self._histogram(
            "time_to_first_token_seconds", "Seconds from the beginning of a streamed call to its first token.", *MODEL
        )
        self._wait = self._histogram("wait_seconds", "Seconds that a call waited for rate limits, 0 for most.")

    def call_started(self) -> None:
        """Nothing: the engine knows which calls are in progress."""

    def call_ended(self, record: CallRecord) -> None:
        """Count it."""
        answered = self._models.of(record.provider, record.model)
        (client,) = self._clients.of(record.origin.client)
        combination = self._combinations.bounded(label(record.origin.endpoint), client, *answered)
        self._calls.labels(*combination, record.outcome).inc()
        for attempt in record.attempts:
            self._attempts.labels(*self._models.of(attempt.provider, attempt.model), attempt.outcome).inc()
        self._duration.labels(*answered).observe(record.duration_s)
        self._wait.observe(record.waited_s)
        if record.first_token_s is not None:
            self._first_token.labels(*answered).observe(record.first_token_s)
        if not record.model:
            return
        self._tokens.labels(*answered, "input").inc(record.usage.input_tokens)
        self._tokens.labels(*answered, "output").inc(record.usage.output_tokens)
        if record.cost_usd is not None:
            self._cost.labels(*answered).inc(float(record.cost_usd))
        if record.fallback:
            self._fallbacks.labels(*answered).inc()

    async def page(self, engine: FallbackEngine, accept: str = "") -> tuple[bytes, str]:
        """The page and its content type, in the format that the header Accept asks for. Spends nothing of any limit."""
        encode, content_type = choose_encoder(accept)
        return encode(_Scrape(self._registry, await ledger_gauges(engine))), content_type

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"groq_fallback_{name}", f"{words} This process only.", labels, registry=self._registry)

    def _histogram(self, name: str, words: str, *labels: str) -> Histogram:
        words = f"{words} This process only."
        return Histogram(f"groq_fallback_{name}", words, labels, registry=self._registry, buckets=BUCKETS)


class _Scrape(Collector):
    """What one scrape shows."""

    def __init__(self, registry: CollectorRegistry, gauges: Sequence[Metric]) -> None:
        self._registry = registry
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            # when a series was first counted would be a third as many series again, and Prometheus drops it unless set up otherwise
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
        yield from self._gauges
