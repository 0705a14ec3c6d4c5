"""How many bytes a token takes in real text: run by hand, its output stands in prompts.py.

Half of the text is code (the standard library's sources), half is prose (Python's language reference as pydoc ships
it, and the read-me files and descriptions of the installed distributions), each cut into pieces of as many tokens as prompts have.
"""

from __future__ import annotations

import os
import platform
import random
import sysconfig
from collections.abc import Iterator
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics

PIECES_OF_TOKENS = (100, 500, 2_000)
# finer at the ends, where a straight line between two points would overstate rare texts
PERCENTILES = (0, 1, 2.5, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 100)
DRAWS = 4_000
# installed packages; the topics, which are the prose; and generated tables of characters: a file in fourteen, no prompt
NOT_WRITTEN_BY_HAND = {"site-packages", "pydoc_data", "encodings"}
# tiktoken downloads its vocabularies; litellm ships them under the names tiktoken looks for, and tiktoken checks their hash
SHIPPED_VOCABULARY = "litellm_core_utils/tokenizers"


def main() -> None:
    """Print the quantiles for each length of a piece."""
    import tiktoken  # noqa: PLC0415 - reads where its vocabularies are when it is imported

    print(f"Python {platform.python_version()}, tiktoken {tiktoken.__version__}, o200k_base")
    encoding = tiktoken.get_encoding("o200k_base")
    chance = random.Random(1)
    kinds = [list(_code()), list(_prose())]
    for length in PIECES_OF_TOKENS:
        ratios: list[float] = []
        for texts in kinds:
            found: list[float] = []
            while len(found) < DRAWS // len(kinds):
                text = chance.choice(texts)
                tokens = encoding.encode(text[:400_000], disallowed_special=())
                if len(tokens) < length:
                    continue
                for _ in range(min(len(tokens) // length, 10)):
                    start = chance.randrange(len(tokens) - length + 1)
                    found.append(len(encoding.decode_bytes(tokens[start : start + length])) / length)
            ratios += found
        ratios.sort()
        picked = [ratios[round(percentile / 100 * (len(ratios) - 1))] for percentile in PERCENTILES]
        print(length, "tokens:", ", ".join(f"{ratio:.2f}" for ratio in picked), f"mean {sum(ratios) / len(ratios):.2f}")


def _code() -> Iterator[str]:
    folder = Path(sysconfig.get_path("stdlib"))
    for path in sorted(folder.rglob("*.py")):
        if not NOT_WRITTEN_BY_HAND & set(path.parts):
            yield path.read_text(encoding="utf-8", errors="replace")


def _prose() -> Iterator[str]:
    yield from (str(topics[name]) for name in sorted(topics))
    for distribution in sorted(distributions(), key=lambda found: found.name):
        yield distribution.read_text("METADATA") or ""


if __name__ == "__main__":
    found = find_spec("litellm")
    if found is not None and found.submodule_search_locations:
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(Path(found.submodule_search_locations[0]) / SHIPPED_VOCABULARY))
    main()
