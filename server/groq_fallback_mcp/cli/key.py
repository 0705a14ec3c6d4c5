"""Keeping Groq's key where every MCP client's server finds it, without writing it into each client's configuration."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Literal

import anyio
import typer
from pydantic import SecretStr

from groq_fallback_mcp.addresses import is_clean_key
from groq_fallback_mcp.call import FailureKind
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.cli.console import echo, echo_message, print_json, typed_secret
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.command import SCRIPT, install_command
from groq_fallback_mcp.credentials import forget_key, keep_in_file, keep_in_ring
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.providers.registry import build_registry
from groq_fallback_mcp.redaction import register_secrets
from groq_fallback_mcp.settings import key_path, key_sources, load_settings

__all__ = ["remove_key", "set_key", "show_key"]

CHECK_S = 5.0
NOT_SET = f"No API key is set. Run {SCRIPT} key set, or export GROQ_API_KEY."


def set_key(*, file: bool, force: bool) -> int:
    """Ask for the key, from a terminal without showing it, try it, and store it in the keyring or, if wanted, in a file.

    1 where Groq refuses the key and it was not stored. `force`: store it all the same.
    """
    key = typed_secret("Groq API key")
    if not key or not is_clean_key(key):
        raise ConfigurationError(
            "That doesn't look like an API key (empty, or contains spaces or other characters)",
            next_step="Copy it again from console.groq.com/keys",
        )
    register_secrets(key)
    checked = anyio.run(_check, SecretStr(key))
    if checked.state == "refused" and not force:
        if sys.stdin is None or not sys.stdin.isatty():
            echo("Groq refused this key (401), so it was not stored. Copy it again, or pass --force to store it.", err=True)
            return 1
        if not typer.confirm("Groq refused this key (401). Store it anyway?", default=False, err=True):
            echo("Nothing was stored.", err=True)
            return 1
    place = _store(SecretStr(key), file=file)
    echo_message(f"{checked.sentence} Stored in {place}.")
    used = key_sources()[0]
    if used.key.get_secret_value() != key:
        echo(f"Note: The key in {used.source} takes precedence over the stored one. Remove it to use the stored key.")
    return 0


def show_key(*, as_json: bool) -> int:
    """Print where keys are, which one is used, and whether Groq accepts it; never a part of one. 1 unless it works."""
    found = key_sources()
    checked = anyio.run(_check, found[0].key) if found else None
    if as_json:
        print_json(
            {
                "state": "missing" if checked is None else checked.state,
                "reason": None if checked is None else checked.reason,
                "keys": [
                    {"source": one.source, "characters": len(one.key.get_secret_value()), "used": one is found[0]}
                    for one in found
                ],
            }
        )
    elif checked is None:
        echo(NOT_SET)
    else:
        for one in found:
            use = "used" if one is found[0] else f"not used, {found[0].source} takes precedence"
            echo(f"{one.source}: {len(one.key.get_secret_value())} characters, {use}")
        echo_message(checked.sentence)
    return 0 if checked is not None and checked.state == "works" else 1


def remove_key() -> int:
    """Forget the key wherever it is kept."""
    forgotten = forget_key(key_path())
    echo(f"Removed from {' and '.join(forgotten)}." if forgotten else "No key was stored.")
    exported = bool(os.environ.get("GROQ_API_KEY"))
    if exported:
        echo("Note: GROQ_API_KEY is still set in the environment. Unset it too.")
    try:
        others = key_sources()[int(exported) :]
    except ConfigurationError as error:
        echo_message(f"Note: Whether config.toml has a key is not known. {error}")
        return 0
    for other in others:
        echo(f"Note: {other.source} still has a key. Remove it too.")
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """What Groq made of a key; `reason` says why it could not be checked."""

    state: Literal["works", "refused", "unknown"]
    reason: str | None = None

    @property
    def sentence(self) -> str:
        match self.state:
            case "works":
                return "The key works."
            case "refused":
                return "Groq refused the key (401)."
            case "unknown":
                return f"The key could not be checked ({self.reason})."


async def _check(key: SecretStr) -> _Checked:
    """Try a key on Groq's list of models, which costs nothing."""
    try:
        settings = load_settings(api_key=key.get_secret_value(), local="off")
        registry = build_registry(settings, catalog=load_catalog(settings.catalog), clock=SystemClock())
    except ConfigurationError as error:
        return _Checked(state="unknown", reason=error.cause)
    try:
        live = await registry.peek_live_list(timeout_s=CHECK_S)
    finally:
        await registry.aclose()
    if live.failure is None:
        return _Checked(state="works")
    if live.refused is FailureKind.AUTHENTICATION:
        return _Checked(state="refused")
    return _Checked(state="unknown", reason=live.failure.message)


def _store(key: SecretStr, *, file: bool) -> str:
    """Where the key was stored."""
    if file:
        keep_in_file(key, key_path())
        return f"{key_path()}, which only you can read"
    if keep_in_ring(key):
        return "the system keyring"
    keep_in_file(key, key_path())
    return f"{key_path()}, which only you can read (no system keyring here; {install_command('keyring')} adds one on a desktop)"
