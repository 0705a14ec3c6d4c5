"""All settings as one model, and those of an endpoint to fall back to."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self, get_args
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from groq_fallback_mcp.addresses import check_base_url, is_clean_key, is_loopback_url, is_proxy
from groq_fallback_mcp.json_types import is_array, is_object
from groq_fallback_mcp.redaction import SHORTEST_SECRET, redact, register_keys, register_secrets

__all__ = ["ADDRESSES", "NO_KEY", "SECRETS", "TOOLSETS", "EndpointSettings", "Settings", "Toolset", "secrets_in", "split_names"]

Toolset = Literal["full", "speech", "safety", "batch", "all"]
TOOLSETS: tuple[Toolset, ...] = get_args(Toolset)
# Settings that are a secret, and those that may contain one.
SECRETS = ("api_key", "http_token")
ADDRESSES = ("state", "proxy")
# Of an address's query; `ssl_keyfile` names a file.
_SECRET_FIELD = re.compile("pass|pwd|token|secret|key(?!file)|auth", re.IGNORECASE)
PreferredCost = Literal["groq", "local", "free", "paid"]
NO_KEY = "it must be the name of an environment variable, never the key itself"


def split_names(text: str) -> tuple[str, ...]:
    """The names in a text, where they are separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def secrets_in(address: str) -> list[str]:
    """The password of an address, a token in the place of a user's name, and those of its query; as written and decoded."""
    if "://" not in address:
        return []
    try:
        parts = urlsplit(address)
    except ValueError:
        # no setting takes it
        return []
    written = [parts.password or ""]
    if not parts.password and parts.username:
        written.append(parts.username)
    fields = (field.partition("=") for field in parts.query.split("&"))
    written += [value for name, _, value in fields if _SECRET_FIELD.search(unquote(name))]
    return [form for secret in written for form in (secret, unquote(secret))]


class EndpointSettings(BaseModel):
    """An OpenAI-compatible endpoint to fall back to: a `[[providers]]` table of config.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str | None = Field(
        default=None, description="Preset that fills in values not given here; see the table of presets."
    )
    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name shown in results (not groq or local). Default: the preset."
    )
    base_url: str | None = Field(
        default=None, description="Base URL up to /chat/completions, which is added; https, or http on loopback."
    )
    key_env: str | None = Field(
        default=None, pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$", description="Environment variable with its API key."
    )
    prefix: str | None = Field(default=None, description="Prefix of each model id in requests, e.g. groq/ for LiteLLM.")
    models: Mapping[str, str] = Field(
        default_factory=dict[str, str],
        description="Model ids it serves, best first: a list, or a table from catalog ids to its own. Default: the preset's, else its own list.",
    )
    use_cases: tuple[str, ...] | None = Field(default=None, description="Use it for these use cases only.")
    speech_models: tuple[str, ...] = Field(default=(), description="Speech-to-text models among `models`.")
    context_window: int | None = Field(
        default=None, gt=0, description="Context window in tokens, where neither the catalog nor the endpoint says it."
    )
    plan: str | None = Field(
        default=None, description="Plan of the account there, e.g. free or paid. Default: the preset's first."
    )
    cost: Literal["local", "free", "paid"] | None = Field(
        default=None,
        description="What calls cost there, for the setting `prefer`. Default: as the plan says; else paid, or local on loopback.",
    )
    data_policy: Literal["no-training", "trains", "unknown"] | None = Field(
        default=None, description="What becomes of prompts there, where you know better than the catalog."
    )

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if value in {"groq", "local"}:
            message = "the names groq and local are reserved"
            raise ValueError(message)
        return value

    @field_validator("key_env")
    @classmethod
    def _no_key(cls, value: str | None) -> str | None:
        # a key has digits or large letters, a name such as xai_api_key has not
        if value is not None and redact(value) != value and re.search("[A-Z0-9]", value):
            raise ValueError(NO_KEY)
        return value

    @field_validator("base_url")
    @classmethod
    def _safe_url(cls, value: str | None) -> str | None:
        return None if value is None else check_base_url(value)

    @field_validator("models", mode="before")
    @classmethod
    def _mapped(cls, value: object) -> object:
        return {name: name for name in value} if is_array(value) else value

    @model_validator(mode="before")
    @classmethod
    def _named_like_its_preset(cls, value: object) -> object:
        if not is_object(value) or value.get("preset") is None:
            return value
        return {"name": value["preset"], **value}

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.preset is None and self.base_url is None:
            message = f"the provider {self.name!r} needs base_url or a preset"
            raise ValueError(message)
        return self


class Settings(BaseSettings):
    """All settings. Field descriptions are the documentation."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix="GROQ_FALLBACK_", env_ignore_empty=True)

    api_key: SecretStr | None = Field(
        default=None, validation_alias="GROQ_API_KEY", description="Groq API key. The server starts without one, too."
    )
    base_url: str = Field(
        default="https://api.groq.com",
        validation_alias="GROQ_BASE_URL",
        description="Base URL of the Groq API, with or without /openai/v1; https, or http on loopback.",
    )
    plan: Literal["free", "developer"] = Field(
        default="free", description="Groq plan whose documented limits apply until the real ones are known."
    )
    deadline_s: float = Field(
        default=50.0, ge=1, le=3600, description="Deadline of a tool call in seconds, including all attempts."
    )
    attempt_timeout_s: float = Field(
        default=20.0,
        gt=0,
        le=3600,
        description=(
            "Maximum seconds for one attempt while other models remain; less once its usual time is known. "
            "At the gateway, to the first token; its default is 15."
        ),
    )
    max_wait_s: float = Field(
        default=2.0,
        ge=0,
        le=600,
        description="Maximum seconds to wait for a better provider while a lesser one could answer now.",
    )
    job_deadline_s: float = Field(
        default=3_600.0,
        ge=1,
        le=86_400,
        description="Deadline in seconds of work that takes many calls: `prompts`, long recordings, long texts.",
    )
    toolsets: Annotated[tuple[Toolset, ...], NoDecode] = Field(
        default=(),
        description="Extra toolsets, comma-separated: `full` (lists every argument), `speech`, `safety`, `batch`, or `all`.",
    )
    no_preview: bool = Field(default=False, description="Never use preview models, which may be withdrawn at short notice.")
    max_usd_per_call: Decimal | None = Field(
        default=None, ge=0, description="Skip Groq models whose worst-case cost per call exceeds this many US dollars."
    )
    cache_ttl_s: float = Field(
        default=0.0,
        ge=0,
        description="Seconds to cache answers, which are reused where temperature is 0 or `cache` is true; 0 disables the cache.",
    )
    history: bool = Field(
        default=True,
        description="Record who called which models when, at what cost and with what outcome, for `log`, `top` and the dashboard; never any text.",
    )
    files: Annotated[tuple[Path, ...] | None, NoDecode] = Field(
        default=None,
        description="Folders whose files may be read, and written where a call names them, separated as in PATH. Default: the working directory, "
        "unless it is the root or home folder.",
    )
    local: Literal["auto", "on", "off", "only"] = Field(
        default="auto",
        description="Local models. `auto`: local speech as a last resort, local text only for calls with `local_only`. "
        "`on`: both as a last resort. `only`: nothing else. `off`: none.",
    )
    local_text_model: Path | None = Field(default=None, description="GGUF file to use for local text.")
    catalog: Path | None = Field(default=None, description="A catalog.toml whose rows override the built-in catalog.")
    providers: tuple[EndpointSettings, ...] = Field(
        default=(), description="Other OpenAI-compatible endpoints, best first: `[[providers]]` tables in config.toml."
    )
    prefer: Annotated[tuple[PreferredCost, ...], NoDecode] = Field(
        default=("groq", "local", "free", "paid"),
        description="Which models come first where several can serve, comma-separated: `groq`, `local`, `free` and `paid` providers.",
    )
    data_policy: Literal["any", "no-training"] = Field(
        default="any", description="`no-training`: only providers that are known not to train on prompts."
    )
    find_local_servers: bool = Field(
        default=True,
        description="Look for llama.cpp, Ollama, LM Studio and vLLM on this machine's ports, and fall back to what runs there.",
    )
    state: SecretStr = Field(
        default=SecretStr("sqlite"),
        description="Where limits and spending are stored: `sqlite` (a file in the user's state folder, shared by all processes), "
        "`sqlite:///PATH`, `redis://HOST:PORT/DB` (several machines; needs the extra `redis`), or `memory`.",
    )
    organization: str | None = Field(
        default=None,
        description="Name of the Groq organization, the same wherever its keys are used, as they share its limits. "
        "Default: each key counts as its own.",
    )
    budget_usd_per_day: Decimal | None = Field(
        default=None, ge=0, description="Daily budget in US dollars (UTC). Calls that could exceed it are refused."
    )
    budget_tokens_per_day: int | None = Field(
        default=None, ge=0, description="Daily budget in tokens (UTC). Calls that could exceed it are refused."
    )
    proxy: SecretStr | None = Field(
        default=None,
        description="Proxy, `http://USER:PASSWORD@HOST:PORT`, for calls that leave this machine. "
        "HTTP_PROXY and similar variables are ignored.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="Log level. Keys, prompts and answers are never logged."
    )
    log_file: Path | None = Field(default=None, description="Append the log to this file instead of stderr.")
    log_format: Literal["text", "json"] = Field(default="text", description="Plain lines, or one JSON object per line.")
    otel: bool = Field(
        default=False,
        description="Send traces and metrics of calls, never their text, to an OpenTelemetry collector (needs the extra `otel`). "
        "Where to and how is in the standard variables, e.g. OTEL_EXPORTER_OTLP_ENDPOINT.",
    )
    line_mib: int = Field(
        default=16, ge=1, le=1024, description="Maximum size in MiB of a line, or HTTP body, from the MCP client."
    )
    gateway_port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Port on 127.0.0.1 where `serve` also serves the gateway, as long as no other process does; e.g. 8788.",
    )
    gateway_hold_s: float = Field(
        default=0.0,
        ge=0,
        le=30,
        description="Seconds for which the gateway holds text back: an answer that is whole by then can be restarted unseen. "
        "The header `x-groq-fallback-hold-s` of a request takes precedence.",
    )
    gateway_max_wait_s: float = Field(
        default=20.0,
        ge=0,
        le=600,
        description="Maximum seconds that a call of the gateway waits for rate limits; a longer wait is a 429 that says when to retry.",
    )
    gateway_tokens: Path | None = Field(
        default=None,
        description="File of the gateway's named tokens, for replicas that share one. Default: gateway-tokens.toml in the user's state folder.",
    )
    http_token: SecretStr | None = Field(
        default=None,
        description="Bearer token that `serve --http` and `gateway` require, at least 16 characters; mandatory beyond this machine.",
    )
    http_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts that `serve --http` accepts besides loopback, comma-separated: `HOST:PORT` or `HOST:*`.",
    )

    def proxy_to(self, base_url: str) -> str | None:
        """The proxy on the way to an address; never one on the way to this machine, as it would be given the key."""
        return None if self.proxy is None or is_loopback_url(base_url) else self.proxy.get_secret_value()

    def secrets(self) -> tuple[str, ...]:
        """Whatever must be in no output beside the keys of other providers: the key, and passwords and tokens in addresses."""
        addresses = [self.state, self.proxy] if self.proxy is not None else [self.state]
        found = [
            self.http_token.get_secret_value() if self.http_token else "",
            self.api_key.get_secret_value() if self.api_key else "",
            *(secret for address in addresses for secret in secrets_in(address.get_secret_value())),
        ]
        return tuple(secret for secret in found if len(secret) >= SHORTEST_SECRET)

    @model_validator(mode="after")
    def _register_secrets(self) -> Self:
        """From now on no output contains them."""
        register_keys(*(os.environ.get(endpoint.key_env, "") for endpoint in self.providers if endpoint.key_env))
        register_secrets(*self.secrets())
        return self

    @field_validator("api_key", mode="before")
    @classmethod
    def _printable_key(cls, value: object) -> object:
        if isinstance(value, str) and not is_clean_key(value):
            message = "that doesn't look like an API key (it contains spaces or non-ASCII characters); copy it again"
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
        parts: object = value.split(os.pathsep) if isinstance(value, str) else value
        if not is_array(parts):
            return value
        return tuple(_expanded(Path(str(part))) for part in parts if part)

    @field_validator("toolsets", "http_hosts", "prefer", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        parts: object = split_names(value) if isinstance(value, str) else value
        if not is_array(parts):
            return value
        return tuple(str(part).strip() for part in parts if str(part).strip())

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
            if parts.scheme in {"redis", "rediss"} and parts.hostname and (parts.port or 6379) > 0:
                # its client knows the scheme in small letters only
                return SecretStr(parts.scheme + text[len(parts.scheme) :])
        except ValueError:
            pass
        message = "it must be sqlite, sqlite:///PATH, redis://HOST:PORT/DB, rediss://HOST:PORT/DB or memory"
        raise ValueError(message)

    @field_validator("proxy")
    @classmethod
    def _plain_proxy(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_proxy(value.get_secret_value()):
            message = "it must be http://HOST:PORT or https://HOST:PORT, with USER:PASSWORD@ before the host if needed"
            raise ValueError(message)
        return value

    @field_validator("catalog", "local_text_model", "log_file", "gateway_tokens")
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


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        message = f"{path} cannot be expanded: {error}"
        raise ValueError(message) from None
