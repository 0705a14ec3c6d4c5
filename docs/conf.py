"""The site of the documents: `make docs` builds it into docs/_build/html. Nothing of it is fetched by who reads it."""

import re
from typing import Any

project = "groq-fallback-mcp"
author = "The developers of groq-fallback-mcp"
project_copyright = "MIT license"

extensions = ["myst_parser"]
# The pages are also read in the repository, so the source folder is its root and links between files stay as they are.
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "server/decisions/*.md",
    "references/*.md",
    "benchmarks/*/README.md",
    "tests/corpus/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "SKILL.md",
]
exclude_patterns = [".*", "docs/_build", "dist", "**/node_modules"]
source_suffix = {".md": "markdown"}
# Anchors as GitHub makes them.
myst_heading_anchors = 4

html_theme = "furo"
html_title = "groq-fallback-mcp"
html_copy_source = False
html_show_sphinx = False
# The start page is docs/index.html; who opens the folder is sent there.
html_additional_pages = {"index": "start.html"}
templates_path = ["templates"]

_MERMAID = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
_BOX = re.compile(r'(\w+)_\["<b>\w+</b><br/>(.*?)"\]')
_ARROW = re.compile(r"(\w+)_ --> (\w+)_")


def setup(app: Any) -> None:
    """GitHub draws Mermaid by itself. Here that would need a script from elsewhere, so a table has the same facts."""
    app.connect("source-read", _show_mermaid_as_table)


def _show_mermaid_as_table(app: Any, page: str, content: list[str]) -> None:
    del app, page
    content[0] = _MERMAID.sub(lambda found: _table(found[1]), content[0])


def _table(picture: str) -> str:
    arrows = _ARROW.findall(picture)
    rows = [
        f"| `{name}` | {words} | {', '.join(f'`{lower}`' for upper, lower in arrows if upper == name) or '-'} |"
        for name, words in _BOX.findall(picture)
    ]
    return "\n".join(["| Folder | What it is | Imports |", "|---|---|---|", *rows])
