"""The calls of a run: an open loop, so nobody waits for an answer before asking the next question."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.goodput.models import AUDIO, DEADLINES_S, Track

__all__ = ["Job", "arrivals", "draw_jobs"]

SHARE_IN_BURSTS = 0.3
BURST = (5, 12)
# The calls of a burst arrive one after the other: they come from one program that fans out.
BURST_GAP_S = 0.02
INPUT_TOKENS = (60, 6_000)
MAX_TOKENS = (256, 512, 1_024, 2_048)
AUDIO_S = (5.0, 600.0)
# Groq bills no recording below that.
LEAST_BILLED_S = 10.0
OVERHEAD_S = (0.15, 0.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A call somebody wants answered, with what only the server knows: its real size and its overhead.

    `rank` picks how many bytes a token of its prompt takes; see prompts.py. `audio_s` is the length of a recording,
    0 for a chat.
    """

    number: int
    arrives_s: float
    deadline_s: float
    use_case: str
    rank: float
    overhead_s: float
    input_tokens: int = 0
    max_tokens: int = 0
    output_tokens: int = 0
    audio_s: float = 0.0

    @property
    def work(self) -> float:
        """What the call really takes of the metered limit: tokens, or billed audio seconds."""
        return max(self.audio_s, LEAST_BILLED_S) if self.audio_s else self.input_tokens + self.output_tokens


def draw_jobs(track: Track, *, load: float, seed: int, seconds: float) -> Sequence[Job]:
    """Calls whose real work is `load` times what all buckets together gain in `seconds`.

    Of audio seconds a bucket holds an hour's worth, which a run uses up first: there, the load is over what the
    buckets hold and gain. Sizes are drawn until the wanted sum is reached, then arrivals for so many calls: a Poisson
    process whose count is given.
    """
    chance = random.Random(seed)
    wanted = load * (track.capacity(seconds) if track == AUDIO else track.refill_per_s * seconds)
    sized: list[Job] = []
    total = 0.0
    while total < wanted:
        sized.append(_audio(chance) if track == AUDIO else _chat(chance))
        total += sized[-1].work
    return [
        replace(
            job,
            number=number,
            arrives_s=arrives_s,
            deadline_s=chance.choice(DEADLINES_S),
            use_case=chance.choice(track.use_cases),
            rank=chance.random(),
            overhead_s=chance.uniform(*OVERHEAD_S),
        )
        for number, (job, arrives_s) in enumerate(zip(sized, arrivals(chance, len(sized), seconds), strict=True))
    ]


def arrivals(chance: random.Random, count: int, seconds: float) -> Sequence[float]:
    """When so many calls arrive, in order: most of them alone, the rest in bursts."""
    in_bursts = round(count * SHARE_IN_BURSTS)
    found = [chance.uniform(0, seconds) for _ in range(count - in_bursts)]
    while in_bursts > 0:
        size = min(chance.randint(*BURST), in_bursts)
        start = chance.uniform(0, seconds)
        found += [start + BURST_GAP_S * step for step in range(size)]
        in_bursts -= size
    return sorted(found)


def _chat(chance: random.Random) -> Job:
    least, most = INPUT_TOKENS
    max_tokens = chance.choice(MAX_TOKENS)
    return replace(
        _BLANK,
        input_tokens=round(min(max(chance.lognormvariate(6.2, 0.9), least), most)),
        max_tokens=max_tokens,
        output_tokens=max(round(min(chance.lognormvariate(5.0, 0.8), max_tokens)), 1),
    )


def _audio(chance: random.Random) -> Job:
    # as many between 5 and 50 s as between 50 and 500 s
    return replace(_BLANK, audio_s=math.exp(chance.uniform(*(math.log(end) for end in AUDIO_S))))


_BLANK = Job(number=0, arrives_s=0.0, deadline_s=0.0, use_case="", rank=0.0, overhead_s=0.0)
