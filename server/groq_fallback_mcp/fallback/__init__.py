"""One engine that serves a request from whichever model can, within a deadline."""

from groq_fallback_mcp.fallback.call_state import Answer, CallTimeouts
from groq_fallback_mcp.fallback.engine import FallbackEngine
from groq_fallback_mcp.fallback.progress import CallObserver, Progress, heartbeat

__all__ = ["Answer", "CallObserver", "CallTimeouts", "FallbackEngine", "Progress", "heartbeat"]
