"""The terminal, and nothing else writes to it: messages on stderr, results on stdout, exit codes as people expect.

All text passes the one exit (redaction.py), so that neither a secret nor a control sequence of somebody else's text reaches it.
0: done. 1: it was tried and failed. 2: the arguments or the configuration cannot be used. 130: interrupted.
"""

from __future__ import annotations

import errno
import functools
import re
import sys
import traceback
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar

import anyio
import typer

from groq_fallback_mcp.cli.serving import end_in_order
from groq_fallback_mcp.errors import GroqFallbackError
from groq_fallback_mcp.fallback import Progress
from groq_fallback_mcp.logs import sanitize_unhandled
from groq_fallback_mcp.redaction import sanitize, sanitize_json, sanitize_message

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "USAGE_ERROR",
    "as_options",
    "attempt",
    "echo",
    "echo_message",
    "echo_secret",
    "note",
    "print_json",
    "print_json_line",
    "progress_bar",
    "run",
    "run_blocking",
    "terminal",
    "typed_secret",
]

T = TypeVar("T")
SCHEMA_VERSION = 1
_COUNTED = re.compile(r"\d of \d")
# The words of tools that a person at a command line does not know, and what they are there.
_IN_COMMANDS = {
    "check_limits": "groq-fallback-mcp limits",
    "groq_chat": "groq-fallback-mcp chat",
    "include_retired": "--retired",
    "overwrite: true": "--overwrite",
    "list_models": "groq-fallback-mcp models",
    "local_only": "--local-only",
    "max_tokens": "--max-tokens",
    "max_usd": "--max-usd",
    "reasoning_effort": "--reasoning-effort",
    "response_schema": "--schema",
    "save_to": "--save-to",
    "use_case": "--use-case",
}
# not in backquotes: those are fields of a file
_ARGUMENT = re.compile(rf"(?<!`)\b(?:{'|'.join(_IN_COMMANDS)})\b")
_TOOL = re.compile(r"\bthe tool (groq_chat|transcribe|speak|screen)\b")
USAGE_ERROR = 2
INTERRUPTED = 130
TERMINATED = 143


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """A result, or text of our own."""
    typer.echo(sanitize(text), err=err, nl=nl)


def echo_message(text: str, *, err: bool = False) -> None:
    """Text that may quote others: also without what looks like a key."""
    typer.echo(sanitize_message(text), err=err)


def echo_secret(secret: str) -> None:
    """A secret that the person asked to see, alone on its line: the only text that is not sanitized."""
    typer.echo(secret)


def note(text: str) -> None:
    """A remark beside the result: on stderr, dimmed on a terminal."""
    if (console := terminal(sys.stderr)) is None:
        echo_message(text, err=True)
        return
    from rich.text import Text

    console.print(Text(sanitize_message(text), style="dim"))


def typed_secret(prompt: str, **options: Any) -> str:
    """What is typed on a terminal without being shown, else the first line of a pipe; empty where there is neither.

    `options` are those of typer's prompt.
    """
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        return str(typer.prompt(prompt, hide_input=True, err=True, **options)).strip()
    return sys.stdin.readline().strip()


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout. `schema_version` grows when a field changes its meaning or goes."""
    _print_json({"schema_version": SCHEMA_VERSION, **value}, indent=2)


def print_json_line(value: Mapping[str, Any]) -> None:
    """One of many JSON objects on stdout, on a line of its own."""
    _print_json(value, indent=None)


def terminal(stream: TextIO) -> Console | None:
    """A console for stdout or stderr; None where it is not a terminal that can redraw a line."""
    from rich.console import Console

    console = Console(file=stream, highlight=False)
    return console if console.is_terminal and not console.is_dumb_terminal else None


def as_options(text: str) -> str:
    """A message of a tool in the words of the command line: options and commands instead of arguments and tools."""
    text = _TOOL.sub(lambda found: f"groq-fallback-mcp {found[1].removeprefix('groq_')}", text)
    return _ARGUMENT.sub(lambda found: _IN_COMMANDS[found[0]], text)


@contextmanager
def progress_bar(name: str, *, shown: bool, is_audio: bool = False) -> Generator[Progress | None]:
    """A bar on stderr while this lasts, moved by what is yielded; None where it isn't shown or stderr is not a terminal.

    What is done of recordings is in seconds of sound, so that the speed is a multiple of real time.
    """
    console = terminal(sys.stderr) if shown else None
    if console is None:
        yield None
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[speed]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Bar(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task(name, total=None, speed="")
        # how far it was when, since what is counted began
        begun: list[tuple[float, float]] = []

        async def progress(done: float, total: float, message: str) -> None:
            # without parts what is counted is the time that passes: no measure of what is done
            is_counted = _COUNTED.search(message) is not None
            if is_counted and not begun:
                begun.append((done, bar.get_time()))
            done_before, since = begun[0] if begun else (done, bar.get_time())
            elapsed_s = bar.get_time() - since
            speed = (done - done_before) / elapsed_s if elapsed_s else 0.0
            bar.update(
                task,
                description=sanitize_message(message),
                completed=done if is_counted else 0,
                total=total if is_counted else None,
                speed=f"{speed:.0f}x speed" if is_audio and is_counted and speed else "",
            )

        yield progress


def run(work: Callable[..., Awaitable[int]], *arguments: Any, **options: Any) -> NoReturn:
    """Run an async command and exit with the status it returns."""
    _exit(lambda: anyio.run(functools.partial(work, *arguments, **options)))


def run_blocking(work: Callable[..., int], *arguments: Any, **options: Any) -> NoReturn:
    """Run a plain command and exit with the status it returns."""
    _exit(lambda: work(*arguments, **options))


def attempt(work: Callable[[], T]) -> T:
    """What `work` returns. Where it fails, the command ends with a message and the exit code for that."""
    sanitize_unhandled()
    end_in_order(TERMINATED)
    try:
        return work()
    except typer.Exit:
        raise
    except typer.Abort:
        # Ctrl-C or Ctrl-D at a question
        status = INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - of any kind: each has its exit code
        status = _status(_innermost(error))
    raise typer.Exit(status)


def _status(error: BaseException) -> int:
    """The exit code for what ended a command, once it is told."""
    if isinstance(error, GroqFallbackError):
        echo_message(f"groq-fallback-mcp: {as_options(str(error))}", err=True)
        return USAGE_ERROR
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        return 1
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
        echo_message(f"groq-fallback-mcp: Cannot write ({error.strerror}). Free some space, then run it again.", err=True)
        return 1
    if not isinstance(error, Exception):
        raise error
    # a bug: its traceback goes through the exit like all else
    echo_message("".join(traceback.format_exception(error)), err=True)
    return 1


def _innermost(error: BaseException) -> BaseException:
    """What is in a group of one kind, as task groups make of an error that passes through them."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    inner = [_innermost(one) for one in error.exceptions]
    return inner[0] if len({type(one) for one in inner}) == 1 else error


def _exit(work: Callable[[], int]) -> NoReturn:
    raise typer.Exit(attempt(work))


def _print_json(value: Mapping[str, Any], *, indent: int | None) -> None:
    import json

    # escaped, JSON keeps every character on a console whose encoding lacks it
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    typer.echo(json.dumps(sanitize_json(value), indent=indent, ensure_ascii=ascii_only))
