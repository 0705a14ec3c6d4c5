"""Which models last, by the shutdowns on record alone: the same on whichever day it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from groq_fallback_mcp.catalog import Catalog, Practice

__all__ = ["lasting", "lasting_chain", "serving"]


def lasting(model: str, catalog: Catalog) -> bool:
    """Whether no end of this model is on record, past or announced."""
    return model in catalog.models and model not in catalog.shutdowns


def serving(practice: Practice, catalog: Catalog) -> str | None:
    """The model that stands where the practice's own does, once every recorded shutdown has come."""
    return next(iter(lasting_chain(practice, catalog)), None)


def lasting_chain(practice: Practice, catalog: Catalog) -> Sequence[str]:
    """The chain with successors in the place of models that end, each once, and none that cannot do the use case."""
    names = [practice.model, *practice.chain]
    resolved = [name if lasting(name, catalog) else catalog.successor(name, date.max) for name in names]
    able = [name for name in resolved if name is not None and _able(name, practice, catalog)]
    return tuple(dict.fromkeys(able))


def _able(model: str, practice: Practice, catalog: Catalog) -> bool:
    if practice.use_case == "vision":
        return catalog.models[model].capabilities.vision
    if practice.use_case == "translation":
        return catalog.models[model].capabilities.translation
    return True
