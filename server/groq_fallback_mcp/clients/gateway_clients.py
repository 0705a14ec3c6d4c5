"""The agents that take the gateway for their own model calls: what is written into which file, from clients.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

__all__ = ["GATEWAY_CLIENTS", "HOLD_HEADER", "PROVIDER", "GatewayClient", "Setting"]

# What agents call the gateway where they let a provider be named.
PROVIDER = "groq-fallback"
HOLD_HEADER = "x-groq-fallback-hold-s"


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Setting(_Row):
    """A value in an agent's file."""

    at: tuple[str, ...]
    """The keys that lead to it."""
    value: JsonValue
    as_text: bool = False
    """A number is written as a text: a variable of the environment."""
    when: Literal["always", "fits", "missing"] = "always"
    """`fits`: only where the plan takes the agent's own prompt. `missing`: only where nothing is there; it stays on removal."""


class GatewayClient(_Row):
    """A `gateway` row of clients.toml."""

    name: str
    """As `setup` takes it."""
    title: str
    home: tuple[str, ...]
    """The user's own files, relative to the home folder. The first that exists is used, else the first."""
    prompt_tokens: int
    """The agent's own first request, in tokens: system prompt and tools."""
    unmeasured_tokens: int = 0
    """What of it the command below does not send."""
    measure: tuple[str, ...]
    """The command that makes it send one request to the gateway, with the placeholder {origin}."""
    measure_environment: dict[str, str] = {}
    settings: tuple[Setting, ...]
    overridden_by: tuple[tuple[str, ...], ...] = ()
    """What in the same file takes precedence, so that the gateway is not used."""
    note: str = ""
    source: str
    """The version that was run, or what the row was read from."""
    checked: date

    @property
    def is_yaml(self) -> bool:
        """Whether its file is YAML, which gets an entry of a list."""
        return self.home[0].endswith(".yaml")

    @property
    def is_toml(self) -> bool:
        """Whether its file is TOML; what is neither that nor YAML is JSON with comments."""
        return self.home[0].endswith(".toml")

    @property
    def has_small_model(self) -> bool:
        """Whether titles and summaries have a model of their own, which fits where the main one does not."""
        return any(setting.value == f"{PROVIDER}/{{small}}" for setting in self.settings)

    @property
    def keeps_own_model(self) -> bool:
        """Whether its main model is left as it is where its own prompt does not fit."""
        return any(setting.when == "fits" for setting in self.settings)

    @property
    def fits_or_nothing(self) -> bool:
        """Whether nothing is written where its own prompt does not fit: it has one endpoint for all models."""
        return all(setting.when == "fits" for setting in self.settings)

    def paths(self, home: Path) -> list[Path]:
        """The files its configuration may be in."""
        return [home / path for path in self.home]

    def filled(self, parts: Mapping[str, JsonValue]) -> tuple[Setting, ...]:
        """The settings with the placeholders in their values replaced."""
        return tuple(setting.model_copy(update={"value": _value(setting, parts)}) for setting in self.settings)


def _value(setting: Setting, parts: Mapping[str, JsonValue]) -> JsonValue:
    value = _filled(setting.value, parts)
    return str(value) if setting.as_text else value


def _filled(value: JsonValue, parts: Mapping[str, JsonValue]) -> JsonValue:
    if isinstance(value, dict):
        return {name: _filled(inner, parts) for name, inner in value.items()}
    if not isinstance(value, str) or value in parts:
        return parts[value] if isinstance(value, str) else value
    for name, part in parts.items():
        value = value.replace(name, str(part)) if isinstance(part, str) else value
    return value


def _read() -> tuple[GatewayClient, ...]:
    text = files("groq_fallback_mcp.clients").joinpath("clients.toml").read_text(encoding="utf-8")
    return tuple(GatewayClient.model_validate(row) for row in tomllib.loads(text)["gateway"])


GATEWAY_CLIENTS: Mapping[str, GatewayClient] = MappingProxyType({client.name: client for client in _read()})
