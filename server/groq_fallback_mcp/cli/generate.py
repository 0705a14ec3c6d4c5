"""`generate`: writes the tables of README.md and the skill and the manifests anew, or says which are stale."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.cli.console import echo, print_json
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.generate import DOCUMENTS, SOURCES, generated_files

__all__ = ["generate"]

PROJECT = "groq-fallback-mcp"
COMMAND = "groq-fallback-mcp generate"


def generate(root: Path, *, check: bool, as_json: bool) -> int:
    """Write what is stale below `root`; with `check` change nothing and return 1 if anything is.

    Raises InputRefused for a root that is not this project's, or for markers that are not understood; nothing has been
    written then.
    """
    _refuse_other_projects(root)
    documents = {name: _read(root / name) or "" for name in DOCUMENTS}
    paths = [path.relative_to(root).as_posix() for path in sorted((root / "tests").rglob("*.py"))]
    read = {path: _read(root / path) for path in (*paths, *SOURCES)}
    wanted = generated_files(documents, load_catalog(), {path: text for path, text in read.items() if text is not None})
    stale = {path: text for path, text in wanted.items() if _read(root / path) != text}
    if not check:
        _write(root, stale)
    _report(stale, total=len(wanted), check=check, as_json=as_json)
    return 1 if check and stale else 0


def _refuse_other_projects(root: Path) -> None:
    hint = "give --root the folder of a checkout of groq-fallback-mcp"
    for name in ("pyproject.toml", *DOCUMENTS):
        if not (root / name).is_file():
            raise InputRefused(f"{root} has no {name}", next_step=hint)
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project", {}).get("name")
    except ValueError as error:
        raise InputRefused(f"{root / 'pyproject.toml'} cannot be read: {error}", next_step=hint) from None
    if project != PROJECT:
        raise InputRefused(f"{root / 'pyproject.toml'} is of the project {project!r}, not {PROJECT!r}", next_step=hint)


def _read(path: Path) -> str | None:
    """The file's text with line feeds only, so that a checkout with CRLF is not stale; None when there is no file."""
    try:
        return path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise InputRefused(f"{path} is not UTF-8: {error}", next_step="save it as UTF-8") from None


def _write(root: Path, stale: Mapping[str, str]) -> None:
    for path, text in stale.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode("utf-8"))


def _report(stale: Mapping[str, str], *, total: int, check: bool, as_json: bool) -> None:
    if as_json:
        print_json({"check": check, "stale" if check else "written": list(stale), "files": total, "command": COMMAND})
        return
    for path in stale:
        echo(f"{'stale' if check else 'written'}: {path}")
    if not stale:
        echo(f"{total} generated files are up to date")
    elif check:
        echo(f"refresh them with: {COMMAND}")
