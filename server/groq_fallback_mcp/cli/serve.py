"""Serving MCP, over stdio or over HTTP."""

from __future__ import annotations

import errno
import functools
import gc
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from groq_fallback_mcp.addresses import is_loopback
from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.errors import ConfigurationError, GroqFallbackError
from groq_fallback_mcp.logs import start_logging
from groq_fallback_mcp.mcp_server.build import build_server
from groq_fallback_mcp.redaction import sanitize_message
from groq_fallback_mcp.settings import Settings, load_settings
from groq_fallback_mcp.tools import listed_tools
from groq_fallback_mcp.transport.descriptors import missing_descriptors
from groq_fallback_mcp.transport.stdio import serve_stdio

__all__ = ["checked", "checked_token", "open_port", "run", "serve", "serve_over_http"]

USAGE_ERROR = 2
BYTES_IN_MIB = 1024 * 1024
LEAST_TOKEN_CHARS = 16
LOOPBACK_HOSTS = ("127.0.0.1:*", "localhost:*", "[::1]:*")

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
    server = build_server(
        lambda: open_context(settings, watch_drift=True, listed=listed),
        tools=listed_tools(settings.toolsets),
        full=bool({"full", "all"} & set(settings.toolsets)),
        on_listed=listed.set,
    )
    gc.freeze()
    gc.enable()
    raise SystemExit(run(functools.partial(serve_stdio, server, line_bytes=settings.line_mib * BYTES_IN_MIB)))


def serve_over_http(address: str, **flags: object) -> None:
    """Serve until a signal comes. Exits with 2 and one line on stderr when the configuration cannot be used."""
    from groq_fallback_mcp.transport.http_server import PATH, http_app, serve_http

    try:
        settings = checked(load_settings(**flags))
        host, port = _place(address)
        token = checked_token(settings, host)
        start_logging(settings.log_level, file=settings.log_file, as_json=settings.log_format == "json")
    except GroqFallbackError as error:
        sys.stderr.write(sanitize_message(f"groq-fallback-mcp: {error}\n"))
        raise SystemExit(USAGE_ERROR) from None
    server = build_server(
        # the caller's files are on another machine: only folders that were named are open
        lambda: open_context(settings, remote=True),
        tools=listed_tools(settings.toolsets),
        full=bool({"full", "all"} & set(settings.toolsets)),
    )
    hosts = (*LOOPBACK_HOSTS, *settings.http_hosts)
    sys.stderr.write(f"groq-fallback-mcp: http://{address}{PATH}" + ("" if token else ", without a token") + "\n")

    async def serve() -> int:
        app = http_app(server, hosts=hosts, token=token, body_bytes=settings.line_mib * BYTES_IN_MIB)
        listener = open_port(host, port)
        if listener is None:
            return USAGE_ERROR
        await serve_http(app, listener=listener)
        return 0

    if status := run(serve):
        raise SystemExit(status)


def open_port(host: str, port: int) -> socket.socket | None:
    """A socket that listens; None, with one line on stderr, where there can be none."""
    from groq_fallback_mcp.transport.http_server import listen

    try:
        return listen(host, port)
    except OSError as error:
        step = "Stop the other program, or choose another port" if error.errno == errno.EADDRINUSE else "Choose another address"
        sys.stderr.write(f"groq-fallback-mcp: Cannot listen on {host}:{port} ({error.strerror or error}). {step}\n")
        return None


def run(work: Callable[[], Awaitable[int]]) -> int:
    """Run the server to its end; the exit status."""
    try:
        return anyio.run(work)
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - whatever it is, it goes through the log, where keys are taken out
        _log.critical("internal error, shutting down", exc_info=True)
        return 1


def checked(settings: Settings) -> Settings:
    """Read now, so that a mistake in the overlay shows at the start and not at the first call."""
    from groq_fallback_mcp.catalog import load_catalog

    load_catalog(settings.catalog)
    return settings


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


def checked_token(settings: Settings, host: str) -> str | None:
    """The token of GROQ_FALLBACK_HTTP_TOKEN, None where there is none. Raises ConfigurationError where it is short or missing."""
    token = None if settings.http_token is None else settings.http_token.get_secret_value()
    if token is not None and len(token) < LEAST_TOKEN_CHARS:
        raise ConfigurationError(
            f"GROQ_FALLBACK_HTTP_TOKEN has fewer than {LEAST_TOKEN_CHARS} characters",
            next_step="Create one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    if token is None and not is_loopback(host):
        raise ConfigurationError(
            f"{host} is reachable from other machines, and no token is set",
            next_step="Set GROQ_FALLBACK_HTTP_TOKEN, or serve on 127.0.0.1",
        )
    return token
