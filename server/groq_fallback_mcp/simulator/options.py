"""How the stand-in behaves where Groq's own behaviour varies, is unknown, or is to be spoilt on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from groq_fallback_mcp.catalog import Plan
from groq_fallback_mcp.simulator.faults import Fault

__all__ = ["SimulatorOptions"]


def _no_faults() -> Mapping[str, tuple[Fault, ...]]:
    return {}


def _no_organisations() -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """Settings of one simulated account.

    plan: whose limits hold.
    faults: by model id, `*` or `models`; see faults.py.
    latency_scale: 1 takes as long as the catalogue's speeds say, 0 no time.
    refund_unused: whether tokens that were charged up front and not used are given back; sources disagree.
    send_retry_after: whether a 429 carries the header; Groq's do not always.
    flex_full: whether service_tier `flex` is refused with 498.
    default_max_tokens: the undocumented bound of a chat request that names none.
    refused_keys: keys answered with 401 although they begin with gsk_.
    organisations: key -> organisation; every key not named belongs to `org_simulated`.
    """

    plan: Plan = "free"
    faults: Mapping[str, tuple[Fault, ...]] = field(default_factory=_no_faults)
    latency_scale: float = 1.0
    refund_unused: bool = True
    send_retry_after: bool = True
    flex_full: bool = False
    default_max_tokens: int = 2_048
    refused_keys: frozenset[str] = frozenset()
    organisations: Mapping[str, str] = field(default_factory=_no_organisations, repr=False)
