"""Keeping Groq's key where every MCP client's server finds it, without writing it into each client's configuration."""

from __future__ import annotations

import sys

import typer
from pydantic import SecretStr

from groq_fallback_mcp.addresses import is_clean_key
from groq_fallback_mcp.credentials import NO_RING, forget_key, keep_in_file, keep_in_ring
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.settings import key_path

__all__ = ["remove_key", "set_key"]


def set_key(*, file: bool) -> int:
    """Ask for the key, from a terminal without showing it, and keep it in the key ring or, if wanted, in a file."""
    text = typer.prompt("Groq API key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    key = str(text).strip()
    if not key or not is_clean_key(key):
        raise ConfigurationError(
            "the key is empty or holds white space or characters that are not printable ASCII",
            next_step="copy it again from Groq's console",
        )
    if file:
        keep_in_file(SecretStr(key), key_path())
        typer.echo(f"kept in {key_path()}, which only you can read")
    elif keep_in_ring(SecretStr(key)):
        typer.echo("kept in the key ring")
    else:
        raise ConfigurationError(NO_RING, next_step=f"keep it in {key_path()}: groq-fallback-mcp key set --file")
    return 0


def remove_key() -> int:
    """Forget the key wherever it is kept."""
    forgotten = forget_key(key_path())
    typer.echo(f"removed from {' and '.join(forgotten)}" if forgotten else "no key was kept")
    return 0
