"""The most calls that any policy could have answered: an upper bound, from what all limits let through in a run.

Relaxed in favor of the policy: calls may be answered in part, at any moment of the run or the last deadline after it; a call takes its
real tokens, and no max_tokens in advance; models that tokens limit are one model with the sum of their tokens, which is given the
smallest calls; a model that requests limit answers as many calls as it may, whatever their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from benchmarks.providers.limits import REQUESTS, Account, units_of
from benchmarks.providers.workload import Call
from groq_fallback_mcp.call import Limit

__all__ = ["most_served"]


def most_served(accounts: Sequence[Account], calls: Sequence[Call], *, seconds: float) -> float:
    """Calls that could be answered in `seconds`, the last deadline included."""
    by_requests, pooled = 0.0, dict[Limit, float]()
    for account in accounts:
        requests = min((account.most(limit, seconds) for limit in account.limits if limit in REQUESTS), default=len(calls))
        tokens = {limit: account.most(limit, seconds) for limit in account.limits if limit not in REQUESTS}
        scarce = min(tokens, key=lambda limit: _fitting(calls, limit, tokens[limit]), default=None)
        if scarce is None or _fitting(calls, scarce, tokens[scarce]) >= requests:
            by_requests += requests
        else:
            pooled[scarce] = pooled.get(scarce, 0.0) + tokens[scarce]
    return min(by_requests + sum(_fitting(calls, limit, units) for limit, units in pooled.items()), len(calls))


def _fitting(calls: Sequence[Call], limit: Limit, units: float) -> float:
    """How many of the smallest calls fit into so many units, the last of them in part."""
    sizes = sorted(units_of(limit, call.input_tokens, call.output_tokens) for call in calls)
    for number, total in enumerate(accumulate(sizes)):
        if total > units:
            return number + (units - (total - sizes[number])) / sizes[number]
    return len(sizes)
