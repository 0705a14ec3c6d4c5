"""The block `layers`: a picture of the package's folders and what they import, made from their sources and the import contract."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from project_docs.blocks import code

__all__ = ["imported_names", "layers_block"]

PACKAGE = "groq_fallback_mcp"
_FOLDER = f"server/{PACKAGE}/"
# Imports are absolute and stand on lines of their own; reading them so takes a fiftieth of the time that parsing takes.
_IMPORT = re.compile(rf"^ *(?:from|import) {PACKAGE}\.(\w+)", re.MULTILINE)
# So that the picture fits on a page.
_COMPACT = '%%{init: {"flowchart": {"rankSpacing": 24, "nodeSpacing": 24}}}%%'
# The beginning of a docstring, which says in a few words what a folder is.
_WORDS = re.compile(r'"""(.+?)(?:[:;]|\.(?:\s|"))', re.DOTALL)


def layers_block(pyproject: str, sources: Mapping[str, str]) -> str:
    """The picture, as Mermaid: an arrow means "imports", and what follows from other arrows is not drawn.

    `pyproject` is the text of pyproject.toml, `sources` those of the package by path. Drawn are folders and what has a layer
    of its own above them; the small modules below are listed.
    """
    imported = imported_names(sources)
    order = [name for layer in _layers(tomllib.loads(pyproject)) for name in layer]
    words = {
        name: _words(sources, name) for name in order if f"{_FOLDER}{name}/__init__.py" in sources or name == "application"
    }
    below = {name: _all_below(name, imported) for name in order}
    arrows = [
        (upper, lower)
        for upper in words
        for lower in words
        if lower in below[upper] and not any(lower in below[between] for between in words if between in below[upper])
    ]
    lines = ["```mermaid", _COMPACT, "flowchart TD"]
    # with an underscore, as `call` alone is a word of Mermaid
    lines += [f'  {name}_["<b>{name}</b><br/>{text}"]' for name, text in words.items()]
    lines += [f"  {upper}_ --> {lower}_" for upper, lower in arrows]
    lines += ["```", "", "Modules beside the folders: " + ", ".join(code(name) for name in order if name not in words) + "."]
    return "\n".join(lines)


def imported_names(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """For each folder or module of the package, those that it imports directly."""
    found: dict[str, set[str]] = {}
    for path, text in sources.items():
        if path.startswith(_FOLDER):
            name = path.removeprefix(_FOLDER).split("/")[0].removesuffix(".py")
            found.setdefault(name, set()).update(set(_IMPORT.findall(text)) - {name})
    return found


def _layers(pyproject: Mapping[str, Any]) -> Sequence[Sequence[str]]:
    """The layers of the import contract, the highest first."""
    (contract,) = [one for one in pyproject["tool"]["importlinter"]["contracts"] if one["type"] == "layers"]
    return [layer.split(" | ") for layer in contract["layers"]]


def _words(sources: Mapping[str, str], name: str) -> str:
    text = sources.get(f"{_FOLDER}{name}/__init__.py") or sources[f"{_FOLDER}{name}.py"]
    found = _WORDS.match(text)
    return "" if found is None else found[1]


def _all_below(name: str, imported: Mapping[str, set[str]]) -> set[str]:
    """What a module imports, directly or through others."""
    found: set[str] = set()
    left = list(imported.get(name, ()))
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += imported.get(one, ())
    return found
