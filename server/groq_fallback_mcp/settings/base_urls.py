"""Settings of an endpoint to fall back to: a `[[providers]]` table of config.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from groq_fallback_mcp.addresses import check_base_url

__all__ = ["EndpointSettings"]


class EndpointSettings(BaseModel):
    """An OpenAI-compatible endpoint to fall back to: a `[[providers]]` table of config.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str | None = Field(
        default=None, description="A known endpoint whose values hold where none is given: see the table of presets."
    )
    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Name shown in results; not groq or local. Default: the preset."
    )
    base_url: str | None = Field(
        default=None, description="https, or http on loopback; with the path that ends before /chat/completions."
    )
    key_env: str | None = Field(default=None, description="The environment variable that holds its key.")
    prefix: str | None = Field(default=None, description="Put before each model id on the wire, such as groq/ for LiteLLM.")
    models: Mapping[str, str] = Field(
        default_factory=dict[str, str],
        description="Model ids it serves, best first: a list, or a table of the catalog's id to its own.",
    )
    use_cases: tuple[str, ...] | None = Field(default=None, description="Ask it for these use cases only.")
    speech_models: tuple[str, ...] = Field(default=(), description="Those of `models` that transcribe.")
    context_window: int = Field(default=8192, gt=0, description="Tokens, for models the catalog does not know.")

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if value in {"groq", "local"}:
            message = "the names groq and local are taken"
            raise ValueError(message)
        return value

    @field_validator("base_url")
    @classmethod
    def _safe_url(cls, value: str | None) -> str | None:
        return None if value is None else check_base_url(value)

    @field_validator("models", mode="before")
    @classmethod
    def _mapped(cls, value: object) -> object:
        return {name: name for name in cast("list[str]", value)} if isinstance(value, list | tuple) else value

    @model_validator(mode="before")
    @classmethod
    def _named_like_its_preset(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        fields = cast("dict[str, object]", value)
        return fields if fields.get("preset") is None else {"name": fields["preset"], **fields}

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.preset is None and (self.base_url is None or not self.models):
            message = f"the provider {self.name!r} needs base_url and models, or a preset"
            raise ValueError(message)
        return self
