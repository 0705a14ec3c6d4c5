"""The MCPB bundle as a user's client treats it: packed, unpacked, started by the command of its manifest."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from e2e.npm_clients import REPOSITORY, Npm
from e2e.registry import find_uv, uv_environment
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from groq_fallback_mcp import __version__
from groq_fallback_mcp.tools import TOOLS

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


@pytest.fixture
def wheels(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder with this project's wheel, which is not published yet, and uv's environment with it."""
    links, home = tmp_path / "wheels", tmp_path / "home"
    links.mkdir()
    home.mkdir()
    environment = uv_environment(home, links=links)
    built = subprocess.run(
        [find_uv(), "build", "--quiet", "--wheel", "--out-dir", str(links), str(REPOSITORY)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return links, environment


@pytest.fixture
async def unpacked(tmp_path: Path) -> Path:
    """The bundle, packed by its own tool and unpacked again, away from the checkout."""
    npm = Npm(tmp_path)
    packed = await npm.run("mcpb", "pack", str(REPOSITORY / "manifests" / "mcpb"), "out.mcpb")
    assert packed.status == 0, packed
    folder = tmp_path / "extensions" / "groq fallback"  # clients put it where they like
    with zipfile.ZipFile(npm.project / "out.mcpb") as bundle:
        bundle.extractall(folder)
    return folder


def started(folder: Path, home: Path) -> tuple[list[str], dict[str, str]]:
    """Command and environment of the manifest, for a user who fills in nothing."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    values = {"__dirname": str(folder), "HOME": str(home)}
    values |= {f"user_config.{name}": str(given.get("default", "")) for name, given in manifest["user_config"].items()}

    def filled(text: str) -> str:
        for _ in range(2):  # a default holds ${HOME}
            for name, value in values.items():
                text = text.replace(f"${{{name}}}", value)
        assert "${" not in text
        return text

    run = manifest["server"]["mcp_config"]
    assert run["command"] == "uv"
    command = [find_uv(), *(filled(argument) for argument in run["args"])]
    return command, {name: filled(value) for name, value in run["env"].items()}


async def test_the_unpacked_bundle_installs_itself_and_serves_the_tools(
    tmp_path: Path, unpacked: Path, wheels: tuple[Path, dict[str, str]]
) -> None:
    """With no key and no setting: the server starts, lists its tools, and is the version that the manifest states."""
    _, environment = wheels
    command, settings = started(unpacked, tmp_path / "home")
    python = {"UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never"}
    parameters = StdioServerParameters(command=command[0], args=command[1:], env={**environment, **python, **settings})
    async with Client(stdio_client(parameters)) as client:
        listed = (await client.list_tools()).tools
        models = await client.call_tool("list_models", {"kind": "speech_to_text"})
        assert client.server_info.version == __version__
    manifest = json.loads((unpacked / "manifest.json").read_text(encoding="utf-8"))
    assert [tool.name for tool in listed] == [tool["name"] for tool in manifest["tools"]] == [tool.name for tool in TOOLS]
    assert not models.is_error
    assert (unpacked / ".venv").is_dir()
    (skill,) = (unpacked / ".venv").rglob("groq_fallback_mcp/SKILL.md")
    assert {path.name for path in (skill.parent / "references").iterdir()} == {
        path.name for path in (REPOSITORY / "references").iterdir()
    }
