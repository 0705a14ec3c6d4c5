"""Calls whose first model fails: how soon the other answers, and how often the failing one is asked."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.speed.client import Server, Upstream, started, upstream
from benchmarks.speed.contenders import MODEL, OTHER, Contender, all_contenders, ours
from benchmarks.speed.rows import Row

__all__ = ["measure"]

RETRY_AFTER_S = 2
LIMITED: Mapping[str, object] = {"status": 429, "retry_after": RETRY_AFTER_S}
BROKEN: Mapping[str, object] = {"status": 503}
CALLS = 200
WIDTH = 32
TUNED, DEFAULT = "LiteLLM Router, tuned", "LiteLLM Router, default"
CHAIN, FALLBACK = "groq SDK, a chain", "pydantic-ai FallbackModel"


async def measure(rounds: int = 5) -> list[Row]:
    """First answers, then two hundred calls while the first model is limited, then a hanging one."""
    async with upstream() as up:
        peers = all_contenders(up.address)
        rows: list[Row] = []
        for what, rule in (("429", LIMITED), ("503", BROKEN)):
            took = {
                name: await _first_answer_ms(up, peers.get(name), rule, rounds if name in {"", TUNED} else 2)
                for name in ("", TUNED, DEFAULT, CHAIN, FALLBACK)
                if not name or peers[name].is_there()
            }
            rows += [
                Row(
                    figure=f"first answer after a {what}, less the fallback's own",
                    unit="ms",
                    ours=took[""],
                    peer=name,
                    theirs=their,
                    ratio=took[""] / max(their, 0.01),
                    limit=10.0 if name == TUNED else None,
                    of="ours",
                )
                for name, their in took.items()
                if name
            ]
        rows += await _asked_while_limited(up, peers)
        rows.append(await _hang(up))
        return rows


def _contender(peer: Contender | None, folder: str, up: Upstream) -> Contender:
    return ours(Path(folder), up.address) if peer is None else peer


async def _first_answer_ms(up: Upstream, peer: Contender | None, rule: Mapping[str, object], rounds: int) -> float:
    """A new process each round: what it has learnt would spoil the figure."""
    found: list[float] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            contender = _contender(peer, folder, up)
            assert contender.ask is not None
            await up.set()
            async with started(contender) as server:
                await server.request("tools/list", {})
                for _ in range(10):
                    await server.call(contender.ask)
                usual_s = statistics.median([await _timed(server, contender) for _ in range(10)])
                await up.set({MODEL: rule})
                found.append((await _timed(server, contender) - usual_s) * 1e3)
    return statistics.median(found)


async def _timed(server: Server, contender: Contender) -> float:
    assert contender.ask is not None
    begun = time.perf_counter()
    await server.call(contender.ask)
    return time.perf_counter() - begun


async def _asked_while_limited(up: Upstream, peers: Mapping[str, Contender]) -> list[Row]:
    rows: list[Row] = []
    for width, what in ((1, "sequential"), (WIDTH, f"{WIDTH} in flight")):
        counts: dict[str, tuple[int, int, float]] = {}
        # the groq SDK waits out each retry-after, two times a call: with one call after the other that is a quarter of an hour
        for name in ("", TUNED, *((CHAIN, FALLBACK) if width > 1 else ())):
            if not name or peers[name].is_there():
                counts[name] = await _limited(up, peers.get(name), width)
        asked, together, ran_s = counts[""]
        allowed = 1 + ran_s / RETRY_AFTER_S
        for name, (their, their_together, their_s) in counts.items():
            if name:
                rows.append(
                    Row(
                        figure=f"calls to a limited model in {CALLS} calls, {what}",
                        unit="",
                        ours=asked,
                        peer=name,
                        theirs=their,
                        ratio=asked / max(their, 1),
                        limit=allowed if name == TUNED else None,
                        of="ours",
                        note=f"{ran_s:.1f} s, at most {together} at once; {their_s:.1f} s, {their_together}",
                    )
                )
    return rows


async def _limited(up: Upstream, peer: Contender | None, width: int) -> tuple[int, int, float]:
    with tempfile.TemporaryDirectory() as folder:
        contender = _contender(peer, folder, up)
        assert contender.ask is not None
        tool = contender.ask
        await up.set()
        async with started(contender) as server:
            await server.call(tool)
            # at 20 ms a call the run is long enough for the limit to end and be met again
            await up.set({MODEL: LIMITED, OTHER: {"delay_ms": 20 * width}})
            numbers = iter(range(CALLS))

            async def worker() -> None:
                for _ in numbers:
                    await server.call(tool)

            begun = time.perf_counter()
            await asyncio.gather(*(worker() for _ in range(width)))
            ran_s = time.perf_counter() - begun
        counts = await up.counts()
    return counts["calls"].get(MODEL, 0), counts["most_in_flight"].get(MODEL, 0), ran_s


async def _hang(up: Upstream) -> Row:
    took_ms = await _first_answer_ms(up, None, {"hang": True}, 1)
    return Row(
        figure="first answer when the first model hangs",
        unit="s",
        ours=took_ms / 1e3,
        peer="the time-out learnt from its answers",
        theirs=5.0,
        limit=5.1,
        of="ours",
        note="the peers' is minutes by default",
    )
