"""What other operating systems refuse, here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groq_fallback_mcp import system

__all__ = ["be_macos", "be_windows", "refuse_replacing"]


def be_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the branches of macOS."""
    monkeypatch.setattr(system, "current", "macos")


def be_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the branches of Windows, without functions that its `os` does not have."""
    monkeypatch.setattr(system, "current", "windows")
    for name in ("fchmod", "getuid", "killpg"):
        monkeypatch.setattr(os, name, _absent(name, getattr(os, name)))


def _absent(name: str, present: Callable[..., Any]) -> Callable[..., Any]:
    """A function that our code does not find, while libraries that take the branches of the real system do."""

    def function(*arguments: Any) -> Any:
        if str(sys._getframe(1).f_globals.get("__name__")).startswith("groq_fallback_mcp"):
            message = f"module 'os' has no attribute {name!r}"
            raise AttributeError(message)
        return present(*arguments)

    return function


def refuse_replacing(
    monkeypatch: pytest.MonkeyPatch, name: str, *, times: float, meanwhile: Callable[[], object] = lambda: None
) -> list[str]:
    """Refuse so many times to replace the file of that name, as Windows does while it is open; the targets that were tried."""
    replace, tried = os.replace, list[str]()

    def refusing(source: str | Path, target: str | Path, **where: int | None) -> None:
        if Path(target).name == name:
            tried.append(str(target))
            if len(tried) <= times:
                meanwhile()
                raise PermissionError(13, "The process cannot access the file because it is being used by another process")
        replace(source, target, **where)

    monkeypatch.setattr(os, "replace", refusing)
    return tried
