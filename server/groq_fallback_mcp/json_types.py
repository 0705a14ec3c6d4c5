"""What a JSON value is, told to type checkers too: after `isinstance` alone they know nothing of what a list or an object holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

__all__ = ["is_array", "is_list", "is_mapping", "is_object", "stated_text"]


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value that was JSON is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a value that was JSON is a list."""
    return isinstance(value, list)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether a value has names and values, as an object to be written as JSON."""
    return isinstance(value, Mapping)


def is_array(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a list or a tuple, which are written alike as JSON."""
    return isinstance(value, list | tuple)


def stated_text(row: Mapping[str, Any], name: str) -> str:
    """The text under a name, such as "type", of an object that a stranger wrote; "" where it is missing or not text."""
    stated = row.get(name)
    return stated if isinstance(stated, str) else ""
