"""A damaged ledger with a daily budget, as a person meets it: in the error, the limits, doctor, and the way out."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from command_line import command, simulated

from groq_fallback_mcp.simulator import run_simulator

pytestmark = pytest.mark.anyio


@pytest.mark.nightly
@pytest.mark.fault("B8")
async def test_unknown_spending_is_told_everywhere_and_can_be_accepted(tmp_path: Path) -> None:
    """Until then no call that costs anything is sent."""
    state = tmp_path / "ledger.sqlite3"
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]

        async def run(*arguments: str) -> tuple[int, str]:
            done = await command(
                *arguments,
                base_url=running.base_url,
                cwd=tmp_path,
                GROQ_FALLBACK_STATE=f"sqlite://{state}",
                GROQ_FALLBACK_BUDGET_TOKENS_PER_DAY="100000",
                GROQ_FALLBACK_LOG_FILE=str(tmp_path / "log"),
            )
            return done.returncode, done.stdout + done.stderr

        state.write_bytes(b"damaged " * 2_000)
        status, refused = await run("chat", "hi")
        assert status == 1
        assert "over_budget" in refused
        told: dict[str, tuple[int, str]] = {}

        async def ask(*arguments: str) -> None:
            told[arguments[0]] = await run(*arguments)

        async with anyio.create_task_group() as both:
            both.start_soon(ask, "doctor")
            both.start_soon(ask, "limits", "--json")
        found = json.loads(told["limits"][1].rpartition("}\n")[0] + "}")
        for text in (refused, told["doctor"][1], found["spent"]["incomplete"]):
            assert "until midnight UTC" in text
            assert "groq-fallback-mcp limits --reopen-budget" in text
        assert told["doctor"][0] == 1
        status, answer = await run("limits", "--reopen-budget")
        assert (status, "is open again" in answer) == (0, True)
        after = (await run("limits"))[1]
        assert "The ledger was damaged today, so earlier spending is not counted." in after
