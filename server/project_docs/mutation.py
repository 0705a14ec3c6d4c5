"""The block `mutation`: of each module that decides, how many small changes of its code its tests notice."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from datetime import date

from pydantic import BaseModel, ConfigDict, TypeAdapter

from project_docs.blocks import code, table

__all__ = ["MODULES", "code_hash", "mutation_block"]

MODULES = "tests/mutation/modules.toml"
PACKAGE = "server/groq_fallback_mcp"


class _Module(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tests: list[str]
    mutants: int = 0
    killed: int = 0
    survived: int = 0
    measured: date | None = None
    # of the module as it was measured
    code: str = ""
    left: str = ""


def code_hash(text: str) -> str:
    """What changes when a module's code does, and not where only its comments do."""
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def mutation_block(modules: str, sources: Mapping[str, str]) -> str:
    """The table, and one row for all. `modules` is the text of MODULES; a module that was never measured has no row.

    `sources`: the modules as they are, by path below the root. A module that changed since it was measured says so.
    """
    known = TypeAdapter(dict[str, _Module]).validate_python(tomllib.loads(modules))
    measured = {name: row for name, row in known.items() if row.measured is not None}
    lines: list[tuple[str, ...]] = []
    for name, row in measured.items():
        changed = ", changed since" if row.code != code_hash(sources.get(f"{PACKAGE}/{name}", "")) else ""
        lines.append(_cells(code(name), row, left=row.left, day=f"{row.measured}{changed}"))
    rows = measured.values()
    every = _Module(tests=[], mutants=sum(row.mutants for row in rows), killed=sum(row.killed for row in rows))
    every.survived = sum(row.survived for row in rows)
    return table(("Module", "Mutants", "Killed", "Survived", "Score", "The survivors", "Date"), [*lines, _cells("all", every)])


def _cells(name: str, row: _Module, *, left: str = "", day: str = "") -> tuple[str, ...]:
    score = f"{100 * row.killed / row.mutants:.1f} %" if row.mutants else ""
    return (name, f"{row.mutants:,}", f"{row.killed:,}", f"{row.survived:,}", score, left, day)
