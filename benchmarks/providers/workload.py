"""The calls of a run: an open loop, drawn once for a load and a seed, so that all contenders get the same ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.goodput.prompts import text_of_bytes
from benchmarks.providers.answers import numbered
from groq_fallback_mcp.catalog import Plan

__all__ = ["WORKLOADS", "Call", "Workload", "draw_calls", "prompt_of"]

# How the simulators count a message: four bytes a token, three for the message and one for the request.
BYTES_A_TOKEN, TEMPLATE_TOKENS = 4, 4
STREAMED = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that somebody wants answered. `input_tokens` are as the simulators count them; `rank` picks the prompt's text.

    `output_tokens` is how long the answer is, wherever `max_tokens` allows it.
    """

    number: int = 0
    arrives_s: float = 0.0
    input_tokens: int
    max_tokens: int
    output_tokens: int
    rank: float
    streamed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Calls of one kind, the plan of Groq they go to, and how long the others take for an answer.

    `session` draws the calls of one client, whose `arrives_s` count from its first.
    """

    name: str
    about: str
    session: Callable[[random.Random], Sequence[Call]]
    deadline_s: float
    groq_plan: Plan
    answers_in_s: Mapping[str, float]


def draw_calls(workload: Workload, *, wanted: Callable[[float, float], float], seed: int, seconds: float) -> Sequence[Call]:
    """Whole sessions until there are as many calls as `wanted` makes of the mean tokens of a prompt and of an answer.

    Sessions begin at random. What one would do after the end it does from the start on, as sessions that are under way then.
    """
    chance = random.Random(seed)
    found: list[Call] = []
    inputs = outputs = 0
    while not found or len(found) < wanted(inputs / len(found), outputs / len(found)):
        begins_s = chance.uniform(0, seconds)
        for call in workload.session(chance):
            found.append(replace(call, arrives_s=(begins_s + call.arrives_s) % seconds))
            inputs += call.input_tokens
            outputs += call.output_tokens
    ordered = sorted(found, key=lambda call: call.arrives_s)
    return [replace(call, number=number) for number, call in enumerate(ordered)]


def prompt_of(call: Call) -> str:
    """Real text that the simulators count as the call's `input_tokens`, with the call's number before it."""
    head = numbered(call.number)
    return head + text_of_bytes((call.input_tokens - TEMPLATE_TOKENS) * BYTES_A_TOKEN - len(head), call.rank)


def _small(chance: random.Random) -> Sequence[Call]:
    """One call. All are alike, so that none is served for being short."""
    return [Call(input_tokens=879, max_tokens=512, output_tokens=46, rank=chance.random(), streamed=chance.random() < STREAMED)]


def _agent(chance: random.Random) -> Sequence[Call]:
    """The turns of an agent: each prompt longer than the last, and some seconds of tools between them."""
    max_tokens, streamed = chance.choice((2_048, 4_096, 8_192)), chance.random() < STREAMED
    size, arrives_s, turns = chance.uniform(5_000, 7_000), 0.0, list[Call]()
    for _ in range(chance.randint(3, 12)):
        turns.append(
            Call(
                arrives_s=arrives_s,
                input_tokens=round(size),
                max_tokens=max_tokens,
                output_tokens=round(min(max(chance.lognormvariate(5.0, 0.7), 20), 1_500)),
                rank=chance.random(),
                streamed=streamed,
            )
        )
        size = min(size + chance.uniform(300, 1_500), 15_000)
        arrives_s += 3.0 + chance.expovariate(1 / 7.0)
    return turns


WORKLOADS = (
    Workload(
        name="small",
        about="879 tokens each, answers of 46, max_tokens 512, Groq's free plan",
        session=_small,
        deadline_s=30.0,
        groq_plan="free",
        answers_in_s={"gemini": 0.6, "openrouter": 1.2},
    ),
    Workload(
        name="agents",
        about="5,000 to 15,000 tokens each, answers of 20 to 1,500, max_tokens 2,048, 4,096 or 8,192, Groq's developer plan",
        session=_agent,
        deadline_s=60.0,
        groq_plan="developer",
        answers_in_s={"gemini": 1.5, "openrouter": 4.0},
    ),
)
