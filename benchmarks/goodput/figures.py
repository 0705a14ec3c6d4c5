"""The figures of a run, and their mean over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean, quantiles

from benchmarks.goodput.models import ORDERS
from benchmarks.goodput.scenarios import Scenario
from benchmarks.goodput.trial import Observed

__all__ = ["Figures", "bound", "figures", "mean"]

OK, LIMITED, SERVER_ERROR = 200, 429, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Shares are of 1. `served`: answered in full before the deadline. `refused`: upstream 429s.

    `shortened`: answered, but cut to fewer tokens than asked for because a smaller max_tokens was sent; not served.
    `goodput`: real work of served answers whose request was sent within the arrivals' time, over what the buckets
    could give in that time, their first fill included. `first_choice`: of those served, how many by the first model
    of their order. `wasted`: upstream requests that no served answer came of.
    """

    calls: float
    served: float
    shortened: float
    refused: float
    server_errors: float
    too_large: float
    requests_a_call: float
    wasted: float
    goodput: float
    first_choice: float
    p50_s: float
    p95_s: float


def figures(observed: Observed, scenario: Scenario, *, seconds: float) -> Figures:
    """What a run came to."""
    calls = len(observed.fates)
    answered = [fate for fate in observed.fates if fate.served is not None]
    served = [fate for fate in answered if fate.served and fate.served.output_tokens >= fate.job.output_tokens]
    sent_last = {sent.job: sent.at_s for sent in observed.sent if sent.status == OK}
    good = sum(fate.job.work for fate in served if sent_last[fate.job.number] < seconds)
    first = sum(1 for fate in served if fate.served and fate.served.model == ORDERS[fate.job.use_case][0])
    took = sorted(fate.took_s for fate in served)
    marks = quantiles(took, n=20) if len(took) > 1 else [0.0] * 19
    return Figures(
        calls=calls,
        served=len(served) / calls,
        shortened=(len(answered) - len(served)) / calls,
        refused=sum(1 for sent in observed.sent if sent.status == LIMITED),
        server_errors=sum(1 for sent in observed.sent if sent.status >= SERVER_ERROR),
        too_large=sum(1 for sent in observed.sent if OK < sent.status < SERVER_ERROR and sent.status != LIMITED),
        requests_a_call=len(observed.sent) / calls,
        wasted=len(observed.sent) - len(served),
        goodput=good / scenario.track.capacity(seconds, daily_left=scenario.daily_quota_left),
        first_choice=first / max(len(served), 1),
        p50_s=marks[9],
        p95_s=marks[18],
    )


def bound(calls: int, servable: float) -> Figures:
    """The figures of an upper bound, which says only what share could be served."""
    unknown = dict.fromkeys((field.name for field in fields(Figures)), math.nan)
    return Figures(**{**unknown, "calls": calls, "served": servable})


def mean(several: Sequence[Figures]) -> Figures:
    """The mean of each figure."""
    return Figures(**{field.name: fmean(asdict(one)[field.name] for one in several) for field in fields(Figures)})
