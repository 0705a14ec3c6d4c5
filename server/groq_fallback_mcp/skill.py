"""The Agent Skill that comes with the package: its files, and what its frontmatter says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

__all__ = ["SKILL_FILE", "SKILL_NAME", "skill_files", "skill_frontmatter"]

SKILL_NAME = "groq-fallback-mcp"
SKILL_FILE = "SKILL.md"
_FOLDER = Path(__file__).parent
# A wheel carries it; in a checkout it stands at the root.
_PLACES = (_FOLDER, _FOLDER.parents[1])


@cache
def skill_files() -> Mapping[str, str]:
    """The skill's files by their path below its folder, SKILL.md first; none where somebody took it out of the package."""
    found = next((place for place in _PLACES if (place / SKILL_FILE).is_file()), None)
    if found is None:
        return MappingProxyType({})
    paths = [found / SKILL_FILE, *sorted((found / "references").glob("*.md"))]
    return MappingProxyType({path.relative_to(found).as_posix(): path.read_text(encoding="utf-8") for path in paths})


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
