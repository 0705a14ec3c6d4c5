"""Groq in virtual time: its limits, its refusals, its latency; and a record of every request that reached it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.goodput.models import LIMITS, TOKENS_PER_S, TRANSCRIBED_PER_S
from benchmarks.goodput.scenarios import Scenario
from benchmarks.goodput.virtual_time import VirtualClock, VirtualLoop
from benchmarks.goodput.window_log import WindowLimits
from benchmarks.goodput.workload import Job
from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.simulator.rate_limits import Charge, Limits, Refusal

__all__ = ["OK", "Reply", "Sent", "Upstream", "refused"]

ORGANIZATION = "org_simulated"
REFUSAL_S = 0.05
OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What comes back over the wire. `body` is the error's JSON, empty with an answer."""

    status: int
    headers: Mapping[str, str]
    body: str = ""
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request that reached Groq, when, and the status it was answered with."""

    job: int
    model: str
    at_s: float
    status: int


@dataclass(slots=True)
class Upstream:
    """One organization's Groq. Charges stand whether or not the caller waits for the answer."""

    loop: VirtualLoop
    scenario: Scenario
    sent: list[Sent] = field(default_factory=list[Sent])
    limits: Limits | WindowLimits = field(init=False)

    def __post_init__(self) -> None:
        kind = WindowLimits if self.scenario.sliding_window else Limits
        self.limits = kind(VirtualClock(self.loop), LIMITS)
        spent = 1.0 - self.scenario.daily_quota_left
        if spent > 0:
            for model, limits in LIMITS.items():
                daily = {limit: limits[limit] * spent for limit in limits.keys() & {Limit.RPD, Limit.TPD}}
                self.limits.admit(ORGANIZATION, model, daily)

    async def ask(self, job: Job, model: str, max_tokens: int = 0) -> Reply:
        """Answer or refuse; `max_tokens` is what the caller bounds the answer of a chat to."""
        refusal = self._unavailable(job.number, model)
        if refusal is not None:
            await asyncio.sleep(REFUSAL_S)
            return refusal
        charge = self.limits.admit(ORGANIZATION, model, _claim(job, max_tokens))
        self._note(job.number, model, charge.status if isinstance(charge, Refusal) else OK)
        headers = self.limits.headers(ORGANIZATION, model)
        if isinstance(charge, Refusal):
            await asyncio.sleep(REFUSAL_S)
            return refused(charge, headers)
        output_tokens = min(job.output_tokens, max_tokens)
        takes_s = job.audio_s / TRANSCRIBED_PER_S if job.audio_s else output_tokens / TOKENS_PER_S[model]
        await asyncio.shield(self._settle_after(job.overhead_s + takes_s, charge, float(job.input_tokens + output_tokens)))
        if self.scenario.headers_at_completion:
            headers = self.limits.headers(ORGANIZATION, model)
        return Reply(status=OK, headers=headers, input_tokens=job.input_tokens, output_tokens=output_tokens)

    def occupy(self, model: str, *, claimed: float, used: float, for_s: float) -> None:
        """Take quota as somebody else of the organization would; nothing happens when it does not fit."""
        charge = self.limits.admit(ORGANIZATION, model, _tokens(claimed))
        if isinstance(charge, Charge):
            self._settle_after(for_s, charge, used)

    def _settle_after(self, seconds: float, charge: Charge, used: float) -> asyncio.Future[None]:
        done: asyncio.Future[None] = self.loop.create_future()

        def settle() -> None:
            if self.scenario.refunds:
                self.limits.settle(charge, {Limit.TPM: used, Limit.TPD: used})
            done.set_result(None)

        self.loop.call_later(seconds, settle)
        return done

    def _unavailable(self, job: int, model: str) -> Reply | None:
        outage = self.scenario.outage
        if outage is None or model not in outage.models or not outage.from_s <= self.loop.time() < outage.to_s:
            return None
        self._note(job, model, 503)
        error = {
            "message": f"{model} is currently over capacity. Please try again and back off.",
            "type": "internal_server_error",
        }
        return Reply(status=503, headers={}, body=json.dumps({"error": error}))

    def _note(self, job: int, model: str, status: int) -> None:
        self.sent.append(Sent(job=job, model=model, at_s=self.loop.time(), status=status))


def _claim(job: Job, max_tokens: int) -> Mapping[Limit, float]:
    if job.audio_s:
        return {Limit.RPM: 1.0, Limit.RPD: 1.0, Limit.ASH: job.work, Limit.ASD: job.work}
    return _tokens(float(job.input_tokens + max_tokens))


def _tokens(claimed: float) -> Mapping[Limit, float]:
    return {Limit.RPM: 1.0, Limit.RPD: 1.0, Limit.TPM: claimed, Limit.TPD: claimed}


def refused(refusal: Refusal, headers: Mapping[str, str]) -> Reply:
    """A refusal in Groq's form."""
    error = {"message": refusal.message, "type": refusal.type, "code": "rate_limit_exceeded"}
    stated = dict(headers)
    if refusal.status == 429:
        # whole seconds, rounded up, as the simulator of the project sends them
        stated["retry-after"] = str(math.ceil(refusal.wait_s))
    return Reply(status=refusal.status, headers=stated, body=json.dumps({"error": error}))
