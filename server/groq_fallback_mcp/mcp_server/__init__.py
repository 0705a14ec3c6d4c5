"""The MCP server: registration and translation, no logic. With transport/ the only importer of mcp."""

from groq_fallback_mcp.mcp_server.build import INSTRUCTIONS, build_server, tool_definitions

__all__ = ["INSTRUCTIONS", "build_server", "tool_definitions"]
