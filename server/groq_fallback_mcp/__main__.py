"""`python -m groq_fallback_mcp` is the command."""

from groq_fallback_mcp.cli.app import main

if __name__ == "__main__":
    main()
