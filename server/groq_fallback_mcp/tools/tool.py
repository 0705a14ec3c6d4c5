"""What a tool is: its name, words for the agent, arguments, and a handler that returns text and structured content.

Clients disagree about what they show their model (some only the text, some only the structured content), so each must
be complete by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from groq_fallback_mcp.fallback import CallObserver, FallbackEngine, Progress
from groq_fallback_mcp.response_cache import ResponseCache
from groq_fallback_mcp.settings import state_folder

__all__ = ["MORE", "Arguments", "Context", "Reply", "Tool", "Toolset"]

# Marks an argument that is always taken but listed by the toolset `full` only: each listed one costs tokens every time.
MORE: dict[str, Any] = {"toolset": "full"}


class Arguments(BaseModel):
    """Base of every tool's arguments: unknown ones are refused.

    `old_names` maps what an argument was called before to its name now; agents and scripts may still use it.
    """

    # what checks the arguments of tools that nobody calls is never built: a tenth of what loading this package takes
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    old_names: ClassVar[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What handlers need besides their arguments. `folders` are those whose files may be read, the first the base.

    `progress` is None where the client did not ask for it, `observer` follows a single chat call. `deadline_s` is the time for a chat
    call, None the usual one, `job_deadline_s` that for work of many calls. `cache` keeps answers, `state` is the folder for what
    outlives a call. `takes_all`: transcripts of any length are passed on, as on a command line.
    """

    engine: FallbackEngine
    folders: tuple[Path, ...]
    progress: Progress | None = None
    observer: CallObserver | None = None
    deadline_s: float | None = None
    job_deadline_s: float = 3_600.0
    cache: ResponseCache | None = None
    state: Path = field(default_factory=state_folder)
    takes_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A tool's result: text that is complete by itself, structured content that is too.

    `body` is the part of `text` that a person would keep in a file, where the rest is an account of the call. `brief` makes
    what is shown, and shortened, instead of a result that is too long for clients.
    """

    text: str
    structured: Mapping[str, Any]
    is_error: bool = False
    body: str | None = None
    brief: Callable[[], Reply] | None = None
    whole: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolset:
    """Tools that are listed only when asked for. `tokens` is what they add to the tool list, by o200k_base."""

    name: str
    title: str
    tools: tuple[Tool, ...]
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool, and what its annotations tell clients, which may ask the user only before some.

    `read_only`: no argument makes it change anything but this server's own state. `destructive`: it can replace or end what
    exists. `idempotent`: the same call again changes nothing more. `open_world`: it talks to the outside.
    """

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    handle: Callable[[Any, Context], Awaitable[Reply]]
    read_only: bool = True
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = True
