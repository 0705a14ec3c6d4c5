"""Running a command for a person: messages on stderr, results on stdout, exit codes as people expect.

0: done. 1: it was tried and failed. 2: the arguments or the configuration cannot be used. 130: interrupted.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import typer

from groq_fallback_mcp.errors import GroqFallbackError
from groq_fallback_mcp.redaction import redact

__all__ = ["attempt", "print_json", "run", "run_blocking"]

T = TypeVar("T")
USAGE_ERROR = 2
INTERRUPTED = 130


def run(work: Callable[..., Awaitable[int]], *arguments: Any, **options: Any) -> None:  # noqa: ANN401
    """Run an async command and exit with the status it returns."""
    _exit(lambda: anyio.run(functools.partial(work, *arguments, **options)))


def run_blocking(work: Callable[..., int], *arguments: Any, **options: Any) -> None:  # noqa: ANN401
    """Run a plain command and exit with the status it returns."""
    _exit(lambda: work(*arguments, **options))


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    import json  # noqa: PLC0415

    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def attempt(work: Callable[[], T]) -> T:
    """What `work` returns. Where it fails, the command ends with a message and the exit code for that."""
    try:
        return work()
    except GroqFallbackError as error:
        _say(str(error))
        status = USAGE_ERROR
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        status = 1
    raise typer.Exit(status)


def _exit(work: Callable[[], int]) -> None:
    raise typer.Exit(attempt(work))


def _say(message: str) -> None:
    typer.echo(f"groq-fallback-mcp: {redact(message)}", err=True)
