"""Nothing of the folder that a server is started in becomes part of it, in every way that we write, document or start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from groq_fallback_mcp.command import SCRIPT, own_script, server_command
from groq_fallback_mcp.harness.child import server_child
from groq_fallback_mcp.harness.server_check import answers

pytestmark = [pytest.mark.anyio, pytest.mark.fault("A2")]
REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DEPENDENCIES = (
    "anyio",
    "mcp",
    "mcp_types",
    "pydantic",
    "pydantic_settings",
    "httpx2",
    "typer",
    "rich",
    "platformdirs",
    "tomlkit",
)
STANDARD = ("logging", "queue", "json", "types", "typing", "re", "enum", "asyncio", "email", "csv", "decimal", "tomllib", "ssl")
STARTUP = ("sitecustomize", "usercustomize", "runpy", "importlib", "__future__", "gc")
TOOLS = {"groq_chat", "list_models", "check_limits", "transcribe"}


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A cloned repository with a module for each name that Python or a dependency might import; each leaves a mark."""
    folder = tmp_path / "repository"
    set_traps(folder, (*DEPENDENCIES, *STANDARD, *STARTUP), package=True)
    return folder


def set_traps(folder: Path, names: Sequence[str], *, package: bool) -> None:
    """A module for each name, which writes its name into the file `marks`."""
    folder.mkdir()
    marks = folder / "marks"
    for name in names:
        (folder / f"{name}.py").write_text(f"with open({str(marks)!r}, 'a') as f: f.write({name + ' '!r})\n")
    if package:
        (folder / "groq_fallback_mcp").mkdir()
        (folder / "groq_fallback_mcp" / "__init__.py").write_text(f"open({str(marks)!r}, 'a').write('package ')\n")
        (folder / "groq_fallback_mcp" / "__main__.py").write_text("")


def marks(folder: Path) -> str:
    """The names of what was imported."""
    found = folder / "marks"
    return found.read_text() if found.exists() else ""


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A user's, with the command on the PATH."""
    return {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder.parent), **more}


async def tools_of(command: Sequence[str], folder: Path, **more: str) -> set[str]:
    """The tools that the server lists when it is started in the folder."""
    first, *rest = command
    parameters = StdioServerParameters(command=first, args=rest, env=environment(folder, **more), cwd=folder)
    async with Client(stdio_client(parameters)) as client:
        return {tool.name for tool in (await client.list_tools()).tools}


async def test_the_command_that_setup_writes_imports_nothing_of_the_working_folder(trap: Path) -> None:
    """Whatever the modules there are called."""
    assert await tools_of(server_command(), trap) == TOOLS
    assert marks(trap) == ""


@pytest.mark.parametrize("paths", ["", ".", f"{os.pathsep}/nonexistent", f"/nonexistent{os.pathsep}", "REPOSITORY"])
async def test_nor_where_pythonpath_names_the_working_folder(trap: Path, paths: str) -> None:
    """An empty part of PYTHONPATH, as in `export PYTHONPATH=$PYTHONPATH:/mine`, means the working folder too."""
    assert await tools_of(server_command(), trap, PYTHONPATH=paths.replace("REPOSITORY", str(trap))) == TOOLS
    assert marks(trap) == ""


@pytest.mark.parametrize("name", ["PYTHONSTARTUP", "PYTHONHOME", "PYTHONINSPECT"])
async def test_nor_by_another_variable_that_python_obeys(trap: Path, name: str) -> None:
    """They are ignored."""
    value = {"PYTHONSTARTUP": str(trap / "anyio.py"), "PYTHONHOME": str(trap), "PYTHONINSPECT": "1"}[name]
    assert await tools_of(server_command(), trap, **{name: value}) == TOOLS
    assert marks(trap) == ""


async def test_the_console_script_imports_nothing_of_the_working_folder(trap: Path) -> None:
    """By its path, and by its name on the PATH, with and without PYTHONSAFEPATH."""
    script = own_script()
    assert script is not None
    assert await tools_of([str(script)], trap) == TOOLS
    assert await tools_of([SCRIPT], trap) == TOOLS
    assert await tools_of([SCRIPT, "serve"], trap, PYTHONSAFEPATH="1") == TOOLS
    assert marks(trap) == ""


def test_python_dash_m_typed_by_hand_imports_no_dependency_from_the_working_folder(tmp_path: Path) -> None:
    """What Python itself imports before our code runs is beyond us; nothing after that comes from there."""
    folder = tmp_path / "repository"
    set_traps(
        folder,
        (*DEPENDENCIES, "logging", "queue", "json", "asyncio", "email", "csv", "decimal", "tomllib", "ssl"),
        package=False,
    )
    done = subprocess.run(
        [sys.executable, "-m", "groq_fallback_mcp", "simulate", "--fault", "nonsense"],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert marks(folder) == ""


def test_the_console_script_drops_the_working_folder_that_pythonpath_names(tmp_path: Path) -> None:
    """From the moment at which our code runs."""
    folder = tmp_path / "repository"
    set_traps(folder, DEPENDENCIES, package=False)
    done = subprocess.run(
        [str(own_script()), "--version"], cwd=folder, env=environment(folder, PYTHONPATH="."), capture_output=True, check=False
    )
    assert (done.returncode, marks(folder)) == (0, "")


def commands_in(value: object) -> list[tuple[str, ...]]:
    """Every command with its arguments in a manifest, whatever its form."""
    if isinstance(value, list):
        return [found for item in cast("list[object]", value) for found in commands_in(item)]
    if not isinstance(value, dict):
        return []
    fields = cast("dict[str, Any]", value)
    found = [one for item in fields.values() for one in commands_in(item)]
    command = fields.get("command")
    if isinstance(command, list):
        found.append(tuple(cast("list[str]", command)))
    elif isinstance(command, str):
        found.append((command, *fields.get("args", ())))
    return found


def manifest_commands() -> Mapping[str, tuple[str, ...]]:
    """The command of each JSON manifest by its file."""
    files = sorted((REPOSITORY / "manifests").rglob("*.json"))
    return {
        str(file.relative_to(REPOSITORY)): command for file in files for command in commands_in(json.loads(file.read_text()))
    }


def test_there_are_manifests_for_every_client_that_has_one() -> None:
    """So that the next test tries something."""
    assert len(manifest_commands()) >= 7


@pytest.mark.parametrize(("file", "command"), manifest_commands().items())
async def test_each_manifest_starts_the_server_without_the_working_folder(
    file: str, command: tuple[str, ...], trap: Path
) -> None:
    """By the installed command; the bundle by its own start file, from its own folder."""
    if command[0] == "uv":
        bundle = (REPOSITORY / file).parent
        assert command[1:] == ("run", "--directory", "${__dirname}", "server/main.py")
        command = (sys.executable, str(bundle / "server" / "main.py"))
    assert await tools_of(command, trap) == TOOLS
    assert marks(trap) == ""


async def test_what_we_start_ourselves_imports_nothing_of_the_working_folder(
    trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child of demo and selftest, and the check of doctor and setup."""
    monkeypatch.chdir(trap)
    async with server_child(environment(trap)) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
    assert await answers(server_command()) is None
    assert marks(trap) == ""


AUDITED = """
import sys
def seen(event, arguments):
    if event in {"open", "os.listdir", "os.scandir"} and isinstance(arguments[0], str):
        import os.path
        path = os.path.abspath(arguments[0] or ".")
        if path.startswith(FOLDER):
            with_log.append(path)
            log.write(path + "\\n"); log.flush()
with_log = []
log = open(LOG, "a")
sys.addaudithook(seen)
sys.argv = ["groq-fallback-mcp"]
from groq_fallback_mcp.cli.app import main
main()
"""
TEMPTING = {
    ".env": "GROQ_API_KEY=gsk_of_the_repository\nGROQ_BASE_URL=http://127.0.0.1:9\nGROQ_FALLBACK_LOG_LEVEL=nonsense\n",
    "config.toml": 'log_level = "nonsense"\n',
    "groq-fallback-mcp/config.toml": 'log_level = "nonsense"\n',
    "pyproject.toml": "[tool.groq-fallback-mcp]\nlog_level = 'nonsense'\n",
    "catalog.toml": "nonsense",
    ".netrc": "machine api.groq.com login x password y\n",
    "pip.conf": "[global]\nindex-url = http://127.0.0.1:9\n",
    "uv.toml": "nonsense",
    ".python-version": "2.7\n",
    "keyringrc.cfg": "[backend]\ndefault-keyring=evil.Keyring\nkeyring-path=.\n",
    "groq-api-key": "gsk_of_the_repository\n",
    "pyvenv.cfg": "home = /nonexistent\n",
    "setup.cfg": "[metadata]\n",
    "mcp.json": "{}",
}


async def test_no_file_of_the_working_folder_is_read_as_configuration(tmp_path: Path) -> None:
    """The server opens no file there and lists no folder, from its start to a call that looks for models and a key."""
    folder = tmp_path / "repository"
    for name, text in TEMPTING.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    log = tmp_path / "opened"
    code = f"FOLDER = {str(folder)!r}\nLOG = {str(log)!r}\n{AUDITED}"
    parameters = StdioServerParameters(
        command=sys.executable, args=["-E", "-P", "-c", code], env=environment(folder), cwd=folder
    )
    async with Client(stdio_client(parameters)) as client:
        listed = await client.call_tool("list_models", {"kind": "chat"})
        limits = await client.call_tool("check_limits", {})
    assert not listed.is_error
    assert not limits.is_error
    assert "no" in json.dumps(listed.structured_content)
    assert "gsk_of_the_repository" not in json.dumps([listed.structured_content, limits.structured_content])
    assert log.read_text() == ""


def test_the_audit_would_notice_a_file_that_is_opened(tmp_path: Path) -> None:
    """So that the test before this one can fail."""
    log = tmp_path / "opened"
    (tmp_path / "config.toml").write_text('log_level = "nonsense"\n')
    code = f"FOLDER = {str(tmp_path)!r}\nLOG = {str(log)!r}\n{AUDITED}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=environment(tmp_path, GROQ_FALLBACK_CONFIG="config.toml"),
        cwd=tmp_path,
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2
    assert str(tmp_path / "config.toml") in log.read_text()
