"""The blocks of docs/benchmarks.md: the head and the first tables of what each benchmark keeps in its own README."""

from __future__ import annotations

from collections.abc import Iterator

from groq_fallback_mcp.errors import InputRefused

__all__ = ["MEASURED", "measured_block"]

# The document, and how many of its tables are shown.
MEASURED = {
    "goodput": ("benchmarks/goodput/README.md", 1),
    "provider-limits": ("benchmarks/providers/README.md", 2),
    "gateway-cost": ("benchmarks/gateway/README.md", 1),
    "scorecard": ("benchmarks/failover/README.md", 1),
    "soak": ("benchmarks/soak/README.md", 1),
}
NOT_MEASURED = "Not measured in this checkout."
_BEGIN, _END = "<!-- results -->", "<!-- end of results -->"


def measured_block(readme: str, *, path: str, tables: int) -> str:
    """What a benchmark wrote into its README, until so many tables are over; `readme` is empty where there is none.

    Raises InputRefused where the README has no marks.
    """
    if not readme:
        return NOT_MEASURED
    _, begin, rest = readme.partition(_BEGIN)
    results, end, _ = rest.partition(_END)
    if not begin or not end:
        raise InputRefused(f"{path} has no {_BEGIN} and {_END}", next_step="put both lines where its results belong")
    text = "\n\n".join(_until(results, tables))
    return text or NOT_MEASURED


def _until(results: str, tables: int) -> Iterator[str]:
    """The paragraphs up to a table, and it."""
    seen = 0
    for paragraph in results.strip().split("\n\n"):
        if paragraph.startswith("|"):
            seen += 1
        yield paragraph
        if seen == tables:
            return
