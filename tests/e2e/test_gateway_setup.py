"""What `setup --gateway` writes before the real Kilo: its own check, and the models it then lists; and each agent's prompt, measured."""

from __future__ import annotations

import os
import re

import pytest
from command_line import command
from e2e.gateway_agents import GATEWAY_AGENTS, free_port
from e2e.kilo import Kilo
from e2e.npm_clients import Npm

from groq_fallback_mcp.clients.gateway_clients import GATEWAY_CLIENTS

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


@pytest.mark.parametrize("plan", [pytest.param("free", marks=pytest.mark.nightly), "developer"])
async def test_kilo_finds_nothing_wrong_and_lists_the_models(kilo: Kilo, plan: str) -> None:
    """With the model for titles alone, and with both."""
    home = {"HOME": str(kilo.home), "GROQ_FALLBACK_PLAN": plan}
    done = await command("setup", "kilo", "--gateway", cwd=kilo.project, **home)
    assert done.returncode == 0, done
    check = await kilo.command("config", "check")
    assert (check.status, "No config warnings" in check.stdout + check.stderr) == (0, True), check
    listed = await kilo.command("models", "groq-fallback")
    assert {"groq-fallback/auto", "groq-fallback/openai/gpt-oss-20b"} <= set(listed.stdout.split()), listed


@pytest.mark.parametrize(
    "name", [name if name == "continue" else pytest.param(name, marks=pytest.mark.nightly) for name in GATEWAY_AGENTS]
)
async def test_the_prompt_of_an_agent_is_measured_and_still_about_as_long_as_we_say(npm: Npm, name: str) -> None:
    """The first request of the real agent, as set-up estimates it, beside the tokens of its row."""
    agent = GATEWAY_AGENTS[name]
    path = os.pathsep.join([str(agent.program(npm).parent), os.environ["PATH"]])
    here = {"HOME": str(npm.home), "TMPDIR": str(npm.home), "PATH": path, **agent.environment}
    done = await command("setup", name, "--gateway", "--measure", "--port", str(free_port()), cwd=npm.project, **here)
    assert done.returncode == 0, done
    found = re.search(r"own prompt is about ([\d,]+) tokens here", done.stdout)
    assert found is not None, done
    assert int(found[1].replace(",", "")) == pytest.approx(GATEWAY_CLIENTS[name].prompt_tokens, rel=0.3)
