"""The block `limits`: the documented rate limits, a table a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import Catalog, Plan
from groq_fallback_mcp.generate.lifecycle import lasting
from groq_fallback_mcp.generate.markdown import code, figure, table

__all__ = ["limits_block"]

_PLANS: tuple[Plan, ...] = get_args(Plan)


def limits_block(catalog: Catalog) -> str:
    """The newest row of each model and plan, models without a shutdown first."""
    return "\n\n".join(f"{plan.capitalize()} plan:\n\n{_plan_table(plan, catalog)}" for plan in _PLANS)


def _plan_table(plan: Plan, catalog: Catalog) -> str:
    models = dict.fromkeys(row.model for row in catalog.limit_rows if row.plan == plan)
    ordered = sorted(models, key=lambda model: not lasting(model, catalog))
    stated = [limit for limit in Limit if any(limit in catalog.limits(model, plan) for model in models)]
    headings = ("Model", *(limit.value.upper() for limit in stated), "Upload (MB)", "Shut down")
    return table(headings, (_cells(model, plan, stated, catalog) for model in ordered))


def _cells(model: str, plan: Plan, stated: Sequence[Limit], catalog: Catalog) -> tuple[str, ...]:
    figures = catalog.limits(model, plan)
    shutdown = catalog.shutdowns.get(model)
    return (
        code(model),
        *(figure(figures.get(limit)) for limit in stated),
        figure(catalog.upload_mb(model, plan)),
        "" if shutdown is None else str(shutdown.on),
    )
