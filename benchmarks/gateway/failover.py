"""How many faults of an upstream end in the whole answer of the next model, or at least in an error: tests/gateway/test_failover.py."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

from benchmarks.gateway.contenders import OURS
from benchmarks.gateway.figures import Figure

__all__ = ["measure"]

SUITE = "tests/gateway/test_failover.py"
# In a process of its own: the suite's helpers are modules without a package.
_COUNT = """
import json, sys
sys.path += ["tests/support", "tests/gateway"]
from test_failover import STREAMED, WHOLE
verdicts = [fault.verdict for fault in WHOLE] + [verdict for fault in STREAMED for verdict in (fault.verdict, fault.held)]
print(json.dumps([len({fault.name for fault in (*WHOLE, *STREAMED)}), len(verdicts), verdicts.count("safe")]))
"""


async def measure(*, alone: bool) -> list[Figure]:
    """Ours alone; each fault not streamed, streamed as it comes, and streamed with text held."""
    del alone
    faults, cases, safe = json.loads(await _output("-c", _COUNT))
    ran = await _output("-m", "pytest", SUITE, "-q", "-p", "no:cacheprovider")
    failed = sum(int(count) for count in re.findall(r"(\d+) (?:failed|errors?)\b", ran))
    note = f"{cases} cases of {faults} faults"
    return [
        Figure(name="failover suite: FAIL", unit="", found={OURS: failed}, limit=0.0, note=note),
        Figure(name="failover suite: an error and not another model's answer", unit="", found={OURS: safe}, note=note),
    ]


async def _output(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    return (await process.communicate())[0].decode()
