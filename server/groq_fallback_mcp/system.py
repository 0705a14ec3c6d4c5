"""The operating system, decided at one place, so that the branches of each are run by tests on any of them."""

from __future__ import annotations

import sys
from typing import Literal

__all__ = ["on_linux", "on_macos", "on_windows"]

System = Literal["linux", "macos", "windows", "other"]


def _found() -> System:
    if sys.platform == "win32":
        return "windows"
    if sys.platform == "darwin":
        return "macos"
    return "linux" if sys.platform.startswith("linux") else "other"


current: System = _found()


def on_windows() -> bool:
    """Whether this is Windows: drive letters, no file modes, few signals, and open files that cannot be replaced."""
    return current == "windows"


def on_macos() -> bool:
    """Whether this is macOS."""
    return current == "macos"


def on_linux() -> bool:
    """Whether this is Linux."""
    return current == "linux"
