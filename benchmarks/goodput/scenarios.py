"""What may be different about the server: each scenario turns one switch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.goodput.models import AUDIO, CHAT, Track

__all__ = ["LOADS", "SCENARIOS", "Outage", "Scenario", "scenario"]

# Real tokens asked for a second over the tokens a second all buckets together gain; see workload.py for audio.
LOADS = (0.57, 0.85, 1.28, 1.85)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Models that answer 503 between two moments."""

    models: Sequence[str]
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`refunds`: tokens claimed by max_tokens and not used come back when the answer is complete.

    `headers_at_completion`: x-ratelimit-remaining tells the level when the answer is complete, not when its call was
    admitted. `hidden_share`: what others of the organization take of each bucket's refill. `daily_quota_left`: the
    share of the daily limits that is left when the run starts.
    """

    name: str
    about: str
    track: Track = CHAT
    loads: Sequence[float] = (0.85, 1.28)
    refunds: bool = True
    headers_at_completion: bool = False
    sliding_window: bool = False
    hidden_share: float = 0.0
    outage: Outage | None = None
    daily_quota_left: float = 1.0


SCENARIOS = (
    Scenario(name="base", about="an organization of one's own; unused max_tokens come back", loads=LOADS),
    Scenario(name="no-refund", about="unused max_tokens do not come back", refunds=False),
    Scenario(name="fresh-headers", about="headers tell the level at completion", headers_at_completion=True),
    Scenario(name="sliding-window", about="a log of the last window in place of a bucket", sliding_window=True),
    Scenario(name="hidden-traffic", about="others of the organization take 30 % of each bucket", hidden_share=0.3),
    Scenario(
        name="outage",
        about="the first choices of `fast` and `reasoning` answer 503 from 200 s to 260 s",
        outage=Outage(models=("llama-3.1-8b-instant", "llama-3.3-70b-versatile"), from_s=200.0, to_s=260.0),
    ),
    Scenario(name="low-daily-quota", about="3 % of requests and tokens a day are left at the start", daily_quota_left=0.03),
    Scenario(name="audio", about="recordings of 5 to 600 s for two speech models, over an hour", track=AUDIO),
)


def scenario(name: str) -> Scenario:
    """The scenario of that name."""
    return next(found for found in SCENARIOS if found.name == name)
