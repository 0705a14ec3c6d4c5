"""What a repository's own files name is shown, and started only where it is this installation or where that is asked for."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from groq_fallback_mcp.cli import doctor as doctor_module
from groq_fallback_mcp.cli import setup as set_up
from groq_fallback_mcp.cli.doctor import Finding
from groq_fallback_mcp.cli.setup import setup
from groq_fallback_mcp.clients.client import CLIENTS
from groq_fallback_mcp.clients.entry import find_command, origin
from groq_fallback_mcp.command import own_script, server_command

pytestmark = pytest.mark.fault("A3")
PROJECT_FILES = [(name, path) for name, client in CLIENTS.items() for path in client.project]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cloned repository, which is the current folder of a user with a clean home."""
    home, folder = tmp_path / "home", tmp_path / "repository"
    home.mkdir()
    folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.chdir(folder)
    return folder


def evil(repository: Path) -> str:
    """A program of the repository, which leaves a mark."""
    path = repository / "evil"
    path.write_text(f"#!/bin/sh\necho run > {repository / 'mark'}\n")
    path.chmod(0o755)
    return str(path)


def name_server(repository: Path, file: str, command: list[str], **more: Any) -> None:
    """Write the entry into a client's project file, in the form of that client."""
    client = next(client for client in CLIENTS.values() if file in client.project)
    entry = {**client.entry(command, {}), **more}
    path = repository / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({client.table[0]: {"groq": entry}}))


def findings(**options: Any) -> list[Finding]:
    """What doctor says of the clients."""
    given = {"start_project_servers": False, **options}
    return [one for one in anyio.run(lambda: doctor_module._clients(**given)) if one.what.startswith("client")]


def said(**options: Any) -> str:
    """Its details in one text."""
    return "\n".join(f"{one.state} {one.detail}" for one in findings(**options))


@pytest.mark.parametrize(("name", "file"), PROJECT_FILES)
def test_the_doctor_shows_what_a_project_file_names_and_does_not_start_it(repository: Path, name: str, file: str) -> None:
    """For each file of each client."""
    name_server(repository, file, [evil(repository)])
    text = said()
    assert not (repository / "mark").exists()
    assert "not run" in text
    assert str(repository)[:20] in text


@pytest.mark.parametrize(
    "command",
    [
        ["./evil"],
        ["evil"],
        ["sh", "-c", "./evil"],
        ["sh", "-c", "./evil; groq-fallback-mcp"],
        ["bash", "./evil", "groq-fallback-mcp"],
        ["env", "./evil"],
        [sys.executable, "evil.py"],
        [sys.executable, "-m", "evil"],
        [sys.executable, "-c", "import evil"],
        [sys.executable, "-m", "groq_fallback_mcp", "serve", "--log-file", "mark"],
        ["uvx", "--from", "./evil", "groq-fallback-mcp"],
        ["uv", "run", "groq-fallback-mcp"],
        ["npx", "-y", "groq-fallback-mcp"],
        ["./groq-fallback-mcp"],
        ["groq-fallback-mcp", "serve", "--log-file", "mark"],
        ["groq-fallback-mcp", "simulate"],
    ],
)
def test_no_disguise_gets_a_command_of_the_project_started(repository: Path, command: list[str]) -> None:
    """Wrappers, relative paths, installers that read the project, our own name on another file, our own command with more."""
    evil(repository)
    shutil.copy(repository / "evil", repository / "groq-fallback-mcp")
    (repository / "evil.py").write_text("open('mark', 'w')")
    name_server(repository, ".mcp.json", command)
    text = said()
    assert not (repository / "mark").exists()
    assert "not run" in text
    assert "the server answers" not in text


def test_a_link_in_the_project_to_something_else_is_not_our_command(repository: Path) -> None:
    """Nor a script of the same name that the PATH finds there."""
    (repository / "groq-fallback-mcp").symlink_to(evil(repository))
    name_server(repository, ".mcp.json", [str(repository / "groq-fallback-mcp")])
    assert "not run" in said()
    assert not (repository / "mark").exists()


def test_our_own_name_is_not_enough_where_the_path_leads_into_the_project(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `.` or node_modules/.bin on the PATH."""
    shutil.copy(evil(repository), repository / "groq-fallback-mcp")
    for path in (".", "", str(repository)):
        monkeypatch.setenv("PATH", f"{path}{os.pathsep}{os.environ['PATH']}")
        name_server(repository, "kilo.json", ["groq-fallback-mcp"])
        assert "not run" in said()
    assert not (repository / "mark").exists()


@pytest.mark.parametrize(
    "command", [[str(own_script())], ["groq-fallback-mcp"], ["groq-fallback-mcp", "serve"], list(server_command())]
)
def test_this_installation_is_started_and_found_well(repository: Path, command: list[str]) -> None:
    """By its path, by its name, and as set-up writes it."""
    name_server(repository, ".vscode/mcp.json", command)
    (finding,) = findings()
    assert (finding.state, finding.detail.endswith("the server answers")) == ("ok", True)


@pytest.mark.parametrize(
    "variable",
    [
        "PATH",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "LD_PRELOAD",
        "NODE_OPTIONS",
        "GROQ_BASE_URL",
        "GROQ_FALLBACK_CONFIG",
        "GROQ_FALLBACK_PROXY",
    ],
)
def test_variables_that_change_what_runs_or_where_the_key_goes_are_not_used_and_are_named(
    repository: Path, variable: str
) -> None:
    """The command is ours, the file is not."""
    (repository / "sitecustomize.py").write_text(f"open({str(repository / 'mark')!r}, 'w')")
    name_server(repository, ".mcp.json", ["groq-fallback-mcp"], env={variable: str(repository)})
    (finding,) = findings()
    assert not (repository / "mark").exists()
    assert finding.state == "warn"
    assert variable in finding.detail


def test_a_variable_of_a_project_s_file_is_not_used_which_is_said(repository: Path) -> None:
    """Also one that set-up writes; with the flag the entry is started as it is."""
    name_server(repository, ".mcp.json", ["groq-fallback-mcp"], env={"GROQ_FALLBACK_TOOLSETS": "speach"})
    (finding,) = findings()
    assert finding.detail.endswith("the server answers, started without GROQ_FALLBACK_TOOLSETS of this file")
    (trusted,) = findings(start_project_servers=True)
    assert trusted.state != "ok"
    assert "Invalid GROQ_FALLBACK_TOOLSETS" in trusted.detail


def test_a_key_in_an_entry_is_in_no_finding(repository: Path) -> None:
    """Not even where the command that is started with it prints it."""
    command = {"command": "sh", "args": ["-c", "echo refused: $GROQ_API_KEY $MY_TOKEN >&2"]}
    entry = {**command, "env": {"GROQ_API_KEY": "canary-0123456789", "MY_TOKEN": "canary-9876543210"}}
    (Path.home() / ".claude.json").write_text(json.dumps({"mcpServers": {"groq": entry}}))
    (finding,) = findings()
    assert "It reports: refused: " in finding.detail
    assert "canary" not in finding.detail


@pytest.mark.parametrize("field", ["cwd", "envFile"])
def test_fields_that_lead_elsewhere_are_named(repository: Path, field: str) -> None:
    """They are not followed either."""
    name_server(repository, ".mcp.json", ["groq-fallback-mcp"], **{field: str(repository)})
    (finding,) = findings()
    assert (finding.state, field in finding.detail) == ("warn", True)


def test_an_entry_of_an_older_version_is_known_and_not_started(repository: Path) -> None:
    """It would import from the project; set-up replaces it."""
    (repository / "anyio.py").write_text(f"open({str(repository / 'mark')!r}, 'w')")
    name_server(repository, "kilo.json", [sys.executable, "-m", "groq_fallback_mcp"])
    (finding,) = findings()
    assert finding.state == "warn"
    assert "setup kilo" in finding.detail
    assert not (repository / "mark").exists()
    assert (
        setup("kilo", scope="project", dry_run=False, remove=False, with_key=False, toolsets=None, skill=False, check=False)
        == 0
    )
    assert json.loads((repository / "kilo.json").read_text())["mcp"]["groq"]["command"] == ["groq-fallback-mcp"]
    (mended,) = findings()
    assert mended.state == "ok"


def test_a_flag_starts_what_the_project_names(repository: Path) -> None:
    """For whoever trusts it."""
    name_server(repository, ".mcp.json", [evil(repository)])
    text = said(start_project_servers=True)
    assert (repository / "mark").exists()
    assert "does not" in text


def test_the_user_s_own_file_is_the_user_s(repository: Path) -> None:
    """What it names is started, but from an empty folder, so that a relative path leads nowhere in the project."""
    evil(repository)
    home = Path.home()
    for command in (["./evil"], [str(repository / "evil")]):
        (home / ".claude.json").write_text(json.dumps({"mcpServers": {"groq": {"command": command[0], "args": []}}}))
        said()
        assert (repository / "mark").exists() == (command[0] != "./evil")


@pytest.mark.parametrize("bad", ["\x1b]0;owned\x07", "line\nbreak", "x" * 5_000, "gsk_0123456789abcdef0123456789"])
def test_a_command_is_shown_on_one_line_without_controls_and_secrets(repository: Path, bad: str) -> None:
    """Cut to eighty characters."""
    name_server(repository, ".mcp.json", ["sh", "-c", bad])
    (finding,) = findings()
    assert finding.detail.isprintable()
    assert len(finding.detail) < 400
    assert "gsk_0123456789" not in finding.detail


@pytest.mark.parametrize(
    "entry", [{}, {"command": None}, {"command": []}, {"command": 7, "args": "x"}, {"command": ["a"], "args": [None]}]
)
def test_entries_without_a_usable_command_are_shown_too(repository: Path, entry: dict[str, Any]) -> None:
    """Never a traceback."""
    (repository / ".mcp.json").write_text(json.dumps({"mcpServers": {"groq": entry}}))
    (finding,) = findings()
    assert finding.state == "warn"


def client_on_path(folder: Path, name: str, marks: Path) -> Path:
    """A program in place of a client's, which notes where it is run, with which files."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(
        f'#!/bin/sh\necho "$0 in $PWD: $(find . -type f | sort | tr "\\n" " ")" >> {marks}\necho "groq connected Connected"\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize("scope", ["project", "global"])
def test_the_check_of_set_up_runs_the_client_away_from_the_project(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Any
) -> None:
    """There it would start whatever the project names; for a project's file only our own entry comes along."""
    name_server(repository, "kilo.json", [evil(repository)])
    client_on_path(tmp_path / "bin", "kilo", tmp_path / "marks")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert setup("kilo", scope=scope, dry_run=False, remove=False, with_key=False, toolsets=None, skill=False, check=True) == 0
    noted = (tmp_path / "marks").read_text()
    assert str(repository) not in noted
    assert ("./kilo.json" in noted) == (scope == "project")


def test_a_client_s_name_in_the_project_is_not_the_client(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though the PATH leads there."""
    client_on_path(repository, "kilo", tmp_path / "marks")
    monkeypatch.setenv("PATH", f"{repository}{os.pathsep}.{os.pathsep}/usr/bin:/bin")
    assert find_command("kilo", project=repository) is None
    assert (
        setup("kilo", scope="global", dry_run=False, remove=False, with_key=False, toolsets=None, skill=False, check=True) == 0
    )
    assert not (tmp_path / "marks").exists()
    assert "restart Kilo Code" in capsys.readouterr().out


def test_the_health_of_no_client_is_asked_by_a_shell() -> None:
    """Its arguments are a list."""
    assert "shell=True" not in Path(set_up.__file__).read_text()


def test_an_empty_command_is_nobody_s() -> None:
    """Nor is one with more than ours."""
    assert origin(()) == "other"
    assert origin((*server_command(), "--log-file=x")) == "other"
    assert origin(server_command()) == "ours"
