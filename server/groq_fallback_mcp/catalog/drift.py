"""How the catalog and a provider's live list differ: pure, the day is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from groq_fallback_mcp.catalog import Catalog, Stage

__all__ = ["STILL_LIVE", "Drift", "drift"]

# The difference that needs no row: models are used as long as they are live.
STILL_LIVE = "shut down but still live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Model ids, sorted. `unknown`: live but not in the catalog. `not_live`: in the catalog, not live, no end on record.

    `still_live`: live although the catalog says they are shut down. `shut_down`: ended by both, with the successor that
    answers now, None where none does; in that the two agree, so it is no difference.
    """

    unknown: tuple[str, ...] = ()
    not_live: tuple[str, ...] = ()
    still_live: tuple[str, ...] = ()
    shut_down: Mapping[str, str | None]

    def differences(self) -> Mapping[str, tuple[str, ...]]:
        """What a person reads before the ids, and the ids; empty when both agree."""
        named = {
            "live but not in the catalog": self.unknown,
            "in the catalog but not live": self.not_live,
            STILL_LIVE: self.still_live,
        }
        return {words: ids for words, ids in named.items() if ids}

    @property
    def needs_rows(self) -> bool:
        """Whether an overlay has something to say of it."""
        return bool(self.unknown or self.not_live)

    def replacements(self) -> str:
        """What ended and has a successor, with it, in one line; empty when there is none."""
        return ", ".join(f"{model} (now {successor})" for model, successor in self.shut_down.items() if successor is not None)

    def __str__(self) -> str:
        """The differences in one line, empty when both agree."""
        return "; ".join(f"{words}: {', '.join(ids)}" for words, ids in self.differences().items())


def drift(catalog: Catalog, live: frozenset[str], today: date) -> Drift:
    """Compare the catalog as it stands on a day with the ids that are live."""
    retired = {model for model in catalog.models if catalog.stage(model, today) is Stage.RETIRED}
    return Drift(
        unknown=tuple(sorted(live - set(catalog.models))),
        not_live=tuple(sorted(set(catalog.models) - retired - live)),
        still_live=tuple(sorted(retired & live)),
        shut_down={model: catalog.successor(model, today) for model in sorted(retired - live)},
    )
