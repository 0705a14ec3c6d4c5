"""Streamable HTTP for teams: stateless, so that many replicas can stand behind a load balancer.

The SDK speaks the protocol, in both eras; here are the guards around it and the web server. Off unless asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import uvicorn
from mcp.server import Server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

from groq_fallback_mcp.transport.http_guards import Guard

__all__ = ["PATH", "http_app", "serve_http"]

PATH = "/mcp"
SHUTDOWN_S = 1
KEEP_ALIVE_S = 30
HEADER_BYTES = 32 * 1024


def http_app(server: Server[Any], *, hosts: Sequence[str], token: str | None, body_bytes: int) -> Guard:
    """The application. `hosts` are the names it may be asked by, with `:*` for any port: others are refused with 421.

    A page of another origin is refused with 403, so that no web page can use a server on this machine (DNS rebinding).
    """
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=list(hosts),
        allowed_origins=[f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")],
    )
    app: Starlette = server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        max_request_body_size=body_bytes,
        transport_security=security,
    )
    return Guard(app, token=token)


async def serve_http(
    server: Server[Any], *, host: str, port: int, hosts: Sequence[str], token: str | None, body_bytes: int
) -> None:
    """Serve until a signal ends it; calls under way have a second then."""
    config = uvicorn.Config(
        http_app(server, hosts=hosts, token=token, body_bytes=body_bytes),
        host=host,
        port=port,
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        timeout_keep_alive=KEEP_ALIVE_S,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    await uvicorn.Server(config).serve()
