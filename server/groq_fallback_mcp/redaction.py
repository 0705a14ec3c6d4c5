"""Takes what looks like a key out of errors, logs and notes; outgoing.py takes out the secrets that are known.

Upstream error texts quote organization ids, and a careless proxy may echo the Authorization header.
"""

from __future__ import annotations

import re

__all__ = ["redact"]

_PATTERNS = (
    (re.compile(r"\borg_[A-Za-z0-9]+"), "org_[redacted]"),
    (re.compile(r"\bproject_[A-Za-z0-9]{8,}"), "project_[redacted]"),
    (re.compile(r"(?i)\bbearer\s+[^\s\"',;]+"), "Bearer [redacted]"),
    (re.compile(r"\b(gsk|sk|pk|rk|xai)[-_][A-Za-z0-9_\-*.]{6,}"), r"\1_[redacted]"),
)


def redact(text: str) -> str:
    """`text` without whatever looks like a key or an organization id."""
    for pattern, substitute in _PATTERNS:
        text = pattern.sub(substitute, text)
    return text
