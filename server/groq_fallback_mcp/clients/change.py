"""The text of a client's configuration with our server in it, or without. Pure.

After each edit the text is read again: everything but our entry must say what it said before, else the edit is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from groq_fallback_mcp.clients import jsonc, toml_table
from groq_fallback_mcp.clients.client import KEY, SERVER, Client
from groq_fallback_mcp.errors import ConfigurationError

__all__ = ["entry_in", "says_nothing", "with_server", "without_server"]


def with_server(text: str, client: Client, entry: Mapping[str, Any], *, path: str) -> str:
    """The configuration with the server's entry. Raises ConfigurationError for a file that cannot be edited safely."""
    at = (*client.table, SERVER)

    def edit() -> str:
        return _format(client).set(text, at, entry)

    if entry_in(text, client, path=path) == dict(entry):
        return text
    after = _edited(edit, client, entry, path=path)
    _require_same(text, after, client, path=path, entry=entry)
    return after


def without_server(text: str, client: Client, *, path: str) -> str:
    """The configuration without it, and without a table that held nothing else. Raises ConfigurationError as `with_server`."""
    at = (*client.table, SERVER)

    def edit() -> str:
        shorter = _format(client).remove(text, at)
        return text if shorter == text else _format(client).remove_empty(shorter, at[:-1])

    after = _edited(edit, client, None, path=path)
    _require_same(text, after, client, path=path, entry=None)
    return after


def entry_in(text: str, client: Client, *, path: str) -> dict[str, Any] | None:
    """Our server's entry, None without one. Raises ConfigurationError for a broken file or an entry that is not a table."""
    try:
        node: Any = _format(client).loads(text)
    except _FAULTS as fault:
        raise _unreadable(path, fault) from None
    for name in (*client.table, SERVER):
        if not isinstance(node, dict):
            return None
        node = cast("dict[str, Any]", node).get(name)
    if node is not None and not isinstance(node, dict):
        raise ConfigurationError(
            f"{path} has an entry {SERVER!r} that is not a table", next_step="Remove it or rename it, then run setup again"
        )
    return cast("dict[str, Any] | None", node)


def says_nothing(text: str, client: Client) -> bool:
    """Whether a configuration is empty: no setting and no comment."""
    return _format(client).is_empty(text)


class _Jsonc:
    loads = staticmethod(jsonc.loads)
    digest = staticmethod(jsonc.digest)
    is_empty = staticmethod(jsonc.is_empty)
    set = staticmethod(jsonc.set_value)
    remove = staticmethod(jsonc.remove)

    @staticmethod
    def remove_empty(text: str, path: Sequence[str]) -> str:
        node = jsonc.loads(text)
        for name in path:
            node = node.get(name)
        # a comment in it is somebody's
        bare = jsonc.remove(text, path)
        kept = text.count("//") == bare.count("//") and text.count("/*") == bare.count("/*")
        return bare if node == {} and kept else text


class _Toml:
    loads = staticmethod(toml_table.loads)
    digest = staticmethod(toml_table.digest)
    set = staticmethod(toml_table.set_table)
    remove = staticmethod(toml_table.remove)

    @staticmethod
    def is_empty(text: str) -> bool:
        return not text.removeprefix(toml_table.BYTE_ORDER_MARK).strip()

    @staticmethod
    def remove_empty(text: str, path: Sequence[str]) -> str:
        del path
        return text  # a table that is only named by ours goes with it


_FAULTS = (jsonc.JsoncFault, toml_table.TomlFault, RecursionError)


def _format(client: Client) -> type[_Jsonc | _Toml]:
    return _Toml if client.is_toml else _Jsonc


def _edited(edit: Callable[[], str], client: Client, entry: Mapping[str, Any] | None, *, path: str) -> str:
    try:
        return edit()
    except _FAULTS as fault:
        raise _unsafe(path, client, entry, str(fault) or "nested too deeply") from None


def _require_same(text: str, after: str, client: Client, *, path: str, entry: Mapping[str, Any] | None) -> None:
    at, form = (*client.table, SERVER), _format(client)
    try:
        same = form.digest(text, without=at) == form.digest(after, without=at)
        done = entry_in(after, client, path=path) == (None if entry is None else dict(entry))
    except (*_FAULTS, ConfigurationError):
        same = done = False
    if not (same and done):
        raise _unsafe(path, client, entry, "other settings would change")


def _unreadable(path: str, fault: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"{path} cannot be read: {str(fault) or 'nested too deeply'}",
        next_step="Correct it, then run the command again; nothing was changed",
    )


def _without_key(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry as it may be shown: a key that would be written into it is not."""
    shown: dict[str, Any] = {}
    for name, value in entry.items():
        if isinstance(value, Mapping):
            shown[name] = _without_key(cast("Mapping[str, Any]", value))
        else:
            shown[name] = "YOUR_KEY" if name == KEY and not str(value).startswith("$") else value
    return shown


def _unsafe(path: str, client: Client, entry: Mapping[str, Any] | None, why: str) -> ConfigurationError:
    where = f"{'.'.join(client.table)}.{SERVER}"
    by_hand = (
        f"Remove the entry {where} by hand"
        if entry is None
        else f"Add this entry by hand as {where}: {json.dumps(_without_key(entry))}"
    )
    return ConfigurationError(f"{path} cannot be edited safely ({why}); nothing was changed", next_step=by_hand)
