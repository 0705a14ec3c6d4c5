"""What a seed stands for: how many processes there are, what goes wrong and when, and who calls what."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from groq_fallback_mcp.call import Limit

__all__ = [
    "AUDIO_MODELS",
    "CHAT_MODELS",
    "LIMITS",
    "REFUGE",
    "ClockStep",
    "Fault",
    "FaultKind",
    "Job",
    "Scenario",
    "Span",
    "StoreOutage",
    "drawn",
]

CHAT_MODELS = ("openai/gpt-oss-20b", "openai/gpt-oss-120b", "qwen/qwen3.8-27b")
AUDIO_MODELS = ("whisper-large-v3-turbo", "whisper-large-v3")
# Another provider, which has every model and no limits, and never fails.
REFUGE = "refuge"
LIMITS: Mapping[str, Mapping[Limit, int]] = {
    "openai/gpt-oss-20b": {Limit.RPM: 30, Limit.RPD: 1_000, Limit.TPM: 8_000, Limit.TPD: 200_000},
    "openai/gpt-oss-120b": {Limit.RPM: 30, Limit.RPD: 1_000, Limit.TPM: 8_000, Limit.TPD: 200_000},
    "qwen/qwen3.8-27b": {Limit.RPM: 20, Limit.RPD: 1_000, Limit.TPM: 6_000, Limit.TPD: 500_000},
    "whisper-large-v3-turbo": {Limit.RPM: 20, Limit.RPD: 2_000, Limit.ASH: 1_200, Limit.ASD: 28_800},
    "whisper-large-v3": {Limit.RPM: 20, Limit.RPD: 2_000, Limit.ASH: 1_200, Limit.ASD: 28_800},
}
CALLERS = ("ada", "ben", "cleo")
USE_CASES = ("openai_compatible", "fast", "reasoning")

FaultKind = Literal[
    "refused",  # 429 with retry-after that no bucket explains
    "refused_without_wait",  # 429 that says nothing at all
    "broken_down",  # 500
    "overloaded",  # 503
    "hangs",
    "lost_before",  # the connection, before the request was let in
    "lost_after",  # the connection, after it was
    "broken_off",  # an answer that ends in the middle
    "slow",
    "no_usage",
    "gone",  # 404: the model does not exist any more
]
KINDS: tuple[FaultKind, ...] = (
    *("refused", "refused_without_wait", "broken_down", "overloaded", "hangs", "lost_before"),
    *("lost_after", "broken_off", "slow", "no_usage", "gone"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of a run, in seconds since its beginning."""

    from_s: float
    to_s: float

    def has(self, now: float) -> bool:
        return self.from_s <= now < self.to_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with a model for a while, and with which share of its calls."""

    model: str
    kind: FaultKind
    span: Span
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutage:
    """When the store cannot be used, and by which process; None for none of them."""

    span: Span
    slot: int | None
    kind: Literal["refuses", "forgets", "hangs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """When a wall clock is set, and by how much: a process's, or the one that the store goes by."""

    at_s: float
    by_s: float
    slot: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A call that a client makes at a moment of a process. `gives_up_after_s` is when the client cancels it."""

    number: int
    at_s: float
    slot: int
    use_case: str
    model: str | None
    words: int
    max_tokens: int
    output_tokens: int
    audio_s: float
    deadline_s: float
    caller: str | None
    watched: bool
    gives_up_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All that a seed decides, but for the order of what happens at once.

    `server_clock`: the store goes by a clock of its own, else all processes and it go by one machine's. `headers`: what answers state
    of limits, as of admission or completion, or nothing. `refunds`: unused tokens come back there. `refuge`: another provider can
    always serve. `kills` and `suspensions` are of a process, by its slot, and last until the end of their span. `budgets` are
    tokens a day of named callers. `measured_at_s`: when it is noted how much the store keeps.
    """

    seed: int
    processes: int
    seconds: float
    server_clock: bool = False
    at_once: float = 0.5
    headers: Literal["admission", "completion", "silent"] = "admission"
    refunds: bool = True
    refuge: bool = False
    limits: Mapping[str, Mapping[Limit, int]]
    faults: Sequence[Fault] = ()
    outages: Sequence[StoreOutage] = ()
    kills: Sequence[tuple[int, Span]] = ()
    suspensions: Sequence[tuple[int, Span]] = ()
    clock_steps: Sequence[ClockStep] = ()
    drift: Sequence[float] = ()
    retried_transactions: float = 0.0
    budgets: Mapping[str, int]
    jobs: Sequence[Job]
    quiet_s: float = 400.0
    measured_at_s: Sequence[float] = ()

    @property
    def keeps_to_limits(self) -> bool:
        """Whether the engine promises that no request of it is refused by a bucket.

        Not where the clock that refills our buckets is set, where processes count for themselves because the store fails, where
        requests arrive long after they were claimed because their process was suspended, where a client gives up a call that was
        sent and names no caller (its limits are given back), nor where the server gives nothing back and does not say so.
        """
        gives_back_unseen = any(job.gives_up_after_s is not None and job.caller is None for job in self.jobs)
        # a process's own clock decides about no bucket where the store has one
        stepped = any(not self.server_clock or step.slot is None for step in self.clock_steps)
        unseen = self.headers == "silent" and not self.refunds
        return not (stepped or self.outages or self.suspensions or gives_back_unseen or unseen)

    @property
    def recovers_after_s(self) -> float:
        """Until when all that was left behind has expired: later, where the clock that says so was set back meanwhile."""
        set_back_s = sum(max(-step.by_s, 0.0) for step in self.clock_steps if step.slot is None)
        return self.ends_at_s + self.quiet_s + set_back_s

    @property
    def ends_at_s(self) -> float:
        """When nothing is wrong any more."""
        spans = [fault.span.to_s for fault in self.faults] + [outage.span.to_s for outage in self.outages]
        spans += [span.to_s for _, span in (*self.kills, *self.suspensions)]
        return max([self.seconds, *spans])


def drawn(seed: int) -> Scenario:
    """The scenario of a seed."""
    chance = random.Random(seed)
    processes = chance.randint(2, 5)
    seconds = chance.uniform(60.0, 240.0)
    # in two of five runs nothing happens that could explain a refusal
    calm = chance.random() < 0.4
    named = chance.random() < 0.5
    refuge = chance.random() < 0.4
    server_clock = chance.random() < 0.5

    def some(probability: float, most: int) -> int:
        return chance.randint(1, most) if chance.random() < probability else 0

    def span(shortest_s: float, longest_s: float) -> Span:
        begins = chance.uniform(0.0, seconds)
        return Span(from_s=begins, to_s=begins + chance.uniform(shortest_s, longest_s))

    def slot() -> int:
        return chance.randrange(processes)

    steps = 0 if calm else some(0.3, 3)
    return Scenario(
        seed=seed,
        processes=processes,
        seconds=seconds,
        server_clock=server_clock,
        at_once=chance.choice((0.0, 0.5, 0.9)),
        headers="admission" if calm else chance.choice(("admission", "completion", "silent")),
        refunds=calm or chance.random() < 0.7,
        refuge=refuge,
        limits=LIMITS,
        faults=tuple(
            Fault(
                model=chance.choice((*CHAT_MODELS, *CHAT_MODELS, *AUDIO_MODELS)),
                kind=chance.choice(KINDS),
                span=span(5.0, 60.0),
                share=chance.choice((0.3, 1.0)),
            )
            for _ in range(some(0.8, 6))
        ),
        outages=tuple(
            StoreOutage(
                span=span(0.5, 30.0),
                slot=chance.choice((None, slot())),
                kind=chance.choice(("refuses", "forgets", "hangs")),
            )
            for _ in range(0 if calm else some(0.35, 3))
        ),
        kills=tuple((slot(), span(0.5, 20.0)) for _ in range(some(0.5, 3))),
        suspensions=tuple((slot(), span(0.5, 40.0)) for _ in range(0 if calm else some(0.2, 2))),
        clock_steps=tuple(
            ClockStep(
                at_s=chance.uniform(0.0, seconds),
                by_s=chance.choice((-3_600.0, -60.0, -2.0, 2.0, 60.0, 3_600.0)),
                slot=slot() if server_clock and chance.random() < 0.7 else None,
            )
            for _ in range(steps)
        ),
        drift=tuple(chance.uniform(-1e-3, 1e-3) if server_clock else 0.0 for _ in range(processes)),
        retried_transactions=chance.choice((0.0, 0.2)),
        budgets={"ben": chance.randint(2_000, 40_000)} if named and chance.random() < 0.4 else {},
        jobs=_jobs(chance, processes=processes, seconds=seconds, named=named, gives_up=not calm or named),
    )


def _jobs(chance: random.Random, *, processes: int, seconds: float, named: bool, gives_up: bool) -> Sequence[Job]:
    count = chance.randint(30, 110)
    audio = chance.choice((0.0, 0.2))
    cancelled = chance.choice((0.0, 0.1)) if gives_up else 0.0
    watched = chance.choice((0.0, 0.3))
    bursts = [chance.uniform(0.0, seconds) for _ in range(chance.randint(1, 4))]
    jobs: list[Job] = []
    for number in range(count):
        at_s = chance.choice(bursts) + chance.uniform(0.0, 0.2) if chance.random() < 0.3 else chance.uniform(0.0, seconds)
        max_tokens = chance.choice((64, 256, 1_000, 2_500))
        is_audio = chance.random() < audio
        caller = chance.choice(CALLERS) if named and chance.random() < 0.8 else None
        # a client that gives up without a name gives back what was sent: not where nothing may be refused
        leaves = chance.random() < cancelled and (caller is not None or not named)
        jobs.append(
            Job(
                number=number,
                at_s=at_s,
                slot=chance.randrange(processes),
                use_case="audio" if is_audio else chance.choice(USE_CASES),
                model=chance.choice(CHAT_MODELS) if not is_audio and chance.random() < 0.2 else None,
                words=chance.choice((5, 100, 600)),
                max_tokens=max_tokens,
                output_tokens=chance.randint(1, max_tokens),
                audio_s=chance.choice((10.0, 60.0, 300.0)) if is_audio else 0.0,
                deadline_s=chance.choice((15.0, 30.0, 50.0)),
                caller=caller,
                watched=not is_audio and chance.random() < watched,
                gives_up_after_s=chance.expovariate(0.3) if leaves else None,
            )
        )
    return tuple(sorted(jobs, key=lambda job: job.at_s))
