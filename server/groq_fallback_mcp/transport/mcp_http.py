"""MCP over streamable HTTP: stateless, so that many replicas can stand behind a load balancer. Off unless asked for.

The SDK speaks the protocol, in both eras.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mcp.server import Server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.routing import Route

from groq_fallback_mcp.transport.http_server import PATH, App, Guard, Receive, Rules, Scope, Send, one_token

__all__ = ["beside_mcp", "http_app", "mcp_app"]


def http_app(
    server: Server[Any],
    *,
    hosts: Sequence[str],
    token: str | None,
    body_bytes: int,
    beside: Callable[[App], App] = lambda mcp: mcp,
    rules: Rules | None = None,
) -> Guard:
    """The application behind its guard. `hosts` are the names it may be asked by, with `:*` for any port: others are refused with 421.

    A page of another origin is refused with 403, so that no web page can use a server on this machine (DNS rebinding). `beside`
    adds what else is served there, behind the same guard with its `rules`.
    """
    identify = None if token is None else one_token(token)
    app = beside(mcp_app(server, body_bytes=body_bytes))
    return Guard(app, identify=identify, hosts=hosts, body_bytes=body_bytes, rules=rules)


def mcp_app(server: Server[Any], *, body_bytes: int) -> Starlette:
    """MCP at PATH, with no guard before it."""
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
    return app


def beside_mcp(app: App, mcp: App) -> App:
    """Both on one port: what is asked at PATH is MCP's, and so is the life of the server."""

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = mcp if scope["type"] != "http" or scope["path"] == PATH else app
        await chosen(scope, receive, send)

    return either
