"""The models that a groq_chat call would use now, which list_models and check_limits show unless asked for more."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from groq_fallback_mcp.call import ChatRequest
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.tools.tool import Context

__all__ = ["ALL_MODELS", "chat_chain"]

# The argument `all` of both tools.
ALL_MODELS: Any = Field(default=False, description="Every model, not only the chat chain")
_ANY_QUESTION = ChatRequest(messages=({"role": "user", "content": "?"},))


async def chat_chain(context: Context) -> list[tuple[ProviderModels, ProviderModel]]:
    """The models that a call without arguments tries, in order, with who offers them."""
    plan = await context.engine.plan(_ANY_QUESTION)
    providers = {provider.name: provider for provider in context.engine.registry.models()}
    return [(providers[one.provider], providers[one.provider].models[one.model]) for one in plan.candidates]
