"""Four real processes over loopback: do they keep to one organisation's limits together?

No virtual time here: each process is put together from its settings as the server is, with the real provider, and
asks the project's simulator. Whether they share a ledger is a matter of those settings: set GROQ_FALLBACK_STATE, or
leave it, in which case a state folder of their own, new with every run, is what they have in common.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import httpx

from benchmarks.goodput.workload import arrivals
from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.call import ChatRequest
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.gateway.walk import Answer
from groq_fallback_mcp.settings import load_settings
from groq_fallback_mcp.simulator import create_app
from groq_fallback_mcp.simulator.options import SimulatorOptions
from groq_fallback_mcp.simulator.serving import run_simulator

PROCESSES = 4
MODELS = ("openai/gpt-oss-20b", "openai/gpt-oss-120b", "qwen/qwen3.8-27b")
TPM, RPM, PER_DAY = 20_000, 600, 1_000_000
DEADLINE_S = 10.0
# Of every call: its prompt in bytes, its bound, and the tokens that the simulator makes of prompt and answer.
PROMPT_BYTES, MAX_TOKENS, TOKENS = 400, 300, 111
# Half a second an answer, so that calls overlap.
LATENCY_SCALE = 8.0
STARTS_AFTER_S = 4.0


def main() -> None:
    """The whole check, or with `--worker` one of its processes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.goodput.processes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long calls arrive (default 30)")
    parser.add_argument("--load", type=float, default=1.0, help="tokens asked for over what the buckets can give (default 1)")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--start-at", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is None:
        print(json.dumps(asyncio.run(_check(options.seconds, options.load)), indent=1))
    else:
        calls = round(options.load * _capacity(options.seconds) / TOKENS / PROCESSES)
        print(json.dumps(asyncio.run(_work(options.worker, calls, options.seconds, options.start_at))))


async def _check(seconds: float, load: float) -> Mapping[str, object]:
    with TemporaryDirectory() as folder:
        catalog = Path(folder) / "catalog.toml"
        catalog.write_text(_limits(), encoding="utf-8")
        app = create_app(SimulatorOptions(latency_scale=LATENCY_SCALE), catalog=load_catalog(catalog), clock=SystemClock())
        async with run_simulator(app) as simulator:
            environment = {
                **os.environ,
                "HOME": folder,
                "XDG_STATE_HOME": folder,
                "XDG_CONFIG_HOME": folder,
                "GROQ_API_KEY": "gsk_benchmark",
                "GROQ_BASE_URL": simulator.base_url,
                "GROQ_FALLBACK_CATALOG": str(catalog),
                "GROQ_FALLBACK_LOCAL": "off",
                "GROQ_FALLBACK_DEADLINE_S": str(DEADLINE_S),
            }
            start_at = time.time() + STARTS_AFTER_S
            told = await asyncio.gather(*(_run(number, seconds, load, start_at, environment) for number in range(PROCESSES)))
            async with httpx.AsyncClient() as client:
                counts = (await client.get(f"{simulator.base_url}/simulator/calls")).json()
    return _report(told, counts)


async def _run(number: int, seconds: float, load: float, start_at: float, environment: Mapping[str, str]) -> list[float | None]:
    """For each call of a process the seconds it took, None where there was no answer."""
    flags = [f"--worker={number}", f"--seconds={seconds}", f"--load={load}", f"--start-at={start_at}"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.goodput.processes", *flags, env=environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"process {number} ended with {process.returncode}")
    told: list[float | None] = json.loads(output)
    return told


async def _work(number: int, calls: int, seconds: float, start_at: float) -> Sequence[float | None]:
    chance = random.Random(number)
    async with open_context(load_settings()) as context:

        async def call(after_s: float) -> float | None:
            await asyncio.sleep(start_at + after_s - time.time())
            started = time.monotonic()
            messages = ({"role": "user", "content": "x" * PROMPT_BYTES},)
            request = ChatRequest(messages=messages, use_case="fast", max_tokens=MAX_TOKENS)
            answer = await context.gateway.serve(request)
            return time.monotonic() - started if isinstance(answer, Answer) else None

        return await asyncio.gather(*(call(after_s) for after_s in arrivals(chance, calls, seconds)))


def _report(told: Sequence[Sequence[float | None]], counts: Mapping[str, Mapping[str, int]]) -> Mapping[str, object]:
    took = [seconds for process in told for seconds in process]
    answered = [seconds for seconds in took if seconds is not None]
    statuses = sum((Counter(statuses) for statuses in counts.values()), Counter[str]())
    return {
        "processes": PROCESSES,
        "calls": len(took),
        "answered": len(answered),
        "p95_s": round(quantiles(answered, n=20)[18], 3) if len(answered) > 1 else None,
        "upstream_requests": dict(statuses),
        "by_model": counts,
    }


def _capacity(seconds: float) -> float:
    return len(MODELS) * TPM * (1 + seconds / 60)


def _limits() -> str:
    """The limits that the simulator keeps and the processes know."""
    return "\n".join(
        f'[[limits]]\nmodel = "{model}"\nplan = "free"\nrpm = {RPM}\nrpd = {PER_DAY}\ntpm = {TPM}\ntpd = {PER_DAY}\nchecked = 2026-01-01\n'
        for model in MODELS
    )


if __name__ == "__main__":
    main()
