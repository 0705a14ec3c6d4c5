"""How a simulator behaves: whose limits, how fast, and what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal, get_args

from groq_fallback_mcp.catalog import Plan
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.render import excerpt

__all__ = ["Fault", "SimulatorOptions", "faulted_model", "parse_fault"]

FaultKind = Literal[
    "429",
    "503",
    "500",
    "502",
    "498",
    "401",
    "403",
    "404",
    "hang",
    "cut",
    "html",
    "empty",
    "slow",
    # by Groq's code: what goes wrong with one model or one answer
    "tool_use_failed",
    "json_validate_failed",
    "model_permission_blocked_org",
    "model_permission_blocked_project",
    "model_terms_required",
    "model_decommissioned",
]
MOST_NAMED = 8
_SYNTAX = re.compile(r"(?P<model>[^=]+)=(?P<kind>[a-z0-9_]+?)(?::(?P<seconds>\d+(?:\.\d+)?))?(?:x(?P<count>\d+))?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a model does instead of answering.

    `seconds`: the retry-after of a 429, how long `hang` and `slow` take. `count`: for how many calls; None for all.
    498 meets only requests of the flex tier, tool_use_failed those with tools, json_validate_failed those for JSON.
    """

    kind: FaultKind
    seconds: float | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorOptions:
    """`faults` by model id, or `*` for every model. `latency_scale` 1 is the catalog's speed, 0 answers at once.

    `organizations` maps keys to organization ids; keys it does not name share one. `refused_keys` get a 401.
    `refund_unused`: whether tokens claimed by max_tokens and not used are given back, which sources disagree about.
    `limits` replaces the catalog's limits of the models it names. `keep_retired`: models answer past their last day.
    `prompt_cache`: whether prompts seen before are cheaper. `always_reason`: reasoning models think even unasked.
    `batch_s`: how long a batch takes.
    """

    plan: Plan = "free"
    faults: Mapping[str, Sequence[Fault]] = field(default_factory=dict[str, Sequence[Fault]])
    latency_scale: float = 1.0
    organizations: Mapping[str, str] = field(default_factory=dict[str, str])
    refused_keys: frozenset[str] = frozenset()
    refund_unused: bool = True
    send_retry_after: bool = True
    limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    keep_retired: bool = False
    prompt_cache: bool = True
    always_reason: bool = False
    batch_s: float = 0.0


def parse_fault(text: str) -> tuple[str, Fault]:
    """`MODEL=KIND[:SECONDS][xCOUNT]`, such as `openai/gpt-oss-20b=429:5x2` or `*=hang`.

    Raises InputRefused naming the text and the kinds there are.
    """
    found = _SYNTAX.match(text.strip())
    kinds = get_args(FaultKind)
    if found is None or found["kind"] not in kinds:
        raise InputRefused(
            f"invalid fault {text!r}", next_step=f"use MODEL=KIND[:SECONDS][xCOUNT], where KIND is one of {', '.join(kinds)}"
        )
    seconds = float(found["seconds"]) if found["seconds"] else None
    count = int(found["count"]) if found["count"] else None
    kind: FaultKind = next(kind for kind in kinds if kind == found["kind"])
    return found["model"], Fault(kind=kind, seconds=seconds, count=count)


def faulted_model(name: str, known: Mapping[str, str]) -> str:
    """The id that requests have for a fault's model, or `*`. `known` maps the names of models to those ids.

    A name may lack its maker, as in other commands. Raises InputRefused for one that no request can have: its fault would never be met.
    """
    bare = name.removeprefix("groq/")
    if name == "*":
        return name
    if (found := known.get(name) or known.get(bare)) is not None:
        return found
    short = {id_ for model, id_ in known.items() if model.rpartition("/")[2] == bare.lower()}
    if len(short) == 1:
        return short.pop()
    names = sorted(known)
    near = get_close_matches(bare, {model.rpartition("/")[2]: model for model in names}, n=1)
    some = f"one of {', '.join(names[:MOST_NAMED])}, or " if names else ""
    step = f"did you mean {near[0]!r}?" if near else f"use {some}* for every model"
    raise InputRefused(f"unknown model {excerpt(name)}", next_step=step)
