"""Opens OpenTelemetry where the setting GROQ_FALLBACK_OTEL is on. Where it is off, nothing of it is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groq_fallback_mcp.command import install_command
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.settings import Settings

if TYPE_CHECKING:
    from groq_fallback_mcp.telemetry.otel import CallTelemetry

__all__ = ["open_telemetry"]


def open_telemetry(settings: Settings) -> CallTelemetry | None:
    """What listens to calls and sends their spans and metrics; None where that is off.

    Raises ConfigurationError where the extra `otel` is not installed, or an OTEL_ variable cannot be used.
    """
    if not settings.otel:
        return None
    try:
        from groq_fallback_mcp.telemetry.otel import connect
    except ImportError as error:
        raise ConfigurationError(
            f"GROQ_FALLBACK_OTEL is on, but the OpenTelemetry SDK is not installed ({error})",
            next_step=f"Run {install_command('otel')}, or set GROQ_FALLBACK_OTEL to off",
        ) from error
    return connect(settings)
