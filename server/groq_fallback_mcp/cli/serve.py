"""Serving MCP over stdio."""

from __future__ import annotations

import functools
import gc
import logging
import os
import sys
from pathlib import Path

import anyio

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.logs import start_logging
from groq_fallback_mcp.mcp_server import build_server
from groq_fallback_mcp.outgoing import sanitize_message
from groq_fallback_mcp.settings import Settings, load_settings
from groq_fallback_mcp.tools import listed_tools
from groq_fallback_mcp.transport import missing_descriptors, serve_stdio

__all__ = ["serve"]

USAGE_ERROR = 2
BYTES_IN_MIB = 1024 * 1024

_log = logging.getLogger(__name__)


def serve(**flags: object) -> None:
    """Serve until the client ends. Exits with 2 and one line on stderr when the configuration cannot be used."""
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison] - it is when the process has none
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the life of the process
    if missing := missing_descriptors():
        sys.stderr.write(f"groq-fallback-mcp: there is no {' and no '.join(missing)}; an MCP client gives the server both\n")
        raise SystemExit(USAGE_ERROR)
    try:
        settings = _checked(load_settings(**flags))
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
    try:
        status = anyio.run(functools.partial(serve_stdio, server, line_bytes=settings.line_mib * BYTES_IN_MIB))
    except KeyboardInterrupt:
        status = 130
    except Exception:  # noqa: BLE001 - whatever it is, it goes through the log, where keys are taken out
        _log.critical("the server ended by a fault of its own", exc_info=True)
        status = 1
    raise SystemExit(status)


def _checked(settings: Settings) -> Settings:
    """Read now, so that a mistake in the overlay is told at the start and not at the first call."""
    from groq_fallback_mcp.catalog import load_catalog  # noqa: PLC0415

    load_catalog(settings.catalog)
    return settings
