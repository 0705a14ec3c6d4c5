"""Dependable Groq for coding agents: an MCP server that falls back across models and providers."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("groq-fallback-mcp")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
