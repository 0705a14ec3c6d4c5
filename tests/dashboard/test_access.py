"""Who may look: codes and sessions that are random, bounded, and end by themselves."""

from __future__ import annotations

from fake_clock import FakeClock

from groq_fallback_mcp.dashboard.access import CODE_LIFE_S, LONGEST, MOST_CODES, MOST_SESSIONS, SESSION_LIFE_S, Access


def test_a_code_opens_one_session_and_only_in_time() -> None:
    """A link that was kept, or seen by another, is of no use."""
    clock = FakeClock()
    access = Access(clock.monotonic)
    code = access.new_code()
    session = access.redeem(code)
    assert session is not None
    assert access.is_open(session)
    assert session != code
    assert access.redeem(code) is None
    late = access.new_code()
    clock.advance(CODE_LIFE_S)
    assert access.redeem(late) is None


def test_a_session_ends_and_neither_it_nor_a_code_is_the_other() -> None:
    """Half a day later the command line is asked again."""
    clock = FakeClock()
    access = Access(clock.monotonic)
    code = access.new_code()
    assert not access.is_open(code)
    session = access.redeem(code)
    assert session is not None
    assert access.redeem(session) is None
    clock.advance(SESSION_LIFE_S - 1)
    assert access.is_open(session)
    clock.advance(1)
    assert not access.is_open(session)


def test_of_too_many_the_oldest_is_given_up() -> None:
    """What accumulates is bounded, and a new one always works."""
    access = Access(FakeClock().monotonic)
    codes = [access.new_code() for _ in range(MOST_CODES + 1)]
    assert access.redeem(codes[0]) is None
    sessions = [access.redeem(codes[-1]), *(access.redeem(access.new_code()) for _ in range(MOST_SESSIONS))]
    assert [session is not None and access.is_open(session) for session in sessions] == [False, *[True] * MOST_SESSIONS]


def test_what_cannot_be_a_code_is_none() -> None:
    """However long or odd it is."""
    access = Access(FakeClock().monotonic)
    access.new_code()
    assert [access.redeem(one) for one in ("", "x" * (LONGEST + 1), "\ud800", "é")] == [None] * 4
