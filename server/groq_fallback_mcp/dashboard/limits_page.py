"""The limits as one page without any address, for hosts that draw a tool's result: the dashboard's own styles and scripts in one file."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

__all__ = ["limits_page"]

# In the order in which they use each other.
_SCRIPTS = ("elements.js", "limits.js", "limits_app.js")
_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


@cache
def limits_page() -> str:
    """The page as HTML."""
    page = _text("limits_app.html")
    script = "\n".join(_EXPORT.sub("", _IMPORT.sub("", _text(name))) for name in _SCRIPTS)
    return page.replace("/* styles */", _text("page.css")).replace("/* scripts */", script)


def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
