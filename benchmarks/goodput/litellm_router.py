"""LiteLLM's Router, its own code, over the virtual Groq: only the call to the provider is replaced.

Exceptions are those that its Groq provider was seen to raise for the same replies: 413 becomes a RateLimitError without
retry-after. See litellm_virtual_time.py for what a run needs around it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import httpx

from benchmarks.goodput.contender import CURRENT, Contender, Served
from benchmarks.goodput.litellm_configurations import Configuration
from benchmarks.goodput.litellm_deployments import Deployment, model_list, named, priority_groups
from benchmarks.goodput.litellm_virtual_time import PROMPT_TOKENS, in_virtual_time
from benchmarks.goodput.models import LIMITS, ORDERS, Track
from benchmarks.goodput.upstream import OK, Reply, Upstream
from benchmarks.goodput.workload import Job

# LiteLLM reads the environment when it is imported, and litellm_virtual_time sets it.
# isort: split
import litellm
from litellm.exceptions import RateLimitError, ServiceUnavailableError
from litellm.llms.custom_llm import CustomLLM
from litellm.router import Router
from litellm.types.utils import Choices, Message, ModelResponse, Usage

__all__ = ["in_virtual_time", "routers"]

OVER_CAPACITY = 503


def routers(configuration: Configuration, processes: int, upstream: Upstream, *, seed: int) -> Sequence[Contender]:
    """As many processes as asked; they share nothing, as LiteLLM's do without a Redis server."""
    litellm.logging_callback_manager._reset_all_callbacks()  # type: ignore[no-untyped-call] # noqa: SLF001 - Routers of earlier runs are still called
    litellm.custom_provider_map = [{"provider": "virtual", "custom_handler": _Virtual(upstream)}]
    random.seed(seed)
    return [_Process(configuration, upstream.scenario.track, number) for number in range(processes)]


class _Process:
    """One Router. A recording is put as a chat: the Router treats both alike, and custom providers cannot transcribe."""

    def __init__(self, configuration: Configuration, track: Track, number: int) -> None:
        orders = {use_case: ORDERS[use_case] for use_case in track.use_cases}
        self._configuration = configuration
        self._router = Router(
            model_list=model_list(configuration, [_deployment(track, model) for model in track.models], number),
            routing_groups=priority_groups(orders) if configuration.priority else None,
            **configuration.settings,
        )

    async def serve(self, job: Job) -> Served | None:
        PROMPT_TOKENS.set(job.input_tokens)
        try:
            answer = await self._router.acompletion(
                messages=[{"role": "user", "content": "virtual"}],
                max_tokens=job.max_tokens,
                **named(self._configuration, job.use_case, ORDERS[job.use_case]),
            )
        except Exception:  # noqa: BLE001 - whatever a Router raises is no answer
            return None
        return Served(model=str(answer.model), output_tokens=answer.usage.completion_tokens)


class _Virtual(CustomLLM):
    """A provider whose replies come from the virtual Groq."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__()
        self._upstream = upstream

    async def acompletion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        del args
        model: str = kwargs["model"]
        reply = await self._upstream.ask(CURRENT.get(), model, kwargs["optional_params"]["max_tokens"])
        if reply.status != OK:
            raise _error(reply, model)
        message = Message(content="virtual", role="assistant")
        total = reply.input_tokens + reply.output_tokens
        usage = Usage(prompt_tokens=reply.input_tokens, completion_tokens=reply.output_tokens, total_tokens=total)
        return ModelResponse(model=model, choices=[Choices(message=message)], usage=usage)


def _error(reply: Reply, model: str) -> Exception:
    request = httpx.Request("POST", "https://upstream.invalid/")
    response = httpx.Response(reply.status, headers=dict(reply.headers), text=reply.body, request=request)
    kind = ServiceUnavailableError if reply.status == OVER_CAPACITY else RateLimitError
    return kind(message=reply.body, llm_provider="groq", model=model, response=response)


def _deployment(track: Track, model: str) -> Deployment:
    params = {"model": f"virtual/{model}", "api_key": "none"}
    return Deployment(name=model, params=params, limits=LIMITS[model], weight=LIMITS[model][track.metered])
