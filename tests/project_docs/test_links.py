"""Documents: what they link to, and the files they name, exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATTERNS = (
    "*.md",
    "docs/**/*.md",
    "references/*.md",
    "manifests/**/*.md",
    "server/**/*.md",
    "benchmarks/**/*.md",
    "tests/**/*.md",
)
# What the user gave stays as it was given.
GIVEN = ROOT / "tests" / "fixtures" / "seed"
DOCUMENTS = sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern) if GIVEN not in path.parents)
# In these, files are named in code too: relative to the root, the package or tests/support.
GUIDES = ["CONTRIBUTING.md", "docs/architecture.md", "SECURITY.md"]
GUIDES += [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "server" / "decisions").glob("0*.md"))]
BASES = (ROOT, ROOT / "server" / "groq_fallback_mcp", ROOT / "tests" / "support")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?![a-z]+:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
_FILE = re.compile(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:py|md))(?:::\w+)?`")


def prose(path: Path) -> str:
    """A document without its examples."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_to_a_file_and_a_heading_that_exist(document: Path) -> None:
    """Renaming a file takes its links along."""
    broken: list[str] = []
    for found in _LINK.finditer(prose(document)):
        target = document.parent / found["path"] if found["path"] else document
        if not target.exists() or (found["anchor"] and target.suffix == ".md" and found["anchor"] not in anchors(target)):
            broken.append(found[0])

    assert not broken


@pytest.mark.parametrize("name", GUIDES)
def test_every_file_that_a_guide_names_exists(name: str) -> None:
    """By its path below one of BASES; NNNN stands for a number."""
    named = {path for path in _FILE.findall(prose(ROOT / name)) if "NNNN" not in path}

    assert [path for path in sorted(named) if not any((base / path).exists() for base in BASES)] == []
