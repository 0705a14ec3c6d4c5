"""The manifests: for each client the file that makes it start the server, written whole from one `Launch`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.tools import TOOLS
from project_docs.blocks import code, table
from project_docs.launch import Launch
from project_docs.litellm import litellm_config

__all__ = ["Manifest", "clients_block", "manifests"]

_KEY_INPUT = "groq-api-key"
_REGISTRIES = """## Registries, marketplaces and bundles

| For | Files | Checked by |
|---|---|---|
| MCP Registry | [registry/server.json](registry/server.json) | its JSON schema, and the marker in README.md |
| MCPB bundle | [mcpb/](mcpb) | `mcpb validate mcpb/manifest.json`, `mcpb pack mcpb out.mcpb`; `make bundle` |
| Claude Code plugin and marketplace | [claude/marketplace](claude/marketplace) | `claude plugin validate claude/marketplace --strict` |
| Gemini CLI extension | [gemini/](gemini) | `gemini extensions validate gemini` |
| Kilo marketplace | [kilo/marketplace](kilo/marketplace) | the rules of its own generator, as a schema; its `add-remote-skill` imports the skill from the plugin's folder, [SKILL.md](claude/marketplace/plugins/groq-fallback-mcp/skills/groq-fallback-mcp/SKILL.md) and references/, and writes `metadata.source` |
| Glama | [glama.json](glama.json) | goes to the root of the published repository |

The owner in these files stands for whoever publishes them; a fork changes it in one place, `server/project_docs/registries.py`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A file below manifests/, for whom it is, where it goes, how the key gets in, and how to see that it works."""

    path: str
    client: str
    place: str
    key: str
    check: str
    text: str


def manifests(launch: Launch, catalog: Catalog) -> Sequence[Manifest]:
    """Every manifest, and the README that explains them."""
    made = (*_kilo(launch), *_claude(launch), _vscode(launch), _cursor(launch), _litellm(catalog, launch))
    return (*made, _readme(made))


def clients_block(launch: Launch) -> str:
    """How to add the server to each client, and what its model calls the tools."""
    name, command = launch.name, " ".join(launch.command)
    first = TOOLS[0].name
    single, double, mixed = f"{name}_{first}", f"mcp__{name}__{first}", f"{name}__{first}"
    rows = (
        ("Kilo Code", _file("kilo/kilo.json"), f"kilo mcp add {name} -- {command}", "kilo mcp list", single),
        ("Kilo Code, older format", _file("kilo/mcp.json"), "", "kilo mcp list", single),
        ("Claude Code", _file("claude/.mcp.json"), f"claude mcp add {name} -- {command}", "claude mcp list", double),
        ("Claude Desktop", _file("claude/claude_desktop_config.json"), "", "", first),
        ("VS Code", _file("vscode/mcp.json"), "", "", first),
        ("Cursor", _file("cursor/mcp.json"), "", "", first),
        ("opencode", "as Kilo's, in `opencode.json`", "", "opencode mcp list", single),
        ("Codex", "", f"codex mcp add {name} -- {command}", "codex mcp list", double),
        ("Gemini CLI", "", f"gemini mcp add {name} {command}", "gemini mcp list", f"mcp_{single}"),
        ("Cline", "", f"cline mcp add {name} --yes -- {command}", "", mixed),
        ("LiteLLM proxy", _file("litellm/config.yaml"), "", "", ""),
    )
    headings = ("Client", "Manifest", "Or by command", "Check", "The model sees")
    return table(headings, ((client, file, *(code(cell) if cell else "" for cell in cells)) for client, file, *cells in rows))


def _file(path: str) -> str:
    return f"[manifests/{path}](manifests/{path})"


def _kilo(launch: Launch) -> Sequence[Manifest]:
    # No {env:...} here: in a project's config it makes Kilo drop the whole file. Kilo hands its environment on.
    server = {
        "type": "local",
        "command": list(launch.command),
        "environment": dict(launch.env),
        "enabled": True,
        "timeout": launch.timeout_s * 1000,
    }
    legacy = _server(launch, launch.env) | {
        "timeout": launch.timeout_s,
        "disabled": False,
        "alwaysAllow": [tool.name for tool in TOOLS if tool.name in {"list_models", "check_limits"}],
    }
    key = f"export {launch.key} before Kilo starts; the server inherits it"
    return (
        Manifest(
            path="kilo/kilo.json",
            client="Kilo Code",
            place="`kilo.json` or `.kilo/kilo.json` in the project, or `~/.config/kilo/kilo.json`",
            key=key,
            check="`kilo config check`, then `kilo mcp list`",
            text=_json({"$schema": "https://app.kilo.ai/config.json", "mcp": {launch.name: server}}),
        ),
        Manifest(
            path="kilo/mcp.json",
            client="Kilo Code, older format",
            place="`.kilocode/mcp.json` in the project",
            key=key,
            check="`kilo mcp list`, or the extension's list of MCP servers",
            text=_json({"mcpServers": {launch.name: legacy}}),
        ),
    )


def _claude(launch: Launch) -> Sequence[Manifest]:
    project = {"type": "stdio"} | _server(launch, {launch.key: f"${{{launch.key}:-}}"} | dict(launch.env))
    desktop = _server(launch, {launch.key: ""} | dict(launch.env))
    return (
        Manifest(
            path="claude/.mcp.json",
            client="Claude Code",
            place="`.mcp.json` in the project",
            key=f"export {launch.key} before Claude Code starts",
            check="`claude mcp list`",
            text=_json({"mcpServers": {launch.name: project}}),
        ),
        Manifest(
            path="claude/claude_desktop_config.json",
            client="Claude Desktop",
            place="its `claude_desktop_config.json`: Settings, Developer, Edit Config",
            key=f"write it between the empty quotes of {launch.key}, in your own copy only",
            check="Settings, Developer: the server is running",
            text=_json({"mcpServers": {launch.name: desktop}}),
        ),
    )


def _vscode(launch: Launch) -> Manifest:
    asked = {"type": "promptString", "id": _KEY_INPUT, "description": "Groq API key", "password": True}
    server = {"type": "stdio"} | _server(launch, {launch.key: f"${{input:{_KEY_INPUT}}}"} | dict(launch.env))
    return Manifest(
        path="vscode/mcp.json",
        client="VS Code",
        place="`.vscode/mcp.json` in the project",
        key="VS Code asks once and keeps it in its secret store",
        check="the command `MCP: List Servers`",
        text=_json({"inputs": [asked], "servers": {launch.name: server}}),
    )


def _cursor(launch: Launch) -> Manifest:
    return Manifest(
        path="cursor/mcp.json",
        client="Cursor",
        place="`.cursor/mcp.json` in the project, or `~/.cursor/mcp.json`",
        key=f"export {launch.key} before Cursor starts",
        check="Settings, MCP: the server is on and shows its tools",
        text=_json({"mcpServers": {launch.name: _server(launch, {launch.key: f"${{env:{launch.key}}}"} | dict(launch.env))}}),
    )


def _litellm(catalog: Catalog, launch: Launch) -> Manifest:
    return Manifest(
        path="litellm/config.yaml",
        client="LiteLLM proxy",
        place="any place: `litellm --config config.yaml`; a provider for the server, or for other programs",
        key=f"export {launch.key} before the proxy starts",
        check="`GET /v1/models` of the proxy lists the models",
        text=litellm_config(catalog),
    )


def _readme(made: Sequence[Manifest]) -> Manifest:
    rows = [(f"[{m.path}]({m.path})", m.client, m.place, m.key, m.check) for m in made]
    start = (
        "Generated by `make generate`; do not edit by hand. Each client's file starts the installed command "
        "`groq-fallback-mcp`: give its absolute path where it is not on the client's PATH, and never `python -m "
        "groq_fallback_mcp`, which imports from the project's folder. Merge the server's entry into a file you already have. "
        "No file here holds a key."
    )
    traps = (
        "In a project's Kilo config never write `{env:...}`: Kilo then silently ignores the whole file. "
        f"The server's own deadline ({code('GROQ_FALLBACK_DEADLINE_S')}) must end before the client's time-out."
    )
    files = table(("File", "Client", "Where it goes", "The key", "How to check it"), rows)
    text = f"# Manifests\n\n{start}\n\n{files}\n\n{traps}"
    return Manifest(path="README.md", client="", place="", key="", check="", text=f"{text}\n\n{_REGISTRIES}\n")


def _server(launch: Launch, env: Mapping[str, str]) -> dict[str, Any]:
    return {"command": launch.command[0], "args": list(launch.command[1:]), "env": dict(env)}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
