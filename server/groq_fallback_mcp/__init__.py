"""Dependable Groq for coding agents: an MCP server that falls back across models and providers."""

__all__ = ["__version__"]

__version__: str


def __getattr__(name: str) -> str:
    # On first use: `python -m` imports this module while the working folder is still on the import path.
    if name != "__version__":
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("groq-fallback-mcp")
    except PackageNotFoundError:  # a source tree that was never installed
        found = "0+unknown"
    globals()["__version__"] = found
    return found
