"""What a JSON value is, told to type checkers too: after `isinstance` alone they know nothing of what a list or an object holds."""

from __future__ import annotations

from typing import Any, TypeGuard

__all__ = ["is_list", "is_object"]


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value that was JSON is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a value that was JSON is a list."""
    return isinstance(value, list)
