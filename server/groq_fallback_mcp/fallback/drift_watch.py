"""A look at Groq's live list soon after the start, so that a catalog that is out of date is noticed."""

from __future__ import annotations

import logging

from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.catalog.drift import drift
from groq_fallback_mcp.clock import Clock, today
from groq_fallback_mcp.providers.registry import ProviderRegistry

__all__ = ["warn_of_drift"]

# The first calls come first.
AFTER_S = 5.0
READING_S = 10.0

_log = logging.getLogger(__name__)


async def warn_of_drift(registry: ProviderRegistry, *, catalog: Catalog, clock: Clock) -> None:
    """Read the list once and log how the catalog differs. Says nothing where it cannot be read; raises nothing."""
    groq = registry.providers.get("groq")
    if groq is None or groq.unready is not None:
        return
    try:
        await clock.sleep(AFTER_S)
        # not kept: nobody reads it again, so a gap of this moment would shut models out until the process ends
        live = await registry.look_at_live_list(timeout_s=READING_S)
        if live.ids is None:
            _log.debug("the live list could not be read: %s", live.failure)
            return
        found = drift(catalog, live.ids, today(clock))
    except Exception:  # noqa: BLE001 - nobody asked for it, so nobody is to be disturbed by it
        _log.debug("the live list could not be compared with the catalog", exc_info=True)
        return
    if found.differences():
        _log.warning("Groq's live list is not as the catalog has it: %s. Run `groq-fallback-mcp catalog update`.", found)
