"""Twenty tasks of an agent: a first call as models get it wrong, what the result tells, and the call that follows from it.

The second call is made by reading the first result as a client shows it: some show the text alone, some the structured
content alone. So each error must name the way on in both, in words that a program can find.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fakes import GROQ_CHAT_MODELS, GROQ_SPEECH_MODELS, GUARDS, VOICES, World, answer, failure, provider_models, rate_limited
from servers import connected, text_of

from groq_fallback_mcp.call import Failure, FailureKind, Success, Transcript, Usage
from groq_fallback_mcp.tools import ALL_TOOLS

pytestmark = pytest.mark.anyio
FIRST = GROQ_CHAT_MODELS[0]
Arguments = dict[str, Any]
Shown = Callable[[str, Arguments], str]
# What a client shows its model: Kilo and opencode the text, Claude, Codex and mcporter the structured content, Cline both.
CLIENTS: dict[str, Shown] = {
    "kilo": lambda text, structured: text,
    "claude": lambda text, structured: json.dumps(structured, ensure_ascii=False),
    "cline": lambda text, structured: json.dumps({"content": text, "structuredContent": structured}, ensure_ascii=False),
}


@dataclass(frozen=True)
class Task:
    """`told` must stand in what is shown; `then` is the call that a reader of it makes, None where none is to be made."""

    name: str
    tool: str
    arguments: Arguments
    told: tuple[str, ...]
    then: tuple[str, Arguments] | None
    prepare: Callable[[World], None] | None = None


def limited(world: World) -> None:
    """Every model for two minutes."""
    world.groq.default = rate_limited(120.0)


def keyless(world: World) -> None:
    """A key that Groq refuses."""
    world.groq.default = failure(FailureKind.AUTHENTICATION, status=401)


def cut(world: World) -> None:
    """An answer that ends at its bound."""
    world.groq.script(
        FIRST, Success(model="m", text="half", finish_reason="length", usage=Usage(output_tokens=16)), answer("whole")
    )


def refusing(world: World) -> None:
    """What Groq says of a request it does not take."""
    world.groq.script(FIRST, Failure(kind=FailureKind.BAD_REQUEST, message="'stop' is too long", status=400), answer())


def calling(world: World) -> None:
    """A model that wants a function called, and then answers."""
    call = {"id": "call_1", "name": "weather", "arguments": '{"city": "Oslo"}'}
    world.groq.default = Success(model="m", tool_calls=(call,), finish_reason="tool_calls")


def hearing(world: World) -> None:
    """A recording that is understood."""
    world.groq.default = Success(model="m", transcript=Transcript(text="hello"), usage=Usage(audio_s=10.0))


WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
TASKS = [
    Task("a misspelt argument", "groq_chat", {"promt": "hi"}, ("did you mean 'prompt'",), ("groq_chat", {"prompt": "hi"})),
    Task("a misspelt tool", "groq_caht", {"prompt": "hi"}, ("Unknown tool", "groq_chat"), ("groq_chat", {"prompt": "hi"})),
    Task(
        "an old model's name",
        "groq_chat",
        {"prompt": "hi", "model": "llama-3.3-70b-versatile"},
        ("shut down on 2026-08-16", "openai/gpt-oss-120b"),
        None,
    ),
    Task(
        "a model that is none",
        "groq_chat",
        {"prompt": "hi", "model": "gpt-oss-20"},
        ("Did you mean openai/gpt-oss-20b",),
        ("groq_chat", {"prompt": "hi", "model": "openai/gpt-oss-20b"}),
    ),
    Task("LiteLLM's prefix", "groq_chat", {"prompt": "hi", "model": "groq/openai/gpt-oss-20b"}, ("hello",), None),
    Task(
        "a use case that is none",
        "groq_chat",
        {"prompt": "hi", "use_case": "coding"},
        ("Unknown use_case 'coding'", "agentic"),
        ("groq_chat", {"prompt": "hi", "use_case": "agentic"}),
    ),
    Task(
        "speech asked of the chat tool",
        "groq_chat",
        {"prompt": "hi", "model": "whisper-large-v3"},
        ("Use the tool transcribe",),
        ("transcribe", {"url": "https://example.com/a.wav"}),
        hearing,
    ),
    Task(
        "two ways to ask at once",
        "groq_chat",
        {"prompt": "a", "messages": [{"role": "user", "content": "b"}]},
        ("not both",),
        ("groq_chat", {"prompt": "a"}),
    ),
    Task(
        "an answer that was cut",
        "groq_chat",
        {"prompt": "hi", "max_tokens": 16},
        ("raise max_tokens",),
        ("groq_chat", {"prompt": "hi", "max_tokens": 64}),
        cut,
    ),
    Task(
        "a request that Groq refuses",
        "groq_chat",
        {"prompt": "hi", "stop": ["x"]},
        ("'stop' is too long", "Fix the arguments"),
        ("groq_chat", {"prompt": "hi"}),
        refusing,
    ),
    Task("every model at its limit", "groq_chat", {"prompt": "hi"}, ("retry_after_s", "119.9"), None, limited),
    Task("a key that is refused", "groq_chat", {"prompt": "hi"}, ("authentication", "GROQ_API_KEY", "doctor"), None, keyless),
    Task(
        "a function to be called",
        "groq_chat",
        {"prompt": "warm?", "tools": [WEATHER]},
        ("call_1", "weather", "Oslo", "end in their results"),
        (
            "groq_chat",
            {
                "messages": [
                    {"role": "user", "content": "warm?"},
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
                        ],
                    },
                    {"role": "tool", "tool_call_id": "call_1", "content": "3"},
                ],
                "tools": [WEATHER],
            },
        ),
        calling,
    ),
    Task(
        "a schema that is none",
        "groq_chat",
        {"prompt": "hi", "response_schema": {"type": "objekt"}},
        ("not a JSON schema",),
        None,
    ),
    Task("a file outside the project", "transcribe", {"file": "/etc/passwd"}, ("GROQ_FALLBACK_FILES",), None),
    Task(
        "an address that is not https",
        "transcribe",
        {"url": "http://example.com/a.wav"},
        ("https",),
        ("transcribe", {"url": "https://example.com/a.wav"}),
        hearing,
    ),
    Task(
        "a language that is none",
        "transcribe",
        {"url": "https://example.com/a.wav", "language": "Klingonish"},
        ("language",),
        ("transcribe", {"url": "https://example.com/a.wav", "language": "en"}),
        hearing,
    ),
    Task(
        "a probe without a model", "check_limits", {"probe": True}, ("Probe needs a model",), ("check_limits", {"model": FIRST})
    ),
    Task("a sound file of the wrong kind", "speak", {"text": "hi", "save_to": "a.mp3"}, ("ends in .wav",), None),
    Task("what may not leave", "groq_chat", {"prompt": "hi", "local_only": True}, ("local_only",), None),
]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
async def test_what_is_shown_leads_to_the_right_next_call(task: Task, client: str, tmp_path: Path) -> None:
    """Whichever form a client shows."""
    world = World([provider_models("groq", (*GROQ_CHAT_MODELS, *GROQ_SPEECH_MODELS, *VOICES, *GUARDS))])
    if task.prepare is not None and task.prepare is not hearing:
        task.prepare(world)
    async with connected(world, folders=(tmp_path,), tools=ALL_TOOLS) as session:
        first = await session.call_tool(task.tool, task.arguments)
        shown = CLIENTS[client](text_of(first), dict(first.structured_content or {}))
        for words in task.told:
            assert words in shown, shown
        if first.is_error:
            assert re.search(r"Next step: \w|\"next_step\": \"\w", shown), shown
        if task.then is None:
            return
        if task.prepare is hearing:
            hearing(world)
        elif task.prepare is calling:
            world.groq.default = answer("three degrees")
        tool, arguments = task.then
        second = await session.call_tool(tool, arguments)
    assert not second.is_error, text_of(second)


def test_there_are_twenty_tasks() -> None:
    """With names of their own."""
    assert len({task.name for task in TASKS}) == len(TASKS) == 20
