"""The goodput benchmark measures what it says: workload, upstream, upper bound, and a short run from end to end."""

from __future__ import annotations

import itertools
import math
import pickle
import random
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.goodput.contest import BOUND, OURS, Cell, Result, play
from benchmarks.goodput.figures import Figures
from benchmarks.goodput.fluid import share_servable
from benchmarks.goodput.models import AUDIO, CHAT, LIMITS, ORDERS, Track
from benchmarks.goodput.prompts import _encoding, text_of
from benchmarks.goodput.report import read_json, renewed, write_json
from benchmarks.goodput.scenarios import SCENARIOS, scenario
from benchmarks.goodput.upstream import Reply, Upstream
from benchmarks.goodput.virtual_time import VirtualLoop, run
from benchmarks.goodput.workload import Job, draw_jobs

from groq_fallback_mcp.call import Limit

SMALL = "llama-3.1-8b-instant"
BASE = scenario("base")


def job(**fields: float) -> Job:
    """A call of 1,000 tokens with nothing else about it."""
    plain = Job(
        number=0, arrives_s=0.0, deadline_s=30.0, use_case="fast", rank=0.5, overhead_s=0.2,
        input_tokens=900, max_tokens=1_000, output_tokens=100,
    )  # fmt: skip
    return replace(plain, **fields)  # type: ignore[arg-type]


def test_all_orders_hold_the_same_eight_models() -> None:
    """So that a use case is a preference and nothing else."""
    assert len(CHAT.models) == 8
    assert {frozenset(ORDERS[use_case]) for use_case in CHAT.use_cases} == {frozenset(CHAT.models)}
    assert CHAT.refill_per_s == pytest.approx(86_000 / 60)


@pytest.mark.parametrize(("track", "seconds"), [(CHAT, 600.0), (AUDIO, 3_600.0)])
def test_a_load_is_what_it_says(track: object, seconds: float) -> None:
    """Work over refill, to within one call; in order of arrival; the same for the same seed."""
    jobs = draw_jobs(track, load=1.28, seed=7, seconds=seconds)  # type: ignore[arg-type]
    base = CHAT.refill_per_s * seconds if track is CHAT else AUDIO.capacity(seconds)

    assert 0 <= sum(one.work for one in jobs) - 1.28 * base < 9_000
    assert all(before.arrives_s <= after.arrives_s for before, after in itertools.pairwise(jobs))
    assert jobs == draw_jobs(track, load=1.28, seed=7, seconds=seconds)  # type: ignore[arg-type]


@pytest.mark.parametrize("track", [CHAT, AUDIO])
def test_a_track_that_was_handed_to_another_process_draws_the_same_calls(track: Track) -> None:
    """Cells are played in processes of their own, which get copies: recordings became chats there."""
    copy = pickle.loads(pickle.dumps(track))
    assert draw_jobs(copy, load=1.28, seed=7, seconds=600.0) == draw_jobs(track, load=1.28, seed=7, seconds=600.0)


@pytest.mark.parametrize("rank", [0.0, 0.123, 0.5, 0.999999])
def test_texts_are_real_and_have_as_many_tokens_as_asked_for(rank: float) -> None:
    """Cut at tokens, so that only the ends may be counted otherwise; the same for the same rank."""
    counted = len(_encoding().encode(text_of(510, rank), disallowed_special=()))
    assert counted == pytest.approx(500, abs=5)
    assert text_of(510, rank) == text_of(510, rank)


def test_the_upstream_charges_max_tokens_and_gives_back_what_was_not_used() -> None:
    """900 + 5,000 of 6,000 leave no room for a second; after its answer only 1,000 were used."""

    async def main(loop: VirtualLoop) -> list[tuple[int, str]]:
        upstream = Upstream(loop, BASE)
        replies = [await upstream.ask(job(), SMALL, 5_000), await upstream.ask(job(), SMALL, 1_000)]
        return [(reply.status, reply.headers["x-ratelimit-remaining-tokens"]) for reply in replies]

    (first, at_admission), (second, _) = run(main)
    assert (first, at_admission, second) == (200, "100", 200)


def test_the_upstream_keeps_what_was_claimed_where_nothing_comes_back() -> None:
    """5,900 less what flowed off in the 0.3 s of the first answer; the wait stands in the text, and rounded up in retry-after."""

    async def main(loop: VirtualLoop) -> Reply:
        upstream = Upstream(loop, scenario("no-refund"))
        await upstream.ask(job(), SMALL, 5_000)
        return await upstream.ask(job(), SMALL, 1_000)

    refused = run(main)
    assert refused.status == 429
    assert refused.headers["retry-after"] == "18"
    assert "Limit 6000, Used 5867, Requested 1900. Please try again in 17.667s" in refused.body


def test_a_sliding_window_frees_nothing_before_a_minute_is_over() -> None:
    """What a bucket would have given by half."""

    async def main(loop: VirtualLoop) -> Reply:
        upstream = Upstream(loop, scenario("sliding-window"))
        await upstream.ask(job(input_tokens=5_900), SMALL, 100)
        upstream.loop.jump(30.0)
        return await upstream.ask(job(), SMALL, 1_000)

    refused = run(main)
    assert refused.status == 429
    assert "try again in 29." in refused.body


def test_the_daily_quota_can_be_nearly_spent_at_the_start() -> None:
    """Three per cent of 500,000 tokens are 15,000."""

    async def main(loop: VirtualLoop) -> float:
        upstream = Upstream(loop, scenario("low-daily-quota"))
        headers = upstream.limits.headers("org_simulated", SMALL)
        return float(headers["x-ratelimit-remaining-requests"])

    assert run(main) == pytest.approx(0.03 * LIMITS[SMALL][Limit.RPD], abs=1)


def test_the_bound_of_one_bucketful_at_once() -> None:
    """At one moment no more than all buckets hold and gain until the deadline; the smallest calls are counted first."""
    everything = 86_000 + CHAT.refill_per_s * 10
    small = [job(number=number, input_tokens=900, output_tokens=100, deadline_s=10.0, overhead_s=0.0) for number in range(50)]
    large = [replace(one, input_tokens=1_900) for one in small]
    seconds_to_write = 100 / 800

    found = share_servable([*small, *large], BASE)

    served = 50 + (everything - CHAT.refill_per_s * seconds_to_write - 50_000) / 2_000
    assert found == pytest.approx(served / 100, abs=1e-3)


def test_the_bound_allows_what_fits() -> None:
    """Less than the buckets hold at the start, or gain before a later arrival."""
    chance = random.Random(1)
    early = [job(number=number, arrives_s=chance.uniform(0, 5), input_tokens=5_000) for number in range(16)]
    later = [replace(one, arrives_s=one.arrives_s + 60.0) for one in early]

    assert share_servable(early, BASE) == 1.0
    assert share_servable([*early, *later], BASE) == pytest.approx(1.0)
    assert share_servable([*early, *early, *early], BASE) < 1.0


@pytest.mark.parametrize("name", [found.name for found in SCENARIOS])
def test_every_scenario_runs(name: str) -> None:
    """A minute of light load, with nothing worse than what the scenario is about."""
    cell = Cell(scenario=scenario(name), load=0.3, contender=OURS, processes=2)

    found = play(cell, [1], shortened=0.1).mean

    assert found.served == pytest.approx(1.0, abs=0.15 if name != "low-daily-quota" else 0.6)
    assert found.goodput <= 1.0


def played(contender: str, served: float) -> Result:
    """A cell that came out so; what its bound cannot tell is no number."""
    known = dict.fromkeys(Figures.__dataclass_fields__, 1.0)
    found = Figures(**{**known, "served": served, "p50_s": math.nan})
    return Result(cell=Cell(scenario=BASE, load=0.85, contender=contender, processes=1), mean=found, by_seed=[found])


def test_playing_some_contenders_again_keeps_the_figures_of_the_others(tmp_path: Path) -> None:
    """They would come out the same: time is virtual."""
    run: dict[str, object] = {"date": "2026-01-01", "command": "all of it", "seeds": [1]}
    write_json(tmp_path / "results.json", [played(BOUND, 1.0), played(OURS, 0.5)], run)
    again = {**run, "date": "2026-02-02", "command": "ours"}
    results, told = renewed(read_json(tmp_path / "results.json"), [played(OURS, 0.75)], again)
    assert [(result.cell.contender, result.mean.served) for result in results] == [(BOUND, 1.0), (OURS, 0.75)]
    assert math.isnan(results[0].mean.p50_s)
    assert told == {**run, "played_again": "2026-02-02: ours"}


@pytest.mark.parametrize(("contender", "seeds"), [(OURS, [1, 2]), ("LiteLLM: new", [1])])
def test_figures_of_other_seeds_or_of_a_cell_that_was_not_played_are_not_mixed(contender: str, seeds: list[int]) -> None:
    """The table would compare what cannot be compared."""
    run: dict[str, object] = {"date": "2026-01-01", "command": "all of it", "seeds": [1]}
    with pytest.raises(ValueError, match="kept figures"):
        renewed(([played(OURS, 0.5)], run), [played(contender, 0.75)], {**run, "seeds": seeds})
