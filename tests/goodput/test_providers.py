"""The benchmark of several providers' limits: its workload and bound are right, and short runs come out as long ones do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.goodput.contest import LITELLM, OURS
from benchmarks.goodput.virtual_time import VirtualLoop, run
from benchmarks.providers.answers import DrawnAnswers, answer_of
from benchmarks.providers.bound import most_served
from benchmarks.providers.limits import Account
from benchmarks.providers.report import Cell, read, renewed, tables, write
from benchmarks.providers.run import Figures, Run, calls_of, play, took_s
from benchmarks.providers.workload import WORKLOADS, Call, Workload, prompt_of

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.simulator.generation import estimate_tokens

SMALL, AGENTS = WORKLOADS
BUCKET = Account(provider="groq", wire_model="a", limits={Limit.RPM: 1_000, Limit.TPM: 60_000}, refills=True)
WINDOW = Account(provider="gemini", wire_model="b", limits={Limit.RPM: 5, Limit.RPD: 20, Limit.ITPM: 250_000}, refills=False)
CALL = Call(input_tokens=900, max_tokens=512, output_tokens=100, rank=0.5, streamed=False)


def overloaded(workload: Workload, contender: str) -> Run:
    """A run so short that the first fill counts most, and so full that it is used up."""
    hasty = replace(workload, deadline_s=10.0)
    return Run(workload=hasty, contender=contender, processes=2, load=8.0, seed=1, seconds=15.0)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_all_contenders_get_the_same_calls_and_another_seed_other_ones(workload: Workload) -> None:
    """As many as the load says, to within one session."""
    ours = calls_of(overloaded(workload, OURS), [BUCKET, WINDOW])
    theirs = calls_of(overloaded(workload, f"{LITELLM}priority groups"), [BUCKET, WINDOW])
    other = calls_of(replace(overloaded(workload, OURS), seed=2), [BUCKET, WINDOW])
    assert ours == theirs
    assert ours != other
    assert [call.number for call in ours] == list(range(len(ours)))
    assert all(0 <= call.arrives_s < 15.0 for call in ours)
    tokens = sum(call.input_tokens + call.output_tokens for call in ours) / len(ours)
    assert len(ours) == pytest.approx(8.0 * 15.0 * (1_000 / tokens + 5 / 60), abs=12)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_the_simulators_count_a_prompt_as_its_call_says(workload: Workload) -> None:
    """To the token, whatever text it is."""
    for call in calls_of(overloaded(workload, OURS), [BUCKET, WINDOW])[:5]:
        text = prompt_of(call)
        assert estimate_tokens([{"role": "user", "content": text}]) == call.input_tokens
        assert text.startswith(f"Task {call.number}. ")


def test_the_bound_is_what_buckets_and_windows_let_through() -> None:
    """A bucket's first fill and its refill; each window's requests until the day's are used up; the smallest calls first."""
    calls = [CALL] * 1_000
    assert most_served([BUCKET], calls, seconds=60) == pytest.approx(120)
    assert most_served([BUCKET, BUCKET], calls, seconds=30) == pytest.approx(180)
    assert most_served([WINDOW], calls, seconds=59) == 5
    assert most_served([WINDOW], calls, seconds=120) == 15
    assert most_served([WINDOW], calls, seconds=3_600) == 20
    assert most_served([BUCKET, WINDOW], calls[:100], seconds=600) == 100
    large = replace(CALL, input_tokens=9_900)
    assert most_served([BUCKET], [large] * 10 + calls[:50], seconds=0) == pytest.approx(51)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_our_processes_use_all_limits_pass_no_bound_and_are_hardly_refused(workload: Workload) -> None:
    """Far more calls than all limits let through."""
    found = play(overloaded(workload, OURS))
    assert found.served <= found.bound < found.offered
    assert found.served <= sum(found.answered.values())
    assert 0 < found.streamed_served < found.streamed < found.offered
    assert all(count > 0 for count in found.answered.values())
    # the engine estimates what a prompt counts
    assert sum(found.refused.values()) <= 0.02 * found.offered


@pytest.mark.filterwarnings("ignore")
def test_litellm_passes_no_bound_and_what_the_providers_refuse_is_counted() -> None:
    """Without knowing the limits it meets them."""
    pytest.importorskip("time_machine", reason="needed by the benchmark only")
    found = play(overloaded(SMALL, f"{LITELLM}priority groups"))
    assert 0 < found.served <= found.bound < found.offered
    assert found.refused["groq"] > 0
    assert found.refused["gemini"] > 0
    assert found.streamed_served > 0
    # nothing in a thread, which would take real time
    assert play(overloaded(SMALL, f"{LITELLM}priority groups")) == found


class Answering:
    """Answers everything alike, at once."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    async def serve(self, call: Call) -> str | None:
        del call
        return self.text


@pytest.mark.parametrize(("text", "served"), [(answer_of(100), True), (answer_of(80), False), (None, False)])
def test_only_a_whole_answer_counts(text: str | None, *, served: bool) -> None:
    """One that a smaller max_tokens has cut is none."""
    found = run(lambda loop: took_s(loop, Answering(text), CALL, 30.0))
    assert (found is not None) == served


def test_an_answer_is_as_long_as_its_call_says_and_max_tokens_allow() -> None:
    """By the number in its prompt."""
    answers = DrawnAnswers()
    answers.tokens = [46, 100]
    messages = [{"role": "user", "content": prompt_of(replace(CALL, number=1))}]

    async def main(loop: VirtualLoop) -> list[tuple[str, int, str]]:
        del loop
        said = [await answers.answer(messages, max_tokens=most, temperature=1.0) for most in (512, 80)]
        return [(one.text, one.output_tokens, one.finish_reason) for one in said]

    assert run(main) == [(answer_of(100), 100, "stop"), (answer_of(80), 80, "length")]


def cell(contender: str, served: int, *, load: float = 1.0) -> Cell:
    """A cell that came out so."""
    figures = Figures(
        offered=200, served=served, bound=160.0, streamed=100, streamed_served=80,
        refused={"groq": 30, "gemini": 4}, answered={"groq": served}, p50_s=1.0, p95_s=9.5,
    )  # fmt: skip
    return Cell(workload="agents", load=load, contender=contender, by_seed=[figures])


def test_a_row_of_the_table() -> None:
    """Shares of what was offered, of the bound and of the streamed; refusals of all providers together."""
    row = tables([cell("LiteLLM: fallbacks", 120)]).splitlines()[-1]
    assert row == "| 1.00 | LiteLLM: fallbacks | 200 | 120 | 60.0% | 75.0% | 80.0% | 34 | 1.00 | 9.5 |"


def test_cells_that_are_not_played_again_stay(tmp_path: Path) -> None:
    """In virtual time they would come out the same."""
    write(tmp_path / "results.json", "a machine", 600.0, [cell("ours", 1), cell("LiteLLM: fallbacks", 2)])
    found = renewed(read(tmp_path / "results.json"), [cell("ours", 3), cell("ours", 4, load=0.5)])
    assert [(one.load, one.contender, one.by_seed[0].served) for one in found] == [
        (0.5, "ours", 4), (1.0, "ours", 3), (1.0, "LiteLLM: fallbacks", 2),
    ]  # fmt: skip
    assert read(tmp_path / "nothing.json") == []
