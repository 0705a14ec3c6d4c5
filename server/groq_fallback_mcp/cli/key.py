"""Keeping Groq's key where every MCP client's server finds it, without writing it into each client's configuration."""

from __future__ import annotations

import sys

import typer
from pydantic import SecretStr

from groq_fallback_mcp.addresses import is_clean_key
from groq_fallback_mcp.cli.console import echo
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
            "That doesn't look like an API key (empty, or contains spaces)",
            next_step="Copy it again from console.groq.com/keys",
        )
    if file:
        keep_in_file(SecretStr(key), key_path())
        echo(f"Stored in {key_path()}, which only you can read.")
    elif keep_in_ring(SecretStr(key)):
        echo("Stored in the system keyring.")
    else:
        raise ConfigurationError(NO_RING, next_step=f"Store it in {key_path()}: groq-fallback-mcp key set --file")
    return 0


def remove_key() -> int:
    """Forget the key wherever it is kept."""
    forgotten = forget_key(key_path())
    echo(f"Removed from {' and '.join(forgotten)}." if forgotten else "No key was stored.")
    return 0
