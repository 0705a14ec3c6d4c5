"""`catalog update`: what Groq's live list has and the catalog does not, as an overlay for review."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.catalog.drift import drift
from groq_fallback_mcp.catalog.update import update_overlay
from groq_fallback_mcp.cli.console import echo, echo_message
from groq_fallback_mcp.cli.output_file import check_writable, unwritable
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.redaction import sanitize
from groq_fallback_mcp.settings import load_settings

__all__ = ["update"]

OCCUPIED = "Replace it with --force, or choose another --output"


async def update(output: Path, *, dry_run: bool, force: bool) -> int:
    """Write the overlay, or with `dry_run` print it; 1 when the live list cannot be read. Of an overlay in use everything is kept.

    Raises InputRefused when `output` already exists and `force` is not given, before anything is asked, or cannot be
    written, and ConfigurationError where no row can follow those of the overlay in use.
    """
    if not dry_run:
        check_writable(output, existing=None if force else OCCUPIED)
    settings = load_settings()
    overlay = settings.catalog
    async with open_context(settings) as context:
        registry, catalog = context.engine.registry, context.engine.catalog
        day = today(context.engine.clock)
        live = await registry.live_list()
        if live.ids is None:
            reason = live.failure.message if live.failure is not None else "Groq is disabled"
            echo_message(f"Cannot read the live list ({reason}). Run groq-fallback-mcp doctor.", err=True)
            return 1
        found = drift(catalog, live.ids, day)
        rows = {
            model: offered.row
            for provider in registry.models()
            if provider.cataloged
            for model, offered in provider.models.items()
        }
    for words, ids in found.differences().items():
        echo(f"{words}: {', '.join(ids)}", err=dry_run)
    if not found.needs_rows:
        why = "models are used as long as they are live" if found.still_live else "the catalog matches the live list"
        echo(f"Nothing to write: {why}.", err=dry_run)
        return 0
    kept = "" if overlay is None else _text_of(overlay)
    # with a second row for the same model the file would be refused
    ended = _shut_down_in(kept).intersection(found.not_live)
    for model in sorted(ended):
        echo(f"{overlay} ends {model} on {catalog.shutdowns[model].on}. Change that row: the model is not live.", err=dry_run)
    found = replace(found, not_live=tuple(model for model in found.not_live if model not in ended))
    if not found.needs_rows:
        echo("Nothing else to write.", err=dry_run)
        return 0
    unknown = [rows[model] for model in found.unknown if model in rows]
    text = update_overlay(found, unknown=unknown, catalog=catalog, day=day, kept=kept)
    _require_toml(text, overlay)
    if dry_run:
        echo(text, nl=False)
        return 0
    in_use = _is_in_use(output, overlay)
    _write(output, text, force=force)
    then = "Review it. It is the overlay in use." if in_use else "Review it, then set GROQ_FALLBACK_CATALOG to its path."
    echo(f"Wrote {output}. {then}")
    return 0


def _is_in_use(output: Path, overlay: Path | None) -> bool:
    return overlay is not None and output.exists() and output.samefile(overlay)


def _text_of(overlay: Path) -> str:
    try:
        return overlay.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"Cannot read the catalog overlay {overlay} ({error})", next_step="Make it a readable UTF-8 file"
        ) from None


def _shut_down_in(text: str) -> set[str]:
    return {row["model"] for row in tomllib.loads(text).get("shutdowns", [])}


def _require_toml(text: str, overlay: Path | None) -> None:
    """Refuse rows that cannot follow those of the overlay: a table it has as one list takes no more of them."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"New rows cannot follow those of {overlay} ({error})",
            next_step="Write its tables as [[models]] and [[shutdowns]], with double brackets",
        ) from None


def _write(output: Path, text: str, *, force: bool) -> None:
    try:
        with output.open("w" if force else "x", encoding="utf-8", newline="\n") as file:
            file.write(sanitize(text))
    except FileExistsError:
        # another program made it meanwhile
        check_writable(output, existing=OCCUPIED)
    except OSError as error:
        raise unwritable(output, error) from error
