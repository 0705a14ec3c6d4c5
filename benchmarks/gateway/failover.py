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
    counts = {outcome: int(count) for count, outcome in re.findall(r"(\d+) (passed|failed|error)", ran)}
    if sum(counts.values()) < len(verdicts):
        raise RuntimeError(f"the suite ran {counts}, and has {len(verdicts)} cases")
    failed = sum(counts.values()) - counts.get("passed", 0)
    note = f"{len(verdicts)} cases of {len(faults)} faults"
    return [
        Figure(name="failover suite: FAIL", unit="", found={OURS: failed}, limit=0.0, note=note),
        Figure(
            name="failover suite: error instead of an answer",
            unit="%",
            found={OURS: 100 * verdicts.count("safe") / len(verdicts)},
            limit=3.0,
            note=note,
        ),
    ]


async def _output(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    return (await process.communicate())[0].decode()
