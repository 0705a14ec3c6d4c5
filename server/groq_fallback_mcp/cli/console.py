"""The terminal, and nothing else writes to it: messages on stderr, results on stdout, exit codes as people expect.

All text passes the one exit (redaction.py), so that neither a secret nor a control sequence of somebody else's text reaches it.
0: done. 1: it was tried and failed. 2: the arguments or the configuration cannot be used. 130: interrupted.
"""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio
import typer

from groq_fallback_mcp.errors import GroqFallbackError
from groq_fallback_mcp.fallback import Progress
from groq_fallback_mcp.logs import sanitize_unhandled
from groq_fallback_mcp.redaction import sanitize, sanitize_json, sanitize_message

__all__ = ["attempt", "echo", "echo_message", "print_json", "print_panel", "progress_bar", "run", "run_blocking"]

T = TypeVar("T")
USAGE_ERROR = 2
INTERRUPTED = 130


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """A result, or text of our own."""
    typer.echo(sanitize(text), err=err, nl=nl)


def echo_message(text: str, *, err: bool = False) -> None:
    """Text that may quote others: also without what looks like a key."""
    typer.echo(sanitize_message(text), err=err)


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    import json

    typer.echo(json.dumps(sanitize_json(value), indent=2, ensure_ascii=False))


def print_panel(text: str, *, title: str, subtitle: str, err: bool = False) -> None:
    """A text in a frame."""
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    framed, above, below = (Text(sanitize(part)) for part in (text, title, subtitle))
    Console(stderr=err).print(Panel(framed, title=above, subtitle=below, title_align="left", subtitle_align="left"))


@contextmanager
def progress_bar(name: str) -> Generator[Progress]:
    """A bar on stderr while this lasts, moved by what is yielded."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)

        async def progress(done: float, total: float, message: str) -> None:
            bar.update(task, description=sanitize_message(message), completed=done, total=total)

        yield progress


def run(work: Callable[..., Awaitable[int]], *arguments: Any, **options: Any) -> None:
    """Run an async command and exit with the status it returns."""
    _exit(lambda: anyio.run(functools.partial(work, *arguments, **options)))


def run_blocking(work: Callable[..., int], *arguments: Any, **options: Any) -> None:
    """Run a plain command and exit with the status it returns."""
    _exit(lambda: work(*arguments, **options))


def attempt(work: Callable[[], T]) -> T:
    """What `work` returns. Where it fails, the command ends with a message and the exit code for that."""
    sanitize_unhandled()
    try:
        return work()
    except GroqFallbackError as error:
        echo_message(f"groq-fallback-mcp: {error}", err=True)
        status = USAGE_ERROR
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        status = 1
    except (typer.Exit, typer.Abort):
        raise
    except Exception:  # noqa: BLE001 - a bug: its traceback goes through the exit like all else
        echo_message(traceback.format_exc(), err=True)
        status = 1
    raise typer.Exit(status)


def _exit(work: Callable[[], int]) -> None:
    raise typer.Exit(attempt(work))
