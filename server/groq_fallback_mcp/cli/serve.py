"""Serving MCP over stdio."""

from __future__ import annotations

import logging
import sys

import anyio

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.redaction import redact
from groq_fallback_mcp.server import build_server
from groq_fallback_mcp.settings import Settings, load_settings
from groq_fallback_mcp.transport import serve_stdio

__all__ = ["serve"]

USAGE_ERROR = 2


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def serve(settings: Settings | None = None) -> None:
    """Serve until stdin closes. Exits with 2 and one line on stderr when the configuration cannot be used."""
    try:
        settings = settings or load_settings()
        # read now, so that a mistake in the overlay is told at the start and not at the first call
        from groq_fallback_mcp.catalog import load_catalog  # noqa: PLC0415

        load_catalog(settings.catalog)
    except ConfigurationError as error:
        sys.stderr.write(f"groq-fallback-mcp: {redact(str(error))}\n")
        raise SystemExit(USAGE_ERROR) from None
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacting("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    chosen = settings
    anyio.run(serve_stdio, build_server(lambda: open_context(chosen)))
