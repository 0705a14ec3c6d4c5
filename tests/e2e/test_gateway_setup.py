"""What `setup --gateway` writes before the real Kilo: its own check, and the models it then lists."""

from __future__ import annotations

import pytest
from command_line import command
from e2e.kilo import Kilo

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]


@pytest.mark.parametrize("plan", ["free", "developer"])
async def test_kilo_finds_nothing_wrong_and_lists_the_models(kilo: Kilo, plan: str) -> None:
    """With the model for titles alone, and with both."""
    home = {"HOME": str(kilo.home), "GROQ_FALLBACK_PLAN": plan}
    done = await command("setup", "kilo", "--gateway", cwd=kilo.project, **home)
    assert done.returncode == 0, done
    check = await kilo.command("config", "check")
    assert (check.status, "No config warnings" in check.stdout + check.stderr) == (0, True), check
    listed = await kilo.command("models", "groq-fallback")
    assert {"groq-fallback/auto", "groq-fallback/openai/gpt-oss-20b"} <= set(listed.stdout.split()), listed
