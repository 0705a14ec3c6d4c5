"""What goes to registries and marketplaces, before the schemas that say what they take."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from groq_fallback_mcp import __version__
from project_docs.registries import REGISTRY_NAME, REPOSITORY

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
SCHEMAS = ROOT / "tests" / "fixtures" / "schemas"
ENTRY = MANIFESTS / "kilo" / "marketplace" / "mcps" / "groq-fallback-mcp" / "MCP.yaml"
DOCUMENTS = {
    "server.2025-12-11": MANIFESTS / "registry" / "server.json",
    "glama": MANIFESTS / "glama.json",
    "kilo-marketplace-mcp": ENTRY,
}


def read(path: Path) -> dict[str, Any]:
    """A document, JSON or YAML."""
    text = path.read_text(encoding="utf-8")
    found = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
    assert isinstance(found, dict)
    return found


def faults(schema: str, document: dict[str, Any]) -> list[str]:
    """What a schema says against a document."""
    validator = Draft7Validator(read(SCHEMAS / f"{schema}.schema.json"))
    validator.check_schema(validator.schema)
    return [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(document)]


@pytest.mark.parametrize("schema", DOCUMENTS)
def test_each_document_keeps_the_schema_of_who_takes_it(schema: str) -> None:
    """Else it is refused on the day of publishing."""
    assert faults(schema, read(DOCUMENTS[schema])) == []


@pytest.mark.parametrize(
    ("schema", "change"),
    [
        ("server.2025-12-11", {"description": "x" * 101}),
        ("server.2025-12-11", {"name": "no slash"}),
        ("glama", {"maintainers": ["someone@example.com"]}),
        ("glama", {"maintainers": []}),
        ("glama", {"command": "run"}),
        ("kilo-marketplace-mcp", {"category": "ai"}),
        ("kilo-marketplace-mcp", {"tags": ["groq"]}),
        ("kilo-marketplace-mcp", {"url": "groq"}),
        ("kilo-marketplace-mcp", {"content": []}),
        ("kilo-marketplace-mcp", {"id": "Groq_Fallback"}),
    ],
)
def test_the_schemas_refuse_what_would_be_refused(schema: str, change: dict[str, Any]) -> None:
    """So that passing one means something."""
    assert faults(schema, read(DOCUMENTS[schema]) | change)


def test_the_registry_finds_the_proof_of_its_name_in_the_readme_and_one_version_everywhere() -> None:
    """It reads the marker from the published package."""
    server = read(DOCUMENTS["server.2025-12-11"])
    assert f"<!-- mcp-name: {REGISTRY_NAME} -->" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert {server["version"], *(package["version"] for package in server["packages"])} == {__version__}


def test_the_entry_s_methods_are_json_whose_parameters_are_those_that_are_asked_for() -> None:
    """Kilo puts each answer in the place of its braces."""
    entry = read(ENTRY)
    assert entry["id"] == ENTRY.parent.name
    keys = {parameter["key"] for parameter in entry["parameters"]}
    for method in entry["content"]:
        server = json.loads(method["content"])
        assert set(server) == {"command", "args", "env"}
        assert set(re.findall(r"\{\{(\w+)\}\}", method["content"])) == keys


def test_the_skill_that_the_marketplace_imports_has_what_its_generator_reads() -> None:
    """Its import script adds metadata.source; the rest must be there: the folder's name, a description, a known category."""
    (folder,) = (MANIFESTS / "claude" / "marketplace" / "plugins" / "groq-fallback-mcp" / "skills").iterdir()
    _, block, _ = (folder / "SKILL.md").read_text(encoding="utf-8").split("---\n", 2)
    fields = yaml.safe_load(block)
    schema = read(SCHEMAS / "kilo-marketplace-mcp.schema.json")
    assert fields["name"] == folder.name
    assert fields["description"]
    assert fields["metadata"]["category"] in schema["properties"]["category"]["enum"]
    assert (ROOT / "LICENSE").is_file()


def test_the_readme_of_the_package_links_to_the_repository() -> None:
    """A package index shows it outside of its repository; the owner's name there is the one of the registries."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for one in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(one["pattern"], one["replacement"], text)
    links = re.findall(r"\]\(([^)]+)\)", text)

    assert [link for link in links if not link.startswith("https://")] == []
    assert f"{REPOSITORY}/blob/main/docs/install.md" in links
    assert f"{REPOSITORY.replace('github.com', 'raw.githubusercontent.com')}/main/docs/session.svg" in links
