"""Texts of a wanted number of tokens, with as many bytes a token as real text has.

Contenders that estimate tokens from a text's length meet the error they would meet in real life. The figures are
the output of measure_bytes_per_token.py with Python 3.11.7, tiktoken 0.14.0 and its o200k_base vocabulary, over the
standard library's sources, Python's language reference, and the descriptions of 178 installed distributions.
"""

from __future__ import annotations

from bisect import bisect_right

__all__ = ["TEMPLATE_TOKENS", "text_of"]

PERCENTILES = (0.0, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 99.0, 100.0)
# Bytes a token, by the length of the text in tokens: the longer, the less it varies.
BYTES_PER_TOKEN = {
    100: (1.46, 2.20, 2.60, 2.99, 3.25, 3.58, 3.84, 4.03, 4.21, 4.35, 4.50, 4.70, 4.96, 5.29, 6.38, 10.43),
    500: (1.27, 2.53, 2.95, 3.14, 3.38, 3.66, 3.84, 4.00, 4.15, 4.28, 4.41, 4.58, 4.78, 5.00, 5.64, 9.16),
    2_000: (1.34, 2.46, 2.78, 3.16, 3.34, 3.55, 3.69, 3.81, 4.04, 4.21, 4.35, 4.53, 4.72, 4.89, 5.24, 7.78),
}
# What a chat template puts around one message; it is counted and is not in the text.
TEMPLATE_TOKENS = 10


def text_of(tokens: int, rank: float) -> str:
    """A text that a server counts as `tokens`, its template included; `rank` in [0, 1) picks the bytes a token."""
    own = max(tokens - TEMPLATE_TOKENS, 1)
    nearest = min(BYTES_PER_TOKEN, key=lambda length: abs(length - own))
    return "x" * max(round(own * _at(BYTES_PER_TOKEN[nearest], rank * 100)), 1)


def _at(figures: tuple[float, ...], percentile: float) -> float:
    upper = min(bisect_right(PERCENTILES, percentile), len(PERCENTILES) - 1)
    lower = upper - 1
    share = (percentile - PERCENTILES[lower]) / (PERCENTILES[upper] - PERCENTILES[lower])
    return figures[lower] + share * (figures[upper] - figures[lower])
