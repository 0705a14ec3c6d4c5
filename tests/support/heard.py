"""What was heard, compared by its words: where a comma stands depends on the processor that the speech model runs on."""

from __future__ import annotations

import re

__all__ = ["words_of"]


def words_of(transcript: str) -> list[str]:
    """The words in lower case, without punctuation."""
    return re.findall(r"[\w']+", transcript.lower())
