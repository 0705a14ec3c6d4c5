"""The engine over the simulated providers: processes with one ledger."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.providers.contender import Contender
from benchmarks.providers.limits import USE_CASE
from benchmarks.providers.simulated import SimulatedProviders
from benchmarks.providers.workload import Call, prompt_of
from groq_fallback_mcp.call import Attempt, ChatRequest
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.policy.plan import Candidate

__all__ = ["engines"]


def engines(worlds: Sequence[SimulatedProviders]) -> Sequence[Contender]:
    """One process for each world."""
    return [_Process(world) for world in worlds]


class _Process:
    def __init__(self, world: SimulatedProviders) -> None:
        self._engine = world.engine

    async def serve(self, call: Call) -> str | None:
        request = ChatRequest(
            messages=({"role": "user", "content": prompt_of(call)},), use_case=USE_CASE, max_tokens=call.max_tokens
        )
        reader = _Reader() if call.streamed else None
        answer = await self._engine.serve(request, observer=reader)
        if not isinstance(answer, Answer):
            return None
        return answer.success.text if reader is None else reader.text


class _Reader:
    """A client that reads a stream, as the gateway's do: text of a failed attempt is void."""

    def __init__(self) -> None:
        self.text = ""

    def attempt_started(self, candidate: Candidate, earlier: Sequence[Attempt]) -> None:
        del candidate, earlier
        self.text = ""

    def text_received(self, text: str) -> None:
        self.text += text

    has_shown = False

    def reasoning_received(self, text: str) -> None: ...

    def attempt_failed(self) -> None: ...

    def waiting(self, seconds: float) -> None: ...
