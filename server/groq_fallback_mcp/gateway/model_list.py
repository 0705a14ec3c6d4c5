"""GET /v1/models: the models that can serve now, each with the window that the plan's limits leave of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from groq_fallback_mcp.call import UNRESTRICTED, Limit, Restrictions
from groq_fallback_mcp.catalog import Catalog, Kind
from groq_fallback_mcp.policy.fit import serves_unnamed, standing_objection
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels, is_retired

__all__ = ["AUTO", "effective_window", "listed_models"]

AUTO = "auto"
_KINDS = {Kind.CHAT, Kind.SYSTEM, Kind.SPEECH_TO_TEXT, Kind.TEXT_TO_SPEECH}


def listed_models(
    *,
    catalog: Catalog,
    providers: Sequence[ProviderModels],
    ready: Sequence[str],
    today: date,
    created: int,
    restrictions: Restrictions = UNRESTRICTED,
) -> list[dict[str, Any]]:
    """The list's rows, `auto` first where a chat model serves calls that name none: with the widest window of those that do.

    `ready` names the providers that can be asked; `restrictions` hold for every call of the caller's.
    """
    rows: dict[str, dict[str, Any]] = {}
    usual: list[dict[str, Any]] = []
    for provider in providers:
        if provider.name not in ready:
            continue
        for model, offered in provider.models.items():
            if offered.row.kind not in _KINDS or is_retired(model, catalog=catalog, provider=provider, today=today):
                continue
            if standing_objection(restrictions, provider, offered.row) is not None:
                continue
            row = _row(model, offered, provider.name, created)
            rows.setdefault(model, row)
            if row["type"] == "chat" and serves_unnamed(
                model, provider, catalog=catalog, restrictions=restrictions, today=today
            ):
                usual.append(row)
    if not usual:
        return list(rows.values())
    widest = max(usual, key=lambda row: row.get("context_window") or 0)
    auto = {**widest, "id": AUTO, "owned_by": "groq-fallback-mcp", "vision": any("vision" in row for row in usual) or None}
    return [{name: value for name, value in auto.items() if value is not None}, *rows.values()]


def effective_window(offered: ProviderModel) -> int | None:
    """How many tokens one request may have: the model's window, or what its limit admits in a minute where that is less."""
    minutes = (offered.documented_limit(limit) for limit in (Limit.TPM, Limit.ITPM))
    return min((bound for bound in (offered.row.context_window, *minutes) if bound is not None), default=None)


def _row(model: str, offered: ProviderModel, provider: str, created: int) -> dict[str, Any]:
    kind = offered.row.kind
    row: Mapping[str, Any] = {
        "id": model,
        "object": "model",
        "created": created,
        "owned_by": provider,
        "active": True,
        "type": "chat" if kind in {Kind.CHAT, Kind.SYSTEM} else kind.value,
        "context_window": effective_window(offered),
        "max_completion_tokens": offered.row.max_completion_tokens,
        "vision": offered.row.capabilities.vision or None,
    }
    return {name: value for name, value in row.items() if value is not None}
