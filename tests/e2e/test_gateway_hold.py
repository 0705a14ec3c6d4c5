"""What the hold window of 2 s, which `setup --gateway` gives agents, makes cut-proof at Groq's speed, and what it costs."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from e2e.gateway_agents import free_port, running_gateway
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from groq_fallback_mcp.simulator import run_simulator

pytestmark = [pytest.mark.e2e, pytest.mark.nightly, pytest.mark.anyio]
TURNS: Sequence[tuple[int, int]] = json.loads(Path(__file__).with_name("agent_turns.json").read_text())[
    "tokens_of_text_and_of_calls"
]
TOKEN = "a-token-for-this-test-alone"
AT_ONCE, TOKENS_A_CHUNK, WORD = 4, 5, " word"
TOOL = {"type": "function", "function": {"name": "run", "parameters": {"type": "object"}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A turn as a client had it, in seconds: until its first event, and until its end. `is_proof`: until the model was done, it saw nothing."""

    first_s: float
    whole_s: float
    is_proof: bool


@pytest.mark.parametrize(("tokens_per_s", "least"), [(500.0, 0.95), (1_000.0, 0.99)])
async def test_most_turns_of_an_agent_are_cut_proof_when_text_is_held_for_two_seconds(
    tokens_per_s: float, least: float, tmp_path: Path
) -> None:
    """A cut before the client has seen anything is the next model's chance. The answer as a whole comes no later."""
    async with _measured(tokens_per_s, tmp_path) as ask:
        as_it_comes, held = await _all_turns(ask, 0.0, 2.0)
    for name, turns in (("as it comes", as_it_comes), ("held for 2 s", held)):
        firsts = sorted(turn.first_s for turn in turns)
        print(
            f"{tokens_per_s:,.0f} tokens/s, {name}: {_share(turns):.1%} cut-proof; first event after "
            f"{statistics.median(firsts):.2f} s (median), {firsts[len(firsts) * 9 // 10]:.2f} s (9 of 10), {firsts[-1]:.2f} s (all); "
            f"whole after {statistics.median(turn.whole_s for turn in turns):.2f} s (median)"
        )
    assert _share(held) >= least
    assert _share(as_it_comes) < 0.5
    assert max(turn.first_s for turn in held) < 3.0
    assert statistics.median(turn.whole_s for turn in held) < statistics.median(turn.whole_s for turn in as_it_comes) + 0.1


def _share(turns: Sequence[Turn]) -> float:
    return sum(turn.is_proof for turn in turns) / len(turns)


@asynccontextmanager
async def _measured(tokens_per_s: float, home: Path) -> AsyncIterator[Any]:
    """A function that asks the gateway for a turn by number, with a hold window."""
    done_at: dict[str, float] = {}

    async def chat(request: Request) -> StreamingResponse:
        body = await request.json()
        asked = str(body["messages"][-1]["content"])
        text, calls = TURNS[int(asked.split()[1])]

        async def stream() -> AsyncIterator[str]:
            began = anyio.current_time()
            for at in range(0, text, TOKENS_A_CHUNK):
                await anyio.sleep_until(began + at / tokens_per_s)
                yield _event({"content": WORD * TOKENS_A_CHUNK})
            await anyio.sleep_until(began + (text + calls) / tokens_per_s)
            done_at[asked] = anyio.current_time()
            function = {"name": "run", "arguments": json.dumps({"command": WORD * calls})}
            yield _event({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})
            usage = {"prompt_tokens": 20, "completion_tokens": text + calls, "total_tokens": 20 + text + calls}
            yield _event({}, "tool_calls", x_groq={"id": "req_1", "usage": usage}) + "data: [DONE]\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    port = free_port()
    clean = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "GROQ_API_KEY": "gsk_scripted",
        "GROQ_FALLBACK_LOCAL": "off",
        "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
    }
    ours = {**clean, "GROQ_FALLBACK_PLAN": "developer", "GROQ_FALLBACK_HTTP_TOKEN": TOKEN}
    app = Starlette(routes=[Route("/openai/v1/chat/completions", chat, methods=["POST"])])
    async with (
        run_simulator(app) as upstream,
        running_gateway(port, {**ours, "GROQ_BASE_URL": upstream.base_url}, home=home, log=home / "gateway.log"),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/v1", headers={"authorization": f"Bearer {TOKEN}"}) as client,
    ):

        async def ask(number: int, hold_s: float) -> Turn:
            said = f"turn {number} held {hold_s}"
            body = {"model": "auto", "stream": True, "max_tokens": 4_000, "tools": [TOOL]}
            began, first = anyio.current_time(), 0.0
            async with client.stream(
                "POST",
                "/chat/completions",
                json={**body, "messages": [{"role": "user", "content": said}]},
                headers={"x-groq-fallback-hold-s": str(hold_s)},
                timeout=60,
            ) as response:
                assert response.status_code == 200, await response.aread()
                async for line in response.aiter_lines():
                    first = first or (anyio.current_time() if line else 0.0)
            assert line in {"", "data: [DONE]"}, line
            return Turn(first_s=first - began, whole_s=anyio.current_time() - began, is_proof=first >= done_at[said])

        yield ask


async def _all_turns(ask: Any, *holds_s: float) -> Sequence[Sequence[Turn]]:
    """With each hold window, some turns at a time; the windows take turns, so that the machine is as busy for each."""
    found: list[list[Turn]] = [[] for _ in holds_s]
    waiting = [(number, which) for number in range(len(TURNS)) for which in range(len(holds_s))]

    async def some() -> None:
        while waiting:
            number, which = waiting.pop()
            found[which].append(await ask(number, holds_s[which]))

    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(some)
    return found


def _event(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    return f"data: {json.dumps({**head, 'choices': [choice], **more})}\n\n"
