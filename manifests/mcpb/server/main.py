"""Starts the server of the package that uv installed beside this file."""

from groq_fallback_mcp.cli.app import main

if __name__ == "__main__":
    main()
