"""The real engine over the virtual Groq: only the provider's network is replaced, by what it would have read there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.goodput.contender import CURRENT, Contender, Served
from benchmarks.goodput.models import DEADLINES_S, LIMITS, ORDERS
from benchmarks.goodput.prompts import text_of
from benchmarks.goodput.upstream import OK, Reply, Upstream
from benchmarks.goodput.virtual_time import EPOCH, VirtualClock
from benchmarks.goodput.workload import Job
from groq_fallback_mcp.call import (
    AudioFile,
    AudioRequest,
    ChatRequest,
    Failure,
    FailureKind,
    Outcome,
    SpeechRequest,
    Success,
    Transcript,
    Usage,
)
from groq_fallback_mcp.catalog import Catalog, load_catalog
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.fallback import CallTimeouts, FallbackEngine
from groq_fallback_mcp.fallback.call_state import Answer
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.base import StreamOptions
from groq_fallback_mcp.providers.classify import classify
from groq_fallback_mcp.providers.rate_limit_headers import snapshot
from groq_fallback_mcp.providers.registry import ProviderRegistry
from groq_fallback_mcp.quota import Ledger, memory_ledger

__all__ = ["engines", "new_ledger"]

# A client that gives up at a deadline is told an earlier one, as Kilo's 60 s and our 50 s are: so the server itself ends
# a call that is too late, and knows that it was sent.
HEADSTART_S = 0.1


def new_ledger(clock: Clock) -> Ledger:
    """The ledger that all processes of a run share. Whatever store it has, it must not wait in real time."""
    return memory_ledger(clock)


def engines(processes: int, upstream: Upstream, *, seed: int) -> Sequence[Contender]:
    """As many processes as asked, with one ledger."""
    clock = VirtualClock(upstream.loop)
    ledger = new_ledger(clock)
    return [_Process(upstream, ledger, clock, seed=seed * 100 + number) for number in range(processes)]


class _Process:
    """One server process. The deadline belongs to an engine's timeouts, so there is an engine for each."""

    def __init__(self, upstream: Upstream, ledger: Ledger, clock: Clock, *, seed: int) -> None:
        chance = random.Random(seed)
        provider = _VirtualGroq(upstream)
        registry = ProviderRegistry(providers={"groq": provider}, models=[_offer()], organizations={}, clock=clock, groq=None)
        self._engines = {
            deadline_s: FallbackEngine(
                catalog=_catalog(),
                registry=registry,
                ledger=ledger,
                clock=clock,
                timeouts=CallTimeouts(deadline_s=deadline_s - HEADSTART_S),
                jitter=chance.random,
            )
            for deadline_s in set(DEADLINES_S)
        }

    async def serve(self, job: Job) -> Served | None:
        answer = await self._engines[job.deadline_s].serve(_request(job))
        if not isinstance(answer, Answer):
            return None
        return Served(model=answer.model, output_tokens=answer.success.usage.output_tokens)


class _VirtualGroq:
    """A provider whose replies are read by the same code as real ones."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    @property
    def name(self) -> str:
        return "groq"

    @property
    def unready(self) -> str | None:
        return None

    async def chat(
        self, request: ChatRequest, candidate: Candidate, *, timeout_s: float, stream: StreamOptions | None = None
    ) -> Outcome:
        del request, stream
        reply = await self._ask(candidate.wire_model, candidate.max_tokens, timeout_s)
        if isinstance(reply, Failure):
            return reply
        usage = Usage(input_tokens=reply.input_tokens, output_tokens=reply.output_tokens)
        return Success(model=candidate.wire_model, text="virtual", usage=usage, quota=snapshot(reply.headers))

    async def transcribe(
        self, request: AudioRequest, candidate: Candidate, *, timeout_s: float, longest_s: float | None = None
    ) -> Outcome:
        del request, longest_s
        reply = await self._ask(candidate.wire_model, 0, timeout_s)
        if isinstance(reply, Failure):
            return reply
        usage = Usage(audio_s=CURRENT.get().work)
        return Success(
            model=candidate.wire_model, transcript=Transcript(text="virtual"), usage=usage, quota=snapshot(reply.headers)
        )

    async def _ask(self, model: str, max_tokens: int, timeout_s: float) -> Reply | Failure:
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._upstream.ask(CURRENT.get(), model, max_tokens)
        except TimeoutError:
            return Failure(kind=FailureKind.TIMED_OUT, message="no answer in time")
        if reply.status != OK:
            return classify(reply.status, reply.headers, reply.body, now_wall=EPOCH + self._upstream.loop.time())
        return reply

    async def speak(self, request: SpeechRequest, candidate: Candidate, *, timeout_s: float) -> Outcome:
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing to close."""


def _request(job: Job) -> ChatRequest | AudioRequest:
    if job.audio_s:
        return AudioRequest(audio=AudioFile(name="a.wav", content=b"", media_type="audio/wav", duration_s=job.audio_s))
    messages = ({"role": "user", "content": text_of(job.input_tokens, job.rank)},)
    return ChatRequest(messages=messages, use_case=job.use_case, max_tokens=job.max_tokens)


def _offer() -> ProviderModels:
    """All models, taken as alive although the catalog knows when some of them ended."""
    rows = load_catalog().models
    models = {model: ProviderModel(row=rows[model], wire_model=model, documented=limits) for model, limits in LIMITS.items()}
    return ProviderModels(name="groq", models=models, live=frozenset(models), cataloged=True)


def _catalog() -> Catalog:
    """The shipped catalog with this benchmark's order for each use case."""
    shipped = load_catalog()
    ordered = {
        use_case: shipped.practices[use_case].model_copy(update={"model": order[0], "chain": order})
        for use_case, order in ORDERS.items()
    }
    return replace(shipped, practices={**shipped.practices, **ordered})
