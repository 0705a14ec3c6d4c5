"""pydantic-ai's FallbackModel over two of Groq's models, behind the floor's loop."""

from __future__ import annotations

import asyncio

from json_lines import BASE_URL, MODELS, serve
from pydantic_ai import Agent
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.groq import GroqModel
from pydantic_ai.providers.groq import GroqProvider


async def main() -> None:
    """One agent, one run a call."""
    provider = GroqProvider(api_key="k", base_url=BASE_URL)
    agent = Agent(FallbackModel(*(GroqModel(model, provider=provider) for model in MODELS)))

    async def ask(prompt: str) -> str:
        return (await agent.run(prompt)).output

    await serve(ask)


if __name__ == "__main__":
    asyncio.run(main())
