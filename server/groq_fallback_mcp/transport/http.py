"""Streamable HTTP for teams: stateless, so that many replicas can stand behind a load balancer.

The SDK speaks the protocol, in both eras; here are the guards around it and the web server. Off unless asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import uvicorn
from mcp.server import Server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.routing import Route

from groq_fallback_mcp.transport.http_connections import KEEP_ALIVE_S, Connections, accept_backlog, most_connections
from groq_fallback_mcp.transport.http_guards import Guard

__all__ = ["PATH", "http_app", "serve_http"]

PATH = "/mcp"
SHUTDOWN_S = 1
HEADER_BYTES = 32 * 1024


def http_app(server: Server[Any], *, hosts: Sequence[str], token: str | None, body_bytes: int) -> Guard:
    """The application. `hosts` are the names it may be asked by, with `:*` for any port: others are refused with 421.

    A page of another origin is refused with 403, so that no web page can use a server on this machine (DNS rebinding).
    """
    app: Starlette = server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        max_request_body_size=body_bytes,
        # the guard compares exactly, where this would take any host that begins like ours
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    for route in app.routes:
        if isinstance(route, Route) and route.path == PATH:
            # a stream from a server that keeps no session would carry nothing, and be held for ever: 405, as the protocol has it
            route.methods = {"POST"}
    return Guard(app, token=token, hosts=hosts, body_bytes=body_bytes)


async def serve_http(
    server: Server[Any], *, host: str, port: int, hosts: Sequence[str], token: str | None, body_bytes: int
) -> None:
    """Serve until a signal ends it; calls under way have a second then."""
    connections = Connections(most_connections())
    config = uvicorn.Config(
        http_app(server, hosts=hosts, token=token, body_bytes=body_bytes),
        host=host,
        port=port,
        http=cast("Any", connections.protocol()),
        backlog=accept_backlog(),
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        # ours counts until the next request has come, uvicorn's until its first byte
        timeout_keep_alive=int(2 * KEEP_ALIVE_S),
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    # no task group: it would wrap the interrupt that ends the server
    sweeping = asyncio.create_task(connections.sweep())
    try:
        await uvicorn.Server(config).serve()
    finally:
        sweeping.cancel()
