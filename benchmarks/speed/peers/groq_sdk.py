"""Groq's SDK behind the floor's loop: a chain of models, its own retries left as they come."""

from __future__ import annotations

import asyncio

import groq
from json_lines import BASE_URL, MODELS, serve


async def main() -> None:
    """Ask the next model when the SDK gives one up."""
    client = groq.AsyncGroq(api_key="k", base_url=BASE_URL)

    async def ask(prompt: str) -> str:
        for model in MODELS[:-1]:
            try:
                answer = await client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}])
            except groq.APIError:
                continue
            return answer.choices[0].message.content or ""
        answer = await client.chat.completions.create(model=MODELS[-1], messages=[{"role": "user", "content": prompt}])
        return answer.choices[0].message.content or ""

    await serve(ask)


if __name__ == "__main__":
    asyncio.run(main())
