"""One run: a workload put to a contender's processes in virtual time, and what became of its calls."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles

from benchmarks.goodput.contest import OURS
from benchmarks.goodput.litellm_configurations import configuration_of
from benchmarks.goodput.virtual_time import VirtualClock, VirtualLoop, run
from benchmarks.providers.answers import DrawnAnswers, answer_of
from benchmarks.providers.bound import most_served
from benchmarks.providers.contender import Contender
from benchmarks.providers.limits import Account, accounts_of
from benchmarks.providers.ours import engines
from benchmarks.providers.simulated import SimulatedProviders
from benchmarks.providers.workload import Call, Workload, draw_calls
from groq_fallback_mcp.fallback import CallTimeouts
from groq_fallback_mcp.simulator import SimulatorOptions
from groq_fallback_mcp.simulator.other_providers import ProviderOptions

__all__ = ["PROVIDERS", "Figures", "Run", "calls_of", "play", "took_s"]

PROVIDERS = ("groq", "gemini", "openrouter")
# The plan of accounts that ever bought credit: with 50 requests a day the day is over in three minutes.
_PLANS = {"openrouter": "free-1000"}
# Those whose limits are documented.
_GEMINI = ("gemini-3.5-flash-lite", "gemini-3.1-flash-lite", "gemini-3.7-flash", "gemini-3.6-flash")
# An engine ends a call that is too late itself, just before its client would.
HEADSTART_S = 0.1
REFUSALS = ("429", "413")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is played: `load` is of what all limits gain, `seconds` how long calls arrive."""

    workload: Workload
    contender: str
    processes: int
    load: float
    seed: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What became of a run's calls. `served`: the whole answer came within the deadline; `bound`: how many any policy could serve.

    `streamed` and `streamed_served` are those of the calls that were streamed; `refused` and `answered` count the providers'
    429s and 413s, and their answers. `p50_s` and `p95_s`: from arrival to whole answer, of the calls served.
    """

    offered: int
    served: int
    bound: float
    streamed: int
    streamed_served: int
    refused: Mapping[str, int]
    answered: Mapping[str, int]
    p50_s: float
    p95_s: float


def play(what: Run) -> Figures:
    """Run it in virtual time."""
    if what.contender == OURS:
        return run(lambda loop: _played(loop, what))
    from benchmarks.providers.litellm_router import in_virtual_time

    with in_virtual_time() as watch:
        return run(lambda loop: _played(loop, what), watch=watch)


def calls_of(what: Run, accounts: Sequence[Account]) -> Sequence[Call]:
    """The calls of a run, whoever gets them."""

    def wanted(input_tokens: float, output_tokens: float) -> float:
        gained = sum(account.calls_a_second(input_tokens, output_tokens, seconds=what.seconds) for account in accounts)
        return what.load * what.seconds * gained

    return draw_calls(what.workload, wanted=wanted, seed=what.seed, seconds=what.seconds)


async def _played(loop: VirtualLoop, what: Run) -> Figures:
    answers, chance = DrawnAnswers(), random.Random(what.seed)
    first = _world(loop, what.workload, answers, chance, None)
    accounts = accounts_of(first)
    calls = calls_of(what, accounts)
    answers.tokens = [call.output_tokens for call in calls]
    if what.contender == OURS:
        others = [_world(loop, what.workload, answers, chance, first) for _ in range(what.processes - 1)]
        processes = engines([first, *others])
    else:
        processes = _routers(what, first, accounts, calls)
    running: list[asyncio.Task[float | None]] = []
    for call in calls:
        await asyncio.sleep(call.arrives_s - loop.time())
        serving = took_s(loop, processes[call.number % len(processes)], call, what.workload.deadline_s)
        running.append(asyncio.create_task(serving))
    times_s = await asyncio.gather(*running)
    served = [(call, seconds) for call, seconds in zip(calls, times_s, strict=True) if seconds is not None]
    marks = quantiles([seconds for _, seconds in served], n=20) if len(served) > 1 else [math.nan] * 19
    return Figures(
        offered=len(calls),
        served=len(served),
        bound=most_served(accounts, calls, seconds=what.seconds + what.workload.deadline_s),
        streamed=sum(call.streamed for call in calls),
        streamed_served=sum(call.streamed for call, _ in served),
        refused={name: sum(first.calls(name).get(status, 0) for status in REFUSALS) for name in PROVIDERS},
        answered={name: first.calls(name).get("200", 0) for name in PROVIDERS},
        p50_s=marks[9],
        p95_s=marks[18],
    )


def _world(
    loop: VirtualLoop, workload: Workload, answers: DrawnAnswers, chance: random.Random, first: SimulatedProviders | None
) -> SimulatedProviders:
    """A process of ours before the simulated providers; those of the first, and its ledger, where there is one."""
    options = {name: ProviderOptions(plan=_PLANS.get(name), seconds=seconds) for name, seconds in workload.answers_in_s.items()}
    return SimulatedProviders(
        *options,
        clock=VirtualClock(loop),
        options=options,
        models={"gemini": {model: model for model in _GEMINI}},
        groq=SimulatorOptions(plan=workload.groq_plan, prompt_cache=False),
        ledger=None if first is None else first.ledger,
        apps=None if first is None else first.apps,
        timeouts=CallTimeouts(deadline_s=workload.deadline_s - HEADSTART_S),
        text_engine=answers,
        jitter=chance.random,
    )


def _routers(what: Run, world: SimulatedProviders, accounts: Sequence[Account], calls: Sequence[Call]) -> Sequence[Contender]:
    """LiteLLM's processes, its deployments weighted by how many of these calls each gains a second."""
    from benchmarks.providers.litellm_router import routers

    inputs, outputs = fmean(call.input_tokens for call in calls), fmean(call.output_tokens for call in calls)
    weighted = [(account, account.calls_a_second(inputs, outputs, seconds=what.seconds)) for account in accounts]
    return routers(configuration_of(what.contender), what.processes, world, weighted, seed=what.seed)


async def took_s(loop: VirtualLoop, process: Contender, call: Call, deadline_s: float) -> float | None:
    """Seconds from arrival to the whole answer; None where none came before the deadline."""
    started = loop.time()
    try:
        async with asyncio.timeout(deadline_s):
            text = await process.serve(call)
    except TimeoutError:
        return None
    return loop.time() - started if text == answer_of(call.output_tokens) else None
