"""`groq-fallback-mcp`: without arguments it serves MCP over stdio, with one of the commands below it works for a person."""

import gc
import os
import sys

from groq_fallback_mcp.import_path import drop_working_folder

__all__ = ["main"]

COMPLETION = "_GROQ_FALLBACK_MCP_COMPLETE"


def main() -> None:
    """Entry point. Serving skips everything that only the other commands need."""
    drop_working_folder()
    # a shell that asks for completions gives no arguments either
    completing = COMPLETION in os.environ
    if sys.argv[1:] in ([], ["serve"]) and not completing:
        # what is made while modules are loaded stays: looking through it again and again took a quarter of the start
        gc.disable()
        from groq_fallback_mcp.cli.serve import serve

        serve()
        return
    if not completing and sys.argv[1].startswith("--log-"):
        # without a command it serves, whatever is to be logged
        sys.argv.insert(1, "serve")
    from groq_fallback_mcp.cli.commands import app

    app()
