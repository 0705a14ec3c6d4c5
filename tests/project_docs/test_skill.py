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
from fakes import CATALOG, World
from servers import connected

from groq_fallback_mcp.skill import SKILL_FILE, skill_files, skill_frontmatter
from groq_fallback_mcp.tools import ALL_TOOLS, TOOLS, TOOLSETS
from groq_fallback_mcp.tools.arguments import parse

CHECKOUT = Path(__file__).parents[2]
TEXT = (CHECKOUT / "SKILL.md").read_text(encoding="utf-8")
ALLOWED = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
FILES = dict(skill_files())
MOST_BYTES = 5_500


NAMES = "|".join(tool.name for tool in ALL_TOOLS)


def calls(text: str) -> list[tuple[str, str]]:
    """The example calls of a document: the tool that was named last at the beginning of a line or heading, and the arguments."""
    found: list[tuple[str, str]] = []
    tool = ""
    for name, arguments in re.findall(rf"^(?:#+ )?`({NAMES})`|```json\n(.*?)\n```", text, re.DOTALL | re.MULTILINE):
        tool = name or tool
        if arguments and tool:
            found.append((tool, arguments))
    return found


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
    """Kilo 7.7.9 silently skips a project's skill whose text contains a reference to the environment."""
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
    """Agents copy examples rather than schemas. SKILL.md has one for each of the four, the references have the others."""
    assert sorted(name for name, _ in calls(TEXT)) == sorted(tool.name for tool in TOOLS)
    assert {name for name, _ in CALLS} == {tool.name for tool in ALL_TOOLS}


@pytest.mark.parametrize(("name", "example"), CALLS)
def test_every_example_is_a_call_the_tools_accept(name: str, example: str) -> None:
    """Its arguments pass the tool's own validation."""
    (tool,) = [tool for tool in ALL_TOOLS if tool.name == name]

    arguments = parse(tool.arguments, json.loads(example))

    assert arguments.model_fields_set == set(json.loads(example))


def test_the_served_frontmatter_is_the_file_s() -> None:
    """Clients compare the two field by field."""
    text = skill_files()[SKILL_FILE]
    assert text == TEXT
    assert skill_frontmatter(text) == frontmatter()


@pytest.mark.fault("B21")
def test_the_use_cases_that_the_skill_names_are_those_that_groq_chat_takes() -> None:
    """`moderation` is for a tool that is not listed as installed."""
    table = TEXT.partition("<!-- generated: use_cases -->")[2].partition("<!-- /generated")[0]
    named = [name for name in re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) if name != "use_case"]
    named += re.findall(r'"use_case": "(\w+)"', "\n".join(FILES.values()))
    assert len(set(named)) >= 5
    assert {CATALOG.practices[name].tool for name in named} == {"groq_chat"}


@pytest.mark.fault("B21")
@pytest.mark.anyio
async def test_each_use_case_of_the_skill_works_with_the_tools_as_installed() -> None:
    """Called as an agent does that has read it."""
    table = TEXT.partition("<!-- generated: use_cases -->")[2].partition("<!-- /generated")[0]
    async with connected(World()) as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        for use_case in [name for name in re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) if name != "use_case"]:
            result = await client.call_tool("groq_chat", {"prompt": "hi", "use_case": use_case})
            assert not result.is_error, use_case
        assert {name for name, _ in calls(TEXT)} <= listed


@pytest.mark.fault("B21")
@pytest.mark.parametrize("name", FILES)
def test_a_tool_that_is_not_listed_as_installed_is_said_to_need_its_toolset(name: str) -> None:
    """In each paragraph and each row that names it; references/toolsets.md is about nothing else."""
    hidden = {tool.name: toolset.name for toolset in TOOLSETS.values() for tool in toolset.tools}
    assert set(hidden) == {tool.name for tool in ALL_TOOLS} - {tool.name for tool in TOOLS}
    if name == "references/toolsets.md":
        assert "GROQ_FALLBACK_TOOLSETS" in FILES[name]
        return
    for block in re.split(r"\n\n|\n(?=[|-])", FILES[name]):
        for tool, toolset in hidden.items():
            if f"`{tool}`" in block:
                assert "toolset" in block, block
                assert f"`{toolset}`" in block or "toolsets.md" in block, block


@pytest.mark.fault("B21")
def test_every_argument_that_the_skill_names_for_a_tool_is_one_of_its_arguments() -> None:
    """`groq_chat` with `response_schema`, and the like."""
    named = re.findall(
        r"`(groq_chat|transcribe|list_models|check_limits)` with `(\w+)`(?: or `(\w+)`)?", "\n".join(FILES.values())
    )
    assert len(named) >= 6
    fields = {tool.name: set(tool.arguments.model_fields) for tool in TOOLS}
    for tool, *arguments in named:
        assert {argument for argument in arguments if argument} <= fields[tool]
