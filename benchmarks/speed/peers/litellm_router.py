"""LiteLLM's Router behind the floor's loop: tuned (no retries, a failed deployment rests, a fallback) or as it comes."""

from __future__ import annotations

import asyncio
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from json_lines import BASE_URL, MODELS, serve


async def main() -> None:
    """`python litellm_router.py [tuned|default]`."""
    litellm.telemetry = False
    tuned = sys.argv[1:] != ["default"]
    router = litellm.Router(
        model_list=[
            {
                "model_name": model,
                "litellm_params": {"model": f"groq/{model}", "api_base": f"{BASE_URL}/openai/v1", "api_key": "k"},
            }
            for model in MODELS
        ],
        fallbacks=[{MODELS[0]: [MODELS[1]]}],
        **({"num_retries": 0, "allowed_fails": 0} if tuned else {}),
    )

    async def ask(prompt: str) -> str:
        answer = await router.acompletion(MODELS[0], [{"role": "user", "content": prompt}])
        return str(answer.choices[0].message.content)

    await serve(ask)


if __name__ == "__main__":
    asyncio.run(main())
