"""Prompts seen before: reported, and not charged."""

from __future__ import annotations

import pytest
from simulator.rig import KEY, MODEL, OpenRig, Rig

pytestmark = pytest.mark.anyio
LONG = {"role": "system", "content": "x" * 4_000}
HOUR_S = 3_600.0


async def _cached(rig: Rig, *, text: str = "hello", system: object = LONG, key: str = KEY, model: str = MODEL) -> int:
    reply = await rig.chat(messages=[system, {"role": "user", "content": text}], key=key, model=model)
    return int(reply.json()["usage"]["prompt_tokens_details"]["cached_tokens"])


async def test_leading_messages_seen_before_are_cached(rig: Rig) -> None:
    """The rest of the prompt may differ; the whole prompt counts where it is the same."""
    assert await _cached(rig) == 0
    assert await _cached(rig, text="something else") == 1_004
    assert await _cached(rig) == 1_008


async def test_cached_tokens_are_not_charged(rig: Rig) -> None:
    """The bucket of a minute goes down by what is new and by the answer."""
    left: list[int] = []
    for _ in range(2):
        messages = [LONG, {"role": "user", "content": "hello"}]
        left.append(int((await rig.chat(messages=messages)).headers["x-ratelimit-remaining-tokens"]))
    assert (8_000 - left[0], left[0] - left[1]) == (1_008 + 7, 7)


@pytest.mark.parametrize("other", [{"key": "gsk_other"}, {"system": {"role": "system", "content": "y" * 4_000}}])
async def test_another_organization_or_another_beginning_has_no_share_in_it(
    other: dict[str, object], open_rig: OpenRig
) -> None:
    """As have short prompts and models of other families."""
    rig = open_rig(latency_scale=0.0, organizations={"gsk_other": "org_other"})
    await _cached(rig)
    assert await _cached(rig, **other) == 0  # type: ignore[arg-type]


async def test_short_prompts_and_other_models_are_not_cached(rig: Rig) -> None:
    """128 tokens at least, and gpt-oss."""
    short = {"role": "system", "content": "x" * 400}
    assert [await _cached(rig, system=short) for _ in range(2)] == [0, 0]
    assert [await _cached(rig, model="qwen/qwen3.8-27b") for _ in range(2)] == [0, 0]


@pytest.mark.parametrize(("passed_s", "cached"), [(2 * HOUR_S - 1, 1_008), (2 * HOUR_S, 0)])
async def test_after_two_hours_a_prompt_is_forgotten(passed_s: float, cached: int, rig: Rig) -> None:
    """Not a second before."""
    await _cached(rig)
    rig.clock.advance(passed_s)
    assert await _cached(rig) == cached


async def test_the_cache_can_be_switched_off_and_emptied(open_rig: OpenRig) -> None:
    """By an option and by a reset."""
    off = open_rig(latency_scale=0.0, prompt_cache=False)
    assert [await _cached(off) for _ in range(2)] == [0, 0]
    on = open_rig(latency_scale=0.0)
    await _cached(on)
    await on.client.post("/simulator/reset")
    assert await _cached(on) == 0
