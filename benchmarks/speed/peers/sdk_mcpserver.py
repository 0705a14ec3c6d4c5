"""The SDK's own framework, MCPServer, with the same two tools."""

from __future__ import annotations

from mcp.server import MCPServer
from two_tools import ask, noop

server = MCPServer("bare")
server.tool()(noop)
server.tool()(ask)

if __name__ == "__main__":
    server.run("stdio")
