"""fastmcp with the same two tools."""

from __future__ import annotations

from fastmcp import FastMCP
from two_tools import ask, noop

server = FastMCP("bare")
server.tool()(noop)
server.tool()(ask)

if __name__ == "__main__":
    server.run("stdio", show_banner=False)
