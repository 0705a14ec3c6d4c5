"""Who is measured: each a process that serves OpenAI's chat completions on a port of its own, and the upstream itself."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.speed.contenders import ENVIRONMENTS, MODEL, OTHER
from benchmarks.speed.contenders import ours as mcp_server

__all__ = [
    "DIRECT",
    "FERROGW",
    "FERROGW_MODEL",
    "FREELM",
    "LITELLM",
    "OURS",
    "TOKEN",
    "Gateway",
    "direct",
    "ferrogw",
    "free_port",
    "gateways",
    "litellm_proxy",
    "ours",
    "program",
]

OURS, DIRECT, LITELLM, FERROGW, FREELM = "groq-fallback-mcp", "direct call", "LiteLLM proxy", "ferrogw", "freelm"
HERE = Path(__file__).parent
TOKEN = "sk-gateway-benchmark-0000000000"  # noqa: S105 - protects nothing
FERROGW_TOKEN = "fgw_" + "0" * 32
# It serves names that it knows.
FERROGW_MODEL = "gpt-4o-mini"
NO_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What to start (nothing for the direct call), and how to ask it. `falls_back`: from MODEL to another model."""

    name: str
    address: str
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    path: str = "/v1/chat/completions"
    token: str = TOKEN
    model: str = MODEL
    falls_back: bool = True

    def is_there(self) -> bool:
        """Whether what it needs is installed."""
        return all(Path(part).exists() for part in self.command if part.startswith("/"))


def ours(folder: Path, upstream: str, *, limits: str | None = None, **settings: str) -> Gateway:
    """This project's gateway with its state in `folder`; limits are out of reach unless given."""
    server, port = mcp_server(folder, upstream, limits=limits, **settings), free_port()
    return Gateway(
        name=OURS,
        address=f"http://127.0.0.1:{port}",
        command=[server.command[0], "gateway", "--port", str(port)],
        environment={**server.environment, "GROQ_FALLBACK_HTTP_TOKEN": TOKEN},
    )


def direct(upstream: str) -> Gateway:
    """No gateway at all."""
    return Gateway(name=DIRECT, address=upstream, falls_back=False)


def gateways(folder: Path, upstream: str) -> dict[str, Gateway]:
    """Ours and the peers that are installed, by name."""
    made = [ours(folder, upstream), _litellm(folder, upstream), _ferrogw(folder, upstream), _freelm(upstream)]
    return {gateway.name: gateway for gateway in made if gateway.is_there()}


def _litellm(folder: Path, upstream: str) -> Gateway:
    """A limited model is cooled down at once, and the next one asked."""
    models = [
        {"model_name": model, "litellm_params": {"model": f"groq/{model}", "api_base": f"{upstream}/openai/v1", "api_key": "k"}}
        for model in (MODEL, OTHER)
    ]
    config = {
        "model_list": models,
        "router_settings": {"num_retries": 0, "allowed_fails": 0, "cooldown_time": 2, "fallbacks": [{MODEL: [OTHER]}]},
        "general_settings": {"master_key": TOKEN},
    }
    return litellm_proxy(folder, config)


def _ferrogw(folder: Path, upstream: str) -> Gateway:
    """It falls back from provider to provider, and there is one."""
    config = folder / "ferrogw.yaml"
    config.write_text(json.dumps({"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "openai"}]}), encoding="utf-8")
    return replace(ferrogw(config, OPENAI_API_KEY="x", OPENAI_BASE_URL=f"{upstream}/v1"), falls_back=False)


def _freelm(upstream: str) -> Gateway:
    """Two models as two providers, tried in order."""
    port = free_port()
    return Gateway(
        name=FREELM,
        address=f"http://127.0.0.1:{port}",
        command=[program("freelm", "python"), str(HERE / "peers" / "freelm_server.py"), f"{upstream}/v1", str(port)],
        environment={"MODELS": f"{MODEL},{OTHER}", "TOKEN": TOKEN},
        model="auto",
    )


def litellm_proxy(folder: Path, config: Mapping[str, object]) -> Gateway:
    """LiteLLM's proxy with one worker and this configuration, which is written to `folder`."""
    port = free_port()
    (folder / "litellm.yaml").write_text(json.dumps(config), encoding="utf-8")
    command = ["--config", f"{folder}/litellm.yaml", "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return Gateway(
        name=LITELLM,
        address=f"http://127.0.0.1:{port}",
        command=[program("litellm-proxy", "litellm"), *command],
        environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )


def ferrogw(config: Path, **providers: str) -> Gateway:
    """Ferrogw with the configuration in a file; `providers` are the keys and addresses of those that it names."""
    port = free_port()
    return Gateway(
        name=FERROGW,
        address=f"http://127.0.0.1:{port}",
        command=[program("ferrogw", "ferrogw"), "serve"],
        environment={
            "GATEWAY_CONFIG": str(config),
            "MASTER_KEY": FERROGW_TOKEN,
            **providers,
            "PORT": str(port),
            "RATE_LIMIT_RPS": str(NO_LIMIT),
            "RATE_LIMIT_BURST": str(NO_LIMIT),
        },
        token=FERROGW_TOKEN,
        model=FERROGW_MODEL,
    )


def program(environment: str, name: str) -> str:
    """A peer's program."""
    return str(ENVIRONMENTS / environment / "bin" / name)


def free_port() -> int:
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def clean_environment(gateway: Gateway) -> dict[str, str]:
    """What a shell hands on, and no proxy of this machine."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHON": sys.executable, **gateway.environment}
