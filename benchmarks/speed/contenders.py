"""Who is measured: each a command that speaks MCP over stdio, in an environment of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "ENVIRONMENTS",
    "HERE",
    "MODEL",
    "OTHER",
    "PROMPT",
    "Contender",
    "all_contenders",
    "clean_environment",
    "limits_of",
    "ours",
    "overlay",
]

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".cache" / "bench"
PROMPT = "Say something, always the same."
MODEL = "openai/gpt-oss-20b"
OTHER = "openai/gpt-oss-120b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A server to start. `noop` needs no upstream, `ask` calls it once; None where it has no such tool."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    noop: tuple[str, Mapping[str, object]] | None = ("noop", {})
    ask: tuple[str, Mapping[str, object]] | None = ("ask", {"prompt": PROMPT})

    def is_there(self) -> bool:
        """Whether what it needs is installed."""
        return all(Path(part).exists() for part in self.command if part.startswith("/"))


def ours(folder: Path, upstream: str, *, limits: str | None = None, **settings: str) -> Contender:
    """This project's server, its state and its overlay of limits, which are out of reach unless given, in `folder`."""
    (folder / "catalog.toml").write_text(limits or limits_of(100_000_000), encoding="utf-8")
    environment = {
        "GROQ_API_KEY": "gsk_benchmark_key_000000000000",
        "GROQ_BASE_URL": upstream,
        "GROQ_FALLBACK_CATALOG": str(folder / "catalog.toml"),
        "GROQ_FALLBACK_STATE": f"sqlite:///{folder}/state.sqlite3",
        "GROQ_FALLBACK_LOCAL": "off",
        "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
        **settings,
    }
    return Contender(
        name="groq-fallback-mcp",
        command=[str(Path(sys.executable).with_name("groq-fallback-mcp")), "serve"],
        environment=environment,
        noop=("check_limits", {}),
        ask=("groq_chat", {"prompt": PROMPT, "use_case": "openai_compatible"}),
    )


def limits_of(rpm: int, *, tpm: int = 1_000_000_000) -> str:
    """An overlay with so many requests and tokens a minute for each model that may be asked, and no other limit in reach."""
    speech = {"rpm": 1_000_000, "rpd": 1_000_000_000, "ash": 1_000_000_000, "asd": 10_000_000_000}
    chat = {"rpm": rpm, "rpd": 1_000_000_000, "tpm": tpm, "tpd": 100_000_000_000}
    models = {"whisper-large-v3": speech, "whisper-large-v3-turbo": speech, MODEL: chat, OTHER: chat, "qwen/qwen3.8-27b": chat}
    return overlay(models, plans=("free", "developer"))


def overlay(limits: Mapping[str, Mapping[str, int]], *, plans: Sequence[str]) -> str:
    """An overlay of the catalog with these limits by model, the same on each plan."""
    return "".join(
        f'[[limits]]\nmodel = "{model}"\nplan = "{plan}"\n'
        + "".join(f"{name} = {units}\n" for name, units in figures.items())
        + 'source = "groq-api-seed-2026-02-13"\nchecked = 2026-11-23\n\n'
        for plan in plans
        for model, figures in limits.items()
    )


def all_contenders(upstream: str) -> dict[str, Contender]:
    """The others by name."""
    rows = [
        ("SDK, low-level Server", sys.executable, ["sdk_server.py"]),
        ("SDK, MCPServer", sys.executable, ["sdk_mcpserver.py"]),
        ("by hand", sys.executable, ["json_lines.py"]),
        ("fastmcp", _python("fastmcp"), ["fastmcp_server.py"]),
        ("LiteLLM Router, tuned", _python("litellm"), ["litellm_router.py", "tuned"]),
        ("LiteLLM Router, default", _python("litellm"), ["litellm_router.py", "default"]),
        ("groq SDK, a chain", _python("groq"), ["groq_sdk.py"]),
        ("pydantic-ai FallbackModel", _python("pydantic-ai"), ["pydantic_ai_fallback.py"]),
    ]
    made = [
        Contender(
            name=name,
            command=[python, str(HERE / "peers" / script), *arguments],
            environment={"UPSTREAM": upstream},
        )
        for name, python, (script, *arguments) in rows
    ]
    everything = ENVIRONMENTS / "node/node_modules/.bin/mcp-server-everything"
    made.append(Contender(name="Node, server-everything", command=[str(everything)], noop=None, ask=None))
    return {contender.name: contender for contender in made}


def _python(name: str) -> str:
    return str(ENVIRONMENTS / name / "bin" / "python")


def clean_environment(contender: Contender) -> dict[str, str]:
    """What a client hands on, and no proxy of this machine."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **contender.environment}
