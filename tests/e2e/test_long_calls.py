"""Each agent with what `setup` wrote for it and nothing else, and a call of more than a minute."""

from __future__ import annotations

import pytest
from e2e.agents import AGENTS
from e2e.conftest import SimulatedGroq
from e2e.npm_clients import Npm, set_up
from e2e.scripted_model import LAST_WORDS, ToolCall

pytestmark = [pytest.mark.nightly, pytest.mark.anyio]
CALL_S = 70.0
TIMEOUT_S = 180.0


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.client("Claude Code", "long calls", "set up by us")
@pytest.mark.client("Cline", "long calls", "set up by us")
@pytest.mark.client("Codex", "long calls", "set up by us")
@pytest.mark.client("Gemini CLI", "long calls", "set up by us")
@pytest.mark.client("opencode", "long calls", "set up by us")
async def test_an_agent_set_up_by_one_command_awaits_more_than_a_minute(npm: Npm, groq: SimulatedGroq, name: str) -> None:
    """Be it that it heeds progress, be it that it was given the time. The key comes from the environment."""
    agent = AGENTS[name]
    npm.find(agent.command)
    groq.fail(f"*=slow:{CALL_S:.0f}x1")
    model = agent.model([*agent.first, ToolCall(name=f"{agent.prefix}groq_chat", arguments={"prompt": "Name three colors."})])
    ours = npm.home / ".config/groq-fallback-mcp/config.toml"
    ours.parent.mkdir(parents=True)
    ours.write_text(
        f'base_url = "{groq.base_url}"\nlocal = "off"\ndeadline_s = {CALL_S * 4}\nattempt_timeout_s = {CALL_S * 1.5}\n'
    )
    async with model.serve() as url:
        launch = agent.configure(npm.home, npm.project, url, None)
        await set_up(name, home=npm.home, project=npm.project, environment={})
        run = await npm.run(
            agent.command,
            *launch.arguments,
            environment={**launch.environment, "GROQ_API_KEY": "gsk_simulated"},
            within_s=TIMEOUT_S,
        )

    assert LAST_WORDS in run.stdout, run
    shown = agent.read(model.tool_results[-1])
    (written,) = groq.text.written
    text = shown.text if shown.structured is None else shown.structured["text"]
    assert text is not None
    assert text.startswith(written.strip())
