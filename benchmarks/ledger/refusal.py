"""How long it takes from one model's 429 to the request to the next: what the ledger and the policy add to a fallback."""

from __future__ import annotations

import random
import time

from groq_fallback_mcp.call import (
    AudioRequest,
    ChatRequest,
    Failure,
    FailureKind,
    Limit,
    Outcome,
    SpeechRequest,
    Success,
    Usage,
)
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.fallback import CallTimeouts, FallbackEngine
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.base import StreamOptions
from groq_fallback_mcp.providers.registry import ProviderRegistry
from groq_fallback_mcp.quota import open_ledger

__all__ = ["refusal_to_next_s"]

SAMPLES = 200
REFUSED, ANSWERS = "openai/gpt-oss-20b", "openai/gpt-oss-120b"


class _OneRefuses:
    """The first model answers 429 at once, with a wait that is over by the next sample; the second answers."""

    name = "groq"
    unready = None

    def __init__(self) -> None:
        self.refused_at = 0.0
        self.took_s: list[float] = []

    async def chat(
        self, request: ChatRequest, candidate: Candidate, *, timeout_s: float, stream: StreamOptions | None = None
    ) -> Outcome:
        del request, timeout_s, stream
        if candidate.wire_model == REFUSED:
            refusal = Failure(kind=FailureKind.RATE_LIMITED, message="", status=429, retry_after_s=0.001)
            self.refused_at = time.perf_counter()
            return refusal
        if self.refused_at:
            self.took_s.append(time.perf_counter() - self.refused_at)
        self.refused_at = 0.0
        return Success(model=candidate.wire_model, text="x", usage=Usage(input_tokens=70, output_tokens=10))

    async def transcribe(
        self, request: AudioRequest, candidate: Candidate, *, timeout_s: float, longest_s: float | None = None
    ) -> Outcome:
        raise NotImplementedError

    async def speak(self, request: SpeechRequest, candidate: Candidate, *, timeout_s: float) -> Outcome:
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing to close."""


async def refusal_to_next_s(path: str) -> list[float]:
    """Seconds between the two, for each sample, with a ledger in a SQLite file."""
    clock, catalog, provider = SystemClock(), load_catalog(), _OneRefuses()
    limits = {Limit.RPM: 10**6, Limit.TPM: 10_000_000}
    models = {name: ProviderModel(row=catalog.models[name], wire_model=name, documented=limits) for name in (REFUSED, ANSWERS)}
    offers = [ProviderModels(name="groq", models=models, cataloged=True)]
    ledger = open_ledger(f"sqlite://{path}", clock)
    engine = FallbackEngine(
        catalog=catalog,
        registry=ProviderRegistry(providers={"groq": provider}, models=offers, organizations={}, clock=clock, groq=None),
        ledger=ledger,
        clock=clock,
        timeouts=CallTimeouts(),
        jitter=random.random,
    )
    request = ChatRequest(messages=({"role": "user", "content": "hi"},), model=REFUSED, max_tokens=100)
    for _ in range(SAMPLES):
        await engine.serve(request)
        await clock.sleep(0.06)
    await ledger.aclose()
    return provider.took_s
