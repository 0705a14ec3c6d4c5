"""Groq in virtual time, strict about its limits and with faults by plan; and the provider that reads its replies."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.goodput.upstream import refused
from benchmarks.goodput.virtual_time import EPOCH, VirtualClock
from interleavings.scenario import REFUGE, Fault, Job, Scenario
from interleavings.scheduler import OUTSIDE, SeededLoop, context_of

from groq_fallback_mcp.call import (
    AudioFile,
    AudioRequest,
    ChatRequest,
    Failure,
    FailureKind,
    Limit,
    Outcome,
    QuotaSnapshot,
    SpeechRequest,
    Success,
    Transcript,
    Usage,
)
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.base import StreamOptions
from groq_fallback_mcp.providers.classify import classify
from groq_fallback_mcp.providers.rate_limit_headers import snapshot
from groq_fallback_mcp.simulator.rate_limits import Charge, Limits, Refusal

__all__ = ["Reached", "SeededProvider", "StrictGroq", "answer_to"]

ORGANIZATION = "org_simulated"
# A request travels no longer than the ledger allows for.
LONGEST_WAY_S = 0.3
LONGEST_ANSWER_S = 3.0
PIECES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A request that reached Groq. `outcome` is what became of it there: answered, refused by a bucket, or the kind of fault."""

    at_s: float
    job: int
    model: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: str = ""
    whole: bool = True
    usage: bool = True


@dataclass(slots=True)
class StrictGroq:
    """One organization's Groq. What has arrived there goes on, whatever becomes of the process that sent it."""

    loop: SeededLoop
    scenario: Scenario
    chance: random.Random
    reached: list[Reached] = field(default_factory=list[Reached])
    limits: Limits = field(init=False)
    # by job: how often its request was on its way
    sent: dict[int, int] = field(default_factory=dict[int, int])

    def __post_init__(self) -> None:
        self.limits = Limits(VirtualClock(self.loop), self.scenario.limits)

    def send(self, job: Job, model: str, claim: Mapping[Limit, float], used: Mapping[Limit, float]) -> asyncio.Future[_Reply]:
        """Let a request travel, and its reply come back; a connection that is lost raises ConnectionError."""
        reply: asyncio.Future[_Reply] = self.loop.create_future()
        self.sent[job.number] = self.sent.get(job.number, 0) + 1
        self._later(self._way_s(), lambda: self._arrives(job, model, claim, used, reply))
        return reply

    def _arrives(
        self, job: Job, model: str, claim: Mapping[Limit, float], used: Mapping[Limit, float], reply: asyncio.Future[_Reply]
    ) -> None:
        fault = self._fault(model)
        kind = None if fault is None else fault.kind
        match kind:
            case "refused" | "refused_without_wait":
                stated = {"retry-after": str(self.chance.randint(1, 20))} if kind == "refused" else {}
                self._refuse(job, model, kind, _error(429, "Too many requests", stated), reply)
                return
            case "broken_down" | "overloaded":
                # it counts as a request there, and nothing else does
                self.limits.admit(ORGANIZATION, model, {Limit.RPM: 1.0, Limit.RPD: 1.0})
                status = 500 if kind == "broken_down" else 503
                self._refuse(job, model, kind, _error(status, "Internal server error"), reply)
                return
            case "gone":
                error = {"message": f"The model `{model}` does not exist", "code": "model_not_found"}
                self._refuse(job, model, kind, _Reply(status=404, body=json.dumps({"error": error})), reply)
                return
            case "lost_before":
                self._note(job, model, kind)
                self._tell_later(self._way_s(), reply, ConnectionError("lost"))
                return
            case _:
                pass
        charge = self.limits.admit(ORGANIZATION, model, claim)
        headers = self._headers(model)
        if isinstance(charge, Refusal):
            told = refused(charge, headers)
            refusal = _Reply(status=told.status, headers=told.headers, body=told.body)
            self._refuse(job, model, "bucket", refusal, reply, detail=charge.message)
            return
        self._note(job, model, kind or "answered")
        if kind == "hangs":
            return
        takes_s = self.chance.uniform(0.05, LONGEST_ANSWER_S) + (self.chance.uniform(5.0, 25.0) if kind == "slow" else 0.0)
        self._later(takes_s, lambda: self._completes(model, charge, used, headers, kind, reply))

    def _completes(
        self,
        model: str,
        charge: Charge,
        used: Mapping[Limit, float],
        headers: Mapping[str, str],
        kind: str | None,
        reply: asyncio.Future[_Reply],
    ) -> None:
        if self.scenario.refunds:
            self.limits.settle(charge, used)
        if self.scenario.headers == "completion":
            headers = self._headers(model)
        if kind == "lost_after":
            self._tell_later(self._way_s(), reply, ConnectionError("lost"))
            return
        self._tell_later(self._way_s(), reply, _Reply(headers=headers, whole=kind != "broken_off", usage=kind != "no_usage"))

    def _fault(self, model: str) -> Fault | None:
        now = self.loop.time()
        for fault in self.scenario.faults:
            if fault.model == model and fault.span.has(now) and self.chance.random() < fault.share:
                return fault
        return None

    def _headers(self, model: str) -> Mapping[str, str]:
        return {} if self.scenario.headers == "silent" else self.limits.headers(ORGANIZATION, model)

    def _refuse(
        self, job: Job, model: str, kind: str, refusal: _Reply, reply: asyncio.Future[_Reply], *, detail: str = ""
    ) -> None:
        self._note(job, model, kind, detail)
        self._tell_later(self._way_s(), reply, refusal)

    def _note(self, job: Job, model: str, outcome: str, detail: str = "") -> None:
        self.reached.append(Reached(at_s=self.loop.time(), job=job.number, model=model, outcome=outcome, detail=detail))

    def _tell_later(self, seconds: float, reply: asyncio.Future[_Reply], result: _Reply | Exception) -> None:
        def tell() -> None:
            if reply.done():
                return
            if isinstance(result, Exception):
                reply.set_exception(result)
            else:
                reply.set_result(result)

        self._later(seconds, tell)

    def _later(self, seconds: float, what: object) -> None:
        assert callable(what)
        self.loop.call_later(seconds, what, context=context_of(OUTSIDE))

    def _way_s(self) -> float:
        return self.chance.uniform(0.005, LONGEST_WAY_S)


class SeededProvider:
    """A provider of one process, whose replies are read by the same code as real ones. `jobs` are found by what requests say."""

    def __init__(self, name: str, groq: StrictGroq, jobs: Mapping[int, Job], chance: random.Random) -> None:
        self._name = name
        self._groq = groq
        self._jobs = jobs
        self._chance = chance

    @property
    def name(self) -> str:
        return self._name

    @property
    def unready(self) -> str | None:
        return None

    async def chat(
        self, request: ChatRequest, candidate: Candidate, *, timeout_s: float, stream: StreamOptions | None = None
    ) -> Outcome:
        job = self._jobs[int(request.messages[0]["content"].split()[1])]
        # estimates are never far enough off for what was claimed to be too little
        prompt = max(round(candidate.estimated_tokens * self._chance.uniform(0.7, 1.4)), 1)
        output = min(job.output_tokens, candidate.max_tokens)
        claim = {Limit.RPM: 1.0, Limit.RPD: 1.0}
        claim |= dict.fromkeys((Limit.TPM, Limit.TPD), float(prompt + candidate.max_tokens))
        used = dict.fromkeys((Limit.TPM, Limit.TPD), float(prompt + output))
        reply = await self._reply(job, candidate, claim, used, timeout_s=timeout_s, stream=stream)
        if isinstance(reply, Failure):
            return reply
        usage = Usage(input_tokens=prompt, output_tokens=output) if reply.usage else Usage()
        return Success(
            model=candidate.wire_model,
            text=answer_to(job),
            usage=usage,
            usage_reported=reply.usage,
            quota=self._quota(reply),
        )

    async def transcribe(
        self, request: AudioRequest, candidate: Candidate, *, timeout_s: float, longest_s: float | None = None
    ) -> Outcome:
        del longest_s
        assert isinstance(request.audio, AudioFile)
        job = self._jobs[int(request.audio.name.removesuffix(".wav"))]
        units = max(job.audio_s, 10.0)
        claim = {Limit.RPM: 1.0, Limit.RPD: 1.0, Limit.ASH: units, Limit.ASD: units}
        reply = await self._reply(job, candidate, claim, {}, timeout_s=timeout_s, stream=None)
        if isinstance(reply, Failure):
            return reply
        return Success(
            model=candidate.wire_model,
            transcript=Transcript(text=answer_to(job)),
            usage=Usage(audio_s=units) if reply.usage else Usage(),
            usage_reported=reply.usage,
            quota=self._quota(reply),
        )

    async def speak(self, request: SpeechRequest, candidate: Candidate, *, timeout_s: float) -> Outcome:
        """No model here speaks."""
        del request, candidate, timeout_s
        return Failure(kind=FailureKind.UNSUPPORTED, message="no speech")

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _reply(
        self,
        job: Job,
        candidate: Candidate,
        claim: Mapping[Limit, float],
        used: Mapping[Limit, float],
        *,
        timeout_s: float,
        stream: StreamOptions | None,
    ) -> _Reply | Failure:
        try:
            async with asyncio.timeout(timeout_s):
                if self._name == REFUGE:
                    self._groq.sent[job.number] = self._groq.sent.get(job.number, 0) + 1
                    await asyncio.sleep(self._chance.uniform(0.02, 0.1))
                    reply = _Reply()
                else:
                    reply = await self._groq.send(job, candidate.wire_model, claim, used)
        except TimeoutError:
            return Failure(kind=FailureKind.TIMED_OUT, message="no answer in time")
        except ConnectionError:
            return Failure(kind=FailureKind.CONNECTION_LOST, message="the connection was lost")
        if reply.status != 200:
            now = EPOCH + self._groq.loop.time()
            return classify(reply.status, reply.headers, reply.body, now_wall=now)
        _stream(answer_to(job), stream, whole=reply.whole)
        if not reply.whole:
            return Failure(kind=FailureKind.BAD_RESPONSE, message="the answer ended in the middle", status=200)
        return reply

    def _quota(self, reply: _Reply) -> QuotaSnapshot:
        return snapshot(reply.headers)


def answer_to(job: Job) -> str:
    """What is answered to a call, and to no other."""
    return f"the answer to call {job.number}"


def _stream(text: str, stream: StreamOptions | None, *, whole: bool) -> None:
    """Let a stream's listeners have the text in pieces, or some of them."""
    if stream is None:
        return
    size = math.ceil(len(text) / PIECES)
    for piece in range(PIECES if whole else 1):
        if stream.on_progress is not None:
            stream.on_progress(piece + 1)
        if stream.on_text is not None:
            stream.on_text(text[piece * size : (piece + 1) * size])


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> _Reply:
    return _Reply(status=status, headers=headers or {}, body=json.dumps({"error": {"message": message}}))
