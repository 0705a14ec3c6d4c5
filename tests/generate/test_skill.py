"""SKILL.md: valid for every client that reads skills, and true to the tools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from groq_fallback_mcp.skill import SKILL_FILE, skill_files, skill_frontmatter
from groq_fallback_mcp.tools import ALL_TOOLS, TOOLS
from groq_fallback_mcp.tools.arguments import parse

CHECKOUT = Path(__file__).parents[2]
TEXT = (CHECKOUT / "SKILL.md").read_text(encoding="utf-8")
ALLOWED = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
FILES = dict(skill_files())
MOST_BYTES = 7_500


def calls(text: str) -> list[str]:
    """The example calls of a document."""
    return [found for found in re.findall(r"```json\n(.*?)\n```", text, re.DOTALL) if '"tool"' in found]


CALLS = [call for text in FILES.values() for call in calls(text)]


def frontmatter() -> dict[str, Any]:
    """The YAML between the first two rules."""
    _, block, _ = TEXT.split("---\n", 2)
    read = yaml.safe_load(block)
    assert isinstance(read, dict)
    return read


def test_the_frontmatter_has_only_fields_that_validators_accept() -> None:
    """Any other field makes a client refuse the skill, and a missing description makes Kilo pass it over."""
    fields = frontmatter()

    assert set(fields) <= ALLOWED
    assert fields["name"] == "groq-fallback-mcp"
    assert fields["license"] == "MIT"
    assert 0 < len(fields["description"]) <= 1024
    assert len(fields["compatibility"]) <= 500
    assert len(TEXT.splitlines()) < 500


def test_kilo_loads_the_skill_from_a_project() -> None:
    """Kilo 7.7.9 passes over a project's skill whose text holds a reference to the environment, without a word."""
    assert not [name for name, text in FILES.items() if "{env:" in text]


def test_what_is_loaded_each_time_is_short() -> None:
    """The agent pays for SKILL.md at each load, and for a reference when it reads it."""
    assert len(TEXT.encode()) <= MOST_BYTES


def test_the_skill_names_every_reference_and_no_other() -> None:
    """By a path below its own folder, one step deep, as the format asks for."""
    linked = set(re.findall(r"\]\((?!https?:)([^)]+)\)", TEXT))
    references = {f"references/{path.name}" for path in (CHECKOUT / "references").iterdir()}

    assert linked == references == set(FILES) - {"SKILL.md"}


def test_the_generated_tables_of_before_are_all_there() -> None:
    """Each in one file of the skill."""
    for name in ("practices", "models", "limits", "errors", "tools", "toolsets", "use_cases"):
        assert sum(f"<!-- generated: {name} -->" in text for text in FILES.values()) == 1, name


def test_the_skill_states_the_packages_version() -> None:
    """Else an installed skill cannot be told from an older one."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert frontmatter()["metadata"]["version"] == project["version"]


def test_the_reference_validator_accepts_the_skill(tmp_path: Path) -> None:
    """On a copy in a folder of the skill's name, as an installation has it."""
    command = shutil.which("agentskills", path=str(Path(sys.executable).parent)) or shutil.which("agentskills")
    if command is None:
        pytest.skip("the command agentskills (PyPI package skills-ref) is not installed")
    folder = tmp_path / "groq-fallback-mcp"
    shutil.copytree(CHECKOUT / "references", folder / "references")
    shutil.copy(CHECKOUT / "SKILL.md", folder)

    done = subprocess.run([command, "validate", str(folder)], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_tool_has_an_example() -> None:
    """An agent copies examples rather than schemas: those of the four at once, those of the toolsets where it looks them up."""
    assert {json.loads(call)["tool"] for call in calls(TEXT)} == {tool.name for tool in TOOLS}
    assert {json.loads(call)["tool"] for call in CALLS} == {tool.name for tool in ALL_TOOLS}


@pytest.mark.parametrize("call", CALLS)
def test_every_example_is_a_call_the_tools_accept(call: str) -> None:
    """Its arguments pass the tool's own validation."""
    example = json.loads(call)
    (tool,) = [tool for tool in ALL_TOOLS if tool.name == example["tool"]]

    arguments = parse(tool.arguments, example["arguments"])

    assert arguments.model_fields_set == set(example["arguments"])


def test_the_served_frontmatter_is_the_file_s() -> None:
    """Clients compare the two field by field."""
    text = skill_files()[SKILL_FILE]
    assert text == TEXT
    assert skill_frontmatter(text) == frontmatter()
