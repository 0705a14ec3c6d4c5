"""All generated files at once: the documents with their blocks filled anew, and every manifest."""

from __future__ import annotations

from collections.abc import Mapping

from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.generate.agents import clients_block, tools_block, toolsets_block
from groq_fallback_mcp.generate.blocks import fill_blocks
from groq_fallback_mcp.generate.coverage import abilities_block, seed_block
from groq_fallback_mcp.generate.failures import errors_block, statuses_block
from groq_fallback_mcp.generate.faults import CORPUS, faults_block
from groq_fallback_mcp.generate.faults import ROWS as FAULTS
from groq_fallback_mcp.generate.launch import Launch
from groq_fallback_mcp.generate.limits import limits_block
from groq_fallback_mcp.generate.manifests import manifests
from groq_fallback_mcp.generate.models import models_block
from groq_fallback_mcp.generate.practices import practices_block, use_cases_block
from groq_fallback_mcp.generate.presets import presets_block
from groq_fallback_mcp.generate.registries import registry_files
from groq_fallback_mcp.generate.settings import settings_block
from groq_fallback_mcp.generate.speed import RESULTS as SPEED
from groq_fallback_mcp.generate.speed import speed_block

__all__ = ["DOCUMENTS", "SOURCES", "all_blocks", "generated_files"]

SKILL = ("SKILL.md", *(f"references/{name}.md" for name in ("errors", "examples", "models", "setup", "toolsets")))
DOCUMENTS = ("README.md", "docs/faults.md", *SKILL)
SOURCES = (SPEED, FAULTS, *CORPUS)
_PLUGIN_SKILL = "claude/marketplace/plugins/groq-fallback-mcp/skills/groq-fallback-mcp"


def generated_files(documents: Mapping[str, str], catalog: Catalog, sources: Mapping[str, str]) -> dict[str, str]:
    """What every generated file should hold, by its path below the root with forward slashes.

    `documents` are the present texts of DOCUMENTS, `sources` by path what tables are made of beside the catalog: the test
    files, and those of SOURCES that are there. Raises InputRefused for a marker that is not understood.
    """
    blocks = all_blocks(catalog, sources)
    filled = {name: fill_blocks(documents[name], file=name, blocks=blocks) for name in DOCUMENTS}
    launch = Launch()
    made = {f"manifests/{manifest.path}": manifest.text for manifest in manifests(launch, catalog)}
    listed = {f"manifests/{path}": text for path, text in registry_files(launch).items()}
    # a plugin carries the skill it teaches
    skill = {f"manifests/{_PLUGIN_SKILL}/{name}": filled[name] for name in SKILL}
    return filled | made | listed | skill


def all_blocks(catalog: Catalog, sources: Mapping[str, str]) -> dict[str, str]:
    """The text of each block, by the name its markers carry."""
    tests = {path: text for path, text in sources.items() if path.endswith(".py")}
    return {
        "models": models_block(catalog),
        "practices": practices_block(catalog),
        "use_cases": use_cases_block(catalog),
        "limits": limits_block(catalog),
        "presets": presets_block(catalog),
        "settings": settings_block(),
        "tools": tools_block(),
        "toolsets": toolsets_block(),
        "errors": errors_block(),
        "statuses": statuses_block(catalog),
        "clients": clients_block(Launch()),
        "seed": seed_block(catalog, tests),
        "abilities": abilities_block(tests),
        "faults": faults_block(sources[FAULTS], tests, {path: sources[path] for path in CORPUS}),
        "speed": speed_block(sources.get(SPEED, "")),
    }
