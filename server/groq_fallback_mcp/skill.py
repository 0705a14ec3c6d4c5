"""The Agent Skill that comes with the package: its text, and what its frontmatter says."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["SKILL_NAME", "skill_frontmatter", "skill_text"]

SKILL_NAME = "groq-fallback-mcp"
_FOLDER = Path(__file__).parent
# A wheel carries it; in a checkout it stands at the root.
_PLACES = (_FOLDER / "SKILL.md", _FOLDER.parents[1] / "SKILL.md")


@cache
def skill_text() -> str | None:
    """SKILL.md as it is installed; None where somebody took it out of the package."""
    found = next((place for place in _PLACES if place.is_file()), None)
    return None if found is None else found.read_text(encoding="utf-8")


def skill_frontmatter(text: str) -> dict[str, object]:
    """The fields between the first two rules: texts, and one table of texts. A subset of YAML, which is all the skill uses."""
    _, block, _ = text.split("---\n", 2)
    fields: dict[str, object] = {}
    table: dict[str, object] = fields
    for line in block.splitlines():
        name, _, value = line.partition(":")
        value = value.strip()
        if not line.startswith(" "):
            table = fields
        if not value:
            table = {}
            fields[name.strip()] = table
        else:
            table[name.strip()] = value.strip('"') if value.startswith('"') else value
    return fields
