"""`catalog update`: what Groq's live list has and the catalog does not, as an overlay for review."""

from __future__ import annotations

from pathlib import Path

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.catalog.drift import drift
from groq_fallback_mcp.catalog.update import update_overlay
from groq_fallback_mcp.cli.console import echo, echo_message
from groq_fallback_mcp.cli.output_file import check_writable, unwritable
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.redaction import sanitize
from groq_fallback_mcp.settings import load_settings

__all__ = ["update"]

OCCUPIED = "Replace it with --force, or choose another --output"


async def update(output: Path, *, dry_run: bool, force: bool) -> int:
    """Write the overlay, or with `dry_run` print it; 1 when the live list cannot be read.

    Raises InputRefused when `output` already exists and `force` is not given, before anything is asked, or cannot be
    written.
    """
    if not dry_run:
        check_writable(output, existing=None if force else OCCUPIED)
    async with open_context(load_settings()) as context:
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
    if not (found.unknown or found.not_live):
        echo("Nothing to write: the catalog matches the live list.", err=dry_run)
        return 0
    unknown = [rows[model] for model in found.unknown if model in rows]
    text = update_overlay(found, unknown=unknown, catalog=catalog, defined=load_catalog().models, day=day)
    if dry_run:
        echo(text, nl=False)
        return 0
    _write(output, text, force=force)
    echo(f"Wrote {output}. Review it, then set GROQ_FALLBACK_CATALOG to its path.")
    return 0


def _write(output: Path, text: str, *, force: bool) -> None:
    try:
        with output.open("w" if force else "x", encoding="utf-8", newline="\n") as file:
            file.write(sanitize(text))
    except FileExistsError:
        # another program made it meanwhile
        check_writable(output, existing=OCCUPIED)
    except OSError as error:
        raise unwritable(output, error) from error
