"""LiteLLM's Router, its own code, over the virtual Groq: only the call to the provider is replaced.

What is switched off decides nothing: prices, secret redaction, and tracebacks for log lines. What LiteLLM hands to
threads is called at once, because threads run in real time, and its clocks follow the virtual one. Counting tokens
is replaced by the true count, in LiteLLM's favor. Its cooldowns end by the real clock, in compiled code: a store of them that
goes by the virtual one takes that one's place. Exceptions are those that its Groq provider was seen to raise
for the same replies: 413 becomes a RateLimitError without retry-after.
"""

from __future__ import annotations

import logging
import os
import random
import time
import traceback
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import httpx
import time_machine

from benchmarks.goodput.contender import CURRENT, Contender, Served
from benchmarks.goodput.litellm_configurations import Configuration
from benchmarks.goodput.models import LIMITS, ORDERS, Track
from benchmarks.goodput.upstream import OK, Reply, Upstream
from benchmarks.goodput.virtual_time import EPOCH
from benchmarks.goodput.workload import Job
from groq_fallback_mcp.call import Limit

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_DISABLE_REDACT_SECRETS"] = "true"

import litellm
from litellm.exceptions import RateLimitError, ServiceUnavailableError
from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.litellm_core_utils.thread_pool_executor import executor
from litellm.llms.custom_llm import CustomLLM
from litellm.redis.stores.router_cooldowns import RouterCooldownStore
from litellm.router import Router
from litellm.router_rust import core
from litellm.router_strategy import lowest_latency, lowest_tpm_rpm_v2
from litellm.router_utils.pre_call_checks import io_token_rate_limit_check
from litellm.types.utils import Choices, Message, ModelResponse, Usage

__all__ = ["in_virtual_time", "routers"]

ONE_GROUP = "any"
OVER_CAPACITY = 503
_TYPED_IN = (Limit.TPM, Limit.RPM, Limit.TPD, Limit.RPD)


@contextmanager
def in_virtual_time() -> Generator[Callable[[float], object]]:
    """What LiteLLM needs around a run. Yields what is to be told the Unix time whenever it moves."""
    litellm.suppress_debug_info = True
    for name in ("LiteLLM", "LiteLLM Router"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    with ExitStack() as stack:
        stack.enter_context(patch.object(executor, "submit", _at_once))
        stack.enter_context(patch.object(traceback, "format_exc", _no_text))
        stack.enter_context(patch.object(Logging, "_record_zero_cost_diagnostic", _nothing))
        stack.enter_context(patch.object(Logging, "_response_cost_calculator", _free))
        for strategy in (lowest_latency, lowest_tpm_rpm_v2):
            stack.enter_context(patch.object(strategy, "embedding_aware_token_count", _true_tokens))
        stack.enter_context(patch.object(core, "RouterCooldownStore", lambda _: RouterCooldownStore(_Cooldowns())))
        stack.enter_context(patch.object(io_token_rate_limit_check, "token_counter", _true_tokens))
        stack.enter_context(patch.object(io_token_rate_limit_check, "offload_token_count", _in_this_thread))
        traveller = stack.enter_context(time_machine.travel(EPOCH, tick=False))
        yield traveller.move_to


def routers(configuration: Configuration, processes: int, upstream: Upstream, *, seed: int) -> Sequence[Contender]:
    """As many processes as asked; they share nothing, as LiteLLM's do without a Redis server."""
    litellm.logging_callback_manager._reset_all_callbacks()  # type: ignore[no-untyped-call] # noqa: SLF001 - Routers of earlier runs are still called
    litellm.custom_provider_map = [{"provider": "virtual", "custom_handler": _Virtual(upstream)}]
    random.seed(seed)
    return [_Process(configuration, upstream.scenario.track, number) for number in range(processes)]


class _Process:
    """One Router. Deployments carry the process in their ids: LiteLLM's callbacks are global, and go by id.

    A recording is put as a chat: the Router treats both alike, and custom providers cannot transcribe.
    """

    def __init__(self, configuration: Configuration, track: Track, number: int) -> None:
        self._configuration = configuration
        self._router = Router(
            model_list=[_deployment(configuration, track, model, number) for model in track.models],
            routing_groups=_priority_groups(track) if configuration.priority else None,
            **configuration.settings,
        )

    async def serve(self, job: Job) -> Served | None:
        first, *others = ORDERS[job.use_case]
        group = ONE_GROUP if self._configuration.one_group else job.use_case if self._configuration.priority else None
        chain: dict[str, Any] = {"fallbacks": [{first: others}]} if group is None else {}
        try:
            answer = await self._router.acompletion(
                model=group or first,
                messages=[{"role": "user", "content": "virtual"}],
                max_tokens=job.max_tokens,
                **chain,
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


class _Cooldowns:
    """What LiteLLM keeps of the deployments that rest, and of failures a minute, until a moment of the virtual clock."""

    has_redis = False

    def __init__(self) -> None:
        self._resting: dict[str, tuple[float, Mapping[str, object]]] = {}
        self._failures: dict[tuple[str, str | None], tuple[float, int]] = {}

    def put(self, model_id: str, cooldown: Mapping[str, object], ttl_seconds: float) -> None:
        self._resting[model_id] = (time.time() + ttl_seconds, cooldown)

    async def async_put(self, model_id: str, cooldown: Mapping[str, object], ttl_seconds: float) -> None:
        self.put(model_id, cooldown, ttl_seconds)

    def increment_allowed_fails(self, model_id: str, suffix: str | None, ttl_seconds: float) -> int:
        until, count = self._failures.get((model_id, suffix), (0.0, 0))
        until, count = (until, count + 1) if until > time.time() else (time.time() + ttl_seconds, 1)
        self._failures[(model_id, suffix)] = (until, count)
        return count

    async def async_increment_allowed_fails(self, model_id: str, suffix: str | None, ttl_seconds: float) -> int:
        return self.increment_allowed_fails(model_id, suffix, ttl_seconds)

    def active_sync(self, model_ids: Sequence[str]) -> Sequence[tuple[str, Mapping[str, object]]]:
        known = {model_id: self._resting[model_id] for model_id in model_ids if model_id in self._resting}
        return [(model_id, cooldown) for model_id, (until, cooldown) in known.items() if until > time.time()]

    def minimum(self, model_ids: Sequence[str]) -> float | None:
        return min((float(str(cooldown["cooldown_time"])) for _, cooldown in self.active_sync(model_ids)), default=None)

    def delete_local(self, model_id: str) -> None:
        self._resting.pop(model_id, None)

    def flush_local_counters(self) -> None:
        self._failures.clear()

    def snapshot(self) -> Mapping[str, Mapping[str, object]]:
        return dict(self.active_sync(list(self._resting)))


def _error(reply: Reply, model: str) -> Exception:
    request = httpx.Request("POST", "https://upstream.invalid/")
    response = httpx.Response(reply.status, headers=dict(reply.headers), text=reply.body, request=request)
    kind = ServiceUnavailableError if reply.status == OVER_CAPACITY else RateLimitError
    return kind(message=reply.body, llm_provider="groq", model=model, response=response)


def _deployment(configuration: Configuration, track: Track, model: str, process: int) -> dict[str, Any]:
    params: dict[str, Any] = {"model": f"virtual/{model}", "api_key": "none"}
    if configuration.limits:
        # it knows no limit on audio seconds
        typed = {limit.value: float(LIMITS[model][limit]) for limit in _TYPED_IN if limit in LIMITS[model]}
        if configuration.split is not None and (tpm := typed.pop("tpm", None)) is not None:
            typed |= {"itpm": tpm * configuration.split[0], "otpm": tpm * configuration.split[1]}
        params |= {name: int(units) for name, units in typed.items()}
    if configuration.weights:
        params |= {"weight": LIMITS[model][track.metered]}
    return {
        "model_name": ONE_GROUP if configuration.one_group else model,
        "litellm_params": params,
        "model_info": {"id": f"{process} {model}"},
    }


def _priority_groups(track: Track) -> list[Any]:
    return [
        {
            "group_name": use_case,
            "models": list(order),
            "routing_strategy": "priority",
            "model_priorities": {model: place for place, model in enumerate(order, start=1)},
        }
        for use_case, order in ((use_case, ORDERS[use_case]) for use_case in track.use_cases)
    ]


def _at_once(call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    call(*args, **kwargs)


def _no_text(*args: object, **kwargs: object) -> str:
    del args, kwargs
    return ""


def _in_this_thread(count: Callable[..., int]) -> Callable[..., Coroutine[Any, Any, int]]:
    async def counted(*args: Any, **kwargs: Any) -> int:
        return count(*args, **kwargs)

    return counted


def _nothing(*args: object, **kwargs: object) -> None: ...


def _free(*args: object, **kwargs: object) -> float:
    del args, kwargs
    return 0.0


def _true_tokens(*args: object, **kwargs: object) -> int:
    del args, kwargs
    return CURRENT.get().input_tokens
