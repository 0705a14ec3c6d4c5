"""Carries a change out: backup, new file in place of the old one, the skill; and says what was done."""

from __future__ import annotations

import difflib
import os
import shutil
import stat
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from groq_fallback_mcp.clients.change import entry_in, with_server, without_server
from groq_fallback_mcp.clients.client import CLIENTS, KEY, Client, Scope
from groq_fallback_mcp.errors import ConfigurationError, InputRefused
from groq_fallback_mcp.skill import SKILL_NAME, skill_files

__all__ = ["Change", "Found", "Wanted", "apply", "find_clients", "plan", "server_command"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be set up, for which client, where."""

    client: Client
    scope: Scope
    remove: bool = False
    skill: bool = True
    key: str | None = field(default=None, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What would be done: a file's new text, and a skill written or removed. `notes` is what the person should know.

    `skill` is the skill's folder; its files stand by their path below it.
    """

    path: Path
    before: str
    after: str
    skill: Path | None
    skill_before: Mapping[str, str]
    skill_after: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def changes_config(self) -> bool:
        return self.before != self.after

    @property
    def changes_skill(self) -> bool:
        return self.skill_before != self.skill_after

    def diff(self) -> str:
        """A unified diff of the configuration, and the skill in a line."""
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True), self.after.splitlines(keepends=True), str(self.path), str(self.path)
        )
        text = "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
        if self.changes_skill:
            text += f"{'write' if self.skill_after else 'remove'} {self.skill}\n"
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A client on this machine, and the files in which our server is. `fault`: why a file could not be read."""

    client: Client
    configured: tuple[tuple[Scope, Path, tuple[str, ...]], ...]
    fault: str | None = None


def server_command() -> tuple[str, ...]:
    """How the server is started whatever a client's PATH is: this interpreter, by its absolute path."""
    return (sys.executable, "-m", "groq_fallback_mcp")


def plan(wanted: Wanted, *, project: Path, home: Path) -> Change:
    """What has to be changed. Raises InputRefused for a scope the client has not, ConfigurationError for a broken file."""
    client, scope = wanted.client, wanted.scope
    if scope not in client.scopes:
        raise InputRefused(f"{client.title} has no {scope} configuration", next_step=f"use --scope {client.scopes[0]}")
    paths = client.paths(scope, project=project, home=home)
    path = next((path for path in paths if path.exists()), paths[0])
    root = project if scope == "project" else home
    _stays_inside(path, root)
    before = _read(path)
    environment = dict(wanted.environment)
    if wanted.key is not None:
        environment[KEY] = wanted.key
    elif client.reference is not None:
        environment[KEY] = client.reference
    entry = client.entry(server_command(), environment)
    if wanted.remove:
        after = without_server(before, client, path=str(path))
    else:
        after = with_server(before, client, entry, path=str(path))
    skill, skill_before, skill_after = _skill(wanted, project=project, home=home)
    return Change(
        path=path,
        before=before,
        after=after,
        skill=skill,
        skill_before=skill_before,
        skill_after=skill_after,
        notes=tuple(_notes(wanted, before)),
    )


def apply(change: Change) -> list[str]:
    """Carry it out; a line for each thing done. Raises ConfigurationError where the system does not let us."""
    done: list[str] = []
    try:
        if change.changes_config:
            if change.path.exists():
                backup = change.path.with_name(f"{change.path.name}.{time.strftime('%Y%m%d-%H%M%S')}.bak")
                _write(backup, change.before, 0o600)
                done.append(f"kept the old file as {backup}")
            _write(change.path, change.after, _mode(change.path))
            done.append(f"wrote {change.path}")
        if change.changes_skill and change.skill is not None:
            for name, text in change.skill_after.items():
                if change.skill_before.get(name) != text:
                    _write(change.skill / name, text, 0o644)
            for name in set(change.skill_before) - set(change.skill_after):
                (change.skill / name).unlink()
            for folder in (change.skill / "references", change.skill):
                with suppress(OSError):  # it is not there, or a person keeps files of their own in it
                    folder.rmdir()
            done.append(f"{'wrote' if change.skill_after else 'removed'} {change.skill}")
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or change.path} cannot be written: {error.strerror or error}", next_step="check its rights"
        ) from error
    return done


def find_clients(*, project: Path, home: Path) -> list[Found]:
    """The clients whose command or folder is here, with where our server stands in their configuration."""
    found: list[Found] = []
    for client in CLIENTS.values():
        configured: list[tuple[Scope, Path, tuple[str, ...]]] = []
        here = any(shutil.which(command) for command in client.commands)
        fault = None
        for scope in client.scopes:
            for path in client.paths(scope, project=project, home=home):
                here = here or (scope == "global" and path.parent != home and path.parent.is_dir())
                if not path.is_file():
                    continue
                here = True
                try:
                    entry = entry_in(_read(path), client, path=str(path))
                except ConfigurationError as error:
                    fault = str(error)
                    continue
                if entry is not None:
                    configured.append((scope, path, _command_of(entry)))
        if here:
            found.append(Found(client=client, configured=tuple(configured), fault=fault))
    return found


def _command_of(entry: Mapping[str, Any]) -> tuple[str, ...]:
    fields: Mapping[str, Any] = entry.get("transport", entry)
    command: Any = fields.get("command")
    args: Any = fields.get("args", ())
    first = cast("list[Any]", command) if isinstance(command, list) else [command]
    return tuple(str(part) for part in (*first, *args))


def _skill(wanted: Wanted, *, project: Path, home: Path) -> tuple[Path | None, Mapping[str, str], Mapping[str, str]]:
    skills = wanted.client.skills(wanted.scope, project=project, home=home)
    files = skill_files()
    if skills is None or not files or not wanted.skill:
        return None, {}, {}
    folder = skills / SKILL_NAME
    for name in files:
        _stays_inside(folder / name, project if wanted.scope == "project" else home)
    before = {name: text for name in files if (text := _read(folder / name))}
    if wanted.remove:
        # what a person has changed is theirs, with all it refers to
        return folder, before, {} if all(text == files[name] for name, text in before.items()) else before
    return folder, before, files


def _notes(wanted: Wanted, before: str) -> list[str]:
    client = wanted.client
    notes: list[str] = []
    if not wanted.remove and wanted.key is None and client.reference is None:
        notes.append(
            f"the key is not in the file: export {KEY} where {client.title} starts, or run `groq-fallback-mcp key set`"
        )
    if client.note and not wanted.remove:
        notes.append(client.note)
    if client.name == "kilo" and wanted.scope == "project" and "{env:" in before:
        notes.append("THIS FILE HOLDS {env:...}: Kilo ignores all of it, our entry too; take that out, or use --scope global")
    return notes


def _stays_inside(path: Path, root: Path) -> None:
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise InputRefused(
            f"{path} leads out of {root} by a link", next_step="change the file it leads to by hand, or remove the link"
        )


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", next_step="make it a readable UTF-8 file") from error


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600


def _write(path: Path, text: str, mode: int) -> None:
    """Written beside its place and put there whole. A link is followed to the file it leads to."""
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.new")
    descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8"))
        partial.chmod(mode)
        partial.replace(target)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
