"""Our entry in a client's file: found, put in, taken out, and judged by what it starts. Pure, but for the look at the PATH.

After each edit the text is read again: everything but our entry must say what it said before, else the edit is refused.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from groq_fallback_mcp.clients import jsonc, toml_table
from groq_fallback_mcp.clients.client import KEY, SERVER, Client, Scope
from groq_fallback_mcp.command import MODULE, SCRIPT, lasting_command, own_script, server_command
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.render import excerpt

__all__ = [
    "Entry",
    "Origin",
    "dropped_fields",
    "entry_in",
    "entry_of",
    "find_command",
    "origin",
    "says_nothing",
    "with_server",
    "without_server",
]

Origin = Literal["ours", "older", "other"]
EXPECTED_VARIABLES = {KEY, "GROQ_FALLBACK_TOOLSETS", "GROQ_FALLBACK_DEADLINE_S"}
_ENVIRONMENTS = ("env", "environment")
_DIVERTING = ("cwd", "envFile", "env_file", "workingDirectory", "working_directory", "shell")
_STARTS = ("command", "args", "type", "transport", "url")
MOST_SHOWN = 80
# A letter or two of the name are wrong.
CLOSE = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Our server's entry in a file.

    `environment` is its variables as the file has them, which may be a key; `diverting` names fields by which the client runs
    something else, or elsewhere, than the command says.
    """

    scope: Scope
    path: Path
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    diverting: tuple[str, ...] = ()

    @property
    def unexpected(self) -> tuple[str, ...]:
        """The variables and fields that set-up does not write."""
        return tuple(sorted({*self.environment} - EXPECTED_VARIABLES | {*self.diverting}))

    def shown(self) -> str:
        """The command on one line, without control characters, cut."""
        text = " ".join(self.command)
        printable = "".join(character if character.isprintable() else "\ufffd" for character in text)
        return printable if len(printable) <= MOST_SHOWN else f"{printable[: MOST_SHOWN - 1]}…"

    @property
    def names_us(self) -> bool:
        """Whether the command is about this package, of whatever installation."""
        return any(MODULE in part or SCRIPT in part for part in self.command)

    @property
    def nearly_names_us(self) -> bool:
        """The same, also with a typo in the name."""
        words = {word.replace("_", "-") for part in self.command for word in re.split(r"[/\\@=\[ ]", part)}
        return self.names_us or bool(get_close_matches(SCRIPT, words, n=1, cutoff=CLOSE))


def entry_of(fields: Mapping[str, Any], *, scope: Scope, path: Path) -> Entry:
    """The entry as a client's file has it."""
    inner: Any = fields.get("transport", fields)
    start = inner if isinstance(inner, dict) else fields
    command: Any = start.get("command")
    arguments: Any = start.get("args")
    first = command if isinstance(command, list) else [] if command is None else [command]
    rest = arguments if isinstance(arguments, list) else []
    variables: dict[str, str] = {}
    for table in (fields, start):
        for name in _ENVIRONMENTS:
            given: Any = table.get(name)
            variables |= {str(key): _plain(value) for key, value in given.items()} if isinstance(given, dict) else {}
    diverting = {name for table in (fields, start) for name in _DIVERTING if table.get(name)}
    return Entry(
        scope=scope,
        path=path,
        command=tuple(str(part) for part in (*first, *rest)),
        environment=variables,
        diverting=tuple(sorted(diverting)),
    )


def dropped_fields(present: Mapping[str, Any], entry: Mapping[str, Any]) -> list[str]:
    """What an entry has beside what it starts and the new one has not, by its name; variables as env.NAME."""
    dropped: list[str] = []
    for name, value in present.items():
        kept: Any = entry.get(name)
        if name in _ENVIRONMENTS and isinstance(value, dict):
            left = kept if isinstance(kept, dict) else {}
            dropped += [f"{name}.{variable}" for variable in value if variable not in left]
        elif name not in entry and name not in _STARTS:
            dropped.append(name)
    return [excerpt(name, quoted=False) for name in dropped]


def _plain(value: object) -> str:
    """A variable's value as text: some files have numbers and booleans there."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


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


def with_server(text: str, client: Client, entry: Mapping[str, Any], *, path: str) -> str:
    """The configuration with the server's entry. Raises ConfigurationError for a file that cannot be edited safely."""
    at = (*client.table, SERVER)

    def edit() -> str:
        return _format(client).set(text, at, entry)

    if entry_in(text, client, path=path) == dict(entry):
        return text
    after = _edited(edit, client, entry, path=path)
    _require_same(text, after, client, path=path, entry=entry)
    return after


def without_server(text: str, client: Client, *, path: str) -> str:
    """The configuration without it, and without a table that held nothing else. Raises ConfigurationError as `with_server`."""
    at = (*client.table, SERVER)

    def edit() -> str:
        shorter = _format(client).remove(text, at)
        return text if shorter == text else _format(client).remove_empty(shorter, at[:-1])

    after = _edited(edit, client, None, path=path)
    _require_same(text, after, client, path=path, entry=None)
    return after


def entry_in(text: str, client: Client, *, path: str) -> dict[str, Any] | None:
    """Our server's entry, None without one. Raises ConfigurationError for a broken file or an entry that is not a table."""
    try:
        node: Any = _format(client).loads(text)
    except _FAULTS as fault:
        raise _unreadable(path, fault) from None
    for name in (*client.table, SERVER):
        if not isinstance(node, dict):
            return None
        node = node.get(name)
    if node is not None and not isinstance(node, dict):
        raise ConfigurationError(
            f"{path} has an entry {SERVER!r} that is not a table", next_step="Remove it or rename it, then run setup again"
        )
    return node


def says_nothing(text: str, client: Client) -> bool:
    """Whether a configuration is empty: no setting and no comment."""
    return _format(client).is_empty(text)


def _lasting() -> tuple[str, ...]:
    try:
        return lasting_command()
    except ConfigurationError:
        return ()


class _Jsonc:
    loads = staticmethod(jsonc.loads)
    digest = staticmethod(jsonc.digest)
    is_empty = staticmethod(jsonc.is_empty)
    set = staticmethod(jsonc.set_value)
    remove = staticmethod(jsonc.remove)
    remove_empty = staticmethod(jsonc.remove_empty)


class _Toml:
    loads = staticmethod(toml_table.loads)
    digest = staticmethod(toml_table.digest)
    set = staticmethod(toml_table.set_table)
    remove = staticmethod(toml_table.remove)

    @staticmethod
    def is_empty(text: str) -> bool:
        return not text.removeprefix(toml_table.BYTE_ORDER_MARK).strip()

    @staticmethod
    def remove_empty(text: str, path: Sequence[str]) -> str:
        del path
        return text  # a table that is only named by ours goes with it


_FAULTS = (jsonc.JsoncFault, toml_table.TomlFault, RecursionError)


def _format(client: Client) -> type[_Jsonc | _Toml]:
    return _Toml if client.is_toml else _Jsonc


def _edited(edit: Callable[[], str], client: Client, entry: Mapping[str, Any] | None, *, path: str) -> str:
    try:
        return edit()
    except _FAULTS as fault:
        raise _unsafe(path, client, entry, str(fault) or "nested too deeply") from None


def _require_same(text: str, after: str, client: Client, *, path: str, entry: Mapping[str, Any] | None) -> None:
    at, form = (*client.table, SERVER), _format(client)
    try:
        same = form.digest(text, without=at) == form.digest(after, without=at)
        done = entry_in(after, client, path=path) == (None if entry is None else dict(entry))
    except (*_FAULTS, ConfigurationError):
        same = done = False
    if not (same and done):
        raise _unsafe(path, client, entry, "other settings would change")


def _unreadable(path: str, fault: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"{path} cannot be read: {str(fault) or 'nested too deeply'}",
        next_step="Correct it, then run the command again; nothing was changed",
    )


def _without_key(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry as it may be shown: a key that would be written into it is not."""
    shown: dict[str, Any] = {}
    for name, value in entry.items():
        if isinstance(value, Mapping):
            shown[name] = _without_key(value)
        else:
            shown[name] = "YOUR_KEY" if name == KEY and not str(value).startswith("$") else value
    return shown


def _unsafe(path: str, client: Client, entry: Mapping[str, Any] | None, why: str) -> ConfigurationError:
    where = f"{'.'.join(client.table)}.{SERVER}"
    by_hand = (
        f"Remove the entry {where} by hand"
        if entry is None
        else f"Add this entry by hand as {where}: {json.dumps(_without_key(entry))}"
    )
    return ConfigurationError(f"{path} cannot be edited safely ({why}); nothing was changed", next_step=by_hand)
