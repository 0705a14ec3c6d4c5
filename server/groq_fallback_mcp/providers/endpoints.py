"""The endpoints of config.toml: what their settings and presets amount to, and what they can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from urllib.parse import urlsplit

from groq_fallback_mcp.addresses import is_loopback
from groq_fallback_mcp.catalog import Capabilities, Catalog, Kind, ModelRow, Preset, Stage
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.settings import EndpointSettings

__all__ = ["ResolvedEndpoint", "endpoint_offer", "resolved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedEndpoint:
    """An endpoint with nothing left open. `models` maps ids used in plans to those on the wire, `prefix` not included."""

    name: str
    base_url: str
    key_env: str | None
    key_optional: bool
    prefix: str
    models: Mapping[str, str]
    speech_models: tuple[str, ...]
    json_schema: bool
    context_window: int
    use_cases: frozenset[str] | None


def resolved(given: EndpointSettings, catalog: Catalog) -> ResolvedEndpoint:
    """The endpoint with its preset's values where it gives none. Raises ConfigurationError for names that are not known."""
    preset = None if given.preset is None else _preset(given, catalog)
    unknown = next((name for name in given.use_cases or () if name not in catalog.practices), None)
    if unknown is not None:
        raise ConfigurationError(
            f"the provider {given.name!r} names the use case {unknown!r}, which there is not",
            next_step=f"give some of {', '.join(catalog.practices)}",
        )
    return ResolvedEndpoint(
        name=given.name,
        base_url=given.base_url or (preset.base_url if preset is not None else ""),
        key_env=given.key_env or (preset.key_env if preset is not None else None),
        key_optional=preset is not None and preset.key_optional,
        prefix=given.prefix if given.prefix is not None else preset.prefix if preset is not None else "",
        models=given.models or (preset.models if preset is not None else {}),
        speech_models=given.speech_models or (preset.speech_models if preset is not None else ()),
        json_schema=preset is not None and preset.json_schema,
        context_window=given.context_window,
        use_cases=None if given.use_cases is None else frozenset(given.use_cases),
    )


def endpoint_offer(endpoint: ResolvedEndpoint, catalog: Catalog) -> ProviderModels:
    """What an endpoint can be asked for."""
    models = {
        model: ProviderModel(
            row=catalog.models.get(model) or _endpoint_row(endpoint, model),
            wire_model=endpoint.prefix + on_the_wire,
        )
        for model, on_the_wire in endpoint.models.items()
    }
    return ProviderModels(
        provider=endpoint.name,
        models=models,
        on_this_machine=is_loopback(urlsplit(endpoint.base_url).hostname or ""),
        use_cases=endpoint.use_cases,
    )


def _preset(given: EndpointSettings, catalog: Catalog) -> Preset:
    preset = catalog.presets.get(given.preset or "")
    if preset is None:
        near = get_close_matches(given.preset or "", catalog.presets, n=1)
        raise ConfigurationError(
            f"there is no preset {given.preset!r}",
            next_step=(f"did you mean {near[0]!r}? " if near else "") + f"Give one of {', '.join(catalog.presets)}",
        )
    return preset


def _endpoint_row(endpoint: ResolvedEndpoint, model: str) -> ModelRow:
    speech = model in endpoint.speech_models
    return ModelRow(
        id=model,
        kind=Kind.SPEECH_TO_TEXT if speech else Kind.CHAT,
        stage=Stage.PRODUCTION,
        context_window=None if speech else endpoint.context_window,
        capabilities=Capabilities(tools=True, json_object=True, json_schema=endpoint.json_schema, translation=speech),
        source="user",
        checked=date.min,
    )
