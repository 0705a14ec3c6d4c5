"""The block `commands`: each command with its options, their defaults and an example, as `--help` has them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from groq_fallback_mcp.cli.commands import app
from project_docs.blocks import code, table

__all__ = ["commands_block", "listed_commands"]

_EXAMPLE = "Example: "
# An example that a test cannot run to its end, and why.
_ENDLESS = "runs until Ctrl-C"
NOT_RUN = {
    "serve": _ENDLESS,
    "simulate": _ENDLESS,
    "dashboard": "tests/cli/test_dashboard.py runs it",
    "limits": _ENDLESS,
    "top": _ENDLESS,
    "demo": "tests/cli/test_demo.py runs it",
    "selftest": "make e2e runs it",
    "providers test": "tests/cli/test_providers.py runs it",
    "gateway token remove": "tests/cli/test_gateway_tokens.py runs it",
}


def commands_block() -> str:
    """A section a command, in the groups and the order of the help."""
    sections: dict[str, list[str]] = {}
    for name, command in listed_commands():
        sections.setdefault(_group(name), []).append("\n\n".join(_section(name, command)))
    return "\n\n".join(f"## {title}\n\n" + "\n\n".join(texts) for title, texts in sections.items())


def listed_commands() -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    """Every command with its full name, such as `key set`; a group too, where it has options."""
    yield from _listed(_root(), "")


def _listed(group: TyperGroup, before: str) -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    for name in _names(group):
        command = group.commands[name]
        if isinstance(command, TyperCommand):
            yield f"{before}{name}", command
        elif isinstance(command, TyperGroup):
            if any(one.name != "help" for one in command.params):
                yield f"{before}{name}", command
            yield from _listed(command, f"{before}{name} ")


@cache
def _root() -> TyperGroup:
    root = typer.main.get_command(app)
    if not isinstance(root, TyperGroup):  # pragma: no cover - the application has commands
        raise TypeError(root)
    return root


def _names(group: TyperGroup) -> list[str]:
    return group.list_commands(typer.Context(group))


def _group(name: str) -> str:
    """The heading of the help that the command is listed below."""
    return str(getattr(_root().commands[name.split(maxsplit=1)[0]], "rich_help_panel", ""))


def _section(name: str, command: TyperCommand | TyperGroup) -> Iterator[str]:
    words, _, example = (command.help or "").partition(_EXAMPLE)
    yield f"### {name}"
    yield " ".join(words.split())
    example = example.strip()
    reason = NOT_RUN.get(name)
    yield (f"<!-- not run: {reason} -->\n" if reason else "") + f"```bash\n{example}\n```"
    arguments = [one for one in command.params if isinstance(one, TyperArgument)]
    options = [one for one in command.params if isinstance(one, TyperOption) and one.name != "help"]
    if arguments:
        yield table(("Argument", "Default", "Meaning"), (_argument_cells(one) for one in arguments))
    if options:
        yield table(("Option", "Default", "Meaning"), (_option_cells(one) for one in options))


def _argument_cells(argument: TyperArgument) -> tuple[str, ...]:
    return code((argument.name or "").upper()), "required" if argument.required else _default(argument.default), _help(argument)


def _option_cells(option: TyperOption) -> tuple[str, ...]:
    value = "" if option.is_flag else f" {option.metavar}"
    names = ", ".join(code(one) for one in sorted(option.opts, key=len))
    return names.removesuffix("`") + f"{value}`", _default(option.default), _help(option)


def _help(parameter: TyperArgument | TyperOption) -> str:
    return " ".join((parameter.help or "").split())


def _default(value: Any) -> str:
    return "" if value is None or value is False else code(str(value))
