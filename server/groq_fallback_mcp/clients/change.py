"""The text of a client's configuration with our server in it, or without. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError

from groq_fallback_mcp.clients import jsonc
from groq_fallback_mcp.clients.client import SERVER, Client
from groq_fallback_mcp.errors import ConfigurationError

__all__ = ["entry_in", "with_server", "without_server"]


def with_server(text: str, client: Client, entry: Mapping[str, Any], *, path: str) -> str:
    """The configuration with the server's entry; everything else stays. Raises ConfigurationError for a broken file."""
    if client.shape == "codex":
        document = _toml(text, path)
        servers = document.setdefault("mcp_servers", tomlkit.table(is_super_table=True))
        if _plain(servers.get(SERVER)) == dict(entry):
            return text
        servers[SERVER] = dict(entry)
        return tomlkit.dumps(document)
    try:
        if entry_in(text, client, path=path) == dict(entry):
            return text
        return jsonc.set_value(text, (*client.table, SERVER), dict(entry))
    except jsonc.JsoncFault as fault:
        raise _broken(path, fault) from None


def without_server(text: str, client: Client, *, path: str) -> str:
    """The configuration without it. Raises ConfigurationError for a broken file."""
    if client.shape == "codex":
        document = _toml(text, path)
        servers = document.get("mcp_servers")
        if servers is None or SERVER not in servers:
            return text
        del servers[SERVER]
        if not servers:
            del document["mcp_servers"]
        return tomlkit.dumps(document)
    try:
        return jsonc.remove(text, (*client.table, SERVER))
    except jsonc.JsoncFault as fault:
        raise _broken(path, fault) from None


def entry_in(text: str, client: Client, *, path: str) -> dict[str, Any] | None:
    """Our server's entry, None without one. Raises ConfigurationError for a broken file."""
    if not text.strip():
        return None
    if client.shape == "codex":
        return _plain(_toml(text, path).get("mcp_servers", {}).get(SERVER))
    try:
        node: Any = jsonc.loads(text)
    except jsonc.JsoncFault as fault:
        raise _broken(path, fault) from None
    for name in (*client.table, SERVER):
        node = cast("dict[str, Any]", node).get(name) if isinstance(node, dict) else None
    return cast("dict[str, Any]", node) if isinstance(node, dict) else None


def _toml(text: str, path: str) -> Any:  # noqa: ANN401 - a document of tomlkit's
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise _broken(path, error) from None


def _plain(value: Any) -> dict[str, Any] | None:  # noqa: ANN401 - an item of tomlkit's
    return None if value is None else cast("dict[str, Any]", value.unwrap())


def _broken(path: str, fault: Exception) -> ConfigurationError:
    return ConfigurationError(f"{path} cannot be read: {fault}", next_step="correct it; nothing was changed")
