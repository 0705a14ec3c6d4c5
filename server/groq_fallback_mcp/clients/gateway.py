"""Puts the gateway into an agent's file as its provider of models, and takes out exactly that.

Backups are kept apart from those of the server's own entry: each can be removed without the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from groq_fallback_mcp.clients import backups, jsonc, toml_table, yaml_list
from groq_fallback_mcp.clients.change import Change
from groq_fallback_mcp.clients.config_file import exists, read_text, require_inside, require_writable
from groq_fallback_mcp.clients.gateway_clients import HOLD_HEADER, PROVIDER, GatewayClient, Setting
from groq_fallback_mcp.clients.gateway_offer import GatewayOffer
from groq_fallback_mcp.command import SCRIPT
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.settings import state_folder

__all__ = [
    "SHOWN_TOKEN",
    "WantedGateway",
    "configured_address",
    "configured_token",
    "gateway_backups",
    "plan_gateway",
    "plan_removal",
]

SHOWN_TOKEN = "(the token)"  # noqa: S105 - what is shown instead
_NEW_YAML = "name: Local\nversion: 1.0.0\nschema: v1\n"
# With /v1 behind it, or of a client that adds that itself.
_ADDRESSES = (re.compile(r"https?://[^\s\"'?#]{1,200}?(?=/v1\b)"), re.compile(r"https?://[^\s\"'?#]{1,200}?(?=[\"'])"))
_PLACEHOLDER = re.compile(r"\{[a-z]+\}")
_FAULTS = (jsonc.JsoncFault, toml_table.TomlFault, yaml_list.YamlFault, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedGateway:
    """What an agent is to be given."""

    client: GatewayClient
    offer: GatewayOffer
    origin: str
    """The gateway's address without a path, as http://127.0.0.1:8788."""
    token: str = field(repr=False)


def gateway_backups() -> Path:
    """Where the former texts of agents' files are kept."""
    return state_folder() / "gateway-backups"


def plan_gateway(wanted: WantedGateway, *, home: Path) -> Change:
    """What has to be changed. Raises ConfigurationError for a file that cannot be edited safely."""
    client = wanted.client
    path, before = _file(client, home=home)
    settings = client.filled(_parts(wanted, wanted.token))
    try:
        text, notes = _with_all(before or "", client, settings, fits=wanted.offer.fits(client))
    except _FAULTS as fault:
        raise _unsafe(path, fault, _by_hand(client, client.filled(_parts(wanted, SHOWN_TOKEN)))) from None
    after = before if text == (before or "") else text
    if before != after:
        require_writable(path)
    return Change(
        path=path,
        before=before,
        after=after,
        removes=False,
        private=before is None or wanted.token in (after or ""),
        notes=tuple(notes),
        backups=gateway_backups(),
    )


def plan_removal(client: GatewayClient, *, home: Path) -> Change:
    """The file as it was before the first set-up, else without what set-up put in. Raises ConfigurationError as `plan_gateway`."""
    path, before = _file(client, home=home)
    after = before
    if before is not None:
        try:
            after = _without_all(before, client, backups.first(gateway_backups(), path))
        except _FAULTS as fault:
            raise _unsafe(path, fault, f"Remove the provider {PROVIDER} by hand") from None
        if after != before:
            require_writable(path)
            former = backups.undo(gateway_backups(), path, before)
            if former is not None:
                after = former.text
            elif _is_empty(after, client):
                after = None
    return Change(path=path, before=before, after=after, removes=True, private=False, notes=(), backups=gateway_backups())


def configured_address(client: GatewayClient, *, home: Path) -> str | None:
    """The gateway's address in an agent's file, where set-up put it; None where it did not. Raises as `plan_removal`."""
    removal = plan_removal(client, home=home)
    after = removal.after or ""
    found = (url for form in _ADDRESSES for url in form.findall(removal.before or ""))
    return next((url for url in found if url not in after), None)


def configured_token(client: GatewayClient, *, home: Path) -> str | None:
    """The token in an agent's file, where set-up put it; None where it cannot be told. Raises ConfigurationError as `plan_removal`."""
    path, text = _file(client, home=home)
    if text is None or client.is_yaml:
        return None
    try:
        said = _loads(text, client)
    except _FAULTS as fault:
        raise _unsafe(path, fault, "Correct it") from None
    found = (_token_in(setting.value, _at(said, setting.at)) for setting in client.settings)
    return next((token for token in found if token is not None), None)


def _token_in(template: JsonValue, said: JsonValue) -> str | None:
    """What a file has where its template has the token."""
    if template == "{token}":
        return said if isinstance(said, str) else None
    if not isinstance(template, dict) or not isinstance(said, dict):
        return None
    found = (_token_in(inner, said.get(name)) for name, inner in template.items())
    return next((token for token in found if token is not None), None)


def _file(client: GatewayClient, *, home: Path) -> tuple[Path, str | None]:
    paths = client.paths(home)
    path = next((path for path in paths if exists(path)), paths[0])
    require_inside(path, home)
    return path, read_text(path)


def _parts(wanted: WantedGateway, token: str) -> dict[str, JsonValue]:
    auto = wanted.offer.models[0]
    return {
        "{origin}": wanted.origin,
        "{url}": f"{wanted.origin}/v1",
        "{token}": token,
        "{small}": wanted.offer.small,
        "{models}": {model.id: model.entry(wanted.client) for model in wanted.offer.models},
        "{context}": auto.context_for(wanted.client),
        "{output}": auto.output,
    }


def _with_all(text: str, client: GatewayClient, settings: Sequence[Setting], *, fits: bool) -> tuple[str, list[str]]:
    """The text with the settings, and what of the person's own they replaced."""
    if client.is_yaml:
        return _with_yaml(text, settings[0]), []
    notes: list[str] = []
    said, before = _loads(text, client), text
    for template, setting in zip(client.settings, settings, strict=True):
        present = _at(said, setting.at)
        ours = _is_ours(said, client, template)
        if setting.when == "missing" and present is not None:
            continue
        if setting.when == "fits" and not fits:
            # one that an earlier plan could serve
            text = _without(text, client, setting.at) if ours else text
            continue
        if _undated(present) == _undated(setting.value):
            continue
        if present is not None and setting.when != "missing" and not ours:
            shown = f" {present[:80]!r}" if isinstance(present, str) and not _is_secret(setting) else ""
            notes.append(f"This replaced {'.'.join(setting.at)}{shown}; --remove restores it.")
        text = _with(text, client, setting)
    stronger = [".".join(at) for at in client.overridden_by if _at(said, at)] if text != before else []
    notes += [f"{name} in this file takes precedence over the gateway. Remove it to use the gateway." for name in stronger]
    enabled = said.get("enabled_providers")
    if isinstance(enabled, list) and PROVIDER not in enabled:
        notes.append(f"enabled_providers in this file does not list {PROVIDER}, so {client.title} ignores it. Add it there.")
    return text, notes


def _with_yaml(text: str, setting: Setting) -> str:
    if not isinstance(setting.value, dict):
        message = "an entry must be a table"
        raise TypeError(message)
    return yaml_list.with_entry(text if text.strip() else _NEW_YAML, setting.at[0], setting.value)


def _without_all(text: str, client: GatewayClient, former: str | None) -> str:
    """The text without what set-up put in; where that had replaced a value of the person's own, with theirs again."""
    if client.is_yaml:
        return yaml_list.without_entry(text)
    said, own = _loads(text, client), _loads(former, client) if former else {}
    for setting in client.settings:
        if setting.when == "missing" or not _is_ours(said, client, setting):
            continue
        before = None if _is_ours(own, client, setting) else _at(own, setting.at)
        if before is None:
            text = _without(text, client, setting.at)
        else:
            text = _with(text, client, setting.model_copy(update={"value": before}))
    return text


def _is_ours(said: JsonValue, client: GatewayClient, setting: Setting) -> bool:
    """Whether set-up wrote what is there: it bears our name or our header, or belongs to what does."""
    present = _at(said, setting.at)
    if present is None:
        return False
    if PROVIDER in setting.at or HOLD_HEADER in str(present) or str(present).startswith(f"{PROVIDER}/"):
        return True
    if isinstance(present, dict | list):
        return False
    mark = next(one for one in client.settings if PROVIDER in one.at or HOLD_HEADER in str(one.value))
    filled = _PLACEHOLDER.search(str(setting.value)) is not None
    is_written = filled or present == setting.value
    return setting is not mark and is_written and _is_ours(said, client, mark) and _is_chosen(said, client, setting.when)


def _is_chosen(said: JsonValue, client: GatewayClient, when: str) -> bool:
    """Whether the client is told to use our provider, where that is a setting of its own: else the values beside it are the person's."""
    choices = [one for one in client.settings if one.value == PROVIDER and one.when == when]
    return all(_at(said, one.at) == PROVIDER for one in choices)


def _is_secret(setting: Setting) -> bool:
    """Whether the person's own value there may be a secret."""
    return any(word in setting.at[-1] for word in ("TOKEN", "HEADERS"))


def _at(node: JsonValue, path: Sequence[str]) -> JsonValue:
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _undated(value: JsonValue) -> JsonValue:
    """Without the date that Cline renews at every start."""
    return {name: inner for name, inner in value.items() if name != "updatedAt"} if isinstance(value, dict) else value


def _loads(text: str, client: GatewayClient) -> dict[str, JsonValue]:
    if client.is_toml:
        return toml_table.loads(text)
    said = jsonc.loads(text)
    if not isinstance(said, dict):
        message = "the document is not a table"
        raise jsonc.JsoncFault(message, 1)
    return said


def _with(text: str, client: GatewayClient, setting: Setting) -> str:
    if not client.is_toml:
        return _same_but(text, jsonc.set_value(text, setting.at, setting.value), setting.at)
    match setting.value:
        case dict():
            after = toml_table.set_table(text, setting.at, setting.value)
            return _same_table_but(text, after, setting.at)
        case str() | int():
            return toml_table.set_value(text, setting.at[0], setting.value)
        case _:
            message = "a value must be a table or plain"
            raise TypeError(message)


def _without(text: str, client: GatewayClient, at: Sequence[str]) -> str:
    """The text without the value, and without a table that held nothing else, unless the agent needs it."""
    if client.is_toml:
        if len(at) == 1:
            return toml_table.remove_value(text, at[0])
        return _same_table_but(text, toml_table.remove(text, at), at)
    text = _same_but(text, jsonc.remove(text, at), at)
    needed = {setting.at for setting in client.settings if setting.when == "missing"}
    outer = tuple(at[:-1])
    return jsonc.remove_empty(text, outer) if outer and outer not in needed else text


def _is_empty(text: str, client: GatewayClient) -> bool:
    if client.is_toml:
        return not text.removeprefix(toml_table.BYTE_ORDER_MARK).strip()
    return not client.is_yaml and jsonc.is_empty(text)


def _same_table_but(before: str, after: str, at: Sequence[str]) -> str:
    if toml_table.digest(before, without=at) != toml_table.digest(after, without=at):
        message = "other settings would change"
        raise toml_table.TomlFault(message)
    return after


def _same_but(before: str, after: str, at: Sequence[str]) -> str:
    if jsonc.digest(before, without=at) != jsonc.digest(after, without=at):
        message = "other settings would change"
        raise jsonc.JsoncFault(message, 1)
    return after


def _by_hand(client: GatewayClient, settings: Sequence[Setting]) -> str:
    table = next((one for one in settings if isinstance(one.value, dict) and one.value), None)
    if not client.is_yaml or table is None or not isinstance(table.value, dict):
        return "Correct it, then run the command again"
    entry = yaml_list.snippet(table.at[0], table.value)
    return f"Add this to it by hand, with the token that {SCRIPT} gateway --show-token prints:\n{entry}"


def _unsafe(path: Path, fault: Exception, next_step: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} cannot be edited safely ({str(fault) or 'nested too deeply'}); nothing was changed", next_step=next_step
    )
