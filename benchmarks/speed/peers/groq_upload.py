"""Groq's SDK, and httpx by itself, uploading a file: `groq_upload.py sdk|httpx PATH`, with the figures as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import groq
import httpx

BASE_URL = os.environ.get("UPSTREAM", "http://127.0.0.1:1")


def peak_mib() -> float:
    """The most that was resident so far."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


async def main() -> None:
    """One small upload to warm up, then the file."""
    how, path = sys.argv[1], Path(sys.argv[2])
    stalls = [0.0]

    async def watch() -> None:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(0.005)
            stalls.append(time.perf_counter() - asked - 0.005)

    small = path.with_name("small.wav")
    async with httpx.AsyncClient(base_url=BASE_URL, timeout=600) as client:
        sdk = groq.AsyncGroq(api_key="k", base_url=BASE_URL, timeout=600)

        async def upload(file: Path) -> None:
            if how == "sdk":
                await sdk.audio.transcriptions.create(file=file, model="whisper-large-v3-turbo")
            else:
                with file.open("rb") as opened:
                    files = {"file": (file.name, opened, "audio/wav")}
                    data = {"model": "whisper-large-v3-turbo"}
                    (await client.post("/openai/v1/audio/transcriptions", data=data, files=files)).raise_for_status()

        await upload(small)
        Path("/proc/self/clear_refs").write_text("5")
        before = peak_mib()
        watching = asyncio.create_task(watch())
        await asyncio.sleep(0.05)
        stalls.clear()
        begun = time.perf_counter()
        await upload(path)
        took_s = time.perf_counter() - begun
        await asyncio.sleep(0.01)
        watching.cancel()
    print(json.dumps({"seconds": took_s, "peak_mib": peak_mib() - before, "stall_ms": max(stalls, default=0.0) * 1e3}))


if __name__ == "__main__":
    asyncio.run(main())
