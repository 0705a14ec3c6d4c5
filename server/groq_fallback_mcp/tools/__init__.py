"""The tools an agent sees: one a file, each with its arguments, its result and its handler. No MCP types here."""

from groq_fallback_mcp.tools.chat import GROQ_CHAT
from groq_fallback_mcp.tools.limits import CHECK_LIMITS
from groq_fallback_mcp.tools.models import LIST_MODELS
from groq_fallback_mcp.tools.tool import Context, Reply, Tool
from groq_fallback_mcp.tools.transcribe import TRANSCRIBE

__all__ = ["TOOLS", "Context", "Reply", "Tool"]

TOOLS: tuple[Tool, ...] = (GROQ_CHAT, LIST_MODELS, CHECK_LIMITS, TRANSCRIBE)
