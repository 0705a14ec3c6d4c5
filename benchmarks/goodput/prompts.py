"""Real text of a wanted number of tokens or bytes, so that contenders that estimate tokens meet the errors they meet in life.

Half of it is code (Python's standard library), half prose (Python's language reference, and the descriptions of the
installed distributions), cut at random places; tokens are those of tiktoken's o200k_base, which gpt-oss uses.
"""

from __future__ import annotations

import os
import random
import sysconfig
from array import array
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

__all__ = ["TEMPLATE_TOKENS", "text_of", "text_of_bytes"]

# What a chat template puts around one message; it is counted and is not in the text.
TEMPLATE_TOKENS = 10
BYTES_OF_A_KIND = 2_000_000
BYTES_OF_A_FILE = 60_000
# Installed packages; the prose, which comes in its own way; and generated tables of characters, a file in fourteen.
NOT_WRITTEN_BY_HAND = {"site-packages", "pydoc_data", "encodings"}
# tiktoken downloads its vocabularies; litellm ships them under the names tiktoken looks for, and tiktoken checks their hash.
SHIPPED_VOCABULARY = "litellm_core_utils/tokenizers"


def text_of(tokens: int, rank: float) -> str:
    """A text that a server counts as `tokens`, its template included; `rank` in [0, 1) picks the place it is cut from."""
    own = max(tokens - TEMPLATE_TOKENS, 1)
    corpus = _corpus()
    start = int(rank * (len(corpus) - own))
    text: str = _encoding().decode(corpus[start : start + own].tolist())
    return text


def text_of_bytes(size: int, rank: float) -> str:
    """A text of so many bytes in UTF-8; `rank` in [0, 1) picks the place it is cut from."""
    corpus = _corpus_in_bytes()
    start = int(rank * (len(corpus) - size))
    # a character that was cut in two is missing at either end
    text = corpus[start : start + size].decode(errors="ignore")
    return text + " " * (size - len(text.encode()))


@cache
def _encoding() -> Any:
    found = find_spec("litellm")
    if found is not None and found.submodule_search_locations:
        folder = Path(next(iter(found.submodule_search_locations))) / SHIPPED_VOCABULARY
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(folder))
    import tiktoken

    return tiktoken.get_encoding("o200k_base")


@cache
def _corpus() -> array[int]:
    """The tokens of all text."""
    tokens = array("l")
    for text in _texts():
        tokens.extend(_encoding().encode(text, disallowed_special=()))
    return tokens


@cache
def _corpus_in_bytes() -> bytes:
    return "".join(_texts()).encode(errors="replace")


def _texts() -> list[str]:
    """All text, in an order of its own that is the same at each run."""
    texts = [*_first(_code()), *_first(_prose())]
    random.Random(1).shuffle(texts)
    return texts


def _first(texts: Iterator[str]) -> Iterator[str]:
    """Beginnings of texts, as many as make up the wanted amount."""
    left = BYTES_OF_A_KIND
    for text in texts:
        yield text[:BYTES_OF_A_FILE]
        left -= min(len(text), BYTES_OF_A_FILE)
        if left <= 0:
            return


def _code() -> Iterator[str]:
    paths = [path for path in Path(sysconfig.get_path("stdlib")).rglob("*.py") if not NOT_WRITTEN_BY_HAND & set(path.parts)]
    for path in random.Random(1).sample(sorted(paths), len(paths)):
        yield path.read_text(encoding="utf-8", errors="replace")


def _prose() -> Iterator[str]:
    yield from (str(topics[name]) for name in sorted(topics))
    for distribution in sorted(distributions(), key=lambda found: found.name):
        yield distribution.read_text("METADATA") or ""
