"""The block `presets`: endpoints that a provider of config.toml may begin with."""

from __future__ import annotations

from collections.abc import Sequence

from groq_fallback_mcp.catalog import Catalog, Preset
from groq_fallback_mcp.generate.markdown import code, table

__all__ = ["presets_block"]

_HEADINGS = ("Preset", "Endpoint", "Base URL", "Key from", "Models", "Note")


def presets_block(catalog: Catalog) -> str:
    """One row a preset, in the catalog's order."""
    return table(_HEADINGS, (_cells(preset) for preset in catalog.presets.values()))


def _cells(preset: Preset) -> Sequence[str]:
    key = "" if preset.key_env is None else code(preset.key_env) + (", if it wants one" if preset.key_optional else "")
    models = ", ".join(
        code(model) if model == on_the_wire and not preset.prefix else f"{code(model)} as {code(preset.prefix + on_the_wire)}"
        for model, on_the_wire in preset.models.items()
    )
    return (code(preset.name), preset.title, code(preset.base_url), key, models, preset.note)
