"""What a provider can be asked for, as the plan sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import ModelRow

__all__ = ["ProviderModel", "ProviderModels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderModel:
    """A model at a provider. `wire_model` is its id there; `documented` its limits, empty where there are none;
    `languages` those it understands, empty for all; `links` whether it
    takes an address in place of a file; `upload_mb` the largest file it takes, in MB of 1,048,576 bytes.
    """

    row: ModelRow
    wire_model: str
    documented: Mapping[Limit, int] = field(default_factory=dict[Limit, int])
    upload_mb: int | None = None
    languages: tuple[str, ...] = ()
    links: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderModels:
    """A provider's models by the id used in plans, in its order of preference.

    `on_this_machine`: what is sent there leaves no machine. `use_cases` are those it is asked for, None for all.
    `live` holds the ids of the provider's live list, None while it has not been read. `cataloged`: the
    catalog's shutdowns hold here, and models that stand in no chain, such as moderation models, are asked by name only.
    `on_request` holds the ids that serve only calls that ask for this provider, for local models, or for them by name.
    """

    provider: str
    models: Mapping[str, ProviderModel]
    live: frozenset[str] | None = None
    cataloged: bool = False
    on_this_machine: bool = False
    use_cases: frozenset[str] | None = None
    on_request: frozenset[str] = frozenset()
