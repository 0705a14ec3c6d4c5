"""A check of the virtual figures in real time: real server code in several processes, one ledger, a simulated Groq on loopback.

`python -m benchmarks.goodput.processes [--processes 4] [--seconds 40] [--load 2.5]` prints how many calls were answered
in time and how many the simulator refused. Each child is what a client starts, settings and all, without stdio around it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping

import anyio

from benchmarks.goodput.prompts import text_of
from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.call import ChatRequest
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.settings import load_settings
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, run_simulator

__all__: list[str] = []

MODELS = ("openai/gpt-oss-20b", "openai/gpt-oss-120b", "qwen/qwen3.8-27b")
# Buckets begin full and fill in a minute: in forty seconds they give 1.7 times what they hold, which a load of 2.5 just takes.
LIMITS: Mapping[str, int] = {"rpm": 600, "rpd": 100_000, "tpm": 12_000, "tpd": 10_000_000}
MEAN_TOKENS = 420
DEADLINE_S = 15.0


def main() -> None:
    """Parent or child."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.goodput.processes", description=__doc__)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--load", type=float, default=2.5, help="tokens asked for over the refill of all buckets")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        asyncio.run(_child(options.child, options.seconds, options.load / options.processes))
    else:
        print(json.dumps(asyncio.run(_parent(options)), indent=2))


async def _parent(options: argparse.Namespace) -> Mapping[str, object]:
    simulated = SimulatorOptions(latency_scale=1.0, limits=dict.fromkeys(MODELS, LIMITS))
    app = create_app(simulated, catalog=load_catalog(), clock=SystemClock())
    with tempfile.TemporaryDirectory() as folder:
        async with run_simulator(app) as running:
            environment = {
                **os.environ,
                "GROQ_API_KEY": "gsk_simulated",
                "GROQ_BASE_URL": running.base_url,
                "GROQ_FALLBACK_LOCAL": "off",
                "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
                "GROQ_FALLBACK_STATE": f"sqlite://{folder}/ledger.sqlite3",
                "GROQ_FALLBACK_DEADLINE_S": str(DEADLINE_S),
                "GROQ_FALLBACK_CONFIG": f"{folder}/none.toml",
            }
            given = ["--processes", str(options.processes), "--seconds", str(options.seconds), "--load", str(options.load)]
            command = [sys.executable, "-m", "benchmarks.goodput.processes", *given, "--child"]
            children = [
                subprocess.Popen([*command, str(number)], env=environment, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220 - starts at once
                for number in range(options.processes)
            ]
            outputs = [await anyio.to_thread.run_sync(child.communicate) for child in children]
            statuses = Counter[str]()
            for counts in app.state.world.calls.values():
                statuses.update(counts)
    totals = Counter[str]()
    for out, _ in outputs:
        totals.update(json.loads(out))
    return {
        "processes": options.processes,
        "calls": totals["calls"],
        "served_percent": round(100 * totals["served"] / totals["calls"], 1),
        "upstream_statuses": dict(statuses),
        "degraded_processes": totals["degraded"],
    }


async def _child(number: int, seconds: float, share: float) -> None:
    """Ask at random moments; `share` of the refill of all buckets is this process's part."""
    chance = random.Random(number)
    per_s = share * len(MODELS) * LIMITS["tpm"] / 60 / MEAN_TOKENS
    totals = Counter[str]()

    async with open_context(load_settings()) as context, anyio.create_task_group() as group:

        async def ask() -> None:
            prompt = text_of(int(min(max(chance.lognormvariate(5.6, 0.6), 60), 2_000)), chance.random())
            request = ChatRequest(messages=({"role": "user", "content": prompt},), use_case="fast", max_tokens=512)
            outcome = await context.engine.serve(request)
            totals["calls"] += 1
            totals["served"] += isinstance(outcome, Answer)

        text_of(60, 0.5)  # the corpus takes seconds to read
        end = anyio.current_time() + seconds
        while anyio.current_time() < end:
            group.start_soon(ask)
            await anyio.sleep(chance.expovariate(per_s))
    totals["degraded"] = context.engine.ledger.status.degraded is not None
    print(json.dumps(totals))


if __name__ == "__main__":
    main()
