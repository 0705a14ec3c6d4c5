"""Set-up from uv's cache, as a first user runs it: what it writes works when the cache is emptied, in any project."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from e2e.npm_clients import REPOSITORY
from e2e.registry import find_uv, uv_environment
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from groq_fallback_mcp.tools import TOOLS

pytestmark = [pytest.mark.e2e, pytest.mark.anyio, pytest.mark.fault("B29")]


@pytest.fixture
def uv(tmp_path: Path) -> dict[str, str]:
    """An environment in which uv finds a wheel of this project, which is not published yet."""
    links, home = tmp_path / "wheels", tmp_path / "home"
    links.mkdir()
    home.mkdir()
    environment = uv_environment(home, links=links)
    built = run([find_uv(), "build", "--quiet", "--wheel", "--out-dir", str(links), str(REPOSITORY)], environment, tmp_path)
    assert built.returncode == 0, built.stderr
    return {**environment, "UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never"}


def run(command: Sequence[str], environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A command, with nothing on its standard input."""
    return subprocess.run(
        command,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.fault("A2")
async def test_set_up_by_uvx_writes_a_command_that_lasts_and_reads_nothing_of_the_project(
    tmp_path: Path, uv: dict[str, str]
) -> None:
    """Neither its modules nor its settings of uv; from a wheel of one's own it says what to install."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "uv.toml").write_text("nonsense = [\n")
    (project / "pyproject.toml").write_text("[tool.uv]\nindex-url = 'http://127.0.0.1:9/'\n")
    (project / ".python-version").write_text("2.7\n")
    for name in ("anyio", "types", "sitecustomize"):
        (project / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n")
    uvx = str(Path(find_uv()).with_name("uvx"))
    done = run([uvx, "groq-fallback-mcp", "setup", "kilo", "--no-check"], uv, project)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "home" / ".config" / "kilo" / "kilo.json").read_text()
    assert "archive-v0" not in text
    command, *arguments = json.loads(text)["mcp"]["groq"]["command"]
    assert (Path(command).name, arguments) == ("uvx", ["groq-fallback-mcp"])
    assert run([find_uv(), "cache", "clean"], uv, tmp_path).returncode == 0
    parameters = StdioServerParameters(command=uvx, args=arguments, env=uv, cwd=project)
    async with Client(stdio_client(parameters)) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == [tool.name for tool in TOOLS]
    wheel = next((tmp_path / "wheels").glob("*.whl"))
    refused = run([uvx, "--from", str(wheel), "groq-fallback-mcp", "setup", "kilo", "--no-check"], uv, project)
    assert (refused.returncode, "uv tool install" in refused.stderr) == (2, True)
    assert not (tmp_path / "mark").exists()
