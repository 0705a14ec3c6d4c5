"""What Responses and Messages add to the first token of a stream over chat completions: of a short prompt, and of an agent's."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.gateway.client import Connection
from benchmarks.gateway.contenders import OURS
from benchmarks.gateway.everybody import everybody
from benchmarks.gateway.figures import Figure
from benchmarks.speed.contenders import MODEL
from benchmarks.speed.rows import percentile

__all__ = ["measure"]

ROUNDS = 400
WARM = 30
WORDS = 20
# An agent's tools and system prompt: about 8,000 tokens, as Codex sends.
TOOLS = 20
WORDS_OF_A_TOOL = 150
WORDS_OF_THE_SYSTEM = 3_000
QUESTION = "Say hello."
LIMIT_MS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dialect:
    """`text` is in the first event that has any."""

    path: str
    text: bytes


DIALECTS: Mapping[str, _Dialect] = {
    "chat": _Dialect(path="/v1/chat/completions", text=b'"delta": {"content": "'),
    "responses": _Dialect(path="/v1/responses", text=b"event: response.output_text.delta"),
    "messages": _Dialect(path="/v1/messages", text=b'"text_delta"'),
}


async def measure(*, alone: bool) -> list[Figure]:
    """Ours alone, dialect by dialect, so that what slows the machine slows all."""
    del alone
    async with everybody(words=WORDS, alone=True) as (running, _):
        gateway = running[OURS].gateway
        connections = {
            name: Connection(gateway.address, path=dialect.path, token=gateway.token) for name, dialect in DIALECTS.items()
        }
        found = []
        for size, is_agent in (("a short prompt", False), ("an agent's prompt of 8,000 tokens", True)):
            took = await _took(connections, agent=is_agent)
            floor = percentile(took["chat"], 0.5)
            found += [
                Figure(
                    name=f"time that {name} add to the first token of {size} over chat, p50",
                    unit="ms",
                    found={OURS: percentile(took[name], 0.5) - floor},
                    limit=LIMIT_MS,
                    note=f"chat {floor:.2f}",
                )
                for name in ("responses", "messages")
            ]
        for connection in connections.values():
            connection.close()
    return found


async def _took(connections: Mapping[str, Connection], *, agent: bool) -> Mapping[str, list[float]]:
    took: dict[str, list[float]] = {name: [] for name in connections}
    bodies = {name: _body(name, agent=agent) for name in connections}
    for number in range(ROUNDS + WARM):
        for name, connection in connections.items():
            ms = await _first_token_ms(connection, bodies[name], DIALECTS[name].text)
            if number >= WARM:
                took[name].append(ms)
    return took


async def _first_token_ms(connection: Connection, body: Mapping[str, Any], text: bytes) -> float:
    begun, first = time.perf_counter(), 0.0
    content = b""
    async for piece in connection.pieces(body):
        content += b"" if first else piece
        if not first and text in content:
            first = time.perf_counter()
    if not first:
        raise RuntimeError(f"no text: {content[:300]!r}")
    return (first - begun) * 1e3


def _body(name: str, *, agent: bool) -> Mapping[str, Any]:
    system = "word " * WORDS_OF_THE_SYSTEM if agent else "Be brief."
    tools = _tools(name) if agent else []
    shared: dict[str, Any] = {"model": MODEL, "stream": True, **({"tools": tools} if tools else {})}
    message = {"role": "user", "content": QUESTION}
    match name:
        case "chat":
            return {**shared, "max_tokens": 500, "messages": [{"role": "system", "content": system}, message]}
        case "responses":
            return {**shared, "max_output_tokens": 500, "instructions": system, "input": [message]}
        case _:
            return {**shared, "max_tokens": 500, "system": system, "messages": [message]}


def _tools(name: str) -> Sequence[Mapping[str, Any]]:
    made = []
    for number in range(TOOLS):
        fields = {"name": f"tool_{number}", "description": "word " * WORDS_OF_A_TOOL}
        schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
        match name:
            case "chat":
                made.append({"type": "function", "function": {**fields, "parameters": schema}})
            case "responses":
                made.append({"type": "function", **fields, "parameters": schema})
            case _:
                made.append({**fields, "input_schema": schema})
    return made
