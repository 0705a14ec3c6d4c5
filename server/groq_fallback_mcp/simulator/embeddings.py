"""POST embeddings: the path and its request are the Groq SDK's (EmbeddingCreateParams), but no source names a model that lives.

So a model that the list does not have is not found, as everywhere; that a chat model is refused with a 400 is unverified.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from groq_fallback_mcp.simulator.incoming import payload_of
from groq_fallback_mcp.simulator.replies import ApiError
from groq_fallback_mcp.simulator.world import World

__all__ = ["embed"]


async def embed(world: World, organization: str, request: Request) -> Response:
    """Always a refusal. Raises ApiError."""
    del organization
    model = world.model((await payload_of(request)).get("model"))
    raise ApiError(400, f"The model `{model.id}` does not support embeddings")
