"""The tools an agent sees: one a file, each with its arguments, its result and its handler. No MCP types here."""

from collections.abc import Collection, Mapping

from groq_fallback_mcp.tools.batch import BATCH_RESULTS, BATCH_STATUS, BATCH_SUBMIT
from groq_fallback_mcp.tools.chat import GROQ_CHAT
from groq_fallback_mcp.tools.check_limits import CHECK_LIMITS
from groq_fallback_mcp.tools.list_models import LIST_MODELS
from groq_fallback_mcp.tools.screen import SCREEN
from groq_fallback_mcp.tools.speak import SPEAK
from groq_fallback_mcp.tools.tool import Context, Reply, Tool, Toolset
from groq_fallback_mcp.tools.transcribe import TRANSCRIBE

__all__ = ["ALL_TOOLS", "TOOLS", "TOOLSETS", "Context", "Reply", "Tool", "Toolset", "listed_tools"]

TOOLS: tuple[Tool, ...] = (GROQ_CHAT, LIST_MODELS, CHECK_LIMITS, TRANSCRIBE)

_SETS = (
    Toolset(name="full", title="Every argument of the four tools", tools=(), tokens=598),
    Toolset(name="speech", title="Text to speech", tools=(SPEAK,), tokens=154),
    Toolset(name="safety", title="Prompt injection and policies", tools=(SCREEN,), tokens=123),
    Toolset(
        name="batch",
        title="Many prompts at half price, within a day",
        tools=(BATCH_SUBMIT, BATCH_STATUS, BATCH_RESULTS),
        tokens=423,
    ),
)
TOOLSETS: Mapping[str, Toolset] = {toolset.name: toolset for toolset in _SETS}
ALL_TOOLS: tuple[Tool, ...] = (*TOOLS, *(tool for toolset in _SETS for tool in toolset.tools))


def listed_tools(toolsets: Collection[str]) -> tuple[Tool, ...]:
    """The tools of these toolsets, after the four that are always there; `all` is all of them."""
    wanted = TOOLSETS if "all" in toolsets else toolsets
    return (*TOOLS, *(tool for toolset in _SETS if toolset.name in wanted for tool in toolset.tools))
