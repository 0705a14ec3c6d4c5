"""Settings from config.toml, the environment and flags, put together."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from groq_fallback_mcp.credentials import Credential, find_key, require_private, stored_keys
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.render import excerpt
from groq_fallback_mcp.settings.model import Settings
from groq_fallback_mcp.settings.places import config_path, key_path

__all__ = ["key_sources", "load_settings"]

# What settings were called before; read without a word, so that an upgrade breaks nothing.
FORMER_NAMES = {"organisation": "organization"}


def load_settings(**flags: object) -> Settings:
    """Settings from config.toml, environment and flags (those that are not None).

    Raises ConfigurationError naming the file or variable, the key and the fix; a secret is never in the text.
    """
    path = config_path()
    from_file = _present_names(_read_config(path))
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        environment = _former_environment() | Settings().model_dump(exclude_unset=True)
    except ValidationError as error:
        raise _explain(error, "the environment") from None
    except SettingsError as error:
        # a table in a variable that is not JSON
        raise ConfigurationError(
            f"A setting in the environment cannot be read ({error})", next_step="Give it as JSON, or use config.toml"
        ) from None
    # aliases: the file and flags use field names, pydantic wants the environment's
    merged = {_alias(name): value for name, value in (from_file | environment | given).items()}
    if not merged.get("GROQ_API_KEY") and (found := find_key(key_path())) is not None:
        merged["GROQ_API_KEY"] = found.key.get_secret_value()
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise _explain(error, str(path) if from_file else "the flags") from None
    return settings


def key_sources() -> list[Credential]:
    """Every key of Groq's that is set on this machine, in order of precedence: the first is used. Raises as `load_settings`."""
    path = config_path()
    given = (
        ("the environment variable GROQ_API_KEY", os.environ.get("GROQ_API_KEY")),
        (f"{path}", _read_config(path).get("api_key")),
    )
    found = [Credential(key=SecretStr(str(key)), source=source) for source, key in given if key]
    return found + stored_keys(key_path())


def _present_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a file under their present names; where both are there the present one counts."""
    renamed = {FORMER_NAMES[name]: value for name, value in given.items() if name in FORMER_NAMES}
    return renamed | {name: value for name, value in given.items() if name not in FORMER_NAMES}


def _former_environment() -> dict[str, str]:
    given = {name.upper(): value for name, value in os.environ.items()}
    found = {new: given.get(f"GROQ_FALLBACK_{old.upper()}", "") for old, new in FORMER_NAMES.items()}
    return {name: value for name, value in found.items() if value}


def _alias(name: str) -> str:
    field = Settings.model_fields.get(name)
    alias = field.validation_alias if field is not None else None
    return alias if isinstance(alias, str) else name


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
            if "api_key" in found:
                require_private(file.fileno(), path)
            return found
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"Cannot read {path} ({error})", next_step="Make it a readable UTF-8 file") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The file {path} is not valid TOML ({error})", next_step="Fix that line") from error


def _explain(error: ValidationError, where: str) -> ConfigurationError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    field = Settings.model_fields.get(str(first["loc"][0]))
    if where == "the environment" and field is not None and field.validation_alias is None:
        name = f"GROQ_FALLBACK_{name.upper()}"
    if first["type"] == "extra_forbidden":
        # its value may be a key in the wrong place
        close = get_close_matches(name, [*Settings.model_fields], n=1)
        meant = f"use {close[0]}" if close else "remove it"
        return ConfigurationError(
            f"unknown setting {excerpt(name)} in {where}", next_step=f"{meant}, or see docs/configuration.md for all settings"
        )
    # a URL may contain a password
    secretive = re.search("key|token_|secret|password|base_url|state|proxy", name, re.IGNORECASE)
    shown = "" if secretive else f" (got {excerpt(first['input'])})"
    reason = first["msg"].removeprefix("Value error, ")
    return ConfigurationError(f"invalid {name} in {where}{shown}: {reason}", next_step=f"fix {name} and restart")
