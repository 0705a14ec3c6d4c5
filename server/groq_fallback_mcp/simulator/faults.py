"""Faults the stand-in shows on demand, and their short notation.

    MODEL=KIND[:SECONDS][xCOUNT]        openai/gpt-oss-20b=429:5x2

MODEL is a model id, `*` for every model, or `models` for the list of models. SECONDS is the wait a 429 announces, the
length of a hang, or the delay of a slow answer. COUNT limits the fault to the first so many calls. Several faults of
one model come one after the other, each until its count is used up; those of a model come before those of `*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from groq_fallback_mcp.errors import ConfigurationError

__all__ = ["ANY_MODEL", "MODEL_LIST", "Fault", "FaultKind", "FaultSchedule", "parse_fault", "parse_faults"]

ANY_MODEL = "*"
MODEL_LIST = "models"


class FaultKind(StrEnum):
    """What goes wrong. A number is the status of the answer."""

    RATE_LIMITED = "429"
    OVERLOADED = "503"
    SERVER_ERROR = "500"
    BAD_GATEWAY = "502"  # with an HTML page, as gateways answer
    TIER_FULL = "498"
    BAD_KEY = "401"
    BLOCKED = "403"
    HANG = "hang"  # nothing for SECONDS, then a 504
    CUT = "cut"  # the connection ends in the middle of the answer
    HTML = "html"  # status 200, but a web page
    EMPTY = "empty"  # status 200, and no body at all
    ERROR_EVENT = "error_event"  # status 200, then an error inside the stream
    SLOW = "slow"  # the right answer, SECONDS later


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of one model. `seconds` None: the kind's own default. `count` None: every call from now on."""

    kind: FaultKind
    seconds: float | None = None
    count: int | None = None


_KINDS = "|".join(kind.value for kind in FaultKind)
_FAULT = re.compile(rf"(?P<kind>{_KINDS})(?::(?P<seconds>\d{{1,6}}(?:\.\d{{1,6}})?))?(?:x(?P<count>[1-9]\d{{0,8}}))?", re.ASCII)


def parse_fault(text: str) -> tuple[str, Fault]:
    """The model and fault that `text` writes; raises ConfigurationError when it writes none."""
    model, _, written = text.strip().rpartition("=")
    found = _FAULT.fullmatch(written.strip())
    if found is None or not model.strip():
        raise ConfigurationError(
            f"{text!r} is no fault",
            next_step=f"write MODEL=KIND[:SECONDS][xCOUNT], with one of the kinds {', '.join(FaultKind)}",
        )
    seconds, count = found["seconds"], found["count"]
    return model.strip(), Fault(
        kind=FaultKind(found["kind"]),
        seconds=None if seconds is None else float(seconds),
        count=None if count is None else int(count),
    )


def parse_faults(texts: Iterable[str]) -> dict[str, tuple[Fault, ...]]:
    """Several faults by model, in the order they were written."""
    faults: dict[str, tuple[Fault, ...]] = {}
    for text in texts:
        model, fault = parse_fault(text)
        faults[model] = (*faults.get(model, ()), fault)
    return faults


class FaultSchedule:
    """Which fault the next call of a model shows."""

    def __init__(self, faults: Mapping[str, tuple[Fault, ...]]) -> None:
        self._first = faults
        self._left: dict[str, list[tuple[Fault, int | None]]] = {}
        self.set(faults)

    def set(self, faults: Mapping[str, tuple[Fault, ...]]) -> None:
        """Replace all faults, with their counts from the start."""
        self._left = {model: [(fault, fault.count) for fault in listed] for model, listed in faults.items()}

    def reset(self) -> None:
        """Back to the faults the simulator was started with."""
        self.set(self._first)

    def take(self, model: str) -> Fault | None:
        """The fault of this call, used up by one; None when it goes well."""
        keys = (model,) if model == MODEL_LIST else (model, ANY_MODEL)
        for key in keys:
            listed = self._left.get(key)
            if not listed:
                continue
            fault, left = listed[0]
            if left is not None:
                listed[:1] = [(fault, left - 1)] if left > 1 else []
            return fault
        return None
