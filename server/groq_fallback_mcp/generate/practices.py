"""The block `practices`: which model for what, as the source has it and as it is served."""

from __future__ import annotations

from groq_fallback_mcp.catalog import Catalog, Kind, Practice
from groq_fallback_mcp.generate.lifecycle import lasting_chain, serving
from groq_fallback_mcp.generate.markdown import code, table

__all__ = ["practices_block", "use_cases_block"]

_SEED = "groq-api-seed-2026-02-13"
_HEADINGS = ("Use case", "For", "Model of the table", "Served by", "Then", "Why")


def practices_block(catalog: Catalog) -> str:
    """A row a use case. `Served by` and `Then` have successors in the place of models that were shut down."""
    return table(_HEADINGS, (_cells(practice, catalog) for practice in catalog.practices.values()))


def use_cases_block(catalog: Catalog) -> str:
    """What an agent needs of it in each session: the values of `use_case` that groq_chat takes, and who serves them."""
    chats = {Kind.CHAT, Kind.SYSTEM}
    rows = [
        (code(practice.use_case), practice.title, "nobody" if (first := serving(practice, catalog)) is None else code(first))
        for practice in catalog.practices.values()
        if catalog.models[practice.model].kind in chats
    ]
    return table(("`use_case`", "For", "Served by"), rows)


def _cells(practice: Practice, catalog: Catalog) -> tuple[str, ...]:
    first = serving(practice, catalog)
    rest = lasting_chain(practice, catalog)[1:]
    added = "" if practice.source == _SEED else " (added)"
    why = practice.reason.rstrip(".")
    if practice.correction:
        why = f"{why}. Correction: {practice.correction}" if why else practice.correction
    return (
        code(practice.use_case),
        practice.title,
        code(practice.model) + added,
        "nobody" if first is None else code(first),
        ", ".join(code(name) for name in rest),
        why,
    )
