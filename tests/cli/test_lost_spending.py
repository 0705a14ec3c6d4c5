"""A damaged ledger with a daily budget, as a person meets it: in the error, the limits, doctor, and the way out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.test_commands import command, simulated

from groq_fallback_mcp.simulator import run_simulator

pytestmark = pytest.mark.anyio


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

        assert (await run("chat", "hi"))[0] == 0
        assert "Nothing was lost" in (await run("limits", "--reopen-budget"))[1]
        state.write_bytes(b"damaged " * 2_000)
        status, refused = await run("chat", "hi")
        assert status == 1
        assert "over_budget" in refused
        limits = (await run("limits"))[1]
        doctor = await run("doctor")
        for told in (refused, limits, doctor[1]):
            assert "until midnight UTC" in told
            assert "groq-fallback-mcp limits --reopen-budget" in told
        assert doctor[0] == 1
        found = json.loads((await run("limits", "--json"))[1].rpartition("}\n")[0] + "}")
        assert "not known" in found["spent"]["incomplete"]
        status, told = await run("limits", "--reopen-budget")
        assert (status, "is open again" in told) == (0, True)
        assert (await run("chat", "hi"))[0] == 0
        after = (await run("limits"))[1]
        assert "the ledger was damaged today; what was spent before is not counted." in after
        assert (await run("doctor"))[0] == 0
