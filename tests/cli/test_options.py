"""The options of the commands beside the arguments of the tools that they call: none contradicts the other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Ge, Le
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from groq_fallback_mcp.cli import calls, commands
from groq_fallback_mcp.tools import ALL_TOOLS, Reply
from groq_fallback_mcp.tools.arguments import _members
from groq_fallback_mcp.tools.chat_arguments import ChatArguments
from groq_fallback_mcp.tools.check_limits import CheckLimitsArguments
from groq_fallback_mcp.tools.list_models import ListModelsArguments
from groq_fallback_mcp.tools.screen import ScreenArguments
from groq_fallback_mcp.tools.speak import SpeakArguments
from groq_fallback_mcp.tools.tool import Arguments
from groq_fallback_mcp.tools.transcribe import TranscribeArguments


@dataclass(frozen=True, slots=True)
class Command:
    """A command, the arguments of its tool, its options of other names, and those that are the command line's own."""

    function: Callable[..., None]
    arguments: type[Arguments]
    renamed: Mapping[str, str]
    own: frozenset[str] = frozenset()


COMMANDS = (
    Command(
        commands.chat,
        ChatArguments,
        {"schema": "response_schema", "image": "images"},
        frozenset({"file", "prompts", "output", "overwrite", "save", "resume", "local", "quiet"}),
    ),
    Command(commands.models, ListModelsArguments, {"retired": "include_retired"}),
    Command(commands.limits, CheckLimitsArguments, {}, frozenset({"reopen_budget", "watch"})),
    Command(commands.transcribe, TranscribeArguments, {"source": "file", "form": "format", "words": "timestamps"}),
    Command(commands.speak, SpeakArguments, {}),
    Command(commands.screen, ScreenArguments, {}),
)
# What a person gives in another form: a file that holds it, a flag for one of two.
CONVERTED = {
    (commands.chat, "prompt"): list[str],
    (commands.chat, "schema"): Path,
    (commands.chat, "max_usd"): float,
    (commands.chat, "providers"): str,
    (commands.transcribe, "words"): bool,
}


def options() -> Iterator[Any]:
    """Each option: its type, its words, its default, and the tool's argument behind it."""
    for command in COMMANDS:
        defaults = command.function.__defaults__ or ()
        hints = {name: hint for name, hint in get_type_hints(command.function, include_extras=True).items() if name != "return"}
        by_name = dict(zip(list(hints)[len(hints) - len(defaults) :], defaults, strict=True))
        for name, hint in hints.items():
            if name not in {"as_json", *command.own}:
                field = command.renamed.get(name, name)
                yield pytest.param(
                    *get_args(hint),
                    by_name.get(name),
                    CONVERTED.get((command.function, name)),
                    command.arguments.model_fields[field],
                    id=f"{command.function.__name__}-{name}",
                )


@pytest.mark.parametrize(("taken", "option", "default", "converted", "argument"), list(options()))
def test_an_option_takes_what_the_tool_s_argument_takes(
    taken: Any, option: Any, default: object, converted: object, argument: FieldInfo
) -> None:
    """The same type, choices, bounds and default. Where the tool mends spellings, the help names the choices."""
    given, wanted = _members(taken), _members(argument.annotation)
    if converted is not None:
        assert given == [converted]
        return
    choices = [choice for one in wanted if get_origin(one) is Literal for choice in get_args(one)]
    choices = choices or re.findall(r"\w+", argument.description or "") * (" | " in (argument.description or ""))
    if choices and given == [str]:
        assert re.findall(r"\w+", option.help.replace(" or ", " ")) == choices
    else:
        assert set(given) <= set(wanted)
    bounds = {type(one): one for one in constraints(argument)}
    stated = re.fullmatch(r"(\d+) to (\d+)\.", option.help or "")
    if stated is not None:
        assert (bounds[Ge].ge, bounds[Le].le) == (int(stated[1]), int(stated[2]))
    assert default == (None if argument.is_required() else argument.default)


def constraints(argument: FieldInfo) -> Iterator[Any]:
    """What bounds the argument's values, wherever in its type it is written."""
    found = [
        argument.metadata,
        *(get_args(part)[1:] for part in get_args(argument.annotation) if get_origin(part) is Annotated),
    ]
    for part in (one for parts in found for one in parts):
        yield from part.metadata if isinstance(part, FieldInfo) else (part,)


@pytest.mark.parametrize(
    ("line", "tool", "expected"),
    [
        (
            (
                "chat hi there -s t --system s -u fast -m m --max-tokens 5 --temperature 0.5 --reasoning-effort low "
                "--schema schema.json -i a.png --image b.png --search --code --local-only --max-usd 0.01 --providers groq,local"
            ),
            "groq_chat",
            {"prompt": "hi there", "system": "s", "use_case": "fast", "model": "m", "max_tokens": 5, "temperature": 0.5}
            | {"reasoning_effort": "low", "response_schema": {"type": "object"}, "images": ["a.png", "b.png"]}
            | {"search": True, "code": True, "local_only": True, "max_usd": Decimal("0.01"), "providers": ["groq", "local"]},
        ),
        (
            "models --kind chat --stage preview -u fast --retired",
            "list_models",
            {"kind": "chat", "stage": "preview", "use_case": "fast", "include_retired": True, "all": True},
        ),
        ("limits -m m --tokens 9 --probe", "check_limits", {"model": "m", "tokens": 9, "probe": True, "all": True}),
        (
            "transcribe a.wav -l en --prompt p -f srt --words --translate -m m --save-to a.srt",
            "transcribe",
            {"file": "a.wav", "language": "en", "prompt": "p", "format": "srt", "timestamps": "word", "translate": True}
            | {"model": "m", "save_to": "a.srt"},
        ),
        ("transcribe https://example.com/a.wav", "transcribe", {"url": "https://example.com/a.wav"}),
        (
            "speak hi a.wav --voice v -l ar -m m --overwrite",
            "speak",
            {"text": "hi", "save_to": "a.wav", "voice": "v", "language": "ar", "model": "m", "overwrite": True},
        ),
        ("screen hi --policy p -m m", "screen", {"text": "hi", "policy": "p", "model": "m"}),
    ],
)
def test_what_is_given_reaches_the_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, tool: str, expected: Mapping[str, Any]
) -> None:
    """Under the tool's names, by every short and long option; the rest has the tool's own default."""
    monkeypatch.chdir(tmp_path)
    for variable in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "schema.json").write_text('{"type": "object"}', encoding="utf-8")
    taken: list[Any] = []

    async def handle(arguments: Any, context: object) -> Reply:
        del context
        taken.append(arguments)
        return Reply(text="", structured={})

    monkeypatch.setattr(calls, "ALL_TOOLS", tuple(replace(one, handle=handle) for one in ALL_TOOLS if one.name == tool))
    done = CliRunner().invoke(commands.app, line.split())

    assert done.exit_code == 0, done.output
    (arguments,) = taken
    defaults = {name: field.get_default() for name, field in type(arguments).model_fields.items() if not field.is_required()}
    assert {name: value for name, value in arguments if name not in defaults or value != defaults[name]} == expected


@pytest.mark.parametrize(
    "command", ["setup kilo --no-check", "setup kilo --dry-run", "setup", "serve", "serve --http 127.0.0.1:0"]
)
@pytest.mark.parametrize("given", ["speach", "speech,speach", "Speech", "speech;safety"])
def test_a_toolset_that_is_none_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, given: str
) -> None:
    """With the option, the name and those that can be given."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(commands.app, [*command.split(), "--toolsets", given], env={"COLUMNS": "200", "TERM": "dumb"})
    assert done.exit_code == 2
    for words in (
        "Invalid value for '--toolsets'",
        repr(given.removeprefix("speech,")),
        "Use full, speech, safety, batch or all",
    ):
        assert words in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", ["speech", " speech , batch,", "all", ""])
def test_toolsets_that_are_known_are_written_as_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """With the commas and spaces that the setting takes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(commands.app, ["setup", "kilo", "--no-check", "--no-skill", "--toolsets", given])
    assert done.exit_code == 0, done.output
    entry = json.loads((tmp_path / ".config/kilo/kilo.json").read_text())["mcp"]["groq"]
    assert entry["environment"]["GROQ_FALLBACK_TOOLSETS"] == given
