"""Clients that are killed while a call is under way: they have no time to say goodbye, and our server must end by itself."""

from __future__ import annotations

import anyio
import anyio.to_thread
import pytest
from anyio.abc import Process
from e2e.agents import AGENTS, agents
from e2e.conftest import SimulatedGroq, StalledText
from e2e.npm_clients import COMMAND, TIMEOUT_S, Npm
from e2e.processes import END_S, Watch, kill_all_but, marked
from e2e.scripted_model import ToolCall

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]
QUESTION = {"prompt": "Name three colors."}


@pytest.fixture
def stalled(groq: SimulatedGroq) -> StalledText:
    """A model that never answers."""
    groq.text.engine = stalled = StalledText()
    return stalled


@pytest.mark.parametrize("name", agents("claude-code"))
@pytest.mark.client("Claude Code", "cleans up")
@pytest.mark.client("Cline", "cleans up")
@pytest.mark.client("Codex", "cleans up")
@pytest.mark.client("Gemini CLI", "cleans up")
@pytest.mark.client("opencode", "cleans up")
async def test_our_server_ends_when_an_agent_is_killed_during_a_call(
    npm: Npm, groq: SimulatedGroq, stalled: StalledText, watch: Watch, name: str
) -> None:
    """The agent with all its processes."""
    agent = AGENTS[name]
    model = agent.model([*agent.first, ToolCall(name=f"{agent.prefix}groq_chat", arguments=QUESTION)])
    async with model.serve() as url:
        launch = agent.configure(npm.home, npm.project, url, {**groq.environment, "E2E_MARK": watch.mark})
        async with npm.started(agent.command, *launch.arguments, environment=launch.environment) as process:
            await kill_during_the_call(process, stalled, watch)
            left = await anyio.to_thread.run_sync(watch.left_after, END_S)
    stalled.let_go.set()

    assert left == set()
    assert marked(watch.mark) == set()


@pytest.mark.client("mcporter", "cleans up")
async def test_our_server_ends_when_mcporter_is_killed_during_a_call(
    npm: Npm, groq: SimulatedGroq, stalled: StalledText, watch: Watch
) -> None:
    """The command and what it started."""
    call = (
        "call",
        "--stdio",
        " ".join(COMMAND),
        "--env",
        f"E2E_MARK={watch.mark}",
        "groq_chat",
        f"prompt={QUESTION['prompt']}",
    )
    async with npm.started("mcporter", *call, environment=groq.environment) as process:
        await kill_during_the_call(process, stalled, watch)
        left = await anyio.to_thread.run_sync(watch.left_after, END_S)
    stalled.let_go.set()

    assert left == set()
    assert marked(watch.mark) == set()


async def kill_during_the_call(client: Process, stalled: StalledText, watch: Watch) -> None:
    """Wait until the model is at work, and kill the client with all it started but our server."""
    with anyio.fail_after(TIMEOUT_S):
        await stalled.asked.wait()
    watch.take_hold()
    assert watch.seen, "our server was never there"
    assert client.pid not in watch.seen
    kill_all_but(watch.mark, root=client.pid)
