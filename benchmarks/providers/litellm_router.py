"""LiteLLM's Router over the simulated providers, with its own OpenAI client: only the network under it is replaced.

See benchmarks/goodput/litellm_virtual_time.py for what a run needs around it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import httpx

from benchmarks.goodput.litellm_configurations import Configuration
from benchmarks.goodput.litellm_deployments import Deployment, model_list, named, priority_groups
from benchmarks.goodput.litellm_virtual_time import PROMPT_TOKENS, in_virtual_time
from benchmarks.providers.contender import Contender
from benchmarks.providers.limits import USE_CASE, Account
from benchmarks.providers.simulated import CATALOG, GROQ_PATH, KEY, SimulatedProviders
from benchmarks.providers.workload import Call, prompt_of
from groq_fallback_mcp.simulator.other_providers import base_path

# LiteLLM reads the environment when it is imported, and litellm_virtual_time sets it.
# isort: split
import litellm
from litellm.router import Router

__all__ = ["in_virtual_time", "routers"]


def routers(
    configuration: Configuration,
    processes: int,
    world: SimulatedProviders,
    weighted: Sequence[tuple[Account, float]],
    *,
    seed: int,
) -> Sequence[Contender]:
    """As many processes as asked; they share nothing, as LiteLLM's do without a Redis server. `weighted`: each account's calls a second."""
    litellm.logging_callback_manager._reset_all_callbacks()  # type: ignore[no-untyped-call] # noqa: SLF001 - Routers of earlier runs are still called
    litellm.in_memory_llm_clients_cache.flush_cache()  # type: ignore[no-untyped-call]
    transports = {f"all://{name}.test": httpx.ASGITransport(app=app) for name, app in world.apps.items()}
    litellm.aclient_session = httpx.AsyncClient(mounts=transports)
    random.seed(seed)
    deployments = [_deployment(account, calls_a_second) for account, calls_a_second in weighted]
    return [_Process(configuration, deployments, number) for number in range(processes)]


class _Process:
    """One Router."""

    def __init__(self, configuration: Configuration, deployments: Sequence[Deployment], number: int) -> None:
        self._configuration = configuration
        self._order = [deployment.name for deployment in deployments]
        self._router = Router(
            model_list=model_list(configuration, deployments, number),
            routing_groups=priority_groups({USE_CASE: self._order}) if configuration.priority else None,
            **configuration.settings,
        )

    async def serve(self, call: Call) -> str | None:
        PROMPT_TOKENS.set(call.input_tokens)
        try:
            answer: Any = await self._router.acompletion(
                messages=[{"role": "user", "content": prompt_of(call)}],
                max_tokens=call.max_tokens,
                **({"stream": True, "stream_options": {"include_usage": True}} if call.streamed else {}),
                **named(self._configuration, USE_CASE, self._order),
            )
            if not call.streamed:
                return str(answer.choices[0].message.content)
            return "".join([choice.delta.content or "" async for piece in answer for choice in piece.choices])
        except Exception:  # noqa: BLE001 - whatever a Router raises is no answer
            return None


def _deployment(account: Account, calls_a_second: float) -> Deployment:
    """Gemini's limit on prompt tokens a minute is not typed in: it is never reached here."""
    path = GROQ_PATH if account.provider == "groq" else base_path(CATALOG.providers[account.provider].base_url)
    return Deployment(
        name=f"{account.provider}/{account.wire_model}",
        params={
            "model": f"openai/{account.wire_model}",
            "api_base": f"http://{account.provider}.test{path}",
            "api_key": KEY,
        },
        limits=account.limits,
        weight=max(round(calls_a_second * 1_000), 1),
    )
