"""What LiteLLM's Router needs around a run in virtual time; its own code decides everything.

What is switched off decides nothing: prices, secret redaction, and tracebacks for log lines. What LiteLLM hands to
threads is called at once, because threads run in real time, and its clocks follow the virtual one. Counting tokens
is replaced by the true count, in LiteLLM's favor. Its cooldowns end by the real clock, in compiled code: a store of them that
goes by the virtual one takes that one's place.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any
from unittest.mock import patch

import anyio.to_thread
import time_machine

from benchmarks.goodput.virtual_time import EPOCH

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_DISABLE_REDACT_SECRETS"] = "true"

import litellm
from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.litellm_core_utils.thread_pool_executor import executor
from litellm.redis.stores.router_cooldowns import RouterCooldownStore
from litellm.router_rust import core
from litellm.router_strategy import lowest_tpm_rpm_v2
from litellm.router_utils.pre_call_checks import io_token_rate_limit_check

__all__ = ["PROMPT_TOKENS", "in_virtual_time"]

# What the prompt of the current call really counts.
PROMPT_TOKENS: ContextVar[int] = ContextVar("prompt_tokens")


@contextmanager
def in_virtual_time() -> Generator[Callable[[float], object]]:
    """What LiteLLM needs around a run. Yields what is to be told the Unix time whenever it moves."""
    litellm.suppress_debug_info = True
    for name in ("LiteLLM", "LiteLLM Router"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    with ExitStack() as stack:
        stack.enter_context(patch.object(executor, "submit", _at_once))
        stack.enter_context(patch.object(anyio.to_thread, "run_sync", _in_this_task))
        stack.enter_context(patch.object(traceback, "format_exc", _no_text))
        stack.enter_context(patch.object(Logging, "_record_zero_cost_diagnostic", _nothing))
        stack.enter_context(patch.object(Logging, "_response_cost_calculator", _free))
        stack.enter_context(patch.object(lowest_tpm_rpm_v2, "embedding_aware_token_count", _true_tokens))
        stack.enter_context(patch.object(core, "RouterCooldownStore", _cooldown_store))
        stack.enter_context(patch.object(io_token_rate_limit_check, "token_counter", _true_tokens))
        stack.enter_context(patch.object(io_token_rate_limit_check, "offload_token_count", _in_this_thread))
        traveller = stack.enter_context(time_machine.travel(EPOCH, tick=False))
        yield traveller.move_to


def _cooldown_store(_: object) -> RouterCooldownStore:
    # its protocol has more methods than the router calls
    kept: Any = _Cooldowns()
    return RouterCooldownStore(kept)


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


def _at_once(call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    call(*args, **kwargs)


async def _in_this_task(call: Callable[..., Any], *args: Any, abandon_on_cancel: bool = False, limiter: object = None) -> Any:
    """At the end of a stream LiteLLM puts its pieces together in a thread: meanwhile the virtual clock would run on."""
    del abandon_on_cancel, limiter
    return call(*args)


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
    return PROMPT_TOKENS.get()
