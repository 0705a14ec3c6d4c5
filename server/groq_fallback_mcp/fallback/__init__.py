"""The one imperative loop: walks a plan under one deadline, reserves, calls, settles, falls back. Only here is awaited."""

from groq_fallback_mcp.fallback.call_state import Answer, CallTimeouts
from groq_fallback_mcp.fallback.drift_watch import warn_of_drift
from groq_fallback_mcp.fallback.engine import FallbackEngine
from groq_fallback_mcp.fallback.progress import Progress, heartbeat

__all__ = ["Answer", "CallTimeouts", "FallbackEngine", "Progress", "heartbeat", "warn_of_drift"]
