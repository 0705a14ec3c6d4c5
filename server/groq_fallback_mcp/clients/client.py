"""Each client as data: where its configuration is, what an entry looks like there, where it finds skills."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

__all__ = ["CLIENTS", "KEY", "SERVER", "Client", "Scope"]

Scope = Literal["project", "global"]
SERVER = "groq"
KEY = "GROQ_API_KEY"
TIMEOUT_MS = 60_000
# For clients that cut a call off though its progress is told: long recordings and lists of prompts take minutes.
HARD_TIMEOUT_S = 600
Shape = Literal["kilo", "standard", "typed", "nested", "zed", "codex", "gemini"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client. Paths are relative to the project or to the home folder, the first that exists is taken, else the first.

    `table` is where the file has servers. `reference` is how a variable of the environment is named in it, None where
    the server inherits the environment or no reference is safe. `commands` are its programs, `health` the arguments by which
    one lists its servers, `healthy` a word in the line of a server that works, `health_environment` what lets it start
    servers in an empty folder that it has not seen before.
    """

    name: str
    title: str
    shape: Shape
    table: tuple[str, ...]
    project: tuple[str, ...] = ()
    home: tuple[str, ...] = ()
    reference: str | None = None
    project_skills: str | None = None
    home_skills: str | None = None
    commands: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    healthy: str = ""
    health_environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType[str, str]({}))
    note: str = ""

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Where it can be set up, the usual place first: the user's own file, which no repository brings along."""
        found: list[Scope] = []
        if self.home:
            found.append("global")
        if self.project:
            found.append("project")
        return tuple(found)

    def paths(self, scope: Scope, *, project: Path, home: Path) -> list[Path]:
        """The files its configuration may be in."""
        if scope == "project":
            return [project / path for path in self.project]
        return [_under(home, path) for path in self.home]

    def skills(self, scope: Scope, *, project: Path, home: Path) -> Path | None:
        """The folder it reads skills from; None where it reads none."""
        path = self.project_skills if scope == "project" else self.home_skills
        return None if path is None else (project if scope == "project" else home) / path

    def entry(self, command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:  # noqa: PLR0911 - a table
        """How the server is described to it."""
        first, rest, env = command[0], list(command[1:]), dict(environment)
        match self.shape:
            case "kilo":
                return {"type": "local", "command": list(command), "environment": env, "enabled": True, "timeout": TIMEOUT_MS}
            case "typed":
                return {"type": "stdio", "command": first, "args": rest, "env": env}
            case "nested":
                # without a time-out of its own, a server that has not answered the handshake within 3 s is dropped silently
                transport = {"type": "stdio", "command": first, "args": rest, "env": env}
                return {"timeout": HARD_TIMEOUT_S, "transport": transport}
            case "zed":
                return {"source": "custom", "command": first, "args": rest, "env": env}
            case "gemini":
                return {"command": first, "args": rest, "env": env, "timeout": HARD_TIMEOUT_S * 1_000}
            case "codex":
                # Codex hands on no variable that is not named
                return {"command": first, "args": rest, "env": env, "env_vars": [KEY], "tool_timeout_sec": HARD_TIMEOUT_S}
            case "standard":
                return {"command": first, "args": rest, "env": env}


def _under(home: Path, path: str) -> Path:
    """`@app/` begins what stands elsewhere on each system."""
    if not path.startswith("@app/"):
        return home / path
    rest = path.removeprefix("@app/")
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / rest
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", str(home / "AppData" / "Roaming"))) / rest
    return home / ".config" / rest


_CLIENTS = (
    Client(
        name="kilo",
        title="Kilo Code",
        shape="kilo",
        table=("mcp",),
        project=("kilo.json", "kilo.jsonc", ".kilo/kilo.json", ".kilo/kilo.jsonc"),
        home=(".config/kilo/kilo.json", ".config/kilo/kilo.jsonc"),
        project_skills=".kilo/skills",
        home_skills=".config/kilo/skills",
        commands=("kilo", "kilocode"),
        health=("mcp", "list"),
        healthy="connected",
    ),
    Client(
        name="claude-code",
        title="Claude Code",
        shape="typed",
        table=("mcpServers",),
        project=(".mcp.json",),
        home=(".claude.json",),
        reference="${GROQ_API_KEY:-}",
        project_skills=".claude/skills",
        home_skills=".claude/skills",
        commands=("claude",),
        health=("mcp", "list"),
        healthy="Connected",
    ),
    Client(
        name="claude-desktop",
        title="Claude Desktop",
        shape="standard",
        table=("mcpServers",),
        home=("@app/Claude/claude_desktop_config.json",),
        note="Claude Desktop does not pass environment variables on; store the key with `groq-fallback-mcp key set`.",
    ),
    Client(
        name="vscode",
        title="VS Code",
        shape="typed",
        table=("servers",),
        project=(".vscode/mcp.json",),
        home=("@app/Code/User/mcp.json",),
        reference="${env:GROQ_API_KEY}",
        project_skills=".agents/skills",
        commands=("code",),
    ),
    Client(
        name="cursor",
        title="Cursor",
        shape="standard",
        table=("mcpServers",),
        project=(".cursor/mcp.json",),
        home=(".cursor/mcp.json",),
        reference="${env:GROQ_API_KEY}",
        commands=("cursor",),
    ),
    Client(
        name="codex",
        title="Codex",
        shape="codex",
        table=("mcp_servers",),
        home=(".codex/config.toml",),
        home_skills=".codex/skills",
        commands=("codex",),
        health=("mcp", "list"),
        healthy=SERVER,
        note="`codex exec` starts without a server that is not up yet; `required = true` in [mcp_servers.groq] makes it wait.",
    ),
    Client(
        name="gemini",
        title="Gemini CLI",
        shape="gemini",
        table=("mcpServers",),
        project=(".gemini/settings.json",),
        home=(".gemini/settings.json",),
        reference="$GROQ_API_KEY",
        commands=("gemini",),
        health=("mcp", "list"),
        healthy="Connected",
        health_environment=MappingProxyType({"GEMINI_CLI_TRUST_WORKSPACE": "true"}),
    ),
    Client(
        name="opencode",
        title="opencode",
        shape="kilo",
        table=("mcp",),
        project=("opencode.json", "opencode.jsonc"),
        home=(".config/opencode/opencode.json", ".config/opencode/opencode.jsonc"),
        project_skills=".opencode/skills",
        home_skills=".config/opencode/skills",
        commands=("opencode",),
        health=("mcp", "list"),
        healthy="connected",
    ),
    Client(
        name="cline",
        title="Cline",
        shape="nested",
        table=("mcpServers",),
        home=(".cline/data/settings/cline_mcp_settings.json",),
        commands=("cline",),
    ),
    Client(
        name="windsurf",
        title="Windsurf",
        shape="standard",
        table=("mcpServers",),
        home=(".codeium/windsurf/mcp_config.json",),
        reference="${env:GROQ_API_KEY}",
        commands=("windsurf",),
    ),
    Client(
        name="zed",
        title="Zed",
        shape="zed",
        table=("context_servers",),
        project=(".zed/settings.json",),
        home=(".config/zed/settings.json",),
        commands=("zed",),
    ),
)
CLIENTS: Mapping[str, Client] = {client.name: client for client in _CLIENTS}
