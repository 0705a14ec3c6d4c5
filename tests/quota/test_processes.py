"""Eight real processes on one ledger: together they take what one alone could, never more, and lose nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from stores import RedisServer

from groq_fallback_mcp.quota.buckets import ON_THE_WAY_S

PROCESSES = 8
SECONDS = 3.0
CAPACITY = 240
WINDOW_S = 60.0
PROGRAM = Path(__file__).with_name("process_that_reserves.py")


def run(state: str) -> list[dict[str, list[float]]]:
    """What each process was granted."""
    command = [sys.executable, str(PROGRAM), state, str(SECONDS), str(CAPACITY)]
    children = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    results = []
    for child in children:
        out, _ = child.communicate(timeout=120)
        assert child.returncode == 0
        results.append(json.loads(out))
    return results


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_eight_processes_share_one_limit(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The sum over any stretch stays within the bucket, and what the bucket gives is taken."""
    if kind == "redis":
        server: RedisServer = request.getfixturevalue("own_redis")
        state = server.url
    else:
        state = str(tmp_path / "ledger.sqlite3")
    results = run(state)
    grants = sorted(at for result in results for at in result["granted"])
    rate = CAPACITY / WINDOW_S
    for first, begun in enumerate(grants):
        # clocks are read a moment apart from the grant
        allowed = CAPACITY + (grants[-1] - begun + 0.05) * rate
        assert len(grants) - first <= allowed + 1
    assert len(grants) >= CAPACITY + (grants[-1] - grants[0] - ON_THE_WAY_S) * rate - 2
    assert sum(bool(result["granted"]) for result in results) >= PROCESSES - 1
