"""Whether unused tokens come back: what proves it, what speaks against it, and what is done until it is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.quota.buckets import Bucket, take
from groq_fallback_mcp.quota.refund import Refunds, believed, credit, evidence, weighed, withheld_at

T0 = 1_790_000_000.0
UNKNOWN, YES, NO = Refunds(), Refunds(verdict="yes"), Refunds(verdict="no")


def bucket(limit: Limit = Limit.TPM, **fields: float) -> Bucket:
    """Half full."""
    return replace(Bucket(limit=limit, capacity=6000, level=3000, at=T0), **fields)


def found(state: Bucket, *, remaining: float, unused: float = 0, later: float = 0, gained: float = 0) -> str | None:
    """What a statement says."""
    return evidence(state, unused=unused, remaining=remaining, later=later, gained=gained, now=T0)


def test_more_than_our_level_proves_a_refund() -> None:
    """Nobody else's traffic can raise what remains; calls that the server may not have seen yet are allowed for."""
    withheld = bucket(withheld=1000)
    assert found(withheld, remaining=4000) == "yes"
    assert found(withheld, remaining=4000, later=1000) is None
    assert found(bucket(), remaining=3500, unused=500) == "yes"
    assert found(bucket(), remaining=3010, unused=10) is None


def test_no_more_than_our_level_while_much_is_withheld_speaks_against_it() -> None:
    """Refill that the server may not have counted is no sign of a refund."""
    withheld = bucket(withheld=1000)
    assert found(withheld, remaining=3000) == "no"
    assert found(withheld, remaining=2950, gained=100) == "no"
    assert found(withheld, remaining=3350, later=500) is None
    assert found(bucket(withheld=100), remaining=2900) is None


def test_what_was_given_back_on_trust_is_checked() -> None:
    """Far less than ours speaks against it, about as much confirms it."""
    trusted = bucket(credited=2000, confirmed=800)
    assert found(trusted, remaining=2000) == "no"
    assert found(trusted, remaining=2900) == "yes"
    assert found(bucket(credited=900, confirmed=800), remaining=100) is None


def test_only_tokens_are_ever_kept() -> None:
    """A request is a request."""
    requests = bucket(Limit.RPM, withheld=1000)
    assert found(requests, remaining=6000) is None
    assert credit(requests, 1, T0, NO, stated=True).level == 3001


@pytest.mark.parametrize(
    ("verdict", "stated", "level"), [(YES, True, 3500), (NO, True, 3000), (UNKNOWN, True, 3000), (UNKNOWN, False, 3500)]
)
def test_unused_tokens_come_back_when_refunds_are_known_or_nothing_is_said(
    verdict: Refunds, stated: bool, level: float
) -> None:
    """Else they are withheld, to be believed later."""
    after = credit(bucket(), 500, T0, verdict, stated=stated)
    assert after.level == level
    assert believed(after, T0).level == 3500


def test_a_bucket_that_has_refilled_owes_nothing() -> None:
    """What was withheld is moot."""
    assert withheld_at(bucket(withheld=1000), T0 + 60) == 0


def test_a_proof_counts_at_once_and_doubts_only_in_a_row() -> None:
    """Three statements turn the verdict; one that fits forgets the doubts."""
    assert weighed(UNKNOWN, "yes") == YES
    once = weighed(YES, "no")
    assert (once.verdict, once.doubts) == ("yes", 1)
    assert weighed(once, "yes") == YES
    assert weighed(weighed(once, "no"), "no") == NO
    assert weighed(NO, "no") == NO
    assert weighed(NO, "yes") == YES


def test_what_comes_back_to_a_full_bucket_is_lost() -> None:
    """700 withheld of a bucket that lacks 200 when the next call takes from it are 200."""
    nearly_full = replace(bucket(), level=5800, withheld=700)
    assert take(nearly_full, 1000, T0).withheld == 200
    assert believed(take(nearly_full, 1000, T0), T0).level == 5000
