"""The gateway as a service of the user: a systemd user unit on Linux, a launchd agent on macOS. No token is in either file."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from groq_fallback_mcp.addresses import host_and_port
from groq_fallback_mcp.cli.console import echo, echo_message
from groq_fallback_mcp.clients.config_file import require_inside, write_text
from groq_fallback_mcp.command import SCRIPT, lasting_command
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.settings import state_folder
from groq_fallback_mcp.system import on_linux, on_macos

__all__ = ["LABEL", "UNIT", "install", "launch_agent", "status", "systemd_unit", "uninstall"]

UNIT = "groq-fallback-gateway.service"
LABEL = "io.github.groq-fallback-mcp.gateway"
LOOPBACK = "127.0.0.1"
COMMAND_S = 30.0
_MODE = 0o644


def install(port: int, *, host: str = LOOPBACK, mcp: bool = False, log_level: str | None = None) -> int:
    """Write the service and start it, now and at each login. Prints what was done, or is left to do by hand: then 1.

    Raises ConfigurationError where the system has no such services, or this installation does not last.
    """
    path = _path()
    options = ["--port", str(port)]
    if host != LOOPBACK:
        options += ["--host", host]
    if mcp:
        options.append("--mcp")
    if log_level is not None:
        options += ["--log-level", log_level]
    command = (*lasting_command(), "gateway", *options)
    if on_macos():
        content = launch_agent(command, log=state_folder() / "gateway.log")
        # a loaded agent keeps its old command
        _run(_unload())
        steps: list[tuple[str, ...]] = [("launchctl", "bootstrap", _domain(), str(path))]
    else:
        content = systemd_unit(command)
        # an enabled unit that runs keeps its old command
        steps = [
            ("systemctl", "--user", "daemon-reload"),
            ("systemctl", "--user", "enable", UNIT),
            ("systemctl", "--user", "restart", UNIT),
        ]
    _touch(path, lambda: write_text(path, content, mode=_MODE))
    echo(f"wrote {path}")
    for number, step in enumerate(steps):
        if (fault := _run(step)) is not None:
            why = _failed(step, fault)
            _by_hand(f"{why} Until it works, use {SCRIPT} gateway. Then run these commands:", *steps[number:])
            return 1
    origin = f"http://{host_and_port(host, port)}"
    also = f" and {origin}/mcp" if mcp else ""
    echo(f"The gateway is running at {origin}/v1{also}.")
    return 0


def uninstall() -> int:
    """Stop the service and remove its file; 1 where it may still be running.

    Raises ConfigurationError where the system has no such services.
    """
    path = _path()
    if not path.is_file():
        echo(f"The gateway is not installed as a service ({path} does not exist).")
        return 0
    stop = _unload() if on_macos() else ("systemctl", "--user", "disable", "--now", UNIT)
    fault = _run(stop)
    if on_macos():
        # an agent that is not loaded cannot be unloaded
        fault = fault if _is_loaded() else None
        _touch(path, path.unlink)
    else:
        if fault is None:
            echo("The gateway has stopped.")
        _touch(path, path.unlink)
        # what `disable` removes where it works: with it, each login would look for the unit
        _touch(path, lambda: (path.parent / "default.target.wants" / UNIT).unlink(missing_ok=True))
        _run(("systemctl", "--user", "daemon-reload"))
    echo(f"removed {path}")
    if fault is None:
        return 0
    # of the unit, whose file is gone, nothing is left to disable
    left = stop if on_macos() else ("systemctl", "--user", "stop", UNIT)
    _by_hand(f"{_failed(stop, fault)} If the gateway is still running, stop it:", left)
    return 1


def status() -> str:
    """Whether the service is installed and running, as a sentence."""
    path = _path()
    if not path.is_file():
        return "The gateway is not installed as a service."
    running = _is_loaded() if on_macos() else _run(("systemctl", "--user", "--quiet", "is-active", UNIT)) is None
    return f"The gateway is installed as a service ({path}) and {'running' if running else 'not running'}."


def systemd_unit(command: Sequence[str]) -> str:
    """The text of the unit. It is started again when it fails, but not for ever."""
    # systemd refuses a program whose path has quotation marks or dollars in it
    words = command if re.fullmatch(r"[\w@./:=+, -]+", command[0]) else ("/usr/bin/env", *command)
    return (
        "[Unit]\n"
        "Description=Groq gateway with fallback for coding agents\n"
        "StartLimitIntervalSec=60\n"
        "StartLimitBurst=5\n"
        "\n"
        "[Service]\n"
        f"ExecStart={' '.join(map(_systemd_word, words))}\n"
        "Restart=on-failure\n"
        "RestartSec=2\n"
        # wrong settings: starting again does not help
        "RestartPreventExitStatus=2\n"
        "NoNewPrivileges=yes\n"
        "\n"
        "[Install]\n"
        "WantedBy=default.target\n"
    )


def launch_agent(command: Sequence[str], *, log: Path) -> str:
    """The text of the property list. It is started again when it fails."""
    agent = {
        "Label": LABEL,
        "ProgramArguments": list(command),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 10,
        "StandardErrorPath": str(log),
    }
    return plistlib.dumps(agent).decode()


def _systemd_word(word: str) -> str:
    """A word of a command line as systemd reads it: specifiers and variables are not replaced in it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if re.fullmatch(r"[\w@./:=+,%$-]+", escaped) else f'"{escaped}"'


def _path() -> Path:
    home = Path.home()
    if on_macos():
        path = home / "Library/LaunchAgents" / f"{LABEL}.plist"
    elif on_linux():
        path = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "systemd/user" / UNIT
    else:
        raise ConfigurationError(
            "The gateway cannot be installed as a service on this system",
            next_step="Run groq-fallback-mcp gateway at login, e.g. from the Startup folder",
        )
    require_inside(path, path.parents[2])
    return path


def _touch(path: Path, change: Callable[[], object]) -> None:
    try:
        if on_macos():
            # launchd does not make the folder of the log
            state_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        change()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be changed ({error.strerror or type(error).__name__})",
            next_step="Check the permissions and the free space",
        ) from None


def _by_hand(why: str, *commands: Sequence[str]) -> None:
    echo_message(why)
    for command in commands:
        echo(f"  {' '.join(command)}")


def _failed(command: Sequence[str], fault: str) -> str:
    return f"{' '.join(command[:2])} failed ({fault})."


def _run(command: Sequence[str]) -> str | None:
    """Run a command of the system; why it failed, None where it did not."""
    program = shutil.which(command[0])
    if program is None:
        return "command not found"
    try:
        ended = subprocess.run(  # noqa: S603 - the system's own service manager
            [program, *command[1:]],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {COMMAND_S:g} s"
    except OSError as error:
        return error.strerror or type(error).__name__
    if ended.returncode == 0:
        return None
    said = ended.stderr.strip().splitlines()
    return said[0][:200] if said else f"exit status {ended.returncode}"


def _domain() -> str:
    return f"gui/{os.getuid()}"


def _is_loaded() -> bool:
    return _run(("launchctl", "print", f"{_domain()}/{LABEL}")) is None


def _unload() -> tuple[str, ...]:
    return ("launchctl", "bootout", f"{_domain()}/{LABEL}")
