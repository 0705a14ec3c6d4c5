"""Calls that take longer than Kilo's limit on a call: progress makes Kilo wait on."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest
from e2e.conftest import SimulatedGroq
from e2e.kilo import RUN_TIMEOUT_S, Kilo
from e2e.scripted_model import LAST_WORDS, ScriptedModel, ToolCall

pytestmark = pytest.mark.anyio

QUESTION = {"prompt": "Name three colors."}
MUTE = (
    sys.executable,
    "-P",
    "-c",
    "from groq_fallback_mcp.cli.app import main; from groq_fallback_mcp.fallback import progress; progress.POLL_S = 3600; main()",
)
"""Our server, but for its progress."""
SHORT_LIMIT_S, SHORT_CALL_S = 7.0, 10.0
LONG_CALL_S = 90.0
TIMED_OUT = "Request timed out"


@pytest.mark.e2e
@pytest.mark.nightly
@pytest.mark.client("Kilo Code", "long calls")
async def test_kilo_awaits_a_call_beyond_its_limit_because_of_its_progress(kilo: Kilo, groq: SimulatedGroq) -> None:
    """With a limit of seconds. The server that was cut off serves the next call."""
    patient, cut_off, again = await ask_slow_groq(kilo, groq, slow_s=SHORT_CALL_S, limit_s=SHORT_LIMIT_S)

    assert answered(patient, groq)
    assert TIMED_OUT in cut_off
    assert answered(again, groq)


@pytest.mark.nightly
async def test_kilo_awaits_ninety_seconds_with_its_own_limit_of_sixty(kilo: Kilo, groq: SimulatedGroq) -> None:
    """As Kilo comes, with no time-out written into its configuration."""
    patient, cut_off, again = await ask_slow_groq(kilo, groq, slow_s=LONG_CALL_S, limit_s=None)

    assert answered(patient, groq)
    assert TIMED_OUT in cut_off
    assert answered(again, groq)


def answered(shown: str, groq: SimulatedGroq) -> bool:
    """Whether Kilo's model was shown something that the simulated Groq wrote."""
    return any(shown.startswith(text.strip()) for text in groq.text.written)


async def ask_slow_groq(kilo: Kilo, groq: SimulatedGroq, *, slow_s: float, limit_s: float | None) -> Sequence[str]:
    """What Kilo's model is shown of slow calls of our server and of its mute twin, made at once, and of a quick one of the twin.

    The twin shows that Kilo's limit is in force.
    """
    groq.fail(f"*=slow:{slow_s:.0f}x2")
    calls = [ToolCall(name=f"{server}_groq_chat", arguments=QUESTION) for server in ("groq", "mute", "mute")]
    model = ScriptedModel(calls=calls, at_once=2)
    patience = {"GROQ_FALLBACK_DEADLINE_S": f"{slow_s * 4:.0f}", "GROQ_FALLBACK_ATTEMPT_TIMEOUT_S": f"{slow_s * 1.5:.0f}"}
    async with model.serve() as url:
        kilo.configure(
            model_url=url,
            server_environment={**groq.environment, **patience},
            timeout_ms=None if limit_s is None else int(limit_s * 1_000),
            others={"mute": MUTE},
        )
        run = await kilo.ask("Follow the script.", within_s=RUN_TIMEOUT_S + slow_s)
    assert LAST_WORDS in run.stdout, run
    return model.tool_results
