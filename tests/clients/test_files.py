"""`setup` and the file system: odd files are refused and never waited for, backups stay, removal leaves nothing behind."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from groq_fallback_mcp import command as command_module
from groq_fallback_mcp.cli.setup import setup
from groq_fallback_mcp.clients import backups
from groq_fallback_mcp.clients.change import Wanted, apply, backup_folder, find_clients, plan
from groq_fallback_mcp.clients.client import CLIENTS, Client, Scope
from groq_fallback_mcp.clients.config_file import MOST_BYTES
from groq_fallback_mcp.clients.entry import entry_in, entry_of
from groq_fallback_mcp.command import lasting_command, shared_command, temporary_installer
from groq_fallback_mcp.errors import ConfigurationError, GroqFallbackError, InputRefused

EVERY: list[tuple[str, Scope]] = [(name, scope) for name, client in CLIENTS.items() for scope in client.scopes]
AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clean home with a project, which is the current folder."""
    (tmp_path / "project").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "UV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path / "project")
    before = os.umask(0o022)
    yield tmp_path  # type: ignore[misc]
    os.umask(before)


def run(name: str, *, scope: Scope | None = None, remove: bool = False, **options: Any) -> int:
    """The command with its defaults."""
    given = {"dry_run": False, "with_key": False, "toolsets": None, "skill": True, "check": False, **options}
    return setup(name, scope=scope, remove=remove, **given)


def file_of(name: str, scope: Scope, home: Path) -> Path:
    """The first file of a client, with the folder it is in."""
    path = CLIENTS[name].paths(scope, project=home / "project", home=home)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def everything(home: Path) -> dict[str, bytes | None]:
    """Each file and folder but the state folder, with the files' content."""
    found = [one for one in home.rglob("*") if not one.is_relative_to(home / ".local")]
    return {str(one): one.read_bytes() if one.is_file() else None for one in found}


def a_fifo(path: Path) -> None:
    """Nobody writes to it."""
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    """A file that cannot be opened."""
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


ODD = {
    "fifo": a_fifo,
    "socket": a_socket,
    "folder": lambda path: path.mkdir(),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "dangling link": lambda path: path.symlink_to(path.parent / "nothing"),
    "loop of links": lambda path: path.symlink_to(path.name),
    "invalid UTF-8": lambda path: path.write_bytes(b'{"a": "\xff"}'),
    "UTF-16": lambda path: path.write_bytes('{"a": 1}'.encode("utf-16")),
    "too large": lambda path: path.write_bytes(b" " * (MOST_BYTES + 1)),
    "read-only": lambda path: (path.write_text(""), path.chmod(0o444)),
    "of NULs": lambda path: path.write_bytes(b"\0" * 10),
}


@pytest.mark.fault("C2")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize(("name", "scope"), EVERY)
def test_an_odd_file_in_place_of_the_config_is_refused_and_left_alone(home: Path, name: str, scope: Scope, kind: str) -> None:
    """At once, with its path and what to do, for every client."""
    path = file_of(name, scope, home)
    ODD[kind](path)
    before = os.lstat(path)
    with pytest.raises(GroqFallbackError) as refusal:
        run(name, scope=scope)
    assert str(path) in str(refusal.value)
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode, after.st_size) == (before.st_ino, before.st_mode, before.st_size)
    assert not list(home.rglob("SKILL.md"))
    # doctor and the list of clients read the same file
    assert [found for found in find_clients(project=home / "project", home=home) if found.client.name == name]


@pytest.mark.fault("C2")
def test_a_huge_sparse_file_is_refused_at_once(home: Path) -> None:
    """It is not read first."""
    path = file_of("kilo", "project", home)
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ConfigurationError, match="larger than 10 MB"):
        run("kilo", scope="project")


@pytest.mark.fault("C2")
def test_a_file_in_place_of_the_folder_is_refused(home: Path) -> None:
    """With what the system says."""
    (home / "project" / ".vscode").write_text("x")
    with pytest.raises(ConfigurationError, match=r"Not a directory|cannot be"):
        run("vscode", scope="project")


@pytest.mark.fault("C2")
@pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(home: Path) -> None:
    """And named."""
    (home / "project").chmod(0o555)
    try:
        with pytest.raises(ConfigurationError, match="cannot be written"):
            run("kilo", scope="project")
    finally:
        (home / "project").chmod(0o755)


@pytest.mark.fault("C2")
@pytest.mark.parametrize(("name", "scope"), EVERY)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_a_byte_order_mark_stay(home: Path, name: str, scope: Scope, mark: str) -> None:
    """CRLF throughout, as Windows editors write it; removed, the file is what it was."""
    path = file_of(name, scope, home)
    text = f'{mark}model = "x"\r\n' if name == "codex" else f'{mark}{{\r\n  "theme": "dark"\r\n}}\r\n'
    path.write_bytes(text.encode())
    run(name, scope=scope)
    put = path.read_bytes().decode()
    assert "\n" not in put.replace("\r\n", "")
    assert put.startswith("\ufeff") == bool(mark)
    run(name, scope=scope, remove=True)
    assert path.read_bytes().decode() == text


@pytest.mark.fault("B4")
def test_set_ups_in_the_same_second_each_keep_what_was_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first backup is the only one that has the user's file."""
    monkeypatch.setattr(backups.time, "strftime", lambda form: "20261128-120000")
    path = file_of("kilo", "project", home)
    mine = '{"theme": "dark"}'
    path.write_text(mine)
    run("kilo", scope="project")
    for toolsets in ("speech", "safety", "all"):
        run("kilo", scope="project", toolsets=toolsets)
    kept = sorted(backup_folder().rglob("before"))
    assert len(kept) == 4
    assert [one.read_text() for one in kept].count(mine) == 1


@pytest.mark.fault("B4")
def test_a_backup_is_no_file_that_somebody_put_there(home: Path) -> None:
    """A name that is taken, by a file, a folder or a link, is passed over."""
    root = backup_folder()
    root.mkdir(parents=True)
    stamp = backups.time.strftime("%Y%m%d-%H%M")
    target = home / "target"
    target.mkdir()
    for second in range(60):
        (root / f"{stamp}{second:02}-kilo.json").symlink_to(target)
    path = file_of("kilo", "project", home)
    path.write_text('{"theme": "dark"}')
    run("kilo", scope="project")
    assert not list(target.iterdir())
    assert [one.read_text() for one in root.glob("*/before")] == ['{"theme": "dark"}']


@pytest.mark.fault("B4")
def test_a_file_that_changes_between_reading_and_writing_is_not_overwritten(home: Path) -> None:
    """Some clients write theirs all the time."""
    path = file_of("claude-code", "global", home)
    path.write_text('{"a": 1}')
    change = plan(Wanted(client=CLIENTS["claude-code"], scope="global"), project=home / "project", home=home)
    path.write_text('{"a": 2}')
    with pytest.raises(ConfigurationError, match="changed by another program"):
        apply(change)
    assert path.read_text() == '{"a": 2}'


@pytest.mark.fault("B29")
@pytest.mark.parametrize(("name", "scope"), EVERY)
@pytest.mark.parametrize("there", ["nothing", "empty file", "empty table", "settings"])
def test_set_up_and_removal_leave_everything_as_it_was(home: Path, name: str, scope: Scope, there: str) -> None:
    """No file, no folder, no backup; also after several set-ups."""
    if there != "nothing":
        toml = name == "codex"
        text = {"empty file": "", "empty table": "\n" if toml else "{ }", "settings": 'a = "b"' if toml else '{"a":"b"}'}[there]
        file_of(name, scope, home).write_text(text)
    before = everything(home)
    run(name, scope=scope)
    run(name, scope=scope, toolsets="speech", skill=False)
    assert everything(home) != before
    run(name, scope=scope, remove=True)
    assert everything(home) == before
    assert not [one for one in (home / ".local").rglob("*") if one.is_file()]


@pytest.mark.fault("B29")
@pytest.mark.parametrize(("name", "scope"), EVERY)
def test_removal_on_another_machine_leaves_no_empty_file(home: Path, name: str, scope: Scope) -> None:
    """Where nothing is known of the set-up: a colleague's."""
    run(name, scope=scope)
    for folder in backup_folder().iterdir():
        for file in folder.iterdir():
            file.unlink()
    run(name, scope=scope, remove=True)
    assert not [path for path, content in everything(home).items() if content is not None]


@pytest.mark.fault("B29")
def test_what_the_user_changed_since_stays_when_the_server_goes(home: Path) -> None:
    """And no backup stays."""
    path = file_of("cursor", "project", home)
    path.write_text('{\n  "a": 1\n}\n')
    run("cursor", scope="project")
    path.write_text(path.read_text().replace('"a": 1', '"a": 2'))
    run("cursor", scope="project", remove=True)
    assert path.read_text() == '{\n  "a": 2\n}\n'
    assert not backup_folder().parent.exists()


@pytest.mark.fault("B29")
def test_a_person_s_files_in_our_folders_keep_them(home: Path) -> None:
    """A folder that set-up made goes only when it is empty."""
    run("kilo", scope="project")
    mine = home / "project" / ".kilo" / "skills" / "mine.md"
    mine.write_text("x")
    run("kilo", scope="project", remove=True)
    assert mine.read_text() == "x"
    assert sorted(one.name for one in (home / "project").rglob("*")) == [".kilo", "mine.md", "skills"]


@pytest.mark.fault("B29")
@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_a_new_file_has_the_mode_that_the_user_s_files_have(home: Path, umask: int) -> None:
    """A team's file is readable by the team."""
    os.umask(umask)
    run("kilo", scope="project")
    for file in (home / "project").rglob("*"):
        if file.is_file():
            assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask


@pytest.mark.fault("B29")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o700])
def test_the_mode_of_a_file_that_is_there_stays(home: Path, mode: int) -> None:
    """Whatever it is."""
    path = file_of("kilo", "project", home)
    path.write_text("{}")
    path.chmod(mode)
    run("kilo", scope="project")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.fault("B29")
@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if client.project])
def test_a_project_s_file_holds_nothing_of_this_machine(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No path, no key, not even where one is set."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_canary0123456789")
    run(name, scope="project", toolsets="speech")
    text = "".join(one.read_text() for one in (home / "project").rglob("*") if one.is_file() and one.suffix.startswith(".json"))
    assert "groq-fallback-mcp" in text
    for word in (str(home), sys.prefix, sys.executable, "gsk_canary", os.environ.get("USER", "gsk_canary")):
        assert word not in text


@pytest.mark.fault("B29")
@pytest.mark.parametrize(("name", "client"), CLIENTS.items())
def test_the_user_s_own_file_is_the_usual_place(name: str, client: Client) -> None:
    """A project's is written only when asked for."""
    assert client.scopes[0] == "global"


@pytest.mark.fault("B29")
@pytest.mark.parametrize(
    ("prefix", "installer"),
    [
        ("/home/u/.cache/uv/archive-v0/0aBcDeFg", "uv"),
        ("/home/u/.cache/uv/environments-v2/groq-fallback-mcp-1234", "uv"),
        ("/home/u/.cache/uv/builds-v0/.tmpAbc", "uv"),
        ("/mnt/other/place/archive-v1/0aBcDeFg", "uv"),
        ("/Users/u/Library/Caches/uv/archive-v0/x", "uv"),
        ("/home/u/.cache/pipx/0123abcd", "pipx"),
        ("/home/u/.local/pipx/.cache/0123abcd", "pipx"),
        ("/Users/u/Library/Caches/pipx/0123", "pipx"),
        ("/home/u/.local/share/uv/tools/groq-fallback-mcp", None),
        ("/home/u/.local/share/pipx/venvs/groq-fallback-mcp", None),
        ("/home/u/.local/pipx/venvs/groq-fallback-mcp", None),
        ("/home/u/project/.venv", None),
        ("/usr", None),
        ("/home/u/.cache/venvs/mine", None),
        ("/home/uv/env", None),
    ],
)
def test_an_environment_that_will_be_gone_is_known(prefix: str, installer: str | None) -> None:
    """By the names that uv and pipx give to what is in their caches."""
    assert temporary_installer(Path(prefix)) == installer


@pytest.mark.fault("B29")
def test_from_uv_s_cache_the_command_is_uvx_s(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own path for the user, by its name for a project; with the extras that are installed."""
    monkeypatch.setattr(command_module.sys, "prefix", str(home / ".cache/uv/archive-v0/abc"))
    monkeypatch.setattr(command_module, "_source", lambda: None)
    monkeypatch.setattr(command_module, "find_spec", lambda name: object() if name == "av" else None)
    uvx = home / "bin" / "uvx"
    uvx.parent.mkdir()
    uvx.write_text("#!/bin/sh\n")
    uvx.chmod(0o755)
    for name, scope in EVERY:
        run(name, scope=scope)
        path = file_of(name, scope, home)
        entry = entry_in(path.read_text(), CLIENTS[name], path=str(path))
        assert entry is not None
        program = str(uvx) if scope == "global" else "uvx"
        assert entry_of(entry, scope=scope, path=path).command == (program, "groq-fallback-mcp[audio]")
        assert "archive-v0" not in path.read_text()


@pytest.mark.fault("B29")
def test_uvx_is_found_beside_the_uv_that_runs_us(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not on the PATH; but not one that is in a cache itself."""
    monkeypatch.setattr(command_module.sys, "prefix", str(home / ".cache/uv/archive-v0/abc"))
    monkeypatch.setattr(command_module, "_source", lambda: None)
    for folder, found in ((home / "tools", True), (home / ".cache/uv/archive-v0/def/bin", False)):
        folder.mkdir(parents=True)
        (folder / "uvx").write_text("")
        monkeypatch.setenv("UV", str(folder / "uv"))
        assert lasting_command()[0] == (str(folder / "uvx") if found else "uvx")


@pytest.mark.fault("B29")
def test_from_another_cache_or_another_source_it_is_refused_with_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of pipx, and uvx --from a folder: nothing that lasts would start the same package."""
    monkeypatch.setattr(command_module, "find_spec", lambda name: None)
    monkeypatch.setattr(command_module, "_source", lambda: None)
    monkeypatch.setattr(command_module.sys, "prefix", str(home / ".cache/pipx/abc"))
    with pytest.raises(ConfigurationError, match="pipx install groq-fallback-mcp"):
        run("kilo")
    monkeypatch.setattr(command_module.sys, "prefix", str(home / ".cache/uv/archive-v0/abc"))
    monkeypatch.setattr(command_module, "_source", lambda: command_module._Source(address="/src/wheels", editable=False))
    with pytest.raises(ConfigurationError, match="uv tool install /src/wheels"):
        run("kilo", scope="project")
    assert not [content for content in everything(home).values() if content is not None]


def test_the_command_of_this_environment_lasts() -> None:
    """It names the interpreter; a shared one the command alone."""
    assert lasting_command()[0] == sys.executable
    assert shared_command() == ("groq-fallback-mcp",)


def test_another_server_under_our_name_is_replaced_with_a_word_and_not_removed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be somebody's other way to Groq."""
    path = file_of("kilo", "project", home)
    path.write_text(json.dumps({"mcp": {"groq": {"type": "local", "command": ["npx", "other-groq"]}}}))
    with pytest.raises(ConfigurationError, match="which setup did not write"):
        run("kilo", scope="project", remove=True)
    run("kilo", scope="project")
    assert "npx other-groq" in capsys.readouterr().out
    run("kilo", scope="project", remove=True)
    assert json.loads(path.read_text())["mcp"]["groq"]["command"] == ["npx", "other-groq"]


def test_a_record_that_was_tampered_with_is_not_believed(home: Path) -> None:
    """Whatever it holds; the server is removed by an edit then."""
    path = file_of("kilo", "project", home)
    path.write_text('{"a": 1}')
    run("kilo", scope="project")
    for record in backup_folder().rglob("record.json"):
        for text in ("", "[]", "{}", '{"path": 7}', "\xff", '{"path": "x", "existed": 1, "after": [], "folders": 3}'):
            record.write_text(text)
            assert backups.undo(backup_folder(), path, path.read_text()) is None
    run("kilo", scope="project", remove=True)
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_scope_that_a_client_has_not_is_refused(home: Path) -> None:
    """With the one it has."""
    with pytest.raises(InputRefused, match="--scope global"):
        run("codex", scope="project")
