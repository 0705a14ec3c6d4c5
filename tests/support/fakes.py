"""Stand-ins for providers, and the engine around them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fake_clock import FakeClock

from groq_fallback_mcp.call import (
    AnyRequest,
    AudioRequest,
    CallListener,
    ChatRequest,
    Failure,
    FailureKind,
    Limit,
    LimitReading,
    Outcome,
    QuotaSnapshot,
    SpeechRequest,
    Success,
    Usage,
)
from groq_fallback_mcp.catalog import Kind, ModelRow, Stage, load_catalog
from groq_fallback_mcp.fallback import CallTimeouts, FallbackEngine
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.base import StreamOptions
from groq_fallback_mcp.providers.registry import ProviderRegistry
from groq_fallback_mcp.quota import Ledger, memory_ledger
from groq_fallback_mcp.quota.budget import Budget

CATALOG = load_catalog()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request that reached a provider, and the candidate it was for."""

    request: AnyRequest
    candidate: Candidate
    stream: StreamOptions | None = None
    longest_s: float | None = None

    @property
    def model(self) -> str:
        """The model's id on the wire."""
        return self.candidate.wire_model

    @property
    def voice(self) -> str | None:
        """The voice of a text to be spoken."""
        named = self.request.voice if isinstance(self.request, SpeechRequest) else None
        return self.candidate.voice if named is None else named


Script = Callable[[Sent], Outcome]


def candidate(model: str, **fields: object) -> Candidate:
    """A model of some provider, as a plan would have it."""
    return Candidate(provider="groq", model=model, wire_model=model, **fields)  # type: ignore[arg-type]


def answer(text: str = "hello", *, tokens: int = 100, quota: QuotaSnapshot | None = None) -> Success:
    """A plain success."""
    return Success(
        model="m", text=text, usage=Usage(input_tokens=tokens // 2, output_tokens=tokens // 2), quota=quota or QuotaSnapshot()
    )


def rate_limited(wait_s: float | None = 17.0) -> Failure:
    """A 429 that names its wait, and a limit where it has one."""
    readings = ()
    if wait_s is not None:
        readings = (LimitReading(limit=Limit.TPM, capacity=8000, remaining=0, requested=2000, wait_s=wait_s),)
    return Failure(
        kind=FailureKind.RATE_LIMITED,
        message="slow down",
        status=429,
        retry_after_s=wait_s,
        quota=QuotaSnapshot(readings=readings),
    )


def failure(kind: FailureKind, **fields: object) -> Failure:
    """A failure of a kind."""
    return Failure(kind=kind, message=f"it is {kind.value}", **fields)  # type: ignore[arg-type]


class FakeProvider:
    """Answers by script, per wire model or for all; takes `took_s` of the clock's time for each call."""

    def __init__(self, name: str, clock: FakeClock, *, took_s: float = 0.1) -> None:
        self._name = name
        self._clock = clock
        self.took_s = took_s
        self.calls: list[Sent] = []
        self.timeouts: list[float] = []
        self._scripts: dict[str, deque[Outcome]] = {}
        self.default: Outcome = answer()
        self.reply: Script | None = None
        self.why_unready: str | None = None
        self.before: Callable[[], object] | None = None

    @property
    def name(self) -> str:
        """The provider's name."""
        return self._name

    @property
    def asked(self) -> list[str]:
        """The models asked, in order."""
        return [call.model for call in self.calls]

    def script(self, model: str, *outcomes: Outcome) -> None:
        """What a model answers, in turn; the last one for ever."""
        self._scripts[model] = deque(outcomes)

    @property
    def unready(self) -> str | None:
        """Always ready, unless a test says otherwise."""
        return self.why_unready

    async def chat(
        self, request: ChatRequest, candidate: Candidate, *, timeout_s: float, stream: StreamOptions | None = None
    ) -> Outcome:
        """One scripted outcome."""
        return await self._serve(Sent(request=request, candidate=candidate, stream=stream), timeout_s)

    async def transcribe(
        self, request: AudioRequest, candidate: Candidate, *, timeout_s: float, longest_s: float | None = None
    ) -> Outcome:
        """One scripted outcome."""
        return await self._serve(Sent(request=request, candidate=candidate, longest_s=longest_s), timeout_s)

    async def speak(self, request: SpeechRequest, candidate: Candidate, *, timeout_s: float) -> Outcome:
        """One scripted outcome."""
        return await self._serve(Sent(request=request, candidate=candidate), timeout_s)

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _serve(self, call: Sent, timeout_s: float) -> Outcome:
        self.calls.append(call)
        self.timeouts.append(timeout_s)
        if self.before is not None:
            result = self.before()
            if hasattr(result, "__await__"):
                await result
        if self.took_s > timeout_s:
            self._clock.advance(timeout_s)
            return failure(FailureKind.TIMED_OUT)
        self._clock.advance(self.took_s)
        script = self._scripts.get(call.model)
        if not script:
            return self.default if self.reply is None else self.reply(call)
        return script.popleft() if len(script) > 1 else script[0]


def provider_models(
    provider: str, models: Iterable[str], *, documented: Mapping[Limit, int] | None = None, plan: str = "free"
) -> ProviderModels:
    """Models at a provider, with the catalog's rows where it has them."""

    def offered(model: str) -> ProviderModel:
        row = CATALOG.models.get(model)
        limits = documented
        if limits is None:
            limits = CATALOG.limits(model, plan) if provider == "groq" else {}  # type: ignore[arg-type]
        if row is None:
            row = ModelRow(id=model, kind=Kind.CHAT, stage=Stage.PRODUCTION, source="user", checked="2026-11-01")  # type: ignore[arg-type]
        return ProviderModel(row=row, wire_model=model, documented=limits, languages=row.capabilities.languages)

    return ProviderModels(name=provider, models={model: offered(model) for model in models}, cataloged=provider == "groq")


GROQ_CHAT_MODELS = ("openai/gpt-oss-20b", "openai/gpt-oss-120b", "qwen/qwen3.8-27b")
VOICES = ("canopylabs/orpheus-v1-english", "canopylabs/orpheus-arabic-saudi")
GUARDS = ("meta-llama/llama-prompt-guard-2-86m", "meta-llama/llama-prompt-guard-2-22m")
GROQ_SPEECH_MODELS = ("whisper-large-v3-turbo", "whisper-large-v3")


class World:
    """A engine over fake providers, with everything a test looks at."""

    def __init__(
        self,
        offers: Iterable[ProviderModels] | None = None,
        *,
        timeouts: CallTimeouts | None = None,
        clock: FakeClock | None = None,
        ledger: Ledger | None = None,
        budget: Budget | None = None,
        listeners: Sequence[CallListener] = (),
    ) -> None:
        self.clock = clock or FakeClock()
        self.offers = (
            list(offers) if offers is not None else [provider_models("groq", (*GROQ_CHAT_MODELS, *GROQ_SPEECH_MODELS))]
        )
        self.providers = {offer.name: FakeProvider(offer.name, self.clock) for offer in self.offers}
        self.ledger = ledger or memory_ledger(self.clock, budget=budget)
        self.engine = FallbackEngine(
            catalog=CATALOG,
            registry=ProviderRegistry(
                providers=self.providers, models=self.offers, organizations={}, clock=self.clock, groq=None
            ),
            ledger=self.ledger,
            clock=self.clock,
            timeouts=timeouts or CallTimeouts(),
            jitter=lambda: 0.0,
            budget=budget,
            listeners=listeners,
        )

    @property
    def groq(self) -> FakeProvider:
        """The first provider."""
        return next(iter(self.providers.values()))
