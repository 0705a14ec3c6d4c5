"""Real Kilo, opencode, Cline and Continue on a small task through the real gateway, while Groq fails in six ways.

Each is set up by `setup --gateway` alone. It writes a file, reads it, runs a command and answers: four calls of its model.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.gateway_agents import GATEWAY_AGENTS, work_through
from e2e.scripted_groq import FAULTS, Fault

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]
LARGE, SMALL = 250_000, 8_000
WITHIN_S = {LARGE: 120.0, SMALL: 240.0}


@pytest.mark.nightly
@pytest.mark.parametrize("tpm", [LARGE, SMALL])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", GATEWAY_AGENTS)
async def test_an_agent_does_its_task_or_is_refused_once(name: str, fault: Fault, tpm: int, tmp_path: Path) -> None:
    """The file is right, nothing is asked twice, and Groq refuses nothing for its limits."""
    outcome = await work_through(name, fault=fault, tpm=tpm, home=tmp_path, within_s=WITHIN_S[tpm])
    assert outcome.verdict in ({"done"} if tpm == LARGE else {"done", "refused once"}), outcome
