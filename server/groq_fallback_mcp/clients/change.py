"""Carries a set-up out: backup, new file instead of the old one, the skill; and says what was done."""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from groq_fallback_mcp.clients import backups
from groq_fallback_mcp.clients.client import CLIENTS, KEY, Client, Scope
from groq_fallback_mcp.clients.config_file import (
    PRIVATE,
    exists,
    mode_for_others,
    read_text,
    require_inside,
    require_writable,
    write_text,
)
from groq_fallback_mcp.clients.entry import Entry, dropped_fields, entry_in, entry_of, says_nothing, with_server, without_server
from groq_fallback_mcp.command import SCRIPT, lasting_command, shared_command
from groq_fallback_mcp.errors import ConfigurationError, InputRefused
from groq_fallback_mcp.settings import key_sources, state_folder
from groq_fallback_mcp.skill import SKILL_NAME, skill_files

__all__ = ["Change", "Found", "Wanted", "apply", "backup_folder", "find_clients", "plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be set up, for which client, where."""

    client: Client
    scope: Scope
    remove: bool = False
    skill: bool = True
    key: str | None = field(default=None, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


def backup_folder() -> Path:
    """Where the former texts of clients' files are kept."""
    return state_folder() / "backups"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What would be done: a file's new text, and a skill written or removed. `notes` is what the person should know.

    A text of None means that there is no file, before or after.
    `private`: nobody but the user may read the file, as a key or token is written into it, or set-up makes it as the user's own.
    `skill` is the skill's folder; its files are keyed by their path below it. `backups` is where the former text is kept.
    """

    path: Path
    before: str | None
    after: str | None
    removes: bool
    private: bool
    notes: tuple[str, ...]
    skill: Path | None = None
    skill_before: Mapping[str, str] = field(default_factory=dict[str, str])
    skill_after: Mapping[str, str] = field(default_factory=dict[str, str])
    backups: Path = field(default_factory=backup_folder)

    @property
    def changes_config(self) -> bool:
        return self.before != self.after

    @property
    def open_mode(self) -> int | None:
        """The mode of a file that is to be private and is not; None where it is, or does not exist."""
        return mode_for_others(self.path) if self.private else None

    @property
    def changes_skill(self) -> bool:
        return self.skill_before != self.skill_after

    def diff(self) -> str:
        """A unified diff of the configuration, and the skill in a line."""
        before, after = ((text or "").splitlines(keepends=True) for text in (self.before, self.after))
        lines = difflib.unified_diff(before, after, str(self.path), str(self.path))
        text = "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
        if (mode := self.open_mode) is not None:
            text += f"make {self.path} readable by you only (mode {PRIVATE:04o}, now {mode:04o})\n"
        if self.changes_skill:
            text += f"{'write' if self.skill_after else 'remove'} {self.skill}\n"
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A client on this machine, and the files in which our server is. `fault`: why a file could not be read."""

    client: Client
    configured: tuple[Entry, ...]
    fault: str | None = None


def plan(wanted: Wanted, *, project: Path, home: Path) -> Change:
    """What has to be changed. Raises InputRefused for a scope the client has not, ConfigurationError for a broken file."""
    client, scope = wanted.client, wanted.scope
    if scope not in client.scopes:
        raise InputRefused(f"{client.title} has no {scope} configuration", next_step=f"Use --scope {client.scopes[0]}")
    if wanted.key is not None and scope == "project":
        raise InputRefused(
            "A key is never written into a project's file, which others may read",
            next_step=f"Use --scope global, or `{SCRIPT} key set`",
        )
    root = project if scope == "project" else home
    paths = client.paths(scope, project=project, home=home)
    path = _place(client, paths)
    require_inside(path, root)
    before = read_text(path)
    entry = None if wanted.remove else _entry(wanted)
    after = _without(path, before, client) if entry is None else with_server(before or "", client, entry, path=str(path))
    if before != after:
        require_writable(path)
    skill, skill_before, skill_after = _skill(wanted, root=root, project=project, home=home)
    return Change(
        path=path,
        before=before,
        after=after,
        removes=wanted.remove,
        private=wanted.key is not None or (before is None and scope == "global"),
        skill=skill,
        skill_before=skill_before,
        skill_after=skill_after,
        notes=() if entry is None else tuple(_notes(wanted, entry, before or "", path)),
    )


def apply(change: Change) -> list[str]:
    """Carry it out; a line for each thing done. Raises ConfigurationError where the system does not let us."""
    done: list[str] = []
    root = change.backups
    try:
        made = _missing_folders(change)
        opened = change.open_mode
        if change.changes_config:
            done += _replace(change, root, made)
        elif made:
            with suppress(OSError):
                _kept(change, change.before, root, made)
        if opened is not None:
            # also where the key was in it before, and nothing else changes
            change.path.chmod(PRIVATE)
            done.append(f"made {change.path} readable by you only (mode {PRIVATE:04o}, was {opened:04o})")
        if change.changes_skill and change.skill is not None:
            done.append(_write_skill(change.skill, change))
        if change.removes:
            for folder in backups.made_folders(root, change.path):
                with suppress(OSError):  # something else is in it by now
                    folder.rmdir()
            backups.forget(root, change.path)
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or change.path} cannot be written: {error.strerror or error}",
            next_step="Check the permissions and the free space",
        ) from error
    return done


def find_clients(*, project: Path, home: Path) -> list[Found]:
    """The clients whose command or folder is here, with the entries under our name in their configuration."""
    found: list[Found] = []
    for client in CLIENTS.values():
        configured: list[Entry] = []
        here = any(shutil.which(command) for command in client.commands)
        fault = None
        for scope in client.scopes:
            for path in client.paths(scope, project=project, home=home):
                here = here or (scope == "global" and path.parent != home and exists(path.parent))
                if not exists(path):
                    continue
                here = True
                try:
                    fields = entry_in(read_text(path) or "", client, path=str(path))
                except ConfigurationError as error:
                    fault = str(error)
                    continue
                if fields is not None:
                    configured.append(entry_of(fields, scope=scope, path=path))
        if here:
            found.append(Found(client=client, configured=tuple(configured), fault=fault))
    return found


def _place(client: Client, paths: Sequence[Path]) -> Path:
    """The file that has our entry, else the first that is there, else the first."""
    there = [path for path in paths if exists(path)]
    for path in there if len(there) > 1 else ():
        # what is wrong with a file is told where it is the one to change
        with suppress(ConfigurationError):
            if entry_in(read_text(path) or "", client, path=str(path)) is not None:
                return path
    return there[0] if there else paths[0]


def _entry(wanted: Wanted) -> Mapping[str, Any]:
    client = wanted.client
    command = shared_command() if wanted.scope == "project" else lasting_command()
    return client.entry(command, {**wanted.environment, **client.environment(key=wanted.key)})


def _without(path: Path, before: str | None, client: Client) -> str | None:
    """The text as it was before the first set-up, else without our entry; None for no file."""
    present = None if before is None else entry_in(before, client, path=str(path))
    if before is None or present is None:
        return before
    entry = entry_of(present, scope="global", path=path)
    if not entry.names_us:
        raise ConfigurationError(
            f"The entry in {path} starts another server ({entry.shown()}), which setup did not write",
            next_step="Remove it by hand if you do not want it",
        )
    former = backups.undo(backup_folder(), path, before)
    earlier = None if former is None else entry_in(former.text or "", client, path=str(path))
    if former is not None and (earlier is None or not entry_of(earlier, scope="global", path=path).names_us):
        return former.text
    after = without_server(before, client, path=str(path))
    return None if says_nothing(after, client) else after


def _replace(change: Change, root: Path, made: list[Path]) -> list[str]:
    if read_text(change.path) != change.before:
        raise ConfigurationError(f"{change.path} was changed by another program meanwhile", next_step="Run the command again")
    done: list[str] = []
    if change.before and not change.removes:
        done.append(f"backed up the old file to {_kept(change, change.before, root, made)}")
    elif not change.removes:
        with suppress(OSError):  # without it the server can be removed too, only less exactly
            _kept(change, change.before, root, made)
    if change.after is None:
        change.path.unlink()
        done.append(f"removed {change.path}")
    else:
        write_text(change.path, change.after, mode=PRIVATE if change.private else None)
        done.append(f"wrote {change.path}")
    return done


def _kept(change: Change, before: str | None, root: Path, made: list[Path]) -> Path:
    return backups.keep(root, backups.Made(path=change.path, before=before, after=change.after or "", folders=made))


def _missing_folders(change: Change) -> list[Path]:
    """The folders that do not exist yet of those that will be written to."""
    if change.removes:
        return []
    files = [change.path]
    if change.skill is not None:
        files += [change.skill / name for name in change.skill_after]
    return [*{folder for file in files for folder in file.parents if not folder.exists()}]


def _write_skill(folder: Path, change: Change) -> str:
    for name, text in change.skill_after.items():
        if change.skill_before.get(name) != text:
            write_text(folder / name, text)
    for name in set(change.skill_before) - set(change.skill_after):
        (folder / name).unlink()
    for one in (folder / "references", folder):
        with suppress(OSError):  # it is not there, or a person keeps files of their own in it
            one.rmdir()
    return f"{'wrote' if change.skill_after else 'removed'} {folder}"


def _skill(
    wanted: Wanted, *, root: Path, project: Path, home: Path
) -> tuple[Path | None, Mapping[str, str], Mapping[str, str]]:
    skills = wanted.client.skills(wanted.scope, project=project, home=home)
    files = skill_files()
    if skills is None or not files or not wanted.skill:
        return None, {}, {}
    folder = skills / SKILL_NAME
    for name in files:
        require_inside(folder / name, root)
    before = {name: text for name in files if (text := read_text(folder / name))}
    if wanted.remove:
        # what a person has changed is theirs, with all it refers to
        return folder, before, {} if all(text == files[name] for name, text in before.items()) else before
    return folder, before, files


def _notes(wanted: Wanted, entry: Mapping[str, Any], before: str, path: Path) -> list[str]:
    client = wanted.client
    notes: list[str] = []
    present = entry_in(before, client, path=str(path))
    replaced = None if present is None else entry_of(present, scope=wanted.scope, path=path)
    if replaced is not None and not replaced.names_us:
        notes.append(f"This replaced an entry of the same name, which started: {replaced.shown()}")
    elif present is not None and (dropped := dropped_fields(present, entry)):
        notes.append(f"The entry was rewritten without {', '.join(dropped)}. Add again what you need of it")
    if wanted.key is None and not _is_key_stored():
        notes.append(f"No API key is stored. Run `{SCRIPT} key set`{_or_export(client)}.")
    if wanted.scope == "project":
        notes.append(_shared_note())
    if client.note:
        notes.append(client.note)
    trap = client.project_trap
    if trap is not None and wanted.scope == "project" and trap.text in before:
        notes.append(trap.found)
    return notes


def _is_key_stored() -> bool:
    """Whether the server finds a key wherever it is started, not only where one is exported."""
    try:
        found = key_sources()
    except ConfigurationError:  # there is one, and doctor says what is wrong with it
        return True
    return len(found) > bool(os.environ.get(KEY))


def _or_export(client: Client) -> str:
    if client.inherits_environment:
        return f", or export {KEY} in the shell that starts {client.title}"
    return f"; {client.title} does not pass environment variables on"


def _shared_note() -> str:
    name = shared_command()[0]
    here = "" if shutil.which(name) else " It is not on yours."
    return f"Everyone who uses this file needs {name} on the PATH.{here}"
