"""The calls of a run: an open loop, so nobody waits for an answer before asking the next question."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.goodput.models import DEADLINES_S, ORDERS, refill_tpm

__all__ = ["SECONDS", "ChatJob", "chat_jobs"]

SECONDS = 600.0

SHARE_IN_BURSTS = 0.3
BURST = (5, 12)
# The calls of a burst arrive one after the other: they come from one program that fans out.
BURST_GAP_S = 0.02
INPUT_TOKENS = (60, 6_000)
MAX_TOKENS = (256, 512, 1_024, 2_048)
OVERHEAD_S = (0.15, 0.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatJob:
    """A call somebody wants answered, with what only the server knows: its real tokens and its overhead.

    `rank` picks how many bytes a token of its prompt takes; see prompts.py.
    """

    number: int
    arrives_s: float
    deadline_s: float
    use_case: str
    input_tokens: int
    max_tokens: int
    output_tokens: int
    rank: float
    overhead_s: float

    @property
    def tokens(self) -> int:
        """What the call really takes."""
        return self.input_tokens + self.output_tokens


def chat_jobs(*, load: float, seed: int, seconds: float = SECONDS) -> Sequence[ChatJob]:
    """Calls whose real tokens are `load` times what all buckets together gain in `seconds`.

    Sizes are drawn until that sum is reached, then arrivals for so many calls: a Poisson process whose count is given.
    """
    chance = random.Random(seed)
    wanted = load * refill_tpm() / 60 * seconds
    sizes: list[tuple[int, int, int]] = []
    total = 0
    while total < wanted:
        size = _size(chance)
        sizes.append(size)
        total += size[0] + size[2]
    return [
        ChatJob(
            number=number,
            arrives_s=arrives_s,
            deadline_s=chance.choice(DEADLINES_S),
            use_case=chance.choice(tuple(ORDERS)),
            input_tokens=size[0],
            max_tokens=size[1],
            output_tokens=size[2],
            rank=chance.random(),
            overhead_s=chance.uniform(*OVERHEAD_S),
        )
        for number, (size, arrives_s) in enumerate(zip(sizes, arrivals(chance, len(sizes), seconds), strict=True))
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


def _size(chance: random.Random) -> tuple[int, int, int]:
    least, most = INPUT_TOKENS
    input_tokens = round(min(max(chance.lognormvariate(6.2, 0.9), least), most))
    max_tokens = chance.choice(MAX_TOKENS)
    output_tokens = max(round(min(chance.lognormvariate(5.0, 0.8), max_tokens)), 1)
    return input_tokens, max_tokens, output_tokens
