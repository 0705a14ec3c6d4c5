"""Our server in the real Claude Code, opencode, mcporter, Gemini CLI and Inspector, offline, each with a scripted model.

What a client showed its model is compared with what it was meant to see: an answer that came by a fallback, a transcript,
and an error that says what to do next. Clients disagree about what they show, so each result must be complete in both forms.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import SimulatedGroq
from e2e.kilo import _config as opencode_config
from e2e.npm_clients import COMMAND, Npm, node_24
from e2e.scripted_dialects import MessagesModel
from e2e.scripted_model import LAST_WORDS, ScriptedModel, ToolCall
from effort import times

from groq_fallback_mcp.audio.samples import sample_path

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]
FIRST, SECOND = "openai/gpt-oss-20b", "openai/gpt-oss-120b"


@pytest.fixture
def npm(tmp_path: Path) -> Npm:
    """Clients with a throw-away home, and the speech sample in their project."""
    made = Npm(tmp_path)
    shutil.copy(sample_path(), made.project / "speech.flac")
    return made


def calls(prefix: str) -> list[ToolCall]:
    """A question whose first model is limited, a recording, and a mistake."""
    return [
        ToolCall(name=f"{prefix}groq_chat", arguments={"prompt": "Name three colours.", "max_tokens": 64}),
        ToolCall(name=f"{prefix}transcribe", arguments={"file": "speech.flac"}),
        ToolCall(name=f"{prefix}groq_chat", arguments={"promt": "hi"}),
    ]


def seen(results: list[str], groq: SimulatedGroq) -> None:
    """What every model must have been shown, whatever its client leaves out."""
    assert len(results) == 3, results
    answered, heard, refused = results
    assert SECOND in answered
    assert "SIMULATED" in answered
    assert FIRST in answered
    assert "rate" in answered
    assert "whisper-large-v3-turbo" in heard
    assert "unknown argument" in refused
    assert "did you mean" in refused
    assert groq.calls[FIRST] == {"429": 1}


@pytest.mark.parametrize("flow", ["print"])
@pytest.mark.client("Claude Code", "lists", "calls", "falls back", "transcribes", "sees errors")
async def test_claude_code_calls_the_tools_and_shows_its_model_what_matters(npm: Npm, groq: SimulatedGroq, flow: str) -> None:
    """Its model sees the structured content on success and the text of an error."""
    groq.fail(f"{FIRST}=429:60")
    model = MessagesModel(calls=calls("mcp__groq__"))
    servers = {"groq": {"command": COMMAND[0], "args": list(COMMAND[1:]), "env": dict(groq.environment)}}
    (npm.project / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    async with model.serve() as url:
        run = await npm.run(
            "claude",
            *("-p", "Follow the script.", "--mcp-config", "mcp.json", "--strict-mcp-config"),
            *("--allowedTools", "mcp__groq__*", "--output-format", "json"),
            environment={
                "ANTHROPIC_BASE_URL": url,
                "ANTHROPIC_API_KEY": "sk-ant-scripted",
                "DISABLE_AUTOUPDATER": "1",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            },
        )
    assert run.status == 0, run
    assert LAST_WORDS in run.stdout
    seen(model.tool_results, groq)


@pytest.mark.client("opencode", "lists", "calls", "falls back", "transcribes", "sees errors")
async def test_opencode_calls_the_tools_and_shows_its_model_what_matters(npm: Npm, groq: SimulatedGroq) -> None:
    """Its model sees the text alone."""
    groq.fail(f"{FIRST}=429:60")
    model = ScriptedModel(calls=calls("groq_"))
    async with model.serve() as url:
        config = {**opencode_config(url, groq.environment), "$schema": "https://opencode.ai/config.json"}
        (npm.project / "opencode.json").write_text(json.dumps(config))
        offline = ("MODELS_FETCH", "AUTOUPDATE", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
        run = await npm.run(
            "opencode",
            *("run", "--format", "json", "Follow the script."),
            environment={f"OPENCODE_DISABLE_{what}": "1" for what in offline},
        )
    assert run.status == 0, run
    assert LAST_WORDS in run.stdout
    seen(model.tool_results, groq)


@pytest.mark.client("mcporter", "lists", "calls", "falls back")
async def test_mcporter_lists_and_calls_the_tools(npm: Npm, groq: SimulatedGroq) -> None:
    """It prints the structured content."""
    groq.fail(f"{FIRST}=429:60")
    command = " ".join(COMMAND)
    listed = await npm.run("mcporter", "list", "--stdio", command, "--name", "groq", environment=groq.environment)
    assert all(tool in listed.stdout for tool in ("groq_chat", "list_models", "check_limits", "transcribe")), listed
    called = await npm.run("mcporter", "call", "--stdio", command, "groq_chat", "prompt=hi", environment=groq.environment)
    found: dict[str, Any] = json.loads(called.stdout)
    assert (found["model"], found["fallback"]) == (SECOND, True)


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.client("Inspector", "connects", "lists", "calls", "sees errors")
async def test_the_inspector_finds_nothing_to_complain_about(npm: Npm, groq: SimulatedGroq, era: str) -> None:
    """Strictly, in both eras of the protocol; and an error is one for it."""
    node = [node_24()]
    where = ("--cli", *COMMAND, "--protocol-era", era, "--format", "json")
    listed = await npm.run(
        "mcp-inspector", *where, "--method", "tools/list", "--strict", environment=groq.environment, node=node
    )
    assert listed.status == 0, listed
    tools = json.loads(listed.stdout)["result"]["tools"]
    assert [tool["name"] for tool in tools] == ["groq_chat", "list_models", "check_limits", "transcribe"]
    call = ("--method", "tools/call", "--tool-name", "groq_chat", "--tool-arg")
    answered = await npm.run("mcp-inspector", *where, *call, "prompt=hi", environment=groq.environment, node=node)
    assert answered.status == 0, answered
    refused = await npm.run("mcp-inspector", *where, *call, "promt=hi", environment=groq.environment, node=node)
    assert refused.status == 5, refused
    assert "did you mean" in refused.stdout


@pytest.mark.client("Inspector", "calls")
async def test_the_inspector_s_load_is_answered_without_one_error(npm: Npm, groq: SimulatedGroq) -> None:
    """Ten calls at a time; by night many times as many."""
    load = ("--load", "--load-requests", str(times(100)), "--load-concurrency", "10", "--format", "json")
    call = ("--method", "tools/call", "--tool-name", "list_models")
    run = await npm.run("mcp-inspector", "--cli", *COMMAND, *call, *load, environment=groq.environment, node=[node_24()])
    assert run.status == 0, run
    found = json.loads(run.stdout)["result"]
    assert (found["ok"], found["errors"], found["toolErrors"]) == (times(100), 0, 0)


@pytest.mark.client("Inspector", "skill")
async def test_the_inspector_verifies_the_skill_that_is_served(npm: Npm, groq: SimulatedGroq) -> None:
    """Form, frontmatter and digest, by its own checks."""
    checks = ("--protocol-era", "modern", "--method", "skills/list", "--verify", "--require-digests", "--format", "json")
    run = await npm.run("mcp-inspector", "--cli", *COMMAND, *checks, environment=groq.environment, node=[node_24()])
    assert run.status == 0, run
    assert json.loads(run.stdout)["outcome"] == "verified"


@pytest.mark.client("Gemini CLI", "connects")
async def test_gemini_finds_the_server_healthy(npm: Npm, groq: SimulatedGroq) -> None:
    """By its own list of servers."""
    environment = {**groq.environment, "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    added = await npm.run("gemini", "mcp", "add", "groq", *COMMAND, environment=environment)
    assert added.status == 0, added
    listed = await npm.run("gemini", "mcp", "list", environment=environment)
    assert "groq" in listed.all
    assert "Connected" in listed.all, listed


@pytest.mark.client("Claude Code", "connects")
async def test_claude_code_finds_the_server_healthy(npm: Npm, groq: SimulatedGroq) -> None:
    """By its own command."""
    added = await npm.run("claude", "mcp", "add", "groq", "--", *COMMAND, environment=groq.environment)
    assert added.status == 0, added
    listed = await npm.run("claude", "mcp", "list", environment=groq.environment)
    assert "Connected" in listed.all, listed
