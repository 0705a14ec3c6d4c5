"""The soak sees what must not be: each finding can fail, and holds where it should."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.soak.faults import Injected, plan
from benchmarks.soak.findings import Books, Finding, Sample, findings, lost, may_be_of_killed, memory_growth
from benchmarks.soak.traffic import Call
from benchmarks.soak.upstream import Refused

CALL = Call(kind="chat", member="gateway-2", group="machine", begun=100.0, ended=101.0, outcome="answered")
CUT = Injected(family="network", what="down", where="machine", begun=99.0, ended=103.0, group="machine")
KILL = Injected(family="kill", what="kill -9", where="gateway-2", begun=100.5, ended=102.0, group="machine")
LIMITED = Injected(family="upstream", what="429", where="openai/gpt-oss-20b", begun=90.0, ended=110.0)
SAMPLES = [Sample(at=10.0 * step, memory={"mcp-1": 80.0}, file_mib=1.0, redis_records=100) for step in range(100)]
BOOKS = Books(name="machine, a model, requests per day", provider=1_000.0, ledger=1_004.0, open=0, uncertain=10.0)
REFUSED = Refused(at=150.0, organization="machine", model="a model", unit="requests per minute", early_s=0.25)


def found(
    *,
    calls: tuple[Call, ...] = (CALL,),
    injected: tuple[Injected, ...] = (),
    samples: list[Sample] = SAMPLES,
    refused: tuple[Refused, ...] = (),
    books: tuple[Books, ...] = (BOOKS,),
    history: tuple[int, int] = (100, 100),
) -> list[Finding]:
    return findings(calls, injected, samples, refused, books, witnesses=["mcp-1"], history={"machine": history})


def failing(rows: list[Finding]) -> list[str]:
    return [row.what for row in rows if not row.holds]


def test_a_run_in_which_all_went_well_has_no_failing_row() -> None:
    assert failing(found()) == []


@pytest.mark.parametrize("outcome", ["error", "broken"])
def test_a_call_without_an_answer_is_lost(outcome: str) -> None:
    assert failing(found(calls=(replace(CALL, outcome=outcome),), injected=(LIMITED,))) == [  # type: ignore[arg-type]
        "calls without an answer that could be served"
    ]


def test_nothing_is_lost_where_the_network_of_its_group_was_cut() -> None:
    failed = replace(CALL, outcome="error")
    assert lost([failed], [CUT]) == []
    assert lost([failed], [replace(CUT, where="replicas")]) == [failed]
    assert lost([failed], [replace(CUT, what="slow")]) == [failed]


def test_a_call_that_breaks_off_with_its_process_is_put_to_another_which_must_answer() -> None:
    broken = replace(CALL, outcome="broken")
    again = replace(CALL, member="gateway-1", outcome="broken", again=True)
    assert lost([broken], [KILL]) == []
    assert lost([broken, again], [KILL]) == [again]
    assert lost([replace(broken, outcome="error")], [KILL]) != []


def test_a_wrong_answer_fails_whatever_else_happened() -> None:
    assert "wrong answers" in failing(found(calls=(replace(CALL, outcome="wrong"),), injected=(CUT, KILL)))


def test_a_refused_request_fails_unless_something_was_lost_in_the_minute_before() -> None:
    refused = (REFUSED,)
    assert len(failing(found(refused=refused))) == 1
    assert failing(found(refused=refused, injected=(KILL,))) == []
    assert len(failing(found(refused=(replace(REFUSED, at=163.0),), injected=(KILL,)))) == 1
    assert len(failing(found(refused=refused, injected=(LIMITED,)))) == 1
    assert len(failing(found(refused=refused, injected=(replace(KILL, group="replicas"),)))) == 1
    assert len(failing(found(refused=refused, injected=(replace(CUT, what="slow"),)))) == 1


def test_a_moment_at_which_a_limit_refuses_is_allowed_for_five_thousand_calls() -> None:
    """What a fault left wrong may show later than a minute after it, and to all requests in flight."""
    calls = (CALL,) * 5_000
    assert failing(found(calls=calls, refused=(REFUSED,) * 5)) == []
    assert len(failing(found(calls=calls[1:], refused=(REFUSED,)))) == 1
    for other in (replace(REFUSED, at=REFUSED.at + 1.1), replace(REFUSED, model="another"), replace(REFUSED, unit="another")):
        assert len(failing(found(calls=calls, refused=(REFUSED, other)))) == 1
    # one that goes on and on is many moments
    assert len(failing(found(calls=calls, refused=tuple(replace(REFUSED, at=REFUSED.at + 0.9 * n) for n in range(3))))) == 1


def test_it_is_told_how_many_minutes_a_refused_request_would_have_counted_in() -> None:
    """A run in which something fails all the time would otherwise show nothing."""
    (row,) = (row for row in found(injected=(KILL, replace(CUT, begun=900.0, ended=2_000.0))) if "refused" in row.what)
    # of the two groups' 16.5 minutes each, without the minute after the kill and what the cut leaves of them
    assert row.found == "0 at 0 moments in 30 minutes, and 0 in the other 3"


def test_memory_that_grows_is_seen_as_mib_an_hour_and_the_first_tenths_do_not_count() -> None:
    grows = [replace(sample, memory={"mcp-1": 80.0 + sample.at * 6.0 / 3_600}) for sample in SAMPLES]
    assert memory_growth(grows, "mcp-1") == pytest.approx(6.0)
    assert failing(found(samples=grows)) == ["memory growth of mcp-1 an hour"]
    fills = [replace(sample, memory={"mcp-1": 60.0 if sample.at < 200 else 80.0}) for sample in SAMPLES]
    assert memory_growth(fills, "mcp-1") == 0.0


@pytest.mark.parametrize(
    "books",
    [replace(BOOKS, ledger=990.0), replace(BOOKS, ledger=1_015.0), replace(BOOKS, open=1)],
    ids=["the ledger charged less", "the ledger charged more than it can explain", "a reservation is left"],
)
def test_books_that_do_not_agree_fail(books: Books) -> None:
    assert failing(found(books=(books,))) != []


def test_a_reservation_may_be_of_a_killed_process_where_it_was_taken_shortly_before() -> None:
    def may_be(taken_at: float, *injected: Injected) -> bool:
        return may_be_of_killed(taken_at, injected, group="machine")

    assert may_be(100.0, KILL)
    assert may_be(71.0, KILL)
    assert not may_be(70.0, KILL)
    assert not may_be(103.0, KILL)
    assert not may_be(100.0, replace(KILL, group="replicas"))
    assert not may_be(100.0, CUT)


def test_a_reservation_of_a_killed_process_whose_clock_was_wrong_says_another_second() -> None:
    ahead = Injected(family="clock", what="+3600", where="gateway-2", begun=90.0, ended=99.0, group="machine")
    assert may_be_of_killed(3_695.0, [ahead, KILL], group="machine")
    assert not may_be_of_killed(3_700.0, [ahead, KILL], group="machine")
    assert not may_be_of_killed(3_695.0, [replace(ahead, group="replicas"), KILL], group="machine")
    assert may_be_of_killed(35.0, [replace(ahead, what="-60"), KILL], group="machine")


def test_a_history_that_lacks_calls_fails() -> None:
    assert len(failing(found(history=(90, 100)))) == 1


def test_an_hour_has_every_family_of_faults_and_each_store_is_lost_once() -> None:
    planned = plan(3_600.0, seed=1)
    assert {fault.family for fault in planned} == {"upstream", "network", "store", "disk", "clock", "kill"}
    assert [fault.what for fault in planned if fault.what.endswith("lost")] == ["file lost", "redis lost"]
    assert planned == plan(3_600.0, seed=1) != plan(3_600.0, seed=2)
    assert max(fault.at_s + fault.for_s for fault in planned) < 3_600.0
