"""How the catalog and the live list differ."""

from __future__ import annotations

from datetime import date

from groq_fallback_mcp.catalog import Stage, load_catalog
from groq_fallback_mcp.catalog.drift import drift

CATALOG = load_catalog()
DAY = date(2026, 11, 18)
ENDED = {model for model in CATALOG.models if CATALOG.stage(model, DAY) is Stage.RETIRED}
SERVING = set(CATALOG.models) - ENDED


def test_a_list_as_the_catalog_has_it_is_no_drift() -> None:
    """What both say has ended is shown with who answers instead."""
    found = drift(CATALOG, frozenset(SERVING), DAY)

    assert (found.differences(), str(found)) == ({}, "")
    assert found.shut_down.keys() == ENDED
    assert found.shut_down["llama-3.1-8b-instant"] == "openai/gpt-oss-20b"
    assert found.shut_down["groq/compound"] is None
    assert "llama-3.1-8b-instant (now openai/gpt-oss-20b)" in found.replacements()
    assert "groq/compound" not in found.replacements()


def test_new_missing_and_lingering_models_are_told_apart() -> None:
    """Each by its id, sorted."""
    live = frozenset(SERVING) - {"openai/gpt-oss-20b"} | {"new/b", "new/a", "llama-3.1-8b-instant"}
    found = drift(CATALOG, live, DAY)

    assert found.unknown == ("new/a", "new/b")
    assert found.not_live == ("openai/gpt-oss-20b",)
    assert found.still_live == ("llama-3.1-8b-instant",)
    assert found.needs_rows
    assert not drift(CATALOG, frozenset(SERVING) | {"llama-3.1-8b-instant"}, DAY).needs_rows
    assert "llama-3.1-8b-instant" not in found.shut_down
    assert str(found) == (
        "live but not in the catalog: new/a, new/b; in the catalog but not live: openai/gpt-oss-20b; "
        "shut down but still live: llama-3.1-8b-instant"
    )


def test_a_shutdown_counts_from_its_day_on() -> None:
    """The day before, a model that is not live is missing."""
    shutdown = CATALOG.shutdowns["llama-3.1-8b-instant"]
    live = frozenset(SERVING)

    assert "llama-3.1-8b-instant" in drift(CATALOG, live, date(2026, 8, 15)).not_live
    assert "llama-3.1-8b-instant" in drift(CATALOG, live, shutdown.on).shut_down
