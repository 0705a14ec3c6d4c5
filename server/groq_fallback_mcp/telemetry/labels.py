"""Names as labels: without secrets, short, and only so many different ones, as each costs a monitoring system memory for good."""

from __future__ import annotations

from groq_fallback_mcp.redaction import sanitize_message

__all__ = ["OTHER", "BoundedLabels", "label"]

OTHER = "other"
MOST_CHARS = 80


def label(name: str) -> str:
    """A name of someone else's making, such as a client's or a model's, as it may be shown."""
    return sanitize_message(name)[:MOST_CHARS]


class BoundedLabels:
    """Passes on the first `most` different combinations of names; of later ones each name is OTHER."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[tuple[str, ...]] = set()

    def of(self, *names: str) -> tuple[str, ...]:
        """The names as labels."""
        return self.bounded(*(label(name) for name in names))

    def bounded(self, *labels: str) -> tuple[str, ...]:
        """The labels themselves, or OTHER for each."""
        if labels in self._known:
            return labels
        if len(self._known) >= self._most:
            return (OTHER,) * len(labels)
        self._known.add(labels)
        return labels
