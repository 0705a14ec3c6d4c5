"""A day of work in small: twenty thousand calls of all four tools through one process."""

from __future__ import annotations

import asyncio
import tempfile
import wave
from pathlib import Path

from benchmarks.speed.client import Server, Upstream, started, upstream
from benchmarks.speed.contenders import MODEL, Contender, ours
from benchmarks.speed.rows import Row

__all__ = ["measure"]

CALLS = 20_000
WARM = 2_000
WIDTH = 16
# Of a hundred calls: one transcribes, ten look at limits, five at models, the others ask.
LOOKS_AT_LIMITS, LOOKS_AT_MODELS = 10, 15


async def measure(calls: int = CALLS) -> list[Row]:
    """Memory after the first tenth and at the end; the state's size at the end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with upstream() as up:
            await up.set()
            _write_speech(folder / "speech.wav")
            us = ours(folder, up.address, GROQ_FALLBACK_FILES=name)
            async with started(us) as server:
                warm = calls // (CALLS // WARM)
                await _work(server, us, up, warm)
                before = server.memory_mib()
                await _work(server, us, up, calls - warm)
                after = server.memory_mib()
            state_mib = sum(path.stat().st_size for path in folder.glob("state.sqlite3*")) / 2**20
    return [
        Row(
            figure=f"memory growth from call {warm:,} to {calls:,} of all tools",
            unit="MiB",
            ours=after - before,
            peer="itself",
            theirs=before,
            limit=5.0,
            of="ours",
        ),
        Row(figure="state file and its log after that", unit="MiB", ours=state_mib, limit=8.0, of="ours"),
    ]


async def _work(server: Server, us: Contender, up: Upstream, calls: int) -> None:
    """Most ask, some fail first, some look at limits and models, a few transcribe."""
    numbers = iter(range(calls))
    assert us.ask is not None
    tool, arguments = us.ask

    async def worker() -> None:
        for number in numbers:
            turn = number % 100
            if turn == 0:
                await server.call(("transcribe", {"file": "speech.wav"}))
            elif turn <= LOOKS_AT_LIMITS:
                await server.call(("check_limits", {}))
            elif turn <= LOOKS_AT_MODELS:
                await server.call(("list_models", {}))
            else:
                await server.call((tool, {**arguments, "prompt": f"{arguments['prompt']} {number}"}))

    async def weather() -> None:
        """The first model is limited for a moment, again and again."""
        while True:
            await asyncio.sleep(2)
            await up.set({MODEL: {"status": 429, "retry_after": 1, "until_s": 0.2}})

    changing = asyncio.create_task(weather())
    await asyncio.gather(*(worker() for _ in range(WIDTH)))
    changing.cancel()


def _write_speech(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(32_000))
