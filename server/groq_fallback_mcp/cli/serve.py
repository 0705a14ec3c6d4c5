"""Serving MCP, over stdio or over HTTP."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.cli.serving import BYTES_IN_MIB, LOOPBACK_HOSTS, USAGE_ERROR, checked, checked_token, open_port, run
from groq_fallback_mcp.errors import ConfigurationError, GroqFallbackError
from groq_fallback_mcp.logs import start_logging
from groq_fallback_mcp.mcp_server.build import server_with_toolsets
from groq_fallback_mcp.redaction import sanitize_message
from groq_fallback_mcp.settings import Settings, load_settings
from groq_fallback_mcp.tools import Context
from groq_fallback_mcp.transport.descriptors import missing_descriptors
from groq_fallback_mcp.transport.stdio import serve_stdio

__all__ = ["serve", "serve_over_http"]


_log = logging.getLogger(__name__)


def serve(**flags: object) -> None:
    """Serve until the client ends. Exits with 2 and one line on stderr when the configuration cannot be used."""
    if sys.stderr is None:  # it is when the process has none
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the life of the process
    if missing := missing_descriptors():
        sys.stderr.write(
            f"groq-fallback-mcp: {' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} closed. "
            "Start the server from an MCP client, which opens both.\n"
        )
        raise SystemExit(USAGE_ERROR)
    try:
        settings = checked(load_settings(**flags))
        start_logging(settings.log_level, file=settings.log_file, as_json=settings.log_format == "json")
    except ConfigurationError as error:
        sys.stderr.write(sanitize_message(f"groq-fallback-mcp: {error}\n"))
        raise SystemExit(USAGE_ERROR) from None
    listed = anyio.Event()

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Context]:
        async with open_context(settings, watch_drift=True, listed=listed) as context, beside(settings, context):
            yield context

    server = server_with_toolsets(settings.toolsets, opened, on_listed=listed.set)
    gc.freeze()
    gc.enable()
    raise SystemExit(run(functools.partial(serve_stdio, server, line_bytes=settings.line_mib * BYTES_IN_MIB)))


@asynccontextmanager
async def beside(settings: Settings, context: Context) -> AsyncGenerator[None]:
    """Serve the gateway as long as the block runs, where a port is set for it."""
    if settings.gateway_port is None:
        yield
        return
    from groq_fallback_mcp.cli.gateway import hold_port

    holding = asyncio.create_task(hold_port(settings.gateway_port, context, settings))
    try:
        yield
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


def serve_over_http(address: str, **flags: object) -> None:
    """Serve until a signal comes. Exits with 2 and one line on stderr when the configuration cannot be used."""
    from groq_fallback_mcp.dashboard.app import Dashboard, is_dashboard
    from groq_fallback_mcp.transport.http_server import METRICS, PATH, Rules, serve_http, with_page
    from groq_fallback_mcp.transport.mcp_http import http_app
    from groq_fallback_mcp.transport.metrics_http import metrics_app

    try:
        settings = checked(load_settings(**flags))
        host, port = _place(address)
        token = checked_token(settings, host)
        start_logging(settings.log_level, file=settings.log_file, as_json=settings.log_format == "json")
    except GroqFallbackError as error:
        sys.stderr.write(sanitize_message(f"groq-fallback-mcp: {error}\n"))
        raise SystemExit(USAGE_ERROR) from None
    hosts = (*LOOPBACK_HOSTS, *settings.http_hosts)

    async def serve() -> int:
        listener = open_port(host, port)
        if listener is None:
            return USAGE_ERROR
        sys.stderr.write(f"groq-fallback-mcp: http://{address}{PATH}" + ("" if token else ", without a token") + "\n")
        # the caller's files are on another machine: only folders that were named are open
        async with open_context(settings, remote=True) as context:

            @asynccontextmanager
            async def same_context() -> AsyncGenerator[Context]:
                yield context

            dashboard = Dashboard(context, needs_session=token is not None, keeps_history=settings.history)
            pages = metrics_app(context.engine)
            app = http_app(
                server_with_toolsets(settings.toolsets, same_context),
                hosts=hosts,
                token=token,
                body_bytes=settings.line_mib * BYTES_IN_MIB,
                beside=lambda mcp: with_page(
                    with_page(mcp, pages, at=lambda path: path == METRICS), dashboard, at=is_dashboard
                ),
                rules=Rules(reads_itself=is_dashboard, admits=dashboard.admits, is_public=dashboard.is_public),
            )
            await serve_http(app, listener=listener)
        return 0

    if status := run(serve):
        raise SystemExit(status)


def _place(address: str) -> tuple[str, int]:
    refusal = ConfigurationError(f"Invalid address {address[:80]!r}", next_step="Use HOST:PORT, e.g. 127.0.0.1:8765")
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise refusal from None
    if not host or port is None or parts.path or parts.username is not None:
        raise refusal
    return host, port
