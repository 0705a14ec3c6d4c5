"""Asks a gateway something, as a command of the same installation or of another."""

from __future__ import annotations

import re
from typing import Literal

from groq_fallback_mcp.call import Failure
from groq_fallback_mcp.providers.reply import Reply

__all__ = ["is_gateway", "reply_of"]

# For all that a server on the gateway's port sends.
GATEWAY_S = 2.0
MOST_REPLY_BYTES = 4_096
OK = 200
_HEALTHY = re.compile(rb'"status": ?"ok"')


async def is_gateway(address: str) -> bool:
    """Whether what answers there is a gateway. It is not shown the token: it may be some other server."""
    reply = await reply_of(address, "/healthz")
    return isinstance(reply, Reply) and reply.status == OK and _HEALTHY.search(reply.body) is not None


async def reply_of(
    address: str, path: str, *, method: Literal["GET", "POST"] = "GET", token: str | None = None
) -> Reply | Failure:
    """What a server answers to a request without a body, or why it did not."""
    from groq_fallback_mcp.providers.http import Wire

    wire = Wire(address, key=token)
    try:
        return await wire.exchange(method, path, timeout_s=GATEWAY_S, most_bytes=MOST_REPLY_BYTES)
    finally:
        await wire.aclose()
