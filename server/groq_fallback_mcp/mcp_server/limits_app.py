"""The page that hosts of MCP Apps draw for check_limits: the extension io.modelcontextprotocol/ui (SEP-1865, revision 2026-01-26).

A host that draws no pages ignores it: the tool's text and structured content are complete without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mcp.server import Server
from mcp_types import ClientCapabilities

from groq_fallback_mcp.dashboard.limits_page import limits_page
from groq_fallback_mcp.mcp_server.resources import Resource
from groq_fallback_mcp.redaction import sanitize_json
from groq_fallback_mcp.tools.check_limits import CHECK_LIMITS, CheckLimitsResult
from groq_fallback_mcp.tools.tool import Context, Reply, Tool

__all__ = ["EXTENSION", "LIMITS_URI", "VIEW", "app_meta", "app_view", "draws_pages", "serve_limits_app"]

EXTENSION = "io.modelcontextprotocol/ui"
LIMITS_URI = "ui://groq-fallback-mcp/limits"
MIME_TYPE = "text/html;profile=mcp-app"
VIEW = "groq-fallback-mcp/limits"


def app_meta(tool: Tool) -> Mapping[str, Any]:
    """What the tool list says of a tool's page: nothing for those that have none."""
    return {"_meta": {"ui": {"resourceUri": LIMITS_URI}}} if tool.name == CHECK_LIMITS.name else {}


def app_view(reply: Reply) -> dict[str, Any] | None:
    """What the page draws of a result, for its `_meta`, which no model is shown; None where there is nothing to draw."""
    if reply.whole is None:
        return None
    # no client needs it before the first call, and it takes 10 ms to load
    from groq_fallback_mcp.dashboard.overview import now_view

    return {VIEW: sanitize_json(asdict(now_view(CheckLimitsResult.model_validate(reply.whole))))}


def draws_pages(client: ClientCapabilities | None) -> bool:
    """Whether a client says that it draws pages."""
    return client is not None and EXTENSION in (client.extensions or {})


def serve_limits_app(server: Server[Context]) -> Sequence[Resource]:
    """Say that the server has pages; the page, as a resource that the server must serve.

    It reaches no address, so that the host's strictest policy for content fits.
    """
    server.extensions[EXTENSION] = {}
    return [Resource(uri=LIMITS_URI, mime_type=MIME_TYPE, text=limits_page, meta={"ui": {"prefersBorder": True}})]
