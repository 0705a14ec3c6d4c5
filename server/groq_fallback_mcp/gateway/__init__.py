"""The one imperative loop: walks a plan under one deadline, reserves, calls, settles, falls back. Only here is awaited."""

from groq_fallback_mcp.gateway.drift import warn_of_drift
from groq_fallback_mcp.gateway.loop import Gateway
from groq_fallback_mcp.gateway.progress import Progress, heartbeat
from groq_fallback_mcp.gateway.walk import Answer, Pace

__all__ = ["Answer", "Gateway", "Pace", "Progress", "heartbeat", "warn_of_drift"]
