"""What `setup --gateway` writes before the real Kilo: its own check, and the models it then lists; and each agent's prompt, measured."""

from __future__ import annotations

import json
import os
import re
import subprocess

import anyio
import pytest
from command_line import command
from e2e.gateway_agents import GATEWAY_AGENTS, free_port
from e2e.kilo import Kilo
from e2e.npm_clients import Npm
from gateway_process import TOKEN, gateway_before

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clients.gateway_clients import GATEWAY_CLIENTS
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, run_simulator

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


async def first_turn(name: str, npm: Npm) -> str:
    """What an agent shows that was set up for a gateway over the simulated developer plan, after its first turn."""
    agent = GATEWAY_AGENTS[name]
    options = SimulatorOptions(latency_scale=0.0, plan="developer")
    simulated = create_app(options, catalog=load_catalog(), clock=SystemClock())
    async with (
        run_simulator(simulated) as upstream,
        gateway_before(upstream.base_url, npm.home, GROQ_FALLBACK_PLAN="developer") as (_, _, port),
    ):
        given = {"HOME": str(npm.home), "GROQ_FALLBACK_PLAN": "developer", "GROQ_FALLBACK_HTTP_TOKEN": TOKEN}
        done = await command("setup", name, "--gateway", "--port", str(port), cwd=npm.project, **given)
        assert done.returncode == 0, done
        run = await anyio.run_process(
            [str(agent.program(npm)), *agent.arguments],
            cwd=npm.project,
            env={"HOME": str(npm.home), "PATH": os.environ["PATH"], **agent.environment},
            stdin=subprocess.DEVNULL,
        )
        return run.stdout.decode()


@pytest.mark.nightly
async def test_claude_code_lists_the_models_of_the_gateway_and_takes_their_window(npm: Npm) -> None:
    """It would take 1,000,000 tokens otherwise, and list its own models alone."""
    shown = json.loads(await first_turn("claude-code", npm))
    assert (shown["is_error"], shown["modelUsage"]["auto"]["contextWindow"]) == (False, 131_072)
    listed = json.loads((npm.home / ".claude/cache/gateway-models.json").read_text())["models"]
    assert {"claude-code/auto", "claude-code/openai/gpt-oss-20b"} <= {model["id"] for model in listed}


@pytest.mark.nightly
async def test_codex_takes_the_window_of_the_gateway_and_finds_nothing_wrong(npm: Npm) -> None:
    """It would warn of a model that it does not know, and of a setting."""
    events = [json.loads(line) for line in (await first_turn("codex", npm)).splitlines()]
    kinds = [event["item"]["type"] for event in events if event["type"] == "item.completed"]
    assert ("agent_message" in kinds, "error" in kinds) == (True, False), events
    (session,) = (npm.home / ".codex/sessions").rglob("*.jsonl")
    # it keeps 5 % for itself
    assert f'"model_context_window":{131_072 * 95 // 100}' in session.read_text()
