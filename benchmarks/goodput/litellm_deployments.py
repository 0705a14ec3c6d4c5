"""A configuration as what LiteLLM's Router takes: its deployments, its routing groups, and which model a call names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.goodput.litellm_configurations import Configuration
from groq_fallback_mcp.call import Limit

__all__ = ["Deployment", "model_list", "named", "priority_groups"]

ONE_GROUP = "any"
_TYPED_IN = (Limit.TPM, Limit.RPM, Limit.TPD, Limit.RPD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A model that a Router may choose. `params` say how it is reached; `weight` is its share where a configuration weighs."""

    name: str
    params: Mapping[str, str]
    limits: Mapping[Limit, int]
    weight: int


def model_list(configuration: Configuration, deployments: Sequence[Deployment], process: int) -> list[dict[str, Any]]:
    """The Router's `model_list`. Ids carry the process: LiteLLM's callbacks are global, and go by id."""
    return [
        {
            "model_name": ONE_GROUP if configuration.one_group else deployment.name,
            "litellm_params": _params(configuration, deployment),
            "model_info": {"id": f"{process} {deployment.name}"},
        }
        for deployment in deployments
    ]


def priority_groups(orders: Mapping[str, Sequence[str]]) -> list[Any]:
    """The Router's `routing_groups`: one for each use case, in its order."""
    return [
        {
            "group_name": use_case,
            "models": list(order),
            "routing_strategy": "priority",
            "model_priorities": {model: place for place, model in enumerate(order, start=1)},
        }
        for use_case, order in orders.items()
    ]


def named(configuration: Configuration, use_case: str, order: Sequence[str]) -> dict[str, Any]:
    """The arguments of a call that say which models may answer it."""
    if configuration.one_group:
        return {"model": ONE_GROUP}
    if configuration.priority:
        return {"model": use_case}
    first, *others = order
    return {"model": first, "fallbacks": [{first: others}]}


def _params(configuration: Configuration, deployment: Deployment) -> dict[str, Any]:
    params: dict[str, Any] = dict(deployment.params)
    if configuration.limits:
        # it knows no limit on audio seconds
        typed = {limit.value: float(deployment.limits[limit]) for limit in _TYPED_IN if limit in deployment.limits}
        if configuration.split is not None and (tpm := typed.pop("tpm", None)) is not None:
            typed |= {"itpm": tpm * configuration.split[0], "otpm": tpm * configuration.split[1]}
        params |= {name: int(units) for name, units in typed.items()}
    if configuration.weights:
        params |= {"weight": deployment.weight}
    return params
