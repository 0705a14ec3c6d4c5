"""The gateway as a service of the user: what is written, what is run, and what is left to do by hand."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from groq_fallback_mcp import system
from groq_fallback_mcp.cli.gateway_service import LABEL, UNIT, install, launch_agent, status, systemd_unit, uninstall
from groq_fallback_mcp.command import server_command
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.gateway_token import gateway_token
from groq_fallback_mcp.settings import state_folder

ODD = ('/opt/my tools/py"th\\on', "-E", "100%", "$HOME", "gateway")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clean home on Linux, with a systemctl and a launchctl that note what they are asked."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(system, "current", "linux")
    manager(tmp_path, "exit 0")
    return tmp_path


def manager(home: Path, ending: str) -> None:
    """Let the service managers end so."""
    for name in ("systemctl", "launchctl"):
        path = home / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {home}/commands\n{ending}\n')
        path.chmod(0o755)


def commands(home: Path) -> list[str]:
    """What the service managers were asked."""
    file = home / "commands"
    return file.read_text().splitlines() if file.exists() else []


def test_on_linux_a_unit_is_written_and_started(home: Path) -> None:
    """With a command that lasts and the port, and without the token."""
    token = gateway_token(state_folder())
    path = home / ".config/systemd/user" / UNIT
    assert install(9000) == [f"wrote {path}", "The gateway is running at http://127.0.0.1:9000/v1."]
    text = path.read_text()
    assert f"ExecStart={' '.join(server_command())} gateway --port 9000\n" in text
    assert token not in text
    assert path.stat().st_mode & 0o777 == 0o644
    assert commands(home) == [
        "systemctl --user daemon-reload",
        f"systemctl --user enable {UNIT}",
        f"systemctl --user restart {UNIT}",
    ]
    assert status() == f"The gateway is installed as a service ({path}) and running."
    assert uninstall() == ["The gateway has stopped.", f"removed {path}"]
    assert not path.exists()
    assert status() == "The gateway is not installed as a service."


def test_where_the_service_manager_does_not_work_its_commands_are_shown(home: Path) -> None:
    """As in a container; the unit is there, and is removed all the same."""
    manager(home, 'echo "Failed to connect to bus" >&2; exit 1')
    lines = install(8788)
    assert lines[1:] == [
        "systemctl --user failed (Failed to connect to bus). Until it works, use groq-fallback-mcp gateway. Then run these commands:",
        "  systemctl --user daemon-reload",
        f"  systemctl --user enable {UNIT}",
        f"  systemctl --user restart {UNIT}",
    ]
    path = home / ".config/systemd/user" / UNIT
    assert status() == f"The gateway is installed as a service ({path}) and not running."
    assert uninstall()[-1] == f"removed {path}"
    assert not path.exists()


def test_without_a_service_manager_its_commands_are_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not on the PATH of every Linux."""
    monkeypatch.setenv("PATH", str(home / "none"))
    assert "command not found" in install(8788)[1]


def test_on_macos_an_agent_is_written_and_loaded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older one is unloaded first, as it would keep its command."""
    monkeypatch.setattr(system, "current", "macos")
    path = home / "Library/LaunchAgents" / f"{LABEL}.plist"
    assert install(8788)[0] == f"wrote {path}"
    agent = plistlib.loads(path.read_bytes())
    assert agent["ProgramArguments"] == [*server_command(), "gateway", "--port", "8788"]
    assert path.stat().st_mode & 0o777 == 0o644
    assert [line.split()[1] for line in commands(home)] == ["bootout", "bootstrap"]
    assert uninstall() == [f"removed {path}"]
    assert not path.exists()


def test_on_windows_it_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written."""
    monkeypatch.setattr(system, "current", "windows")
    for refused in (lambda: install(8788), uninstall, status):
        with pytest.raises(ConfigurationError, match="cannot be installed as a service on this system"):
            refused()
    assert [path.name for path in home.iterdir()] == ["bin"]


def test_what_is_not_installed_is_not_removed(home: Path) -> None:
    """And no service manager is asked."""
    assert "is not installed as a service" in uninstall()[0]
    assert commands(home) == []


def test_a_folder_that_cannot_be_written_is_an_error_with_a_next_step(home: Path) -> None:
    """Here a file is in its place."""
    (home / ".config").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be changed") as refused:
        install(8788)
    assert refused.value.next_step.startswith("Check the permissions")


def test_launchd_reads_the_words_of_any_command() -> None:
    """As they are."""
    agent = plistlib.loads(launch_agent(ODD, log=Path("/tmp/x & y.log")).encode())
    assert agent["ProgramArguments"] == list(ODD)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    """Also where the command has a blank, a quotation mark, a percent sign and a dollar in it."""
    program = tmp_path / 'a "b" %h $HOME'
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    path = tmp_path / UNIT
    for command in ((sys.executable, "-P", "-m", "x", "gateway"), (str(program), *ODD[1:])):
        path.write_text(systemd_unit(command))
        done = subprocess.run(
            ["systemd-analyze", "--user", "verify", str(path)],
            capture_output=True,
            text=True,
            check=False,
            env={"XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        )
        assert (done.returncode, UNIT in done.stderr) == (0, False), done.stderr
