"""Write every generated file of this checkout: `python -m project_docs`. With `--check`, only report those that are stale.

The same on whichever day it runs: it reads the package's data, the documents' own text, and the sources below.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from groq_fallback_mcp.catalog import Catalog, load_catalog
from groq_fallback_mcp.errors import GroqFallbackError
from project_docs.blocks import fill_blocks
from project_docs.client_pages import client_list_block, client_pages
from project_docs.commands import commands_block
from project_docs.coverage import abilities_block, seed_block
from project_docs.decisions import FOLDER as DECISIONS
from project_docs.decisions import decisions_index
from project_docs.failover import VERDICTS, failover_block
from project_docs.failures import errors_block, statuses_block
from project_docs.faults import CORPUS, faults_block
from project_docs.faults import ROWS as FAULTS
from project_docs.headline import HEADLINES, headline_block
from project_docs.layers import layers_block
from project_docs.manifests import clients_block, manifests
from project_docs.measured import MEASURED, measured_block
from project_docs.mutation import MODULES, mutation_block
from project_docs.registries import registry_files
from project_docs.tables import (
    SPEED_RESULTS,
    limits_block,
    models_block,
    practices_block,
    presets_block,
    provider_plans_block,
    settings_block,
    speed_block,
    tools_block,
    toolsets_block,
    use_cases_block,
)

__all__ = ["DOCUMENTS", "all_blocks", "generate", "generated_files", "read_sources"]

CHECKOUT = Path(__file__).parents[2]
SKILL = ("SKILL.md", *(f"references/{name}.md" for name in ("errors", "examples", "models", "setup", "toolsets")))
PAGES = (
    *("api-coverage", "architecture", "benchmarks", "cli", "clients/index", "configuration", "errors", "failover", "faults"),
    *("limits", "models", "providers", "quality", "tools"),
)
DOCUMENTS = ("README.md", *(f"docs/{name}.md" for name in PAGES), *SKILL)
_PROJECT = "pyproject.toml"
# Patterns of the files that blocks are made of beside the catalog.
_SOURCES = (
    *(_PROJECT, FAULTS, VERDICTS, MODULES, *CORPUS),
    *(path for path, _ in MEASURED.values()),
    *(f"benchmarks/{name}/results.json" for name in HEADLINES),
    *("tests/**/*.py", "server/groq_fallback_mcp/**/*.py", f"{DECISIONS}/[0-9]*.md"),
)
_PLUGIN_SKILL = "claude/marketplace/plugins/groq-fallback-mcp/skills/groq-fallback-mcp"


def main() -> int:
    """The command. The exit status is 1 where `--check` finds a stale file, 2 for a marker that is not understood."""
    parser = argparse.ArgumentParser(prog="python -m project_docs", description="Write every generated file of this checkout.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file is stale")
    try:
        return generate(CHECKOUT, check=parser.parse_args().check)
    except GroqFallbackError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def generate(root: Path, *, check: bool) -> int:
    """Write what is stale below `root`; with `check` change nothing and return 1 if anything is.

    Raises InputRefused for markers that are not understood; nothing has been written then.
    """
    documents = {name: _read(root / name) or "" for name in DOCUMENTS}
    wanted = generated_files(documents, load_catalog(), read_sources(root))
    stale = {path: text for path, text in wanted.items() if _read(root / path) != text}
    for path, text in stale.items():
        if not check:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(text.encode("utf-8"))
        sys.stdout.write(f"{'stale' if check else 'wrote'}: {path}\n")
    if not stale:
        sys.stdout.write(f"All {len(wanted)} generated files are up to date.\n")
    elif check:
        sys.stdout.write("Write them with: make generate\n")
    return 1 if check and stale else 0


def read_sources(root: Path) -> dict[str, str]:
    """The texts of what blocks are made of beside the catalog, by path below the root with forward slashes."""
    paths = [path for pattern in _SOURCES for path in sorted(root.glob(pattern))]
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def generated_files(documents: Mapping[str, str], catalog: Catalog, sources: Mapping[str, str]) -> dict[str, str]:
    """What every generated file should hold, by its path below the root with forward slashes.

    `documents` are the present texts of DOCUMENTS, `sources` what `read_sources` returns. Raises InputRefused for a marker
    that is not understood, or a decision record that does not begin as all do.
    """
    blocks = all_blocks(catalog, sources)
    filled = {name: fill_blocks(documents[name], file=name, blocks=blocks) for name in DOCUMENTS}
    made = {f"manifests/{path}": text for path, text in manifests(catalog).items()}
    listed = {f"manifests/{path}": text for path, text in registry_files().items()}
    # a plugin carries the skill it teaches
    skill = {f"manifests/{_PLUGIN_SKILL}/{name}": filled[name] for name in SKILL}
    records = {path: text for path, text in sources.items() if path.startswith(f"{DECISIONS}/")}
    pages = client_pages(_tests(sources))
    return filled | made | listed | skill | pages | {f"{DECISIONS}/README.md": decisions_index(records)}


def all_blocks(catalog: Catalog, sources: Mapping[str, str]) -> dict[str, str]:
    """The text of each block, by the name its markers carry."""
    tests = _tests(sources)
    return {
        "models": models_block(catalog),
        "practices": practices_block(catalog),
        "use_cases": use_cases_block(catalog),
        "limits": limits_block(catalog),
        "presets": presets_block(catalog),
        "provider-plans": provider_plans_block(catalog),
        "settings": settings_block(),
        "tools": tools_block(),
        "toolsets": toolsets_block(),
        "errors": errors_block(),
        "statuses": statuses_block(catalog),
        "clients": clients_block(),
        "client_list": client_list_block(),
        "commands": commands_block(),
        "layers": layers_block(sources[_PROJECT], sources),
        "seed": seed_block(catalog, tests),
        "abilities": abilities_block(tests),
        "faults": faults_block(sources[FAULTS], tests, {path: sources[path] for path in CORPUS}),
        "failover": failover_block(sources[VERDICTS]),
        "mutation": mutation_block(sources[MODULES], sources),
        "headline": headline_block(sources),
        "speed": speed_block(sources.get(SPEED_RESULTS, "")),
        **{name: measured_block(sources.get(path, ""), path=path, tables=tables) for name, (path, tables) in MEASURED.items()},
    }


def _tests(sources: Mapping[str, str]) -> dict[str, str]:
    return {path: text for path, text in sources.items() if path.startswith("tests/") and path.endswith(".py")}


def _read(path: Path) -> str | None:
    """The file's text with line feeds only, so that a checkout with CRLF is not stale; None when there is no file."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
