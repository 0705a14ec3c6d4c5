"""Every setting, its name, default and meaning; the README's table is generated from here.

Order of precedence, later wins: `config.toml` in the user's config folder, environment, flags of the command. Groq's
key, where none of them has one, is looked for in the key ring and in a file beside config.toml.
"""

from __future__ import annotations

import os
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import unquote, urlsplit

from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from groq_fallback_mcp.addresses import check_base_url, is_clean_key, is_loopback, is_proxy
from groq_fallback_mcp.credentials import find_key, require_private
from groq_fallback_mcp.errors import ConfigurationError

__all__ = ["EndpointSettings", "Settings", "config_path", "key_path", "load_settings"]

APP = "groq-fallback-mcp"
# shorter ones would blot out words of every sentence
SHORTEST_SECRET = 6


class EndpointSettings(BaseModel):
    """An OpenAI-compatible endpoint to fall back to: a `[[providers]]` table of config.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name shown in results; not groq or local.")
    base_url: str = Field(description="https, or http on loopback; with the path that ends before /chat/completions.")
    key_env: str | None = Field(default=None, description="The environment variable that holds its key.")
    prefix: str = Field(default="", description="Put before each model id on the wire, such as groq/ for LiteLLM.")
    models: tuple[str, ...] = Field(min_length=1, description="Model ids it serves, best first.")
    speech_models: tuple[str, ...] = Field(default=(), description="Those of `models` that transcribe.")
    context_window: int = Field(default=8192, gt=0, description="Tokens, for models the catalogue does not know.")

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if value in {"groq", "local"}:
            message = "the names groq and local are taken"
            raise ValueError(message)
        return value

    @field_validator("base_url")
    @classmethod
    def _safe_url(cls, value: str) -> str:
        return check_base_url(value)


class Settings(BaseSettings):
    """All settings. Field descriptions are the documentation."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix="GROQ_FALLBACK_", env_ignore_empty=True)

    api_key: SecretStr | None = Field(
        default=None, validation_alias="GROQ_API_KEY", description="Groq's key. Without it the server starts all the same."
    )
    base_url: str = Field(
        default="https://api.groq.com",
        validation_alias="GROQ_BASE_URL",
        description="Where Groq answers, with or without /openai/v1. https, or http on loopback.",
    )
    plan: Literal["free", "developer"] = Field(default="free", description="Whose documented limits hold until learnt.")
    deadline_s: float = Field(default=50.0, ge=1, le=3600, description="Seconds for a whole tool call, all attempts together.")
    attempt_timeout_s: float = Field(
        default=20.0, gt=0, le=3600, description="Seconds one attempt may take while another model is left to ask."
    )
    max_wait_s: float = Field(
        default=2.0,
        ge=0,
        le=600,
        description="Longest wait in seconds for a better provider while a lesser one could serve now.",
    )
    files: Annotated[tuple[Path, ...] | None, NoDecode] = Field(
        default=None,
        description="Folders `transcribe` may read, separated like PATH. Default: the folder the server was started in, "
        "unless that is the root or the home folder.",
    )
    local: Literal["auto", "off", "only"] = Field(
        default="auto", description="Local models: last resort when installed, never, or nothing else."
    )
    local_text_model: Path | None = Field(default=None, description="A GGUF file of your own for local text.")
    catalog: Path | None = Field(default=None, description="A catalog.toml laid over the shipped one.")
    providers: tuple[EndpointSettings, ...] = Field(
        default=(), description="Other OpenAI-compatible endpoints, in order; `[[providers]]` tables of config.toml."
    )
    state: SecretStr = Field(
        default=SecretStr("sqlite"),
        description="Where limits and spending are kept: `sqlite` (a file in the user's state folder, shared by all processes), "
        "`sqlite:///PATH`, `redis://HOST:PORT/DB` (several machines; needs the extra `redis`), or `memory`.",
    )
    organisation: str | None = Field(
        default=None,
        description="A name for the Groq organisation, the same wherever keys of one organisation are used: they share its limits. "
        "Default: each key counts as one.",
    )
    budget_usd_per_day: Decimal | None = Field(
        default=None, ge=0, description="Refuse calls to Groq that could cost more than this many US dollars in a UTC day."
    )
    budget_tokens_per_day: int | None = Field(
        default=None, ge=0, description="Refuse calls that could take more than this many tokens in a UTC day."
    )
    proxy: SecretStr | None = Field(
        default=None,
        description="An http or https proxy, `http://USER:PASSWORD@HOST:PORT`, for calls that leave this machine. "
        "HTTP_PROXY and its like are not used.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="How much is logged; never a key, and no prompt or answer either."
    )
    log_file: Path | None = Field(default=None, description="Append the log to this file in place of stderr.")
    log_format: Literal["text", "json"] = Field(default="text", description="Lines for people, or one JSON object a line.")
    line_mib: int = Field(default=16, ge=1, le=1024, description="Longest line, in MiB, that is taken from the MCP client.")

    def proxy_to(self, base_url: str) -> str | None:
        """The proxy on the way to an address; never one on the way to this machine, as it would be given the key."""
        return None if self.proxy is None or is_loopback(urlsplit(base_url).hostname or "") else self.proxy.get_secret_value()

    def secrets(self) -> tuple[str, ...]:
        """Whatever must be in no output: keys, and a password in an address."""
        keys = [os.environ.get(endpoint.key_env, "") for endpoint in self.providers if endpoint.key_env]
        addresses = [self.state.get_secret_value(), self.proxy.get_secret_value() if self.proxy else ""]
        passwords = [urlsplit(address).password or "" for address in addresses if "://" in address]
        found = [*keys, *passwords, *map(unquote, passwords), self.api_key.get_secret_value() if self.api_key else ""]
        return tuple(secret for secret in found if len(secret) >= SHORTEST_SECRET)

    @field_validator("api_key", mode="before")
    @classmethod
    def _printable_key(cls, value: object) -> object:
        if isinstance(value, str) and not is_clean_key(value):
            message = "the key holds white space or characters that are not printable ASCII; copy it again"
            raise ValueError(message)
        return value

    @field_validator("base_url")
    @classmethod
    def _safe_url(cls, value: str) -> str:
        url = check_base_url(value)
        return url.removesuffix("/openai/v1")

    @field_validator("files", mode="before")
    @classmethod
    def _split_folders(cls, value: object) -> object:
        parts = value.split(os.pathsep) if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            return value
        return tuple(_expanded(Path(str(part))) for part in cast("list[object]", parts) if part)

    @field_validator("state")
    @classmethod
    def _known_store(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if text in {"sqlite", "memory"}:
            return value
        if re.match(r"sqlite:///.", text):
            # told now: the ledger is opened where no mistake of a setting is expected any more
            _expanded(Path(text.removeprefix("sqlite://").lstrip("/")))
            return value
        try:
            parts = urlsplit(text)
            known = parts.scheme in {"redis", "rediss"} and bool(parts.hostname) and (parts.port or 6379) > 0
        except ValueError:
            known = False
        if not known:
            message = "it must be sqlite, sqlite:///PATH, redis://HOST:PORT/DB, rediss://HOST:PORT/DB or memory"
            raise ValueError(message)
        return value

    @field_validator("proxy")
    @classmethod
    def _plain_proxy(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_proxy(value.get_secret_value()):
            message = "it must be http://HOST:PORT or https://HOST:PORT, with USER:PASSWORD@ before the host if need be"
            raise ValueError(message)
        return value

    @field_validator("catalog", "local_text_model", "log_file")
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        return None if value is None else _expanded(value)

    @field_validator("providers")
    @classmethod
    def _one_name_each(cls, value: tuple[EndpointSettings, ...]) -> tuple[EndpointSettings, ...]:
        names = [endpoint.name for endpoint in value]
        doubled = next((name for name in names if names.count(name) > 1), None)
        if doubled is not None:
            message = f"two providers are named {doubled!r}"
            raise ValueError(message)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the environment: flags and config.toml are merged by `load_settings`, which can name the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        return (init_settings, env_settings)


def config_path() -> Path:
    """Where config.toml is looked for: GROQ_FALLBACK_CONFIG, else the user's config folder."""
    named = os.environ.get("GROQ_FALLBACK_CONFIG")
    return Path(named).expanduser() if named else user_config_path(APP, appauthor=False) / "config.toml"


def key_path() -> Path:
    """The file that holds Groq's key for people who keep it neither in the environment nor in a key ring."""
    return config_path().with_name("groq-api-key")


def load_settings(**flags: object) -> Settings:
    """Settings from config.toml, environment and flags (those that are not None).

    Raises ConfigurationError naming the file or variable, the key and the fix; a secret is never in the text.
    """
    path = config_path()
    from_file = _read_config(path)
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        environment = Settings().model_dump(exclude_unset=True)
    except ValidationError as error:
        raise _explain(error, "the environment") from None
    except SettingsError as error:
        # a table in a variable that is not JSON
        raise ConfigurationError(f"the environment: {error}", next_step="write it as JSON, or use config.toml") from None
    # aliases: the file and flags use field names, pydantic wants the environment's
    merged = {_alias(name): value for name, value in (from_file | environment | given).items()}
    if not merged.get("GROQ_API_KEY") and (found := find_key(key_path())) is not None:
        merged["GROQ_API_KEY"] = found.key.get_secret_value()
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        raise _explain(error, str(path) if from_file else "the flags") from None
    return settings


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        message = f"{path} cannot be expanded: {error}"
        raise ValueError(message) from None


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
        raise ConfigurationError(f"{path} cannot be read: {error}", next_step="make it a readable UTF-8 file") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}", next_step="correct that line of the file") from error


def _explain(error: ValidationError, where: str) -> ConfigurationError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    field = Settings.model_fields.get(str(first["loc"][0]))
    if where == "the environment" and field is not None and field.validation_alias is None:
        name = f"GROQ_FALLBACK_{name.upper()}"
    # a URL may hold a password, and whoever writes a key into the wrong place does not want it printed
    secretive = first["type"] == "extra_forbidden" or re.search(
        "key|token_|secret|password|base_url|state|proxy", name, re.IGNORECASE
    )
    shown = "" if secretive else f" (got {first['input']!r})"
    reason = first["msg"].removeprefix("Value error, ")
    return ConfigurationError(f"{where}: {name}: {reason}{shown}", next_step=f"correct {name} and start again")
