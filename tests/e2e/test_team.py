"""A team at twice the limits: three gateways, one Redis, six tokens, one gateway killed in the middle.

For a minute; TEAM_SECONDS=300 for five. What each token got is printed.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio.abc import TaskGroup
from command_line import command
from gateway_process import environment_of, free_port, started
from stores import RedisServer, redis_program
from team import fair_shares

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, run_simulator

pytestmark = [pytest.mark.anyio, pytest.mark.e2e, pytest.mark.nightly]
SECONDS = float(os.environ.get("TEAM_SECONDS", "60"))
MODELS = ("openai/gpt-oss-20b", "openai/gpt-oss-120b")
RPM, TPM = 3_000, 30_000
BUDGET = 5_000
ANSWER_TOKENS = 20
# Of one member; more than a gateway lets in.
MOST_AT_ONCE = 150


@dataclass(slots=True)
class Member:
    """A token: calls a second, words of each prompt; and what came of them, in words."""

    name: str
    rate: float
    words: tuple[int, int]
    options: tuple[str, ...] = ()
    secret: str = ""
    sent: int = 0
    got: int = 0
    under_way: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)


def team() -> list[Member]:
    """Of 1,000 tokens a second they ask for twice as many; two ask for half of it, and one has a budget."""
    return [
        Member("heavy", 0.9, (500, 900)),
        Member("alike-1", 0.6, (300, 700)),
        Member("alike-2", 0.6, (300, 700)),
        Member("large", 0.14, (3_000, 5_000)),
        Member("small", 1.5, (20, 60)),
        Member("poor", 0.3, (300, 700), ("--tokens-per-day", str(BUDGET))),
    ]


class Load:
    """Sends what members send to the gateways that are alive, and comes back when a refusal says so."""

    def __init__(self, client: httpx2.AsyncClient, ports: Sequence[int]) -> None:
        self.client = client
        self.alive = list(ports)
        self.draw = random.Random(7)
        self.end = anyio.current_time() + SECONDS

    async def keep_calling(self, member: Member, group: TaskGroup) -> None:
        """New calls until the end, whatever becomes of those before."""
        while anyio.current_time() < self.end:
            if member.under_way < MOST_AT_ONCE:
                words = self.draw.randint(*member.words)
                member.sent += words
                member.under_way += 1
                group.start_soon(self.call, member, words)
            await anyio.sleep(self.draw.expovariate(member.rate))

    async def call(self, member: Member, words: int) -> None:
        """One call, until it is answered or refused for good."""
        prompt = " ".join(self.draw.choice(("one", "two", "six", "ten")) for _ in range(words))
        body = {"model": self.draw.choice(MODELS), "max_tokens": ANSWER_TOKENS, "stream": True, "reasoning_effort": "low"}
        body |= {"messages": [{"role": "user", "content": prompt}]}
        while anyio.current_time() < self.end:
            port = self.draw.choice(self.alive)
            status, received, wait_s = await self.answer(member, port, body)
            if b"[DONE]" in received or status == 402:
                member.got += words if status == 200 else 0
                member.under_way -= 1
                return
            if status == 429:
                await anyio.sleep(wait_s)
            else:
                member.lost["with the killed gateway" if port not in self.alive else f"otherwise ({status})"] += 1

    async def answer(self, member: Member, port: int, body: Mapping[str, object]) -> tuple[int, bytes, float]:
        """The status, what came, and when to come back."""
        received, status = b"", 0
        url, headers = f"http://127.0.0.1:{port}/v1/chat/completions", {"authorization": f"Bearer {member.secret}"}
        try:
            async with self.client.stream("POST", url, json=body, headers=headers) as response:
                status = response.status_code
                member.statuses[status] += 1
                async for piece in response.aiter_raw():
                    received += piece
                return status, received, float(response.headers.get("retry-after", 1))
        except httpx2.HTTPError:
            return status, received, 0.0


async def test_each_of_a_team_gets_its_share_and_a_killed_gateway_loses_its_streams_alone(tmp_path: Path) -> None:
    """No refusal by the upstream, no budget overspent, nobody below two thirds of the equal share that it asked for."""
    redis = RedisServer(redis_program())
    redis.start()
    limits = {model: {"rpm": RPM, "rpd": 10**6, "tpm": TPM, "tpd": 10**9} for model in MODELS}
    options = SimulatorOptions(latency_scale=1.0, limits=limits, prompt_cache=False)
    app = create_app(options, catalog=load_catalog(), clock=SystemClock())
    rows = (
        f'[[limits]]\nmodel = "{model}"\nplan = "developer"\nrpm = {RPM}\nrpd = 1000000\ntpm = {TPM}\ntpd = 1000000000\nchecked = 2026-11-29\n'
        for model in MODELS
    )
    (tmp_path / "catalog.toml").write_text("\n".join(rows))
    settings = {
        "GROQ_FALLBACK_STATE": redis.url,
        "GROQ_FALLBACK_PLAN": "developer",
        "GROQ_FALLBACK_CATALOG": str(tmp_path / "catalog.toml"),
        "GROQ_FALLBACK_GATEWAY_TOKENS": str(tmp_path / "tokens.toml"),
    }
    ports, members = [free_port() for _ in range(3)], team()
    for member in members:
        words = ("gateway", "token", "add", member.name, "--models", ",".join(MODELS), *member.options)
        added = await command(*words, cwd=tmp_path, **settings)
        assert added.returncode == 0, added.stderr
        member.secret = added.stdout.strip()
    try:
        async with AsyncExitStack() as stack:
            simulator = await stack.enter_async_context(run_simulator(app))
            environment = environment_of(tmp_path, simulator.base_url, **settings)
            gateways = []
            for port in ports:
                logged = {**environment, "GROQ_FALLBACK_LOG_FILE": str(tmp_path / f"{port}.log")}
                serving = started("gateway", "--port", str(port), environment=logged, port=port)
                gateways.append(await stack.enter_async_context(serving))
            many = httpx2.Limits(max_connections=2_000, max_keepalive_connections=100)
            load = Load(await stack.enter_async_context(httpx2.AsyncClient(timeout=60, limits=many)), ports)
            with anyio.move_on_after(SECONDS):
                async with anyio.create_task_group() as group:
                    for member in members:
                        group.start_soon(load.keep_calling, member, group)
                    await anyio.sleep(SECONDS / 2)
                    gateways[1].send_signal(signal.SIGKILL)
                    load.alive.remove(ports[1])
            listed = await command("gateway", "token", "list", "--json", cwd=tmp_path, **settings)
    finally:
        redis.stop()
    logs = [path.read_text() for path in tmp_path.glob("*.log")]
    # where Redis does not answer within a quarter of a second, each gateway counts for itself, and the upstream may refuse calls
    alone = sum(log.count("the ledger cannot be used") for log in logs)
    upstream = sum(app.state.world.calls.values(), Counter())
    rich = [member for member in members if not member.options]
    shares = fair_shares({member.name: float(member.sent) for member in rich}, float(sum(member.got for member in rich)))
    for member in members:
        ratio = f"{member.got / shares[member.name]:.2f} of its share" if member.name in shares else "has a budget"
        print(
            f"{member.name:8} sent {member.sent:7} got {member.got:7} {ratio:18} {dict(member.statuses)} lost {dict(member.lost)}"
        )
    print(f"upstream {dict(upstream)} in {SECONDS:g} s; the ledger was out of reach {alone} times")
    assert (upstream["429"], alone) == (0, 0)
    assert {name for member in members for name in member.lost} <= {"with the killed gateway"}
    assert {member.name: member.got for member in rich if member.got < shares[member.name] * 2 / 3} == {}
    poor = next(row for row in json.loads(listed.stdout)["tokens"] if row["name"] == "poor")
    assert poor["tokens_today"] <= BUDGET
    assert members[-1].statuses[402] > 0
