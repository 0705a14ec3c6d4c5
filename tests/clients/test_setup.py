"""`setup` in clean homes and projects: what is written, what is kept, what is refused."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr
from systems import be_windows
from typer.testing import CliRunner

from groq_fallback_mcp.cli import commands
from groq_fallback_mcp.cli import setup as setup_command
from groq_fallback_mcp.cli.setup import setup
from groq_fallback_mcp.clients.change import Wanted, apply, backup_folder, find_clients, plan
from groq_fallback_mcp.clients.client import CLIENTS, Scope
from groq_fallback_mcp.clients.config_file import mode_for_others
from groq_fallback_mcp.clients.entry import entry_in, entry_of
from groq_fallback_mcp.command import server_command
from groq_fallback_mcp.credentials import keep_in_file
from groq_fallback_mcp.errors import ConfigurationError, InputRefused
from groq_fallback_mcp.harness.server_check import Fault, answers
from groq_fallback_mcp.settings import key_path
from groq_fallback_mcp.skill import skill_files

EVERY = [(name, scope) for name, client in CLIENTS.items() for scope in client.scopes]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clean home with a project, which is the current folder; no client is on the PATH."""
    (tmp_path / "project").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def run(name: str | None, *, scope: Scope | None = None, remove: bool = False, **options: object) -> int:
    """The command with its defaults."""
    given = {"dry_run": False, "with_key": False, "toolsets": None, "skill": True, "check": False, **options}
    return setup(name, scope=scope, remove=remove, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "scope"), EVERY)
def test_each_client_gets_a_command_that_lasts_and_no_key(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, scope: Scope
) -> None:
    """In the form it reads; a user's file names this interpreter, a project's nothing of this machine. Twice changes nothing."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_canary0123456789")
    project = home / "project"
    client = CLIENTS[name]
    assert run(name, scope=scope) == 0
    path = client.paths(scope, project=project, home=home)[0]
    text = path.read_text()
    entry = entry_in(text, client, path=str(path))
    assert entry is not None
    command = entry_of(entry, scope=scope, path=path).command
    assert command == (server_command() if scope == "global" else ("groq-fallback-mcp",))
    assert (sys.executable in text) == (scope == "global")
    assert "gsk_canary" not in text
    assert path.stat().st_mode & 0o777 == (0o600 if scope == "global" else 0o644)
    skills = client.skills(scope, project=project, home=home)
    if skills is not None:
        folder = skills / "groq-fallback-mcp"
        installed = {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}
        assert installed == dict(skill_files())
    before = {file: file.read_bytes() for file in home.rglob("*") if file.is_file()}
    assert run(name, scope=scope) == 0
    assert {file: file.read_bytes() for file in home.rglob("*") if file.is_file()} == before
    assert run(name, scope=scope, remove=True) == 0
    assert [one for one in home.rglob("*") if not one.is_relative_to(home / ".local")] == [project]
    assert not [one for one in (home / ".local").rglob("*") if one.is_file()]


@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if not client.is_toml])
def test_what_a_person_wrote_stays(home: Path, name: str) -> None:
    """Comments and other servers; the old file is kept in the user's state folder."""
    client = CLIENTS[name]
    scope = client.scopes[0]
    path = client.paths(scope, project=home / "project", home=home)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    table = client.table[0]
    mine = f'{{\n  // mine\n  "theme": "dark",\n  "{table}": {{\n    "other": {{"command": "x"}},\n  }},\n}}\n'
    path.write_text(mine)
    path.chmod(0o644)
    run(name)
    text = path.read_text()
    assert "// mine" in text
    assert '"other": {"command": "x"},' in text
    assert path.stat().st_mode & 0o777 == 0o644
    (backup,) = backup_folder().rglob("before")
    assert backup.read_text() == mine
    assert backup.stat().st_mode & 0o777 == 0o600
    run(name, remove=True)
    assert path.read_text() == mine
    assert not backup_folder().parent.exists()


def test_codex_keeps_its_comments_and_tables_too(home: Path) -> None:
    """TOML."""
    path = home / ".codex" / "config.toml"
    path.parent.mkdir()
    path.write_text('# mine\nmodel = "x" # and this\n\n[mcp_servers.other]\ncommand = "y"\n')
    run("codex", toolsets="speech")
    text = path.read_text()
    assert "# mine" in text
    assert "# and this" in text
    servers = tomllib.loads(text)["mcp_servers"]
    assert set(servers) == {"other", "groq"}
    assert servers["groq"]["env_vars"] == ["GROQ_API_KEY"]
    assert servers["groq"]["env"] == {"GROQ_FALLBACK_TOOLSETS": "speech"}
    run("codex", remove=True)
    assert set(tomllib.loads(path.read_text())["mcp_servers"]) == {"other"}


@pytest.mark.parametrize(
    ("name", "key", "limit"), [("cline", "timeout", 600), ("codex", "tool_timeout_sec", 600), ("gemini", "timeout", 600_000)]
)
def test_a_client_that_heeds_no_progress_is_given_time_for_long_work(home: Path, name: str, key: str, limit: int) -> None:
    """Ten minutes. Cline's limit is that of the handshake too, which else is 3 s: a slow start is no reason to drop the server."""
    client = CLIENTS[name]
    run(name)
    path = client.paths(client.scopes[0], project=home / "project", home=home)[0]
    entry = entry_in(path.read_text(), client, path=str(path))
    assert entry is not None
    assert entry[key] == limit


def test_a_codex_user_is_told_how_to_make_codex_wait_for_the_server(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `codex exec` does not."""
    run("codex")
    assert "required = true" in " ".join(capsys.readouterr().out.split())
    assert (home / ".codex/config.toml").is_file()


@pytest.mark.parametrize(("name", "text"), [("kilo", '{\n  "mcp": {\n'), ("codex", "[[["), ("zed", '{"context_servers": 7}')])
def test_a_broken_file_is_named_and_left_alone(home: Path, name: str, text: str) -> None:
    """With its line."""
    client = CLIENTS[name]
    path = client.paths(client.scopes[0], project=home / "project", home=home)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    with pytest.raises(ConfigurationError) as refusal:
        run(name)
    assert str(path) in str(refusal.value)
    assert "nothing was changed" in str(refusal.value)
    assert path.read_text() == text
    assert not list(home.rglob("before"))


def test_a_dry_run_shows_the_change_and_makes_none(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a diff."""
    run("kilo", dry_run=True, scope="project")
    out = capsys.readouterr().out
    assert '+    "groq": {' in out
    assert "write " in out
    assert not (home / "project" / "kilo.json").exists()


def test_the_key_is_written_only_where_that_is_asked_for_and_never_shown(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In clear text, which the option says."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_canary0123456789")
    run("cursor", with_key=True, dry_run=True)
    assert "gsk_canary" not in capsys.readouterr().out
    run("cursor", with_key=True)
    assert "gsk_canary" not in capsys.readouterr().out
    written = home / ".cursor" / "mcp.json"
    assert "gsk_canary0123456789" in written.read_text()
    assert written.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputRefused, match="never written into a project's file"):
        run("cursor", scope="project", with_key=True)
    assert not (home / "project" / ".cursor").exists()
    monkeypatch.delenv("GROQ_API_KEY")
    with pytest.raises(InputRefused, match="No API key is set"):
        run("cursor", with_key=True)


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if "global" in client.scopes])
def test_a_file_that_others_can_read_is_made_private_with_the_key_and_keeps_its_mode_without(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """What was changed is said; also where the key is in the file already. A dry run says it and changes nothing."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_canary0123456789")
    client = CLIENTS[name]
    path = client.paths("global", project=home / "project", home=home)[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("" if client.is_toml else "{}")
    path.chmod(0o644)
    run(name)
    assert (path.stat().st_mode & 0o777, "readable by you only" in capsys.readouterr().out) == (0o644, False)
    run(name, with_key=True, dry_run=True)
    assert f"make {path} readable by you only (mode 0600, now 0644)\n" in capsys.readouterr().out
    assert path.stat().st_mode & 0o777 == 0o644
    for mode in (0o644, 0o660):
        path.chmod(mode)
        run(name, with_key=True)
        assert f"made {path} readable by you only (mode 0600, was {mode:04o})\n" in capsys.readouterr().out
        assert path.stat().st_mode & 0o777 == 0o600
    run(name, with_key=True)
    assert "readable by you only" not in capsys.readouterr().out
    assert "gsk_canary0123456789" in path.read_text()


def test_on_windows_no_mode_lets_others_read_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its modes tell nothing; nor do those of a file that does not exist."""
    path = tmp_path / "mcp.json"
    assert mode_for_others(path) is None
    path.touch()
    path.chmod(0o644)
    be_windows(monkeypatch)
    assert mode_for_others(path) is None


def test_kilo_s_trap_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A reference to the environment makes it drop the whole file."""
    (home / "project" / "kilo.json").write_text('{"mcp": {"o": {"environment": {"K": "{env:K}"}}}}')
    run("kilo", scope="project")
    assert "Kilo ignores it entirely" in capsys.readouterr().out
    assert "{env:" not in json.dumps(plan(Wanted(client=CLIENTS["kilo"], scope="global"), project=home, home=home).after)


def test_the_file_that_is_there_is_taken_before_the_usual_one(home: Path) -> None:
    """Kilo reads several."""
    (home / "project" / ".kilo").mkdir()
    (home / "project" / ".kilo" / "kilo.jsonc").write_text("{}")
    run("kilo", scope="project")
    assert "groq" in (home / "project" / ".kilo" / "kilo.jsonc").read_text()
    assert not (home / "project" / "kilo.json").exists()


def test_a_link_that_leads_out_is_not_followed(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """It may be somebody else's file."""
    outside = tmp_path_factory.mktemp("outside") / "kilo.json"
    outside.write_text("{}")
    (home / "project" / "kilo.json").symlink_to(outside)
    with pytest.raises(InputRefused, match="leads out of"):
        run("kilo", scope="project")
    assert outside.read_text() == "{}"


def test_a_skill_that_was_changed_is_the_person_s(home: Path) -> None:
    """It stays when the server goes."""
    run("kilo", scope="project")
    skill = home / "project" / ".kilo" / "skills" / "groq-fallback-mcp" / "SKILL.md"
    skill.write_text("mine now")
    run("kilo", scope="project", remove=True)
    assert skill.read_text() == "mine now"
    assert list(skill.parent.glob("references/*.md"))


def test_a_reference_that_was_changed_keeps_the_skill_and_a_file_of_one_s_own_keeps_its_folder(home: Path) -> None:
    """Nothing a person wrote is removed."""
    run("kilo", scope="project")
    folder = home / "project" / ".kilo" / "skills" / "groq-fallback-mcp"
    (folder / "references" / "errors.md").write_text("mine")
    run("kilo", scope="project", remove=True)
    assert (folder / "SKILL.md").is_file()
    run("kilo", scope="project")
    assert (folder / "references" / "errors.md").read_text() == skill_files()["references/errors.md"]
    (folder / "references" / "notes.md").write_text("mine too")
    run("kilo", scope="project", remove=True)
    assert [file.name for file in folder.rglob("*") if file.is_file()] == ["notes.md"]


def test_a_skill_without_its_references_gets_them(home: Path) -> None:
    """As one has who installed it by an earlier version."""
    run("kilo", scope="project")
    folder = home / "project" / ".kilo" / "skills" / "groq-fallback-mcp"
    (folder / "references" / "errors.md").unlink()
    run("kilo", scope="project")
    assert (folder / "references" / "errors.md").is_file()


def test_names_and_scopes_that_are_not_are_refused(home: Path) -> None:
    """With those that are."""
    with pytest.raises(InputRefused, match="claude-code"):
        run("claude")
    with pytest.raises(InputRefused, match="--scope global"):
        run("cline", scope="project")


def test_without_a_name_the_clients_of_this_machine_are_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By their folders and commands."""
    assert run(None) == 0
    assert "No supported client found" in capsys.readouterr().out
    (home / ".cursor").mkdir()
    run("kilo", scope="project")
    run(None)
    out = capsys.readouterr().out
    assert "cursor: not set up" in out
    assert f"kilo: set up in {home / 'project' / 'kilo.json'}" in out
    assert [found.client.name for found in find_clients(project=home / "project", home=home)] == ["kilo", "cursor"]


@pytest.mark.anyio
async def test_a_configured_command_is_started_and_asked() -> None:
    """Which tells more than that it stands in a file."""
    assert await answers(server_command()) is None
    said = "does not start or does not respond"
    ends = "import sys; sys.exit('\\nImportError: no such thing\\n')"
    for command, cause in (
        ((sys.executable, "-c", "pass"), " (it ended without an answer)"),
        ((sys.executable, "-c", "raise SystemExit(3)"), " (it ended without an answer)"),
        ((sys.executable, "-c", ends), ". It reports: ImportError: no such thing"),
        ((sys.executable, "-m", "no_such_module"), ". It reports: No module named no_such_module"),
        (("/nonexistent/command",), " (No such file or directory)"),
        (("/",), " (Permission denied)"),
    ):
        assert await answers(command) == Fault(text=f"{command[0]} {said}{cause}")
    assert await answers(server_command(), environment={"GROQ_FALLBACK_PLAN": "gold"}) is not None


@pytest.mark.parametrize(
    ("name", "given", "there"),
    [
        ("kilo", {"A": "{env:SET}", "B": "{env:UNSET}"}, {"A": "value", "B": "", "SET": "value"}),
        ("cursor", {"GROQ_API_KEY": "${env:GROQ_API_KEY}"}, {"GROQ_API_KEY": "gsk_exported"}),
        ("gemini", {"GROQ_API_KEY": "$GROQ_API_KEY"}, {"GROQ_API_KEY": "gsk_exported"}),
        ("claude-code", {"A": "${UNSET:-usual}", "B": "${SET:-usual}/x"}, {"A": "usual", "B": "value/x"}),
        ("claude-desktop", {"A": "1"}, {"A": "1"}),
    ],
)
def test_a_server_is_started_with_the_variables_that_its_client_gives_it(
    monkeypatch: pytest.MonkeyPatch, name: str, given: dict[str, str], there: dict[str, str]
) -> None:
    """References to the environment are followed; one that does not pass its own on passes none on."""
    monkeypatch.setenv("SET", "value")
    monkeypatch.setenv("GROQ_API_KEY", "gsk_exported")
    found = CLIENTS[name].server_environment(given)
    assert {variable: found.get(variable) for variable in there} == there
    assert ("SET" in found) == CLIENTS[name].inherits_environment


def test_applying_nothing_does_nothing(home: Path) -> None:
    """A change without a change."""
    change = plan(Wanted(client=CLIENTS["zed"], scope="global", remove=True), project=home, home=home)
    assert apply(change) == []
    assert not (home / ".config").exists()


def test_the_help_lists_the_clients_of_the_table_however_often_it_is_shown() -> None:
    """Those that `setup` takes, in its order."""
    for _ in range(2):
        shown = " ".join(CliRunner().invoke(commands.app, ["setup", "--help"], env={"COLUMNS": "300"}).output.split())
        *others, last = CLIENTS
        assert f" {', '.join(others)} or {last}. Omit to list" in shown
        assert "kilo-legacy" not in shown


def test_a_key_is_spoken_of_only_where_none_is_stored(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One in the environment may be missing where the client starts; Claude Desktop passes none on."""
    monkeypatch.setenv("GROQ_FALLBACK_CONFIG", str(home / "config" / "config.toml"))
    monkeypatch.setenv("GROQ_API_KEY", "gsk_canary0123456789")
    run("kilo")
    assert "No API key is stored. Run `groq-fallback-mcp key set`, or export GROQ_API_KEY" in capsys.readouterr().out
    run("claude-desktop")
    assert "key set`; Claude Desktop does not pass environment variables on." in capsys.readouterr().out
    keep_in_file(SecretStr("gsk_canary0123456789"), key_path())
    for name in CLIENTS:
        run(name)
    assert "API key" not in capsys.readouterr().out


@pytest.mark.parametrize("remove", [False, True])
def test_a_detected_client_is_set_up_unless_the_person_says_no(
    home: Path, monkeypatch: pytest.MonkeyPatch, remove: bool
) -> None:
    """Enter says yes to setting up, and no to removing."""
    (home / ".cursor").mkdir()
    if remove:
        run("cursor")
    before = (home / ".cursor" / "mcp.json").exists()
    monkeypatch.setattr(setup_command, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    arguments = ["setup", "--no-check", *(["--remove"] if remove else [])]
    shown = CliRunner().invoke(commands.app, arguments, input="\n").output
    assert ("Remove it from Cursor? [y/N]" if remove else "Set up Cursor? [Y/n]") in shown
    assert before == remove
    assert (home / ".cursor" / "mcp.json").exists()


def test_what_an_entry_loses_when_it_is_written_anew_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People add what documents tell them to, and set-up is run again for other reasons."""
    run("codex")
    path = home / ".codex" / "config.toml"
    path.write_text(path.read_text().replace("env = {}", 'required = true\nenv = { HTTPS_PROXY = "http://p.test" }'))
    capsys.readouterr()
    run("codex")
    assert "The entry was rewritten without required, env.HTTPS_PROXY. Add again what you need" in capsys.readouterr().out
    run("codex")
    assert "rewritten" not in capsys.readouterr().out


def test_removing_without_a_name_takes_the_entry_out_where_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a project."""
    run("claude-code", scope="project")
    path = home / "project" / ".mcp.json"
    assert path.exists()
    monkeypatch.setattr(setup_command, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    CliRunner().invoke(commands.app, ["setup", "--no-check", "--remove"], input="y\n")
    assert not path.exists()


def test_of_two_files_of_a_client_the_one_with_the_entry_is_changed(home: Path) -> None:
    run("kilo")
    first, *others = CLIENTS["kilo"].paths("global", project=home / "project", home=home)
    with_entry = others[-1]
    with_entry.parent.mkdir(parents=True, exist_ok=True)
    first.rename(with_entry)
    first.write_text("{}\n")
    run("kilo")
    assert first.read_text() == "{}\n"
    run("kilo", remove=True)
    assert entry_in(with_entry.read_text() if with_entry.exists() else "", CLIENTS["kilo"], path="kilo") is None
    assert first.read_text() == "{}\n"
