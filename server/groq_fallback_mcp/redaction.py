"""Takes secrets out of text before a person, an agent, a log or a state file sees it.

Upstream error texts quote organisation ids, and a careless proxy may echo the Authorization header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

__all__ = ["redact", "without"]

_PATTERNS = (
    (re.compile(r"\borg_[A-Za-z0-9]+"), "org_[redacted]"),
    (re.compile(r"\bproject_[A-Za-z0-9]{8,}"), "project_[redacted]"),
    (re.compile(r"(?i)\bbearer\s+[^\s\"',;]+"), "Bearer [redacted]"),
    (re.compile(r"\b(gsk|sk|pk|rk|xai)[-_][A-Za-z0-9_\-*.]{6,}"), r"\1_[redacted]"),
)


def redact(text: str, *secrets: str) -> str:
    """`text` without the given secrets and without whatever looks like a key or an organisation id."""
    text = without(text, secrets)
    for pattern, substitute in _PATTERNS:
        text = pattern.sub(substitute, text)
    return text


def without(value: Any, secrets: Sequence[str]) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """`value` with the given secrets taken out of every text in it, and nothing else."""
    if isinstance(value, str):
        for secret in secrets:
            if secret:
                value = value.replace(secret, "[redacted]")
        return value
    if isinstance(value, Mapping):
        return {without(key, secrets): without(item, secrets) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [without(item, secrets) for item in cast("Sequence[Any]", value)]
    return value
