"""Four processes with one ledger, Groq's free plan and two more free providers: how much of what all limits allow is served.

    python -m benchmarks.providers            # prints a table; 1.0 and 1.5 times the sum of the limits, ten virtual minutes

The bound is a fluid's: every provider's limits used to the last unit from the first second on. The simulators refuse what their
provider would refuse.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.goodput.virtual_time import VirtualClock, VirtualLoop, run
from benchmarks.providers.simulated import CATALOG, SimulatedProviders
from groq_fallback_mcp.call import ChatRequest, Limit
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.fallback import Answer, CallTimeouts
from groq_fallback_mcp.policy.model_choice import is_retired
from groq_fallback_mcp.simulator import SimulatorOptions
from groq_fallback_mcp.simulator.other_providers import ProviderOptions

__all__ = ["Figures", "measure"]

OTHERS = ("gemini", "openrouter")
# The plan of accounts that ever bought credit: with 50 requests a day the day is over in three minutes.
OPTIONS = {"gemini": ProviderOptions(seconds=0.6), "openrouter": ProviderOptions(plan="free-1000", seconds=1.2)}
# Those whose limits are documented.
_GEMINI = ("gemini-3.5-flash-lite", "gemini-3.1-flash-lite", "gemini-3.7-flash", "gemini-3.6-flash")
MODELS = {"gemini": {model: model for model in _GEMINI}}
PROCESSES = 4
SECONDS = 600.0
DEADLINE_S = 30.0
# All calls are alike, so that none is served for being short. The stand-in counts a quarter of the prompt's bytes, and answers
# with about 46 tokens, much less than what is claimed.
WORDS = 700
MAX_TOKENS = 512
TOKENS_A_CALL = 700 * 5 / 4 + 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What became of a run's calls. `bound` is how many a fluid could have had served, `refused` counts 429s by provider."""

    load: float
    offered: int
    served: int
    bound: float
    refused: dict[str, int]
    by_provider: dict[str, int]

    @property
    def share(self) -> float:
        """Of the bound, or of what was offered where that is less."""
        return self.served / min(self.bound, self.offered)


def measure(load: float, *, seed: int = 1, seconds: float = SECONDS) -> Figures:
    """One run in virtual time."""
    return run(lambda loop: _measured(loop, load, seed, seconds))


async def _measured(loop: VirtualLoop, load: float, seed: int, seconds: float) -> Figures:
    clock, chance = VirtualClock(loop), random.Random(seed)
    first = _process(clock, None)
    processes = [first, *(_process(clock, first) for _ in range(PROCESSES - 1))]
    rate = load * _calls_a_second(first)
    running: list[asyncio.Task[bool]] = []
    at = chance.expovariate(rate)
    while at < seconds:
        await asyncio.sleep(at - loop.time())
        running.append(asyncio.create_task(_served(processes[len(running) % PROCESSES])))
        at += chance.expovariate(rate)
    served = sum(await asyncio.gather(*running))
    names = ("groq", *OTHERS)
    return Figures(
        load=load,
        offered=len(running),
        served=served,
        bound=_bound(first, seconds),
        refused={name: first.calls(name).get("429", 0) + first.calls(name).get("413", 0) for name in names},
        by_provider={name: first.calls(name).get("200", 0) for name in names},
    )


def _process(clock: VirtualClock, first: SimulatedProviders | None) -> SimulatedProviders:
    return SimulatedProviders(
        *OTHERS,
        clock=clock,
        options=OPTIONS,
        models=MODELS,
        groq=SimulatorOptions(prompt_cache=False),
        ledger=None if first is None else first.ledger,
        apps=None if first is None else first.apps,
        timeouts=CallTimeouts(deadline_s=DEADLINE_S),
    )


async def _served(process: SimulatedProviders) -> bool:
    request = ChatRequest(messages=({"role": "user", "content": "word " * WORDS},), max_tokens=MAX_TOKENS)
    return isinstance(await process.engine.serve(request), Answer)


def _calls_a_second(world: SimulatedProviders) -> float:
    return sum(per_s for _, per_s in _rates(world))


def _bound(world: SimulatedProviders, seconds: float) -> float:
    """Calls: what every limit holds at first and gains in that time, and what those gain that wait at the end."""
    return sum(first + per_s * (seconds + DEADLINE_S) for first, per_s in _rates(world))


def _rates(world: SimulatedProviders) -> Sequence[tuple[float, float]]:
    """Of each model that is asked, or pool: calls at first, and calls a second."""
    rates: list[tuple[float, float]] = []
    pools: set[tuple[str, str]] = set()
    chain = {CATALOG.practices["fast"].model, *CATALOG.practices["fast"].chain}
    for name, offer in world.offers.items():
        for model, offered in offer.models.items():
            if name == "groq" and (
                model not in chain or is_retired(model, catalog=CATALOG, provider=offer, today=today(world.clock))
            ):
                continue
            if offered.pool is not None:
                if (name, offered.pool.name) not in pools:
                    pools.add((name, offered.pool.name))
                    rates.append(_of(offered.pool.documented, groq=False))
                continue
            if offered.documented:
                rates.append(_of(offered.documented, groq=name == "groq"))
    return rates


def _of(limits: Mapping[Limit, int], *, groq: bool) -> tuple[float, float]:
    bounds: list[tuple[float, float]] = []
    for limit, capacity in limits.items():
        units = 1.0 if limit in {Limit.RPM, Limit.RPH, Limit.RPD} else TOKENS_A_CALL
        calls = capacity / units
        daily = limit in {Limit.RPD, Limit.TPD} and not groq
        bounds.append((calls, 0.0 if daily else calls / limit.window_s))
    return min(bounds, key=lambda bound: bound[0] + bound[1] * SECONDS)


def main() -> None:
    """Print the table."""
    print("| Load | Offered | Served | Fluid bound | Share | 429s | By provider |\n|---|---|---|---|---|---|---|")
    for load in (1.0, 1.5):
        for seed in (1, 2, 3):
            found = measure(load, seed=seed)
            refused = ", ".join(f"{name} {count}" for name, count in found.refused.items())
            served = ", ".join(f"{name} {count}" for name, count in found.by_provider.items())
            print(
                f"| {load} | {found.offered} | {found.served} | {found.bound:.0f} | {found.share:.1%} | {refused} | {served} |"
            )


if __name__ == "__main__":
    main()
