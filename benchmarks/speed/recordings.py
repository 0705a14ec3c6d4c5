"""An hour of speech decoded, cut and written in parts, beside PyAV's decoding alone."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from benchmarks.audio.__main__ import measured, record
from benchmarks.speed.rows import Row

__all__ = ["measure"]


async def measure(minutes: int = 60) -> list[Row]:
    """Each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.wav"
        await asyncio.to_thread(record, path, float(minutes))
        floor = await asyncio.to_thread(measured, "floor", path)
        whole = await asyncio.to_thread(measured, "whole", path)
    what = f"{minutes} minutes of WAV"
    return [
        Row(
            figure=f"{what}: decoded, cut, written as FLAC",
            unit="s",
            ours=whole["split_s"],
            peer="PyAV decodes and resamples",
            theirs=floor["seconds"],
            ratio=whole["split_s"] / floor["seconds"],
            limit=1.3,
        ),
        Row(
            figure=f"{what}: memory growth of all of transcribe",
            unit="MiB",
            ours=whole["peak_mib"],
            peer="PyAV decodes and resamples",
            theirs=floor["peak_mib"],
            limit=64.0,
            of="ours",
        ),
        Row(
            figure=f"{what}: longest stall of the event loop meanwhile",
            unit="ms",
            ours=whole["stall_ms"],
            limit=50.0,
            of="ours",
        ),
    ]
