"""transcribe with large files: memory, throughput, and how long the server keeps a ping waiting."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
import wave
from pathlib import Path

from benchmarks.speed.client import Server, started, upstream
from benchmarks.speed.contenders import ENVIRONMENTS, HERE, ours
from benchmarks.speed.rows import Row, ratio_of

__all__ = ["measure"]

SIZES_MB = (25, 100)
PING_EVERY_S = 0.002
Figures = dict[str, float]


async def measure(rounds: int = 3) -> list[Row]:
    """Ours, Groq's SDK given a path, and httpx given an open file, in turn."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_wav(folder / "small.wav", 0.05)
        async with upstream() as up:
            for size_mb in SIZES_MB:
                path = folder / f"{size_mb}.wav"
                _write_wav(path, size_mb)
                us = ours(folder, up.address, GROQ_FALLBACK_FILES=name, GROQ_FALLBACK_PLAN="developer")
                found: dict[str, list[Figures]] = {"": [], "sdk": [], "httpx": []}
                for _ in range(rounds):
                    async with started(us) as server:
                        found[""].append(await _ours(server, path))
                    for how in ("sdk", "httpx"):
                        found[how].append(await asyncio.to_thread(_peer, how, path, up.address))
                rows += _rows(size_mb, found)
    return rows


async def _ours(server: Server, path: Path) -> Figures:
    await server.call(("transcribe", {"file": "small.wav"}))
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
    before = server.memory_mib("VmHWM")
    pings: list[float] = []

    async def ping() -> None:
        while True:
            asked = time.perf_counter()
            await server.request("ping", {})
            pings.append(time.perf_counter() - asked)
            await asyncio.sleep(PING_EVERY_S)

    pinging = asyncio.create_task(ping())
    begun = time.perf_counter()
    result = await server.call(("transcribe", {"file": path.name}))
    took_s = time.perf_counter() - begun
    pinging.cancel()
    assert result["structuredContent"]["model"]
    return {"seconds": took_s, "peak_mib": server.memory_mib("VmHWM") - before, "stall_ms": max(pings, default=0.0) * 1e3}


def _peer(how: str, path: Path, address: str) -> Figures:
    command = [str(ENVIRONMENTS / "groq/bin/python"), str(HERE / "peers/groq_upload.py"), how, str(path)]
    environment = {"PATH": os.environ["PATH"], "UPSTREAM": address}
    figures: Figures = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    return figures


def _rows(size_mb: int, found: dict[str, list[Figures]]) -> list[Row]:
    def median(who: str, figure: str) -> float:
        return statistics.median(one[figure] for one in found[who])

    def rates(who: str) -> list[float]:
        return [size_mb / one["seconds"] for one in found[who]]

    what = f"transcribe, {size_mb} MB"
    sdk, raw = "groq SDK given a path", "httpx given an open file"
    return [
        Row(
            figure=f"{what}: memory growth",
            unit="MiB",
            ours=median("", "peak_mib"),
            peer=sdk,
            theirs=median("sdk", "peak_mib"),
            limit=6.0,
            of="ours",
        ),
        Row(
            figure=f"{what}: throughput, all of the call",
            unit="MB/s",
            ours=statistics.median(rates("")),
            peer=sdk,
            theirs=statistics.median(rates("sdk")),
            ratio=ratio_of(rates(""), rates("sdk")),
            limit=1.2,
            at_least=True,
        ),
        Row(
            figure=f"{what}: throughput, all of the call",
            unit="MB/s",
            ours=statistics.median(rates("")),
            peer=raw,
            theirs=statistics.median(rates("httpx")),
            ratio=ratio_of(rates(""), rates("httpx")),
        ),
        Row(
            figure=f"{what}: longest wait for a ping",
            unit="ms",
            ours=median("", "stall_ms"),
            peer=f"{sdk}, its event loop",
            theirs=median("sdk", "stall_ms"),
            limit=15.0,
            of="ours",
        ),
    ]


def _write_wav(path: Path, size_mb: float) -> None:
    """Sound of 48 kHz in stereo, so that a hundred megabytes are nine minutes: one request."""
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 48_000, 0, "NONE", ""))
        second = bytes(range(256)) * (48_000 * 4 // 256)
        for _ in range(max(int(size_mb * 1e6 / len(second)), 1)):
            file.writeframes(second)
