"""A short recording that ships with the package, for the demo, `doctor` and the tests. Origin: README.md beside it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SAMPLE_TEXT", "sample_path"]

SAMPLE_TEXT = "When one model is busy, the next one answers, and nobody has to wait."


def sample_path() -> Path:
    """The recording of `SAMPLE_TEXT`: 16 kHz mono FLAC, about five seconds."""
    return Path(__file__).with_name("fallback.flac")
