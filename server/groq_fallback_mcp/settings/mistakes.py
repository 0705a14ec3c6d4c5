"""What is wrong with a setting, by the name that its writer gave it and in words that name what may be there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.json_types import is_array, is_object
from groq_fallback_mcp.redaction import redact
from groq_fallback_mcp.render import excerpt
from groq_fallback_mcp.settings.model import ADDRESSES, NO_KEY, SECRETS, EndpointSettings, Settings
from groq_fallback_mcp.settings.places import CONFIG_VARIABLE

__all__ = [
    "FORMER_NAMES",
    "Given",
    "alias_of",
    "explain",
    "explain_unread",
    "field_of",
    "reason",
    "unknown_variables",
    "variable_of",
]

# What settings were called before; read without a word, so that an upgrade breaks nothing.
FORMER_NAMES = {"organisation": "organization"}
_ENVIRONMENT = " in the environment"
_PREFIX = "GROQ_FALLBACK_"
_NUMBER = "it must be a number"
_WHOLE = "it must be a whole number"
_BOOLEAN = "it must be true or false"
_TEXT = "it must be text, in quotation marks in a file"
# pydantic's kinds of errors
_EXPECTED: Mapping[str, str] = {
    "bool_parsing": _BOOLEAN,
    "bool_type": _BOOLEAN,
    "decimal_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "finite_number": _NUMBER,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "greater_than": "it must be more than {gt:g}",
    "greater_than_equal": "it must be at least {ge:g}",
    "int_from_float": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_type": _WHOLE,
    "less_than_equal": "it must be at most {le:g}",
    "dict_type": "it must be a list or a table",
    "missing": "it is missing",
    "model_type": "it must be a table",
    "path_type": _TEXT,
    "string_type": _TEXT,
    "tuple_type": "it must be a list",
}
_PATTERNS: Mapping[str, str] = {
    "name": "use lowercase letters, digits, - and _",
    "key_env": NO_KEY,
}
# Their values may be a key or contain a password.
_SECRETIVE = re.compile("key|token_|secret|password|base_url", re.IGNORECASE)
_PROVIDERS = "it must be [[providers]] tables"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Where settings were given: a file's table, and the options of a command; what is in neither is in the environment."""

    path: Path
    file: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    options: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)

    def place(self, name: str) -> tuple[str, str]:
        """What a setting is called where its value was given, and where that is."""
        if name in self.options:
            return f"--{name.replace('_', '-')}", ""
        former = [old for old, new in FORMER_NAMES.items() if new == name]
        written = next((one for one in (name, variable_of(name), *former) if one in self.file), None)
        if written is not None:
            return written, f" in {self.path}"
        wanted = {variable_of(one) for one in (name, *former)}
        return next((one for one in os.environ if one.upper() in wanted), variable_of(name)), _ENVIRONMENT


def alias_of(name: str) -> str | None:
    """The variable of a setting that has one of its own, without our prefix."""
    setting = Settings.model_fields.get(name)
    alias = setting.validation_alias if setting is not None else None
    return alias if isinstance(alias, str) else None


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return alias_of(name) or f"{_PREFIX}{name.upper()}"


def field_of(name: str) -> str:
    """The setting of a name, which may be its variable's."""
    return next((one for one in Settings.model_fields if variable_of(one) == name), name)


def explain(error: ValidationError, given: Given) -> ConfigurationError:
    """The first mistake, where it was made, and what may be there. A secret is never in the text."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    name = field_of(path[0]) if path else ""
    if first["type"] == "extra_forbidden":
        return _unknown(path, given)
    written, where = given.place(name)
    next_step = f"fix {written} and restart"
    if name == "providers":
        next_step = _table_of(first["input"])
    if name == "providers" and path[1:]:
        inner = ".".join(part for part in path[2:] if part != "[key]")
        written, where = f"{inner} of {_provider(path, given)}".removeprefix(" of "), _inside(where)
        next_step = f"{'add' if first['type'] == 'missing' else 'fix'} {inner or 'it'} and restart"
    if first["type"] == "missing":
        return ConfigurationError(f"no {written}{where}", next_step=next_step)
    value = excerpt(first["input"])
    shown = "" if name in (*SECRETS, *ADDRESSES) or _may_be_secret(".".join(path), value) else f" (got {value})"
    return ConfigurationError(f"invalid {written}{where}{shown}: {reason(first)}", next_step=next_step)


def _may_be_secret(path: str, value: str) -> bool:
    """Also an address, which may contain a password, in the place of something else."""
    return _SECRETIVE.search(path) is not None or "://" in value or redact(value) != value


def explain_unread(error: SettingsError) -> ConfigurationError:
    """A variable that must be JSON and is not."""
    found = re.search(r'field "(\w+)"', str(error))
    name = Given(path=Path()).place(found[1])[0] if found is not None else "A setting"
    return ConfigurationError(
        f"{name} in the environment is not valid JSON", next_step="Give it as JSON, or use [[providers]] tables in config.toml"
    )


def unknown_variables(names: Iterable[str], *, providers: Iterable[EndpointSettings] = ()) -> list[str]:
    """A warning for each variable that has our prefix and is not a setting: without it nobody notices a typo.

    A provider of `providers` may have its key in a variable of such a name.
    """
    settings = {name: variable_of(name) for name in Settings.model_fields}
    settings |= {old: variable_of(old) for old in FORMER_NAMES}
    settings[CONFIG_VARIABLE.removeprefix(_PREFIX).lower()] = CONFIG_VARIABLE
    known = {*settings.values(), *(one.key_env.upper() for one in providers if one.key_env)}
    found: list[str] = []
    for name in sorted(names):
        if not name.upper().startswith(_PREFIX) or name.upper() in known:
            continue
        # without the prefix, which makes all of them alike
        close = get_close_matches(name[len(_PREFIX) :].lower(), settings, n=1)
        step = f"use {settings[close[0]]}" if close else "see docs/configuration.md for all settings"
        found.append(f"{excerpt(name, quoted=False)} is not a setting and is ignored; {step}")
    return found


def _unknown(path: Sequence[str], given: Given) -> ConfigurationError:
    """A name that is no setting. Its value may be a key in the wrong place."""
    name, known, of = path[-1], list(Settings.model_fields), ""
    where = given.place(field_of(path[0]))[1]
    if path[0] == "providers" and path[1:]:
        known, of, where = list(EndpointSettings.model_fields), f" of {_provider(path, given)}", _inside(where)
    close = get_close_matches(name.lower().removeprefix(_PREFIX.lower()), known, n=1)
    meant = f"use {close[0]}" if close else "remove it"
    return ConfigurationError(
        f"unknown setting {excerpt(name)}{of}{where}", next_step=f"{meant}, or see docs/configuration.md for all settings"
    )


def _inside(where: str) -> str:
    """Where a table of [[providers]] is: in the file, or in the variable with all of them."""
    return f" in {variable_of('providers')}" if where == _ENVIRONMENT else where


def _provider(path: Sequence[str], given: Given) -> str:
    """A table of [[providers]]: by its name, else by its place."""
    number = int(path[1])
    tables: object = given.file.get("providers")
    table: object = tables[number] if is_array(tables) and number < len(tables) else None
    name = (table.get("name") or table.get("preset")) if is_object(table) else None
    is_shown = isinstance(name, str) and not _may_be_secret("", name)
    return f"provider {excerpt(name)}" if is_shown else f"provider {number + 1}"


def _table_of(value: object) -> str:
    """How to write what somebody gave as the name of a provider."""
    if isinstance(value, str) and re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,40}", value):
        return f'Run groq-fallback-mcp providers add {value}, or write a [[providers]] table with preset = "{value}"'
    return "Run groq-fallback-mcp providers add NAME, or write a [[providers]] table for each"


def reason(mistake: ErrorDetails) -> str:
    """What may be there, in plain words."""
    kind, name = mistake["type"], str(mistake["loc"][-1]) if mistake["loc"] else ""
    if kind == "literal_error":
        return f"it must be {mistake['ctx']['expected']}".replace("'", "")
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(name, "it has characters that are not allowed there")
    if kind == "tuple_type" and name == "providers":
        return _PROVIDERS
    if kind in _EXPECTED:
        return _EXPECTED[kind].format_map(mistake.get("ctx", {}))
    return mistake["msg"].removeprefix("Value error, ")
