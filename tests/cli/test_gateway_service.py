"""The gateway as a service of the user: what is written, what is run, and what is left to do by hand."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from groq_fallback_mcp import system
from groq_fallback_mcp.cli.commands import app
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


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """The lines that were printed since it was called last."""

    def lines() -> list[str]:
        return capsys.readouterr().out.splitlines()

    return lines


def test_on_linux_a_unit_is_written_and_started(home: Path, said: Callable[[], list[str]]) -> None:
    """With a command that lasts and the port, and without the token."""
    token = gateway_token(state_folder())
    path = home / ".config/systemd/user" / UNIT
    assert install(9000) == 0
    assert said() == [f"wrote {path}", "The gateway is running at http://127.0.0.1:9000/v1."]
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
    assert uninstall() == 0
    assert said() == ["The gateway has stopped.", f"removed {path}"]
    assert not path.exists()
    assert status() == "The gateway is not installed as a service."


def test_a_service_serves_as_the_options_say(home: Path, said: Callable[[], list[str]]) -> None:
    """Each of them, and none that was not given."""
    result = CliRunner().invoke(
        app, ["gateway", "--install", "--host", "192.0.2.7", "--port", "9000", "--mcp", "--log-level", "info"]
    )
    assert result.exit_code == 0
    assert "The gateway is running at http://192.0.2.7:9000/v1 and http://192.0.2.7:9000/mcp." in result.output
    text = (home / ".config/systemd/user" / UNIT).read_text()
    assert " gateway --port 9000 --host 192.0.2.7 --mcp --log-level info\n" in text


def test_the_address_of_a_service_on_ipv6_has_brackets(home: Path, said: Callable[[], list[str]]) -> None:
    """Clients cannot read it without them."""
    assert install(9000, host="::1") == 0
    assert said()[-1] == "The gateway is running at http://[::1]:9000/v1."


def test_where_the_service_manager_does_not_work_its_commands_are_shown(home: Path, said: Callable[[], list[str]]) -> None:
    """As in a container; the unit is there, and is removed all the same."""
    manager(home, 'echo "Failed to connect to bus" >&2; exit 1')
    assert install(8788) == 1
    assert said()[1:] == [
        "systemctl --user failed (Failed to connect to bus). Until it works, use groq-fallback-mcp gateway. Then run these commands:",
        "  systemctl --user daemon-reload",
        f"  systemctl --user enable {UNIT}",
        f"  systemctl --user restart {UNIT}",
    ]
    path = home / ".config/systemd/user" / UNIT
    assert status() == f"The gateway is installed as a service ({path}) and not running."
    link = path.parent / "default.target.wants" / UNIT
    link.parent.mkdir()
    link.symlink_to(path)
    assert uninstall() == 1
    assert said() == [
        f"removed {path}",
        "systemctl --user failed (Failed to connect to bus). If the gateway is still running, stop it:",
        f"  systemctl --user stop {UNIT}",
    ]
    assert not path.exists()
    # what starts it at a login
    assert not link.is_symlink()


def test_without_a_service_manager_its_commands_are_shown(
    home: Path, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not on the PATH of every Linux."""
    monkeypatch.setenv("PATH", str(home / "none"))
    assert install(8788) == 1
    assert "command not found" in said()[1]


def test_on_macos_an_agent_is_written_and_loaded(
    home: Path, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older one is unloaded first, as it would keep its command."""
    monkeypatch.setattr(system, "current", "macos")
    path = home / "Library/LaunchAgents" / f"{LABEL}.plist"
    assert install(8788) == 0
    assert said()[0] == f"wrote {path}"
    agent = plistlib.loads(path.read_bytes())
    assert agent["ProgramArguments"] == [*server_command(), "gateway", "--port", "8788"]
    assert path.stat().st_mode & 0o777 == 0o644
    assert [line.split()[1] for line in commands(home)] == ["bootout", "bootstrap"]
    assert uninstall() == 0
    assert said() == [f"removed {path}"]
    assert not path.exists()


def test_on_macos_an_agent_that_stays_loaded_is_reported(
    home: Path, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was not loaded cannot be unloaded, and is no failure."""
    monkeypatch.setattr(system, "current", "macos")
    path = home / "Library/LaunchAgents" / f"{LABEL}.plist"
    install(8788)
    manager(home, "exit 1")
    said()
    assert uninstall() == 0
    assert said() == [f"removed {path}"]
    manager(home, "exit 0")
    install(8788)
    manager(home, 'test "$1" = print || { echo "Operation not permitted" >&2; exit 1; }')
    said()
    assert uninstall() == 1
    assert said() == [
        f"removed {path}",
        "launchctl bootout failed (Operation not permitted). If the gateway is still running, stop it:",
        f"  launchctl bootout gui/{os.getuid()}/{LABEL}",
    ]


def test_on_windows_it_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written."""
    monkeypatch.setattr(system, "current", "windows")
    for refused in (lambda: install(8788), uninstall, status):
        with pytest.raises(ConfigurationError, match="cannot be installed as a service on this system"):
            refused()
    assert [path.name for path in home.iterdir()] == ["bin"]


@pytest.mark.parametrize("option", ["--install", "--uninstall"])
def test_the_command_refuses_it_in_words(home: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """Not with a traceback."""
    monkeypatch.setattr(system, "current", "windows")
    result = CliRunner().invoke(app, ["gateway", option])
    assert result.exit_code == 2
    assert "The gateway cannot be installed as a service on this system" in result.output


def test_what_is_not_installed_is_not_removed(home: Path, said: Callable[[], list[str]]) -> None:
    """And no service manager is asked."""
    assert uninstall() == 0
    assert "is not installed as a service" in said()[0]
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
