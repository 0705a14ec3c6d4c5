"""Decisions as pure functions over data: no clock, no I/O, no random numbers. What they need is handed in."""
