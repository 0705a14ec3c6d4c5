"""What stands in a client's file under our name: whether it starts this installation, an older one's way, or anything else."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from groq_fallback_mcp.clients.client import KEY, Scope
from groq_fallback_mcp.command import MODULE, SCRIPT, lasting_command, own_script, server_command
from groq_fallback_mcp.errors import ConfigurationError

__all__ = ["Entry", "Origin", "entry_of", "find_command", "origin"]

Origin = Literal["ours", "older", "other"]
EXPECTED_VARIABLES = {KEY, "GROQ_FALLBACK_TOOLSETS", "GROQ_FALLBACK_DEADLINE_S"}
_ENVIRONMENTS = ("env", "environment")
# Fields by which some client runs something else, or elsewhere, than the command says.
_DIVERTING = ("cwd", "envFile", "env_file", "workingDirectory", "working_directory", "shell")
MOST_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Our server's entry in a file. `unexpected` names variables and fields in it that set-up does not write."""

    scope: Scope
    path: Path
    command: tuple[str, ...]
    unexpected: tuple[str, ...] = ()

    def shown(self) -> str:
        """The command on one line, without control characters, cut."""
        text = " ".join(self.command)
        printable = "".join(character if character.isprintable() else "\ufffd" for character in text)
        return printable if len(printable) <= MOST_SHOWN else f"{printable[: MOST_SHOWN - 1]}…"

    @property
    def names_us(self) -> bool:
        """Whether the command is about this package, of whatever installation."""
        return any(MODULE in part or SCRIPT in part for part in self.command)


def entry_of(fields: Mapping[str, Any], *, scope: Scope, path: Path) -> Entry:
    """The entry as a client's file has it."""
    inner: Any = fields.get("transport", fields)
    start = cast("Mapping[str, Any]", inner) if isinstance(inner, dict) else fields
    command: Any = start.get("command")
    arguments: Any = start.get("args")
    first = cast("list[object]", command) if isinstance(command, list) else [] if command is None else [command]
    rest = cast("list[object]", arguments) if isinstance(arguments, list) else []
    variables: set[str] = set()
    for table in (fields, start):
        for name in _ENVIRONMENTS:
            given: Any = table.get(name)
            variables |= set(map(str, cast("dict[object, object]", given))) if isinstance(given, dict) else set()
    diverting = {name for table in (fields, start) for name in _DIVERTING if table.get(name)}
    return Entry(
        scope=scope,
        path=path,
        command=tuple(str(part) for part in (*first, *rest)),
        unexpected=tuple(sorted((variables - EXPECTED_VARIABLES) | diverting)),
    )


def origin(command: tuple[str, ...]) -> Origin:
    """Whether a command is one that set-up writes for this installation, one that older versions wrote, or another."""
    if not command:
        return "other"
    if command in {server_command(), _lasting()}:
        return "ours"
    first, rest = command[0], command[1:]
    if rest == ("-m", MODULE) and first == sys.executable:
        return "older"
    script = own_script()
    if rest not in {(), ("serve",)} or script is None:
        return "other"
    found = first if Path(first).is_absolute() else shutil.which(first) if first == SCRIPT else None
    return "ours" if found is not None and os.path.realpath(found) == os.path.realpath(script) else "other"


def find_command(name: str, *, project: Path) -> str | None:
    """A command of the PATH by its absolute path, but none that lies in the project; None without one.

    In the home folder and above it everything is the user's.
    """
    home = Path(os.path.realpath(Path.home()))
    root = Path(os.path.realpath(project))
    folders = [folder for folder in os.get_exec_path() if Path(folder).is_absolute()]
    if not home.is_relative_to(root):
        folders = [folder for folder in folders if not Path(os.path.realpath(folder)).is_relative_to(root)]
    found = shutil.which(name, path=os.pathsep.join(folders)) if folders else None
    # Windows looks into the current folder all the same
    return found if found is not None and Path(found).is_absolute() else None


def _lasting() -> tuple[str, ...]:
    try:
        return lasting_command()
    except ConfigurationError:
        return ()
