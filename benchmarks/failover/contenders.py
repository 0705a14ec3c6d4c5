"""Who is compared: gateways as real processes, each with a first model that fails and a next one that is well.

Each request has a first model of its own, so that none finds it in a cooldown already.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from benchmarks.gateway.contenders import (
    FERROGW,
    FERROGW_MODEL,
    FREELM,
    LITELLM,
    OURS,
    TOKEN,
    Gateway,
    ferrogw,
    free_port,
    litellm_proxy,
    program,
)
from benchmarks.report import installed_version
from benchmarks.speed.contenders import ENVIRONMENTS

__all__ = ["HELD", "NAMES", "OURS", "Contender", "contenders"]

HELD = f"{OURS} (text held)"
NAMES = (OURS, HELD, LITELLM, FERROGW, FREELM)
ALL = frozenset({"chat", "responses", "messages"})
HANGS_S = 5
"""When a first model that gives no sign of life is left, where a contender can be told."""
FORMS = 6
"""Of each fault, numbered one after the other."""
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A gateway. `speaks`: the dialects that it serves; `model`: the first model of a request, by the request's number.

    `process`: which process serves a request, and `gateway` is what to start for a process.
    """

    name: str
    version: str
    gateway: Callable[[int], Gateway]
    process: Callable[[int], int] = lambda _number: 0
    speaks: Collection[str] = ALL
    model: Callable[[int], str] = "m{}".format


def contenders(
    folder: Path, upstream: str, *, requests: int, unreachable: Collection[int], hopeless: Collection[int]
) -> list[Contender]:
    """Ours and the peers that are installed, for so many `requests`.

    Nothing listens at the first model of those that are `unreachable`, and no model answers those that are `hopeless`.
    """
    closed = f"http://127.0.0.1:{free_port()}"
    first = {f"m{number}": f"{closed if number in unreachable else upstream}/faulty/v1" for number in range(requests)}
    good = f"{upstream}/good/v1"
    made = [
        _ours(folder / "plain", first, good, hopeless),
        _ours(folder / "held", first, good, hopeless, hold_s=2),
        _litellm(folder, first, good),
        _ferrogw(folder, upstream, closed, unreachable),
        _freelm(folder, first, good),
    ]
    return [contender for contender in made if contender.gateway(0).is_there()]


def _ours(folder: Path, first: Mapping[str, str], good: str, hopeless: Collection[int], *, hold_s: int = 0) -> Contender:
    """The next model's provider is named first, so that it is the one to fall back to; the request names the first model.

    A process for each fault, and of what no model answers for each request: it would send that to all the others.
    """
    name = HELD if hold_s else OURS

    def process(number: int) -> int:
        return number if number in hopeless else number - number % FORMS

    def gateway(start: int) -> Gateway:
        models = [f"m{start + more}" for more in range(1 if start in hopeless else FORMS)]
        return _our_gateway(folder / str(start), name, {model: first[model] for model in models}, good, hold_s)

    return Contender(name=name, version=version(OURS), gateway=gateway, process=process)


def _our_gateway(folder: Path, name: str, first: Mapping[str, str], good: str, hold_s: int) -> Gateway:
    folder.mkdir(parents=True, exist_ok=True)
    tables = [("next", "next-model", good), *((f"p-{model}", model, address) for model, address in first.items())]
    config = "".join(
        f'[[providers]]\nname = "{provider}"\nbase_url = "{address}"\nmodels = ["{model}"]\ncost = "paid"\ncontext_window = 131072\n\n'
        for provider, model, address in tables
    )
    (folder / "config.toml").write_text(config, encoding="utf-8")
    port = free_port()
    return Gateway(
        name=name,
        address=f"http://127.0.0.1:{port}",
        command=[str(Path(sys.executable).with_name(OURS)), "gateway", "--port", str(port)],
        environment={
            "HOME": str(folder),
            "GROQ_FALLBACK_CONFIG": str(folder / "config.toml"),
            "GROQ_FALLBACK_STATE": f"sqlite:///{folder}/state.sqlite3",
            "GROQ_FALLBACK_LOCAL": "off",
            "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
            "GROQ_FALLBACK_HTTP_TOKEN": TOKEN,
            "GROQ_FALLBACK_GATEWAY_HOLD_S": str(hold_s),
            "GROQ_FALLBACK_ATTEMPT_TIMEOUT_S": str(HANGS_S),
        },
        model="next-model",
    )


def _litellm(folder: Path, first: Mapping[str, str], good: str) -> Contender:
    """Fallbacks between model groups, short timeouts, and a stream that breaks is continued by a model that supports prefill."""

    def group(name: str, address: str) -> Mapping[str, object]:
        shared = {"model": f"groq/{name}", "api_base": address, "api_key": "k", "timeout": HANGS_S, "stream_timeout": HANGS_S}
        return {"model_name": name, "litellm_params": shared, "model_info": {"supports_assistant_prefill": True}}

    config = {
        "model_list": [group("next-model", good), *(group(model, address) for model, address in first.items())],
        "litellm_settings": {"drop_params": True, "modify_params": True},
        "router_settings": {
            "num_retries": 0,
            "fallbacks": [{model: ["next-model"]} for model in first],
            "context_window_fallbacks": [{model: ["next-model"]} for model in first],
            "enable_mid_stream_fallback_continuation": True,
        },
        "general_settings": {"master_key": TOKEN},
    }
    gateway = replace(litellm_proxy(folder, config), model="next-model")
    return Contender(
        name=LITELLM, version=installed_version(ENVIRONMENTS / "litellm-proxy", "litellm"), gateway=lambda _process: gateway
    )


def _ferrogw(folder: Path, upstream: str, closed: str, unreachable: Collection[int]) -> Contender:
    """Two providers in fallback mode, a process for each request: after a failure it asks the first one no more for some time."""
    config = {
        "strategy": {"mode": "fallback"},
        "request_timeout": "20s",
        "targets": [{"virtual_key": "openai", "models": [FERROGW_MODEL]}, {"virtual_key": "xai", "models": [FERROGW_MODEL]}],
    }
    (folder / "ferrogw.yaml").write_text(json.dumps(config), encoding="utf-8")

    def gateway(first: str) -> Gateway:
        return ferrogw(
            folder / "ferrogw.yaml",
            OPENAI_API_KEY="x",
            OPENAI_BASE_URL=first,
            XAI_API_KEY="x",
            XAI_BASE_URL=f"{upstream}/good/v1",
        )

    return Contender(
        name=FERROGW,
        version=installed_version(ENVIRONMENTS / "ferrogw", "ferrogw"),
        gateway=lambda number: gateway(f"{closed if number in unreachable else upstream}/faulty/v1"),
        process=lambda number: number,
        speaks={"chat", "responses"},
        model=lambda _number: FERROGW_MODEL,
    )


def _freelm(folder: Path, first: Mapping[str, str], good: str) -> Contender:
    """Two providers a model; the second is raced against a first one that is silent."""
    settings = {"first": first, "next": good, "token": TOKEN, "timeout_s": 4 * HANGS_S, "hedge_s": HANGS_S}
    (folder / "freelm.json").write_text(json.dumps(settings), encoding="utf-8")
    port = free_port()
    gateway = Gateway(
        name=FREELM,
        address=f"http://127.0.0.1:{port}",
        command=[program("freelm", "python"), str(HERE / "peers" / "freelm_server.py"), f"{folder}/freelm.json", str(port)],
        model="m0",
    )
    return Contender(
        name=FREELM,
        version=installed_version(ENVIRONMENTS / "freelm", "freelm"),
        gateway=lambda _process: gateway,
        speaks={"chat"},
    )
