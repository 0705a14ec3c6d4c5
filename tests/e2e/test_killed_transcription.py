"""A long transcription that is killed, and the same call again: only what is missing is sent."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import anyio
import pytest
from tone_speech import heard, script, wav

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.command import server_command
from groq_fallback_mcp.simulator import SimulatorOptions, Transcribed, create_app, run_simulator

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]
# 38 MB: more than the free plan takes in one upload, so five parts.
SECONDS = 1_250.0


class Ears:
    """Hears the first two parts, and then nothing until it may."""

    def __init__(self) -> None:
        self.heard = 0
        self.answered = 0
        self.held = anyio.Event()
        self.go_on = False

    async def transcribe(self, content: bytes, *, language: str | None, translate: bool) -> Transcribed:
        """Every word."""
        del language, translate
        if self.heard >= 2 and not self.go_on:
            self.held.set()
            await anyio.sleep_forever()
        self.heard += 1
        found = await heard(content)
        self.answered += 1
        return found


def environment_of(home: Path, base_url: str) -> dict[str, str]:
    """Variables of a client that knows the simulator and keeps its state in this folder."""
    return {
        **{name: os.environ[name] for name in ("PATH",) if name in os.environ},
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "GROQ_API_KEY": "gsk_simulated",
        "GROQ_BASE_URL": base_url,
        "GROQ_FALLBACK_LOCAL": "off",
        "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
    }


@pytest.mark.fault("B26")
# the interrupted client leaves its upload open in the simulator
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_interrupted_run_says_what_is_kept(tmp_path: Path) -> None:
    """Ctrl-C: the person learns that the work is not lost."""
    # a child of a job in the background would inherit that interrupts are ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    (tmp_path / "talk.wav").write_bytes(wav(script(SECONDS), SECONDS))
    ears = Ears()
    app = create_app(SimulatorOptions(latency_scale=0.0), catalog=load_catalog(), clock=SystemClock(), speech_engine=ears)
    command = [*server_command(), "transcribe", "talk.wav"]
    async with run_simulator(app) as simulator:
        environment = environment_of(tmp_path, simulator.base_url)
        with anyio.fail_after(180):
            async with await anyio.open_process(command, env=environment, cwd=tmp_path) as first:
                await ears.held.wait()
                while ears.answered < 2:  # noqa: ASYNC110 - the answers are on their way to the process
                    await anyio.sleep(0.05)
                await anyio.sleep(0.5)
                first.send_signal(signal.SIGINT)
                assert first.stderr is not None
                said = b"".join([chunk async for chunk in first.stderr]).decode()
                assert await first.wait() == 130
                for pipe in (first.stdin, first.stdout):
                    assert pipe is not None
                    await pipe.aclose()
    assert "2 of 5 parts are kept; repeat the command to resume" in said


# the killed client leaves its upload open in the simulator
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_killed_run_repeated_sends_only_the_missing_parts(tmp_path: Path) -> None:
    """SIGKILL: nothing could be tidied up."""
    (tmp_path / "talk.wav").write_bytes(wav(script(SECONDS), SECONDS))
    ears = Ears()
    app = create_app(SimulatorOptions(latency_scale=0.0), catalog=load_catalog(), clock=SystemClock(), speech_engine=ears)
    command = [*server_command(), "transcribe", "talk.wav", "--json", "--save-to", "talk.txt"]
    async with run_simulator(app) as simulator:
        environment = environment_of(tmp_path, simulator.base_url)
        with anyio.fail_after(180):
            async with await anyio.open_process(command, env=environment, cwd=tmp_path) as first:
                await ears.held.wait()
                while ears.answered < 2:  # noqa: ASYNC110 - the answers are on their way to the process
                    await anyio.sleep(0.05)
                # what was answered is kept before the next part is sent, and one is being sent
                await anyio.sleep(0.5)
                first.send_signal(signal.SIGKILL)
                await first.wait()
                for pipe in (first.stdin, first.stdout, first.stderr):
                    assert pipe is not None
                    await pipe.aclose()
        assert not (tmp_path / "talk.txt").exists()
        ears.go_on = True
        done = await anyio.run_process(command, env=environment, cwd=tmp_path)
    result = json.loads(done.stdout)
    assert (tmp_path / "talk.txt").read_text().split() == [word.word for word in script(SECONDS)]
    assert any("2 of" in note and "not sent again" in note for note in result.get("notes", ())), result.get("notes", ())
    assert ears.heard == result["parts"]
    assert not list((tmp_path / "state").rglob("*.flac"))
