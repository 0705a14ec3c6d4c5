"""The block `models`: every model of the catalog, those without a shutdown first."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from groq_fallback_mcp.catalog import Capabilities, Catalog, ModelRow, Price
from groq_fallback_mcp.generate.lifecycle import lasting
from groq_fallback_mcp.generate.markdown import code, figure, table

__all__ = ["models_block"]

_HEADINGS = (
    "Model", "Kind", "Stage", "Shut down", "Successor", "Tokens/s", "Context", "Max output", "Price (US$)", "Takes",
)  # fmt: skip


def models_block(catalog: Catalog) -> str:
    """A row a model. The stage is its source's; from the shut-down date on the model no longer answers."""
    rows = sorted(catalog.models.values(), key=lambda row: not lasting(row.id, catalog))
    return table(_HEADINGS, (_cells(row, catalog) for row in rows))


def _cells(row: ModelRow, catalog: Catalog) -> tuple[str, ...]:
    shutdown = catalog.shutdowns.get(row.id)
    ends, after = "", ""
    if shutdown is not None:
        ends = f"about {shutdown.on}" if shutdown.approximate else str(shutdown.on)
        after = "none" if shutdown.successor is None else code(shutdown.successor)
    return (
        code(row.id),
        row.kind.value.replace("_", " "),
        row.stage.value,
        ends,
        after,
        figure(row.speed_tps),
        figure(row.context_window),
        figure(row.max_completion_tokens),
        ", ".join(_prices(row.price)),
        ", ".join(_abilities(row.capabilities)),
    )


def _prices(price: Price) -> Iterator[str]:
    if price.input_usd_per_mtok is not None:
        cached = price.cached_input_usd_per_mtok
        yield f"{_usd(price.input_usd_per_mtok)} in" + ("" if cached is None else f" ({_usd(cached)} cached)")
    if price.output_usd_per_mtok is not None:
        yield f"{_usd(price.output_usd_per_mtok)} out / M tokens"
    if price.audio_usd_per_hour is not None:
        yield f"{_usd(price.audio_usd_per_hour)} / hour of audio"
    if price.speech_usd_per_mchar is not None:
        yield f"{_usd(price.speech_usd_per_mchar)} / M characters"


def _usd(amount: Decimal) -> str:
    cents = amount.quantize(Decimal("0.01"))
    return f"{cents if cents == amount else amount.normalize()}"


def _abilities(takes: Capabilities) -> Iterator[str]:
    if takes.vision:
        yield "images" if takes.max_images is None else f"images (up to {takes.max_images})"
    if takes.tools:
        yield "tools"
    if takes.json_schema:
        yield "JSON schema"
    elif takes.json_object:
        yield "JSON"
    if takes.reasoning:
        yield f"reasoning {'/'.join(takes.reasoning)}"
    if takes.builtin_tools:
        yield f"built-in {', '.join(takes.builtin_tools)}"
    if takes.translation:
        yield "translation to English"
    if takes.voices:
        yield f"voices {', '.join(takes.voices)}"
    if takes.max_input_chars is not None:
        yield f"up to {takes.max_input_chars} characters a call"
