"""Takes secrets out of text before a person, an agent, a log or a state file sees it.

Upstream error texts quote organisation ids, and a careless proxy may echo the Authorization header.
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


def redact(text: str, *secrets: str) -> str:
    """`text` without the given secrets and without whatever looks like a key or an organisation id."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[redacted]")
    for pattern, substitute in _PATTERNS:
        text = pattern.sub(substitute, text)
    return text
