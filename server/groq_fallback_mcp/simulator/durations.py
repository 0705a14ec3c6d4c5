"""Durations in the form Groq's headers and messages have, which is Go's."""

from __future__ import annotations

import math

__all__ = ["format_duration"]

_ROUNDING_NOISE_MS = 1e-6


def format_duration(seconds: float) -> str:
    """`seconds` to the millisecond, rounded up: `825ms`, `7.66s`, `2m59.56s`, `1h53m45.6s`, `0s`.

    Rounded up, so that who waits as long as was said is never refused for a fraction.
    """
    milliseconds = math.ceil(max(seconds, 0.0) * 1000 - _ROUNDING_NOISE_MS)
    if milliseconds == 0:
        return "0s"
    if milliseconds < 1000:  # noqa: PLR2004 - a thousand milliseconds are a second
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    shown = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{shown}"
    return f"{minutes}m{shown}" if minutes else shown
