"""Which text of a call may be sent when."""

from __future__ import annotations

from fake_clock import FakeClock

from groq_fallback_mcp.gateway.held_text import HeldText
from groq_fallback_mcp.policy.plan import Candidate

FIRST, SECOND = (Candidate(provider="groq", model=name, wire_model=name, documented={}) for name in ("first", "second"))


def test_held_text_of_a_model_that_broke_off_is_never_sent() -> None:
    """However long another is waited for: nobody has seen it, so the other may say something else."""
    clock = FakeClock()
    held = HeldText(hold_s=2.0, clock=clock.monotonic)
    held.attempt_started(FIRST, ())
    held.text_received("I am the first")
    held.attempt_failed()
    held.waiting(5.0)
    clock.advance(5.0)
    assert (held.held_s(), held.take(), held.has_shown) == (None, "", False)
    held.attempt_started(SECOND, ())
    held.text_received("Another")
    assert held.held_s() == 2.0
    clock.advance(2.0)
    assert (held.held_s(), held.take()) == (0.0, "Another")
