"""Settings from config.toml, the environment and flags, put together."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from groq_fallback_mcp.credentials import Credential, find_key, require_private, stored_keys
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.settings.mistakes import FORMER_NAMES, Given, alias_of, explain, explain_unread, field_of, variable_of
from groq_fallback_mcp.settings.model import ADDRESSES, SECRETS, Settings, secrets_in
from groq_fallback_mcp.settings.places import config_path, key_path

__all__ = ["key_sources", "load_settings"]


def load_settings(**flags: object) -> Settings:
    """Settings from config.toml, environment and flags (those that are not None).

    Raises ConfigurationError naming the file or variable, the key and the fix; a secret is never in the text.
    """
    path = config_path()
    in_file = _read_config(path)
    from_file = _present_names(in_file)
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        environment = _former_environment() | Settings().model_dump(exclude_unset=True)
    except ValidationError as error:
        raise explain(error, Given(path=path)) from None
    except SettingsError as error:
        raise explain_unread(error) from None
    # aliases: the file and flags use field names, pydantic wants the environment's
    merged = {alias_of(name) or name: value for name, value in (from_file | environment | given).items()}
    if not merged.get("GROQ_API_KEY") and (found := find_key(key_path())) is not None:
        merged["GROQ_API_KEY"] = found.key.get_secret_value()
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise explain(error, Given(path=path, file=in_file, options=given)) from None
    return settings


def key_sources() -> list[Credential]:
    """Every key of Groq's that is set on this machine, in order of precedence: the first is used. Raises as `load_settings`."""
    path = config_path()
    given = (
        ("the environment variable GROQ_API_KEY", os.environ.get("GROQ_API_KEY")),
        (f"{path}", _key_in(_read_config(path))),
    )
    found = [Credential(key=SecretStr(str(key)), source=source) for source, key in given if key]
    return found + stored_keys(key_path())


def _key_in(table: Mapping[str, Any]) -> object:
    """The key that a file gives, by the name of the setting or of its variable."""
    return next((table[name] for name in ("api_key", variable_of("api_key")) if name in table), None)


def _secret_in(table: Mapping[str, Any]) -> str | None:
    """What a file holds that must stay secret: a key, a token, or an address with a password; None for nothing."""
    given = [(field_of(FORMER_NAMES.get(name, name)), value) for name, value in table.items()]
    held = (name for name, value in given if name in SECRETS and value)
    passwords = (
        f"a password in {name}"
        for name, value in given
        if name in ADDRESSES and isinstance(value, str) and any(secrets_in(value))
    )
    return next(chain(held, passwords), None)


def _present_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a file under their present names; where both are there the present one counts."""
    renamed = {FORMER_NAMES[name]: value for name, value in given.items() if name in FORMER_NAMES}
    return renamed | {name: value for name, value in given.items() if name not in FORMER_NAMES}


def _former_environment() -> dict[str, str]:
    given = {name.upper(): value for name, value in os.environ.items()}
    found = {new: given.get(variable_of(old), "") for old, new in FORMER_NAMES.items()}
    return {name: value for name, value in found.items() if value}


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
            if (name := _secret_in(found)) is not None:
                require_private(file.fileno(), path, content=name)
            return found
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"Cannot read {path} ({error})", next_step="Make it a readable UTF-8 file") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The file {path} is not valid TOML ({error})", next_step="Fix that line") from error
    except (ValueError, RecursionError) as error:
        # a number of thousands of digits, or lists as deep
        raise ConfigurationError(
            f"Cannot read {path} ({error})", next_step="Remove the number or list that is too long"
        ) from error
