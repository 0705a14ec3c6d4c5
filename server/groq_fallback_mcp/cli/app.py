"""`groq-fallback-mcp`: without arguments it serves MCP over stdio, with one of the commands below it works for a person."""

import gc
import io
import os
import sys
from contextlib import suppress

from groq_fallback_mcp.import_path import drop_working_folder

__all__ = ["main"]

COMPLETION = "_GROQ_FALLBACK_MCP_COMPLETE"


# Who typed the command alone wanted to know what it is; an MCP client never gives it a terminal.
WAITING = """\
groq-fallback-mcp is an MCP server: it is waiting for an MCP client on stdin. Ctrl-C stops it.

  groq-fallback-mcp setup     add it to Kilo Code, Claude, VS Code, Cursor, Codex and others
  groq-fallback-mcp demo      watch a fallback happen, without a key
  groq-fallback-mcp chat      ask a question here
  groq-fallback-mcp --help    all commands
"""


def main() -> None:
    """Entry point. Serving skips everything that only the other commands need."""
    drop_working_folder()
    # a shell that asks for completions gives no arguments either
    completing = COMPLETION in os.environ
    if sys.argv[1:] in ([], ["serve"]) and not completing:
        # what is made while modules are loaded stays: looking through it again and again took a quarter of the start
        gc.disable()
        if sys.stdin is not None and sys.stdin.isatty():
            sys.stderr.write(WAITING)
        from groq_fallback_mcp.cli.serve import serve

        serve()
        return
    if sys.argv[1:2] == ["gateway"]:
        # as above; serving turns it on again
        gc.disable()
    if not completing and sys.argv[1].startswith("--log-"):
        # without a command it serves, whatever is to be logged
        sys.argv.insert(1, "serve")
    for stream in (sys.stdout, sys.stderr):
        # a terminal or pipe that has no such letter gets a question mark, not a traceback
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # it flushes, which a full disk refuses
                stream.reconfigure(errors="replace")
    from groq_fallback_mcp.cli.commands import app

    app()
