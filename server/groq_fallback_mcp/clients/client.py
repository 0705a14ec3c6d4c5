"""The table of clients, clients.toml: where each keeps its configuration, and what an entry looks like there."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from groq_fallback_mcp.system import on_macos, on_windows

__all__ = ["CLIENTS", "EVERY_CLIENT", "KEY", "SERVER", "Client", "Manifest", "Scope"]

Scope = Literal["project", "global"]
# What clients call the server. Most put it before the names of its tools.
SERVER = "groq"
KEY = "GROQ_API_KEY"
# ${NAME}, ${NAME:-default}, ${env:NAME} and {env:NAME}
_REFERENCE = re.compile(r"(?:\$\{(?:env:)?|\{env:)(\w+)(?::-([^}]*))?\}")


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Manifest(_Row):
    """A file in manifests/ with the client's entry, and the words of its row in manifests/README.md."""

    path: str
    """Below manifests/."""
    place: str
    key: str
    """How the key reaches the server."""
    check: str
    document: Mapping[str, JsonValue] = {}
    """What the file holds besides the entry."""


class Trap(_Row):
    """A text that makes the client ignore a project's file, and what to do where it is found."""

    text: str
    found: str


class Client(_Row):
    """A row of clients.toml."""

    name: str
    """As `setup` takes it."""
    title: str
    by_hand: bool = False
    """There is a manifest to copy, but `setup` does not offer it."""
    project: tuple[str, ...] = ()
    """The files of a project, relative to it. The first that exists is used, else the first."""
    home: tuple[str, ...] = ()
    """The user's own files, relative to the home folder or, after `@app/`, to the system's folder of applications' settings."""
    table: tuple[str, ...]
    """The keys by which the file leads to its servers."""
    template: Mapping[str, JsonValue] = Field(alias="entry")
    """An entry, with the placeholders that clients.toml explains."""
    key_reference: str | None = None
    """How its file refers to GROQ_API_KEY. None where the server inherits the environment, or no reference is safe."""
    inherits_environment: bool = True
    """Whether a variable that is exported where the client starts reaches the server."""
    project_skills: str | None = None
    home_skills: str | None = None
    """The folders it reads skills from, as `project` and `home`."""
    tool_name: str | None = None
    """What its model calls a tool, with {tool} for our own name. None where that is not known."""
    commands: tuple[str, ...] = ()
    """Its programs."""
    add: str | None = None
    """The command that adds a server, with {command} for the server's."""
    health: tuple[str, ...] = ()
    """The arguments by which its program lists its servers."""
    healthy: str = ""
    """A word in the line of a server that works."""
    health_environment: Mapping[str, str] = {}
    """What lets it start servers in an empty folder that it has not seen before."""
    note: str = ""
    no_gateway: str = ""
    """Why it cannot use the gateway for its own model calls, where that is known."""
    project_trap: Trap | None = None
    manifest: Manifest | None = None
    source: str
    """The version that was run, or what the row was read from."""
    checked: date

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Where it can be set up, the usual place first: the user's own file, which no repository brings along."""
        found: list[Scope] = []
        if self.home:
            found.append("global")
        if self.project:
            found.append("project")
        return tuple(found)

    @property
    def is_toml(self) -> bool:
        """Whether its files are TOML; the others are JSON with comments."""
        return any(path.endswith(".toml") for path in (*self.project, *self.home))

    def paths(self, scope: Scope, *, project: Path, home: Path) -> list[Path]:
        """The files its configuration may be in."""
        if scope == "project":
            return [project / path for path in self.project]
        return [_under(home, path) for path in self.home]

    def skills(self, scope: Scope, *, project: Path, home: Path) -> Path | None:
        """The folder it reads skills from; None where it reads none."""
        path = self.project_skills if scope == "project" else self.home_skills
        return None if path is None else (project if scope == "project" else home) / path

    def environment(self, *, key: str | None = None) -> dict[str, str]:
        """The variables of an entry: the key where one is to be written, else a reference to it where the client takes one."""
        value = key or self.key_reference
        return {} if value is None else {KEY: value}

    def server_environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """The variables with which it starts a server whose entry has `given`, as far as this process can know them."""
        own = {name: self._resolved(value) for name, value in given.items()}
        return {**(os.environ if self.inherits_environment else {}), **own}

    def _resolved(self, value: str) -> str:
        """A variable's value with its references to the environment replaced."""
        if value == self.key_reference:
            return os.environ.get(KEY, "")
        return _REFERENCE.sub(lambda found: os.environ.get(found[1]) or found[2] or "", value)

    def entry(self, command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
        """How the server is described to it."""
        parts: dict[str, JsonValue] = {
            "{command}": list(command),
            "{program}": command[0],
            "{arguments}": list(command[1:]),
            "{environment}": dict(environment),
        }
        return {name: _filled(value, parts) for name, value in self.template.items()}


def _filled(value: JsonValue, parts: Mapping[str, JsonValue]) -> JsonValue:
    """A value of a template with the placeholders in it replaced."""
    if isinstance(value, dict):
        return {name: _filled(inner, parts) for name, inner in value.items()}
    return parts.get(value, value) if isinstance(value, str) else value


def _under(home: Path, path: str) -> Path:
    """`@app/` begins what each system keeps in another place."""
    if not path.startswith("@app/"):
        return home / path
    rest = path.removeprefix("@app/")
    if on_macos():
        return home / "Library" / "Application Support" / rest
    if on_windows():
        return Path(os.environ.get("APPDATA", str(home / "AppData" / "Roaming"))) / rest
    return home / ".config" / rest


def _read() -> tuple[Client, ...]:
    text = files("groq_fallback_mcp.clients").joinpath("clients.toml").read_text(encoding="utf-8")
    return tuple(Client.model_validate(row) for row in tomllib.loads(text)["client"])


EVERY_CLIENT = _read()
CLIENTS: Mapping[str, Client] = MappingProxyType({client.name: client for client in EVERY_CLIENT if not client.by_hand})
