"""Resources that clients read by their address: texts that come with the package, and change with its version alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, ReadResourceRequestParams, ReadResourceResult, TextResourceContents

from groq_fallback_mcp.redaction import sanitize_message
from groq_fallback_mcp.tools.tool import Context

__all__ = ["FRESH_MS", "Resource", "require_uri", "serve_resources"]

FRESH_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A text under an address; `text` makes it when it is read, `meta` is its `_meta`."""

    uri: str
    mime_type: str
    text: Callable[[], str]
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])


def serve_resources(server: Server[Context], resources: Sequence[Resource]) -> None:
    """Let clients read these."""
    by_uri = {resource.uri: resource for resource in resources}

    async def read_resource(context: ServerRequestContext[Context], params: ReadResourceRequestParams) -> ReadResourceResult:
        del context
        uri = str(params.uri)
        require_uri(uri, tuple(by_uri))
        found = by_uri[uri]
        contents = TextResourceContents(uri=uri, mime_type=found.mime_type, text=found.text(), _meta=dict(found.meta) or None)
        return ReadResourceResult(contents=[contents], ttl_ms=FRESH_MS, cache_scope="public")

    server.add_request_handler("resources/read", ReadResourceRequestParams, read_resource)


def require_uri(uri: str, known: Sequence[str]) -> None:
    """Raises MCPError for an address that is none of those known."""
    if uri not in known:
        raise MCPError(INVALID_PARAMS, f"No resource at {sanitize_message(uri)[:200]!r}. Use one of {', '.join(known)}")
