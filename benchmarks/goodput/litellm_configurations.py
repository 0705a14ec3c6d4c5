"""The LiteLLM Router's configurations that are compared: those that did best in a search, and its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.goodput.models import TOKENS_PER_S

__all__ = ["CONFIGURATIONS", "LITELLM", "Configuration", "configuration_of"]

LITELLM = "LiteLLM: "

Settings = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """How a Router is set up.

    The default is a chain: the use case's first model, with the others as fallbacks. `priority`: a routing group for
    each use case with its order over shared deployments. `one_group`: all deployments are one group, which knows no
    first choice. `limits`: each deployment is told its tokens and requests a minute and a day; `split`: in place of
    its tokens a minute, such shares of them for prompts and for answers. `weights`: its share by tokens.
    """

    name: str
    about: str
    settings: Settings = field(default_factory=dict[str, object])
    priority: bool = False
    one_group: bool = False
    limits: bool = False
    split: tuple[float, float] | None = None
    weights: bool = False


_OTHERS = len(TOKENS_PER_S) - 1
# The first failure benches a deployment, for as long as retry-after says; not one that is alone in its group, as in a chain.
_BENCH: Settings = {"allowed_fails": 0}
_IN_GROUP: Settings = {**_BENCH, "num_retries": _OTHERS}
_CHAIN: Settings = {**_BENCH, "num_retries": 0, "max_fallbacks": _OTHERS}
# A deployment whose limits are typed in is refused before it is asked, where they are used up.
_ENFORCED: Settings = {"optional_pre_call_checks": ["enforce_model_rate_limits"]}

CONFIGURATIONS = (
    Configuration(name="fallbacks", about="a chain, num_retries=0, allowed_fails=0", settings=_CHAIN),
    Configuration(
        name="priority groups",
        about="a routing group a use case, num_retries=7, allowed_fails=0",
        settings=_IN_GROUP,
        priority=True,
    ),
    Configuration(
        name="usage-based-v2",
        about="usage-based-routing-v2 over one group, tpm and rpm of each deployment set, num_retries=7, allowed_fails=0",
        settings={**_IN_GROUP, "routing_strategy": "usage-based-routing-v2"},
        one_group=True,
        limits=True,
    ),
    Configuration(
        name="shuffle",
        about="simple-shuffle over one group, weighted by tokens a minute, num_retries=7, allowed_fails=0",
        settings=_IN_GROUP,
        one_group=True,
        weights=True,
    ),
    Configuration(
        name="limits enforced",
        about="as shuffle, with enforce_model_rate_limits and the tpm, rpm, tpd and rpd of each deployment set",
        settings={**_IN_GROUP, **_ENFORCED},
        one_group=True,
        limits=True,
        weights=True,
    ),
    Configuration(
        name="limits enforced, itpm and otpm",
        about="the same with itpm and otpm, 0.8 and 1.0 of its tokens a minute, in place of tpm: the best of six such shares",
        settings={**_IN_GROUP, **_ENFORCED},
        one_group=True,
        limits=True,
        split=(0.8, 1.0),
        weights=True,
    ),
    Configuration(
        name="fallbacks, limits enforced",
        about="as fallbacks, with enforce_model_rate_limits and the tpm, rpm, tpd and rpd of each deployment set",
        settings={**_CHAIN, **_ENFORCED},
        limits=True,
    ),
    Configuration(
        name="fallbacks, default retries", about="a chain, everything else as it comes", settings={"max_fallbacks": _OTHERS}
    ),
    Configuration(
        name="shuffle, no cooldowns",
        about="as shuffle with cooldowns off and num_retries=20: it asks again at once, up to 21 times a call",
        settings={"disable_cooldowns": True, "num_retries": 20},
        one_group=True,
        weights=True,
    ),
)


def configuration_of(contender: str) -> Configuration:
    """The configuration of a contender, whose name is LITELLM and that of the configuration."""
    return next(found for found in CONFIGURATIONS if LITELLM + found.name == contender)
