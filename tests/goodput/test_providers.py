"""The benchmark of several providers' limits: short, but the same as at length."""

from __future__ import annotations

from benchmarks.providers.__main__ import measure


def test_four_processes_use_three_providers_limits_and_are_refused_nothing() -> None:
    """Two minutes at one and a half times what all limits allow."""
    found = measure(1.5, seconds=120.0)
    assert set(found.refused.values()) == {0}
    assert all(count > 0 for count in found.by_provider.values())
    assert found.share > 0.7
