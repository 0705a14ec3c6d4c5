"""The ledger against other people's arithmetic: a simple model in steps of hypothesis, and the GCRA of pyrate-limiter."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import pytest
from effort import times
from fake_clock import FakeClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from pyrate_limiter import Rate
from pyrate_limiter.abstracts import GCRA
from stores import STORES, make_store

from groq_fallback_mcp.call import FailureKind, Limit
from groq_fallback_mcp.quota import Claim, Granted, QuotaKey, Refused, Reservation, Settlement
from groq_fallback_mcp.quota.buckets import EPSILON, ON_THE_WAY_S
from groq_fallback_mcp.quota.budget import Spend
from groq_fallback_mcp.quota.store import Store
from groq_fallback_mcp.quota.store_ledger import StoredLedger

MODELS = ("a", "b", "c")
LIMITS: Mapping[Limit, int] = {Limit.RPM: 6, Limit.TPM: 1_200, Limit.TPD: 14_400}
FOREVER_S = 10.0**9
NAMES = count()


class Model:
    """What a ledger should do, the plain way: for each limit what is used, draining evenly."""

    def __init__(self) -> None:
        self.used = {(model, limit): 0.0 for model in MODELS for limit in LIMITS}
        # from when it would be full a bucket gains nothing while a request is on its way
        self.drains_from = dict.fromkeys(self.used, 0.0)
        self.free_at = dict.fromkeys(MODELS, 0.0)
        self.now = 0.0

    def advance(self, seconds: float) -> None:
        """Let usage drain."""
        before, self.now = self.now, self.now + seconds
        for (model, limit), used in self.used.items():
            drained_s = max(self.now - max(before, self.drains_from[model, limit]), 0.0)
            self.used[model, limit] = max(used - drained_s * LIMITS[limit] / limit.window_s, 0.0)

    def wait_s(self, model: str, cost: Mapping[Limit, float]) -> float:
        """How long a call must wait."""
        excess = [
            over * limit.window_s / LIMITS[limit] + max(self.drains_from[model, limit] - self.now, 0.0)
            for limit, units in cost.items()
            if (over := self.used[model, limit] + units - LIMITS[limit]) > 0
        ]
        return max(0.0, self.free_at[model] - self.now, *excess)

    def take(self, model: str, cost: Mapping[Limit, float], sign: float = 1.0) -> None:
        """Use it, or give it back."""
        for limit, units in cost.items():
            if units and sign > 0:
                still_s = max(self.drains_from[model, limit] - self.now, 0.0)
                full_in_s = self.used[model, limit] * limit.window_s / LIMITS[limit] + (
                    still_s if self.used[model, limit] > EPSILON else 0.0
                )
                self.drains_from[model, limit] = self.now + max(ON_THE_WAY_S - full_in_s, still_s)
            if units:
                self.used[model, limit] = max(self.used[model, limit] + sign * units, 0.0)


def cost_of(tokens: float) -> dict[Limit, float]:
    """One request."""
    return {Limit.RPM: 1.0, Limit.TPM: tokens, Limit.TPD: tokens}


class LedgerMachine(RuleBasedStateMachine):
    """Reserves, settles, releases and waits at random; after each step both must agree."""

    store: Store
    clock: FakeClock

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.open: list[tuple[Reservation, float]] = []
        self.model = Model()
        # an organization of its own, so that examples do not meet
        self.organization = str(next(NAMES))
        self.ledger = StoredLedger(self.store, self.clock, threaded=False)

    def claim(self, model: str, tokens: float) -> Claim:
        """A request with tokens."""
        key = QuotaKey(provider="p", organization=self.organization, model=model)
        return Claim(key=key, cost=cost_of(tokens), documented=LIMITS)

    @rule(order=st.permutations(MODELS), tokens=st.integers(1, 1_200))
    def reserve(self, order: list[str], tokens: int) -> None:
        """The first that fits, and only it."""
        result = self.runner.run(self.ledger.reserve_any([self.claim(model, tokens) for model in order], life_s=FOREVER_S))
        waits = [self.model.wait_s(model, cost_of(tokens)) for model in order]
        if isinstance(result, Refused):
            assert all(wait > 0 for wait in waits)
            told = [wait.wait_s for wait in result.waits]
            assert told == [pytest.approx(wait, abs=1e-3) for wait in waits]
            return
        assert waits[result.index] < 1e-3
        assert all(wait > -1e-3 for wait in waits[: result.index])
        model, taken = order[result.index], result.reservation
        self.model.take(model, cost_of(tokens))
        self.open.append((taken, tokens))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), share=st.floats(0, 1.5))
    def settle(self, data: st.DataObject, share: float) -> None:
        """What was not used comes back, what was used beyond is charged."""
        reservation, tokens = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        used = round(share * tokens)
        settlement = Settlement(actual={Limit.TPM: used, Limit.TPD: used}, spent=Spend())
        self.runner.run(self.ledger.settle(reservation, settlement))
        self.model.take(reservation.key.model, {Limit.TPM: tokens - used, Limit.TPD: tokens - used}, -1.0)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """All of it comes back, once."""
        reservation, tokens = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        for _ in range(2):
            self.runner.run(self.ledger.release(reservation))
        self.model.take(reservation.key.model, cost_of(tokens), -1.0)

    @rule(model=st.sampled_from(MODELS), seconds=st.integers(1, 100))
    def cool(self, model: str, seconds: int) -> None:
        """Of two cooldowns the later end counts; whoever tests the model afterwards succeeds at once."""
        key = QuotaKey(provider="p", organization=self.organization, model=model)
        self.runner.run(self.ledger.cool_down(key, seconds, "r", limit=None, kind=FailureKind.SERVER_ERROR))
        self.model.free_at[model] = max(self.model.free_at[model], self.model.now + seconds)

    @rule(seconds=st.one_of(st.integers(1, 30), st.integers(60, 4_000)))
    def wait(self, seconds: int) -> None:
        """Time passes; models whose cooldown is over are tested and found well."""
        self.clock.advance(seconds)
        self.model.advance(seconds)
        for model, free_at in self.model.free_at.items():
            if 0 < free_at <= self.model.now:
                self.model.free_at[model] = 0.0
                probe = Claim(key=self.claim(model, 1).key, cost={}, documented=LIMITS)
                granted = self.runner.run(self.ledger.reserve_any([probe], life_s=FOREVER_S))
                assert isinstance(granted, Granted)
                self.runner.run(self.ledger.settle(granted.reservation, Settlement(actual={}, health="up")))

    @invariant()
    def same_levels(self) -> None:
        """Every bucket of every model, and the calls under way."""
        quotas = self.runner.run(self.ledger.peek([self.claim(model, 1) for model in MODELS]))
        for quota in quotas:
            for limit, capacity in LIMITS.items():
                used = self.model.used[quota.key.model, limit]
                assert quota.buckets[limit].level_at(quota.now) == pytest.approx(capacity - used, abs=1e-2)
            assert quota.calls_in_flight == sum(1 for one, _ in self.open if one.key.model == quota.key.model)

    def teardown(self) -> None:
        """End the loop."""
        self.runner.close()


@pytest.mark.parametrize("kind", STORES)
def test_every_store_does_what_a_simple_model_does(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Whatever is reserved, settled, released and waited for."""
    clock = FakeClock()
    store = make_store(kind, clock, tmp_path, request)
    machine = type("Machine", (LedgerMachine,), {"store": store, "clock": clock})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=times(40), stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    store.close()


@pytest.mark.parametrize("kind", STORES)
def test_every_store_admits_what_the_gcra_of_pyrate_limiter_admits(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Two rates at once, all or none, in whole milliseconds."""
    clock = FakeClock()
    store = make_store(kind, clock, tmp_path, request)
    rates = [Rate(30, 60_000), Rate(6_000, 60_000)]
    gcra = GCRA()

    @settings(max_examples=times(40), deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.integers(0, 9_000), st.integers(1, 6_500)), min_size=1, max_size=25))
    def same(arrivals: list[tuple[int, int]]) -> None:
        ledger = StoredLedger(store, clock, threaded=False)
        state = {rate: gcra.initial([rate]) for rate in rates}
        # until when each bucket stands still, and how long it has stood still by then
        still = {rate: (float("-inf"), 0.0) for rate in rates}
        key = QuotaKey(provider="p", organization=str(next(NAMES)), model="m")
        with asyncio.Runner() as runner:
            for gap_ms, tokens in arrivals:
                clock.advance(gap_ms / 1000)
                now_ms = round(clock.wall() * 1000)
                left_ms = {rate: max(still[rate][0] - now_ms, 0.0) for rate in rates}
                # in its own time, which stood still
                own_ms = {rate: round(now_ms - still[rate][1] + left_ms[rate]) for rate in rates}
                steps = [
                    gcra.step([rate], state[rate], own_ms[rate], weight)
                    for rate, weight in zip(rates, (1, tokens), strict=True)
                ]
                admitted = all(decision.failing_rate is None for _, decision in steps)
                claim = Claim(
                    key=key,
                    cost={Limit.RPM: 1.0, Limit.TPM: float(tokens)},
                    documented={Limit.RPM: 30, Limit.TPM: 6_000},
                )
                result = runner.run(ledger.reserve_any([claim], life_s=FOREVER_S))
                assert isinstance(result, Granted) == admitted
                if admitted:
                    for rate in rates:
                        full_in_ms = max(state[rate][0] / 1000 - own_ms[rate], 0.0)
                        full_in_ms += left_ms[rate] if full_in_ms else 0.0
                        lost_ms = max(ON_THE_WAY_S * 1000 - full_in_ms, left_ms[rate])
                        still[rate] = (now_ms + lost_ms, still[rate][1] - left_ms[rate] + lost_ms)
                    state = {rate: advanced for rate, (advanced, _) in zip(rates, steps, strict=True)}
                elif tokens <= 6_000:
                    told_ms = max(
                        decision.retry_after_ms + left_ms[rate]
                        for rate, (_, decision) in zip(rates, steps, strict=True)
                        if decision.retry_after_ms
                    )
                    assert result.waits[0].wait_s == pytest.approx(told_ms / 1000, abs=2e-3)  # type: ignore[union-attr]
                else:
                    assert result.waits[0].wait_s is None  # type: ignore[union-attr]

    same()
    store.close()
