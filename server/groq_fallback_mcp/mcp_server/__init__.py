"""The MCP server: registration and translation, no logic. With transport/ the only importer of mcp."""
