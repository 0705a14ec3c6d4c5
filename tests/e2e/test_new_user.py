"""A new user's path: install, set up, ask. In a clean home, with the simulator as Groq and the real clients.

The installation is tested by `make package`, in an environment of its own; here the two commands after it are.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from e2e.agents import CLAUDE_OFFLINE
from e2e.conftest import SimulatedGroq
from e2e.kilo import Kilo
from e2e.npm_clients import COMMAND, Npm, set_up
from e2e.scripted_dialects import MessagesModel
from e2e.scripted_model import LAST_WORDS, ScriptedModel, ToolCall

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]
ON_PATH = {"PATH": f"{Path(COMMAND[0]).parent}{os.pathsep}{os.environ['PATH']}"}
QUESTION = {"prompt": "Name three colors.", "max_tokens": 64}


@pytest.mark.client("Kilo Code", "set up by us", "connects", "skill")
async def test_kilo_answers_after_one_command(kilo: Kilo, groq: SimulatedGroq, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own settings stay, the server is added, the skill is found, and groq_chat answers inside Kilo."""
    model = ScriptedModel(calls=[ToolCall(name="groq_groq_chat", arguments=QUESTION)])
    async with model.serve() as url:
        kilo.configure(model_url=url, server_environment={})
        path = kilo.project / "kilo.json"
        settings = json.loads(path.read_text())
        del settings["mcp"]
        path.write_text(json.dumps(settings, indent=2))
        said = await set_up("kilo", home=kilo.home, project=kilo.project, environment={})
        assert "wrote" in said
        # Kilo hands its environment on: an exported key needs no entry
        exported = {**kilo._environment(), **groq.environment}
        monkeypatch.setattr(Kilo, "_environment", lambda self: exported)
        listed = await kilo.command("mcp", "list")
        assert "connected" in listed.stdout + listed.stderr
        skills = await kilo.command("debug", "skill")
        assert "groq-fallback-mcp" in skills.stdout
        run = await kilo.ask("Follow the script.")
    assert LAST_WORDS in run.stdout, run
    (answer,) = model.tool_results
    assert "SIMULATED" in answer


@pytest.mark.client("Claude Code", "set up by us")
async def test_claude_code_answers_after_one_command(tmp_path: Path, groq: SimulatedGroq) -> None:
    """The key comes from the environment by a reference."""
    npm = Npm(tmp_path)
    npm.find("claude")
    await set_up("claude-code", home=npm.home, project=npm.project, environment={}, scope="project")
    assert "gsk_" not in (npm.project / ".mcp.json").read_text()
    model = MessagesModel(calls=[ToolCall(name="mcp__groq__groq_chat", arguments=QUESTION)])
    async with model.serve() as url:
        run = await npm.run(
            "claude",
            *("-p", "Follow the script.", "--mcp-config", ".mcp.json", "--strict-mcp-config"),
            *("--allowedTools", "mcp__groq__*", "--output-format", "json"),
            # a project's file names the command without a path
            environment={**groq.environment, **ON_PATH, "ANTHROPIC_BASE_URL": url, **CLAUDE_OFFLINE},
        )
    assert LAST_WORDS in run.stdout, run
    (answer,) = model.tool_results
    assert "SIMULATED" in answer
