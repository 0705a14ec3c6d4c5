"""The block `practices`: which model for what, as the source has it and as it is served."""

from __future__ import annotations

from groq_fallback_mcp.catalog import Catalog, Practice
from groq_fallback_mcp.generate.lifecycle import lasting_chain, serving
from groq_fallback_mcp.generate.markdown import code, table
from groq_fallback_mcp.tools import TOOLSETS
from groq_fallback_mcp.tools.chat import GROQ_CHAT

__all__ = ["practices_block", "use_cases_block"]

_SEED = "groq-api-seed-2026-02-13"
_HEADINGS = ("Use case", "For", "Model of the table", "Served by", "Then", "Why", "Tool")


def practices_block(catalog: Catalog) -> str:
    """A row a use case. `Served by` and `Then` have successors in the place of models that were shut down."""
    return table(_HEADINGS, (_cells(practice, catalog) for practice in catalog.practices.values()))


def use_cases_block(catalog: Catalog) -> str:
    """What an agent needs of it in each session: the values of `use_case` that groq_chat takes, and who serves them."""
    rows = [
        (code(practice.use_case), practice.title, "nobody" if (first := serving(practice, catalog)) is None else code(first))
        for practice in catalog.practices.values()
        if practice.tool == GROQ_CHAT.name
    ]
    return table(("`use_case`", "For", "Served by"), rows)


def _tool(practice: Practice) -> str:
    """The tool that serves it, with its toolset where it is not listed by default."""
    toolset = next((one.name for one in TOOLSETS.values() if practice.tool in {tool.name for tool in one.tools}), None)
    return code(practice.tool) if toolset is None else f"{code(practice.tool)} (toolset {code(toolset)})"


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
        _tool(practice),
    )
