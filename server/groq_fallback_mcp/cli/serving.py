"""What all commands that serve have in common: settings that were checked, the port, the token, and the end. Without MCP's imports."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable

import anyio

from groq_fallback_mcp.addresses import host_and_port, is_loopback
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.settings import Settings

__all__ = ["BYTES_IN_MIB", "LOOPBACK_HOSTS", "USAGE_ERROR", "checked", "checked_token", "end_in_order", "open_port", "run"]

USAGE_ERROR = 2
BYTES_IN_MIB = 1024 * 1024
LEAST_TOKEN_CHARS = 16
LOOPBACK_HOSTS = ("127.0.0.1:*", "localhost:*", "[::1]:*")

_log = logging.getLogger(__name__)


def checked(settings: Settings) -> Settings:
    """Read now, so that a mistake in the overlay shows at the start and not at the first call."""
    from groq_fallback_mcp.catalog import load_catalog

    load_catalog(settings.catalog)
    return settings


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


def open_port(host: str, port: int) -> socket.socket | None:
    """A socket that listens; None, with one line on stderr, where there can be none."""
    # not for stdio, whose start they would slow
    from groq_fallback_mcp.cli.console import echo_message
    from groq_fallback_mcp.transport.http_server import listen

    try:
        return listen(host, port)
    except OSError as error:
        step = "Stop the other program, or choose another port" if error.errno == errno.EADDRINUSE else "Choose another address"
        echo_message(
            f"groq-fallback-mcp: Cannot listen on {host_and_port(host, port)} ({error.strerror or error}). {step}", err=True
        )
        return None


def end_in_order(status: int) -> None:
    """Let SIGTERM end this process as an exit with `status` does, through all that is to be closed: a terminal, a ledger, a trace.

    On Windows SIGBREAK too, which Ctrl+Break and a window that is closed send. Nothing is changed in another thread than the
    main one, nor where a signal has a handler.
    """

    def end(number: int, _: object) -> None:
        # service managers and wrappers may send two
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(status)

    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def run(work: Callable[[], Awaitable[int]]) -> int:
    """Run the server to its end; the exit status. SIGTERM is how a server ends, and no failure."""
    end_in_order(0)
    try:
        return anyio.run(work)
    except KeyboardInterrupt:
        return 130
    except ConfigurationError as error:
        # with typer, for which no start should wait
        from groq_fallback_mcp.cli.console import echo_message

        echo_message(f"groq-fallback-mcp: {error}", err=True)
        return USAGE_ERROR
    except Exception:  # noqa: BLE001 - whatever it is, it goes through the log, where keys are taken out
        _log.critical("internal error, shutting down", exc_info=True)
        return 1
