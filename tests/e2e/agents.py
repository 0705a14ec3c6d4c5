"""Each agent from npm as a person would start it, but offline: what configures it, what runs it, what stands in for its model."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from e2e.kilo import project_config
from e2e.npm_clients import COMMAND
from e2e.scripted_dialects import GenerateContentModel, MessagesModel, ResponsesModel
from e2e.scripted_model import ScriptedModel, ToolCall

from groq_fallback_mcp.clients.client import CLIENTS

__all__ = ["AGENTS", "CLAUDE_OFFLINE", "TOOLS", "Agent", "Model", "Shown", "both_forms"]

TOOLS = ("groq_chat", "list_models", "check_limits", "transcribe")
PROMPT = "Follow the script."
CLAUDE_OFFLINE = {
    "ANTHROPIC_API_KEY": "sk-ant-scripted",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}
OPENCODE_OFFLINE = {
    f"OPENCODE_DISABLE_{what}": "1" for what in ("MODELS_FETCH", "AUTOUPDATE", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
}


class Model(Protocol):
    """What stands in for an agent's model."""

    def serve(self) -> AbstractAsyncContextManager[str]:
        """The base URL while the block lasts."""
        ...

    @property
    def offered(self) -> Collection[str]:
        """The names of the tools that were offered."""
        ...

    @property
    def tool_results(self) -> Sequence[str]:
        """What the agent showed as the results of the calls, in order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A result of ours as an agent showed it to its model: the text, the structured content, or both."""

    text: str | None = None
    structured: Mapping[str, Any] | None = None


def both_forms(result: Mapping[str, Any]) -> Shown:
    """A result as it is on the wire."""
    (block,) = result["content"]
    return Shown(text=block["text"], structured=result["structuredContent"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a configured agent is started on the prompt."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """An agent. `prefix` comes before our tools' names. `configure` takes its home, its project, its model's URL and the
    environment of our server, None to leave our server to what `setup` writes. `read` takes a result apart that it showed its model, `read_error` one that was an error.
    """

    command: str
    prefix: str
    model: Callable[[Sequence[ToolCall]], Model]
    configure: Callable[[Path, Path, str, Mapping[str, str] | None], Launch]
    read: Callable[[str], Shown]
    read_error: Callable[[str], Shown]
    first: Sequence[ToolCall] = ()
    """What its model must call before it can be offered our tools."""


def _claude(home: Path, project: Path, url: str, environment: Mapping[str, str] | None) -> Launch:
    del home
    named: Sequence[str] = ()
    if environment is not None:
        _write(project / ".mcp.json", {"mcpServers": {"groq": _server(environment)}})
        # a server that a project's file names is otherwise not started before somebody approves it
        named = ("--mcp-config", ".mcp.json", "--strict-mcp-config")
    return Launch(
        arguments=("-p", PROMPT, *named, "--allowedTools", "mcp__groq__*", "--output-format", "json"),
        environment={"ANTHROPIC_BASE_URL": url, **CLAUDE_OFFLINE},
    )


def _opencode(home: Path, project: Path, url: str, environment: Mapping[str, str] | None) -> Launch:
    del home
    config = project_config(url, environment or {})
    if environment is None:
        del config["mcp"]
    _write(project / "opencode.json", {**config, "$schema": "https://opencode.ai/config.json"})
    return Launch(arguments=("run", "--format", "json", PROMPT), environment=OPENCODE_OFFLINE)


def _codex(home: Path, project: Path, url: str, environment: Mapping[str, str] | None) -> Launch:
    del project
    tables: dict[str, Mapping[str, Any]] = {
        "model_providers.scripted": {"name": "scripted", "base_url": url, "env_key": "SCRIPTED_KEY", "wire_api": "responses"}
    }
    if environment is not None:
        tables["mcp_servers.groq"] = {"command": COMMAND[0], "args": COMMAND[1:]}
        tables["mcp_servers.groq.env"] = environment
    # strings and lists of strings look the same in JSON and in TOML
    lines = [
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    ]
    (home / ".codex").mkdir()
    (home / ".codex/config.toml").write_text('model_provider = "scripted"\nmodel = "scripted"\n\n' + "\n".join(lines))
    # it begins without a server that is not required and not ready, and cancels calls that nobody can approve
    given = ("-c", "mcp_servers.groq.required=true", "-c", 'mcp_servers.groq.default_tools_approval_mode="approve"')
    return Launch(arguments=("exec", "--skip-git-repo-check", "--json", *given, PROMPT), environment={"SCRIPTED_KEY": "x"})


def _gemini(home: Path, project: Path, url: str, environment: Mapping[str, str] | None) -> Launch:
    del home
    settings: dict[str, Any] = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "general": {"enableAutoUpdate": False},
    }
    if environment is not None:
        settings["mcpServers"] = {"groq": _server(environment)}
    _write(project / ".gemini/settings.json", settings)
    offline = {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "x", "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    given = ("-m", "gemini-2.5-pro", "--approval-mode", "yolo", "--output-format", "json")
    return Launch(arguments=("-p", PROMPT, *given), environment=offline)


def _cline(home: Path, project: Path, url: str, environment: Mapping[str, str] | None) -> Launch:
    del project
    settings = home / ".cline/data/settings"
    if environment is not None:
        # it drops a server that has not said hello within 3 s, unless the server's own time-out is given
        entry = {"timeout": 60, "transport": {"type": "stdio", **_server(environment)}}
        _write(settings / "cline_mcp_settings.json", {"mcpServers": {"groq": entry}})
    provider = {"provider": "openai-compatible", "apiKey": "x", "model": "fake-model", "baseUrl": url}
    known = {"openai-compatible": {"settings": provider, "updatedAt": "2026-01-01T00:00:00.000Z", "tokenSource": "manual"}}
    _write(
        settings / "providers.json", {"version": 1, "lastUsedProvider": "openai-compatible", "modes": {}, "providers": known}
    )
    # `local` keeps the session in the command's own process: else a daemon is started, and stays
    offline = {"CLINE_SESSION_BACKEND_MODE": "local", "CLINE_NO_AUTO_UPDATE": "1"}
    return Launch(arguments=("--json", "-P", "openai-compatible", "-m", "fake-model", PROMPT), environment=offline)


def _server(environment: Mapping[str, str]) -> Mapping[str, Any]:
    return {"command": COMMAND[0], "args": list(COMMAND[1:]), "env": dict(environment)}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _text(result: str) -> Shown:
    return Shown(text=result)


def _json(result: str) -> Shown:
    return Shown(structured=json.loads(result))


def _after_codexs_header(result: str) -> Shown:
    return _json(result.partition("\nOutput:\n")[2])


def _in_geminis_wrapping(result: str) -> Shown:
    return _text(result.removeprefix("<untrusted_context>\n").removesuffix("\n</untrusted_context>"))


def _after_geminis_words(result: str) -> Shown:
    (found,) = json.loads(result.partition(" with response: ")[2])
    return both_forms(found["functionResponse"]["response"])


def _whole(result: str) -> Shown:
    return both_forms(json.loads(result))


def _prefix(client: str) -> str:
    name = CLIENTS[client].tool_name
    assert name is not None
    return name.removesuffix("{tool}")


AGENTS: Mapping[str, Agent] = {
    "claude-code": Agent(
        command="claude",
        prefix=_prefix("claude-code"),
        model=lambda calls: MessagesModel(calls=calls),
        configure=_claude,
        read=_json,
        read_error=_text,
        first=(ToolCall(name="ToolSearch", arguments={"query": f"select:{','.join(f'mcp__groq__{name}' for name in TOOLS)}"}),),
    ),
    "opencode": Agent(
        command="opencode",
        prefix=_prefix("opencode"),
        model=lambda calls: ScriptedModel(calls=calls),
        configure=_opencode,
        read=_text,
        read_error=_text,
    ),
    "codex": Agent(
        command="codex",
        # its model is offered a namespace of tools
        prefix="mcp__groq/",
        model=lambda calls: ResponsesModel(calls=calls),
        configure=_codex,
        read=_after_codexs_header,
        read_error=_after_codexs_header,
    ),
    "gemini": Agent(
        command="gemini",
        prefix=_prefix("gemini"),
        model=lambda calls: GenerateContentModel(calls=calls),
        configure=_gemini,
        read=_in_geminis_wrapping,
        read_error=_after_geminis_words,
    ),
    "cline": Agent(
        command="cline",
        prefix=_prefix("cline"),
        model=lambda calls: ScriptedModel(calls=calls),
        configure=_cline,
        read=_whole,
        read_error=_whole,
    ),
}


def agents(*in_ci: str) -> list[Any]:
    """Every agent for `parametrize`; those that show nothing which one of `in_ci`, or Kilo, does not are left to the night."""
    return [name if name in in_ci else pytest.param(name, marks=pytest.mark.nightly) for name in AGENTS]
