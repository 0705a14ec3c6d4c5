"""The block `settings`: every setting with its environment variable, its key in config.toml, default and meaning."""

from __future__ import annotations

from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from groq_fallback_mcp.generate.markdown import code, table
from groq_fallback_mcp.settings import Settings

__all__ = ["settings_block"]

_HEADINGS = ("Environment variable", "In config.toml", "Default", "Meaning")
# where config.toml itself is found is no field of Settings: it is read before there are any
_CONFIG = (
    code("GROQ_FALLBACK_CONFIG"), "", "", "Path of config.toml. Default: `groq-fallback-mcp/config.toml` in the user's config folder.",
)  # fmt: skip


def settings_block() -> str:
    """A row a setting."""
    return table(_HEADINGS, [*(_cells(name, field) for name, field in Settings.model_fields.items()), _CONFIG])


def _cells(name: str, field: FieldInfo) -> tuple[str, ...]:
    alias = field.validation_alias
    variable = alias if isinstance(alias, str) else f"GROQ_FALLBACK_{name.upper()}"
    default = _default(field.default)
    values = _values(field.annotation)
    one_of = f" One of {', '.join(code(str(value)) for value in values)}." if values else ""
    return (code(variable), code(name), default, f"{field.description or ''}{one_of}")


def _default(value: object) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return code(f"{value:g}" if isinstance(value, float) else str(value))


def _values(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 - annotations can be anything
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((_values(part) for part in get_args(annotation) if part is not NoneType and get_origin(part) is Literal), ())
