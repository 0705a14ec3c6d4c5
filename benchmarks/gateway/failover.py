"""How many faults of an upstream end in the whole answer of the next model, or at least in an error: tests/gateway/test_failover.py."""

from __future__ import annotations

import asyncio
import re
import sys
import tomllib
from pathlib import Path

from benchmarks.gateway.contenders import OURS
from benchmarks.gateway.figures import Figure

__all__ = ["measure"]

SUITE = "tests/gateway/test_failover.py"
VERDICTS = Path(__file__).parents[2] / "tests/gateway/failover.toml"


async def measure(*, alone: bool) -> list[Figure]:
    """Ours alone; each fault not streamed, streamed as it comes, and streamed with text held."""
    del alone
    faults = tomllib.loads(VERDICTS.read_text(encoding="utf-8"))["fault"]
    verdicts = [fault[form] for fault in faults for form in ("whole", "streamed", "held") if form in fault]
    ran = await _output("-m", "pytest", SUITE, "-q", "-p", "no:cacheprovider")
    failed = sum(int(count) for count in re.findall(r"(\d+) (?:failed|errors?)\b", ran))
    note = f"{len(verdicts)} cases of {len(faults)} faults"
    return [
        Figure(name="failover suite: FAIL", unit="", found={OURS: failed}, limit=0.0, note=note),
        Figure(
            name="failover suite: an error and not another model's answer",
            unit="",
            found={OURS: verdicts.count("safe")},
            note=note,
        ),
    ]


async def _output(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    return (await process.communicate())[0].decode()
