"""No result is longer than clients pass on, and nothing of a longer one is lost: a file, or page by page."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from effort import times
from fakes import GROQ_CHAT_MODELS, World, answer, failure, provider_models
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp_types import CallToolResult
from servers import connected, text_of

from groq_fallback_mcp.call import FailureKind, Source, Success, Usage
from groq_fallback_mcp.redaction import register_secrets, sanitize
from groq_fallback_mcp.response_cache import ResponseCache
from groq_fallback_mcp.tools.result_bound import ends, head, json_bytes, sendable, shortened
from groq_fallback_mcp.tools.tool import Reply

MOST = 40_000
TEXTS = {
    "ascii lines": "\n".join(f"{n}: some words of an answer" for n in range(3_000)),
    "one line": "x" * 100_000,
    "three bytes each": "日本語の長い答え。" * 5_000,
    "four bytes each": "🙂" * 20_000,
    "escaped": '"\\\t\x01' * 20_000,
    "many lines": "a\n" * 5_000,
    "lone surrogates": "\ud800" * 30_000,
}
pytestmark = pytest.mark.anyio


def wire(result: CallToolResult) -> int:
    """What a client is shown at most, in bytes."""
    return len(result.model_dump_json(by_alias=True, exclude_none=True).encode())


async def called(
    world: World, state: Path, tool: str = "groq_chat", **arguments: object
) -> tuple[CallToolResult, dict[str, Any]]:
    """A result within the bound, and its structured content."""
    async with connected(world, state=state) as client:
        result = await client.call_tool(tool, arguments)
    assert wire(result) <= MOST
    assert text_of(result).count("\n") < 2_000
    return result, dict(result.structured_content or {})


async def read_all(world: World, state: Path, cursor: str) -> str:
    """Everything from a cursor on, as an agent without files reads it."""
    pages: list[str] = []
    following: str | None = cursor
    while following is not None:
        result, page = await called(world, state, cursor=following)
        assert not result.is_error, text_of(result)
        assert text_of(result).startswith(page["text"])
        pages.append(page["text"])
        following = page.get("cursor")
    return "".join(pages)


def cursor_of(found: dict[str, Any]) -> str:
    """What the next step says to call with."""
    return str(found["whole"]["next_step"].split("cursor '")[1].split("'")[0])


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_a_long_answer_is_shown_by_its_ends_and_stands_whole_in_a_file(text: str, tmp_path: Path) -> None:
    """Whatever it takes on the wire; text and structured content both begin it and say where the rest is."""
    world = World()
    world.groq.default = answer(text)
    result, found = await called(world, tmp_path, prompt="hi")
    whole = found["whole"]
    path, shown = Path(whole["text_path"]), text_of(result)
    said = sanitize(text)
    assert path.read_bytes().decode() == said
    assert path.parent == tmp_path / "results"
    assert path.stat().st_mode & 0o777 == 0o600
    if found["text"] != said:
        assert found["text"].removesuffix("…") == said[: len(found["text"]) - 1]
        assert whole["lacking"]["text"] == f"{len(found['text']) - 1:,} of {len(said):,} characters"
    assert str(path) in shown
    assert whole["next_step"] in shown
    assert f"[groq/{found['model']}" in shown
    assert json.loads(Path(whole["json_path"]).read_text())["text"] == said


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_an_agent_that_cannot_read_files_reads_on_without_asking_anybody(text: str, tmp_path: Path) -> None:
    """The head that was shown and the pages after it are the answer."""
    world = World()
    world.groq.default = answer(text)
    result, found = await called(world, tmp_path, prompt="hi")
    cursor = cursor_of(found)
    begun = text_of(result)[: int(cursor.partition(":")[2])]
    assert len(begun) > 500
    assert begun + await read_all(world, tmp_path, cursor) == sanitize(text)
    assert len(world.groq.calls) == 1


async def test_an_answer_that_fits_is_returned_whole_and_nothing_is_written(tmp_path: Path) -> None:
    """As ever."""
    world = World()
    world.groq.default = answer("word " * 3_000)
    result, found = await called(world, tmp_path, prompt="hi")
    assert found["text"] == "word " * 3_000
    assert "whole" not in found
    assert text_of(result).startswith(found["text"])
    assert list(tmp_path.iterdir()) == []


async def test_a_schema_s_value_is_whole_or_not_there(tmp_path: Path) -> None:
    """Half of a value that a program reads would be taken for all of it."""
    value = {"rows": [f"row {n}" for n in range(10_000)]}
    world = World()
    world.groq.default = answer(json.dumps(value))
    _, found = await called(world, tmp_path, prompt="hi", response_schema={"type": "object"})
    assert "answer" not in found
    assert found["whole"]["lacking"]["answer"] == "omitted"
    assert json.loads(Path(found["whole"]["json_path"]).read_text())["answer"] == value


async def test_no_tool_call_is_shown_with_half_of_its_arguments(tmp_path: Path) -> None:
    """An agent would run it. Those that fit are whole, and all stand in the file."""
    calls = tuple(
        {"id": f"call_{n}", "name": "write", "arguments": json.dumps({"text": "w" * (10 if n == 0 else 30_000)})}
        for n in range(3)
    )
    world = World()
    world.groq.default = Success(model="m", tool_calls=calls, finish_reason="tool_calls", usage=Usage(input_tokens=1))
    tool = {"type": "function", "function": {"name": "write", "parameters": {"type": "object"}}}
    _, found = await called(world, tmp_path, prompt="hi", tools=[tool])
    assert [call["id"] for call in found["tool_calls"]] == ["call_0"]
    assert found["whole"]["lacking"]["tool_calls"] == "1 of 3"
    kept = json.loads(Path(found["whole"]["json_path"]).read_text())["tool_calls"]
    assert [len(call["arguments"]["text"]) for call in kept] == [10, 30_000, 30_000]


async def test_long_reasoning_and_many_sources_are_bounded_too(tmp_path: Path) -> None:
    """Beside a short answer, which stays whole."""
    sources = tuple(Source(title=f"page {n}", url=f"https://example.com/{n}", excerpt="e" * 900) for n in range(200))
    world = World()
    world.groq.default = Success(model="m", text="short", reasoning="r" * 90_000, sources=sources)
    _, found = await called(world, tmp_path, prompt="hi", search=True)
    assert found["text"] == "short"
    assert 0 < len(found["sources"]) < 200
    kept = json.loads(Path(found["whole"]["json_path"]).read_text())
    assert (len(kept["reasoning"]), len(kept["sources"])) == (90_000, 200)


@pytest.mark.parametrize(("count", "text"), [(3, "日本 " * 10_000), (40, "w " * 1_000), (1_000, "bug")])
async def test_many_answers_are_begun_each_and_stand_whole_in_files(count: int, text: str, tmp_path: Path) -> None:
    """As many as fit, in order, each told from the next; all of them page by page."""
    world = World([provider_models("groq", GROQ_CHAT_MODELS, documented={})])
    world.groq.default = answer(text)
    _, found = await called(world, tmp_path, prompts=[f"q{n}" for n in range(count)])
    shown = found["results"]
    assert [item["number"] for item in shown] == list(range(1, len(shown) + 1))
    assert all(item["text"] == text or (item["cut"] and text.startswith(item["text"].removesuffix("…"))) for item in shown)
    assert (found["answered"], found["failed"]) == (count, 0)
    assert len(shown) >= min(count, 30)
    kept = json.loads(Path(found["whole"]["json_path"]).read_text())["results"]
    assert [item["text"] for item in kept] == [text] * count
    assert (await read_all(world, tmp_path, cursor_of(found))).count(text) == count


async def test_a_long_list_of_models_is_cut_by_whole_rows(tmp_path: Path) -> None:
    """Such as that of an endpoint with a thousand models."""
    world = World(
        [provider_models("groq", GROQ_CHAT_MODELS), provider_models("many", [f"maker/model-{n}-日本" for n in range(1_000)])]
    )
    result, found = await called(world, tmp_path, tool="list_models", all=True)
    assert 20 < len(found["models"]) < 1_000
    assert all(model["available"] for model in found["models"])
    kept = json.loads(Path(found["whole"]["json_path"]).read_text())["models"]
    assert len(kept) > 1_000
    assert f"{len(kept):,} models." in text_of(result)
    offset = int(cursor_of(found).partition(":")[2])
    told = text_of(result)[:offset] + await read_all(world, tmp_path, cursor_of(found))
    assert told.count("\n- many/maker/model-") == 1_000


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("groq_chat", {"prompt": "hi", "use_case": "ü" * 100_000}),
        ("groq_chat", {"prompt": "hi", "model": "m" * 100_000}),
        ("list_models", {"use_case": "x" * 100_000}),
        ("t" * 100_000, {}),
    ],
)
async def test_an_error_that_quotes_what_it_was_given_is_bounded_too(
    tool: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    """Its code and next step are kept."""
    result, found = await called(World(), tmp_path, tool=tool, **arguments)
    if result.is_error:
        assert found["error"]["code"]
        assert found["error"]["next_step"]


async def test_an_account_of_many_failures_is_bounded_and_keeps_the_error(tmp_path: Path) -> None:
    """A hundred endpoints that all say much."""
    offers = [provider_models(f"endpoint{n}", ["some-model"]) for n in range(300)]
    world = World(offers)
    for provider in world.providers.values():
        provider.default = failure(FailureKind.SERVER_ERROR, status=500)
    result, found = await called(world, tmp_path, prompt="hi", model="some-model")
    assert result.is_error
    assert {"code", "cause", "next_step"} <= set(found["error"])


async def test_the_kept_answer_of_the_cache_is_bounded_like_a_new_one(tmp_path: Path) -> None:
    """It is kept whole."""
    world = World()
    world.groq.default = answer("word " * 20_000)
    cache = ResponseCache(tmp_path / "answers.sqlite3", ttl_s=60.0, clock=world.clock)
    async with connected(world, state=tmp_path, cache=cache) as client:
        results = [await client.call_tool("groq_chat", {"prompt": "hi", "temperature": 0}) for _ in range(2)]
    assert [wire(result) <= MOST for result in results] == [True, True]
    found = dict(results[1].structured_content or {})
    assert found["cached"] is True
    assert Path(found["whole"]["text_path"]).read_text() == "word " * 20_000


async def test_where_nothing_can_be_kept_the_result_says_what_is_lost_and_why(tmp_path: Path) -> None:
    """Not silently."""
    (tmp_path / "results").write_text("a file in the folder's place")
    world = World()
    world.groq.default = answer("word " * 20_000)
    result, found = await called(world, tmp_path, prompt="hi")
    assert "the rest is lost" in found["whole"]["lost"]
    assert str(tmp_path / "results") in text_of(result)
    assert "Make that folder writable" in text_of(result)


async def test_no_secret_reaches_a_file(tmp_path: Path) -> None:
    """A prompt may have held the key, and the model may have said it again."""
    text = "the key is gsk-made-up " * 3_000
    reply = Reply(text=text, structured={"text": text}, body=text)
    register_secrets("gsk-made-up")
    sent = await sendable(reply, name="groq_chat", state=tmp_path)
    kept = [path.read_text() for path in (tmp_path / "results").iterdir()]
    assert len(kept) == 2
    assert not any("gsk-made-up" in found for found in (*kept, sent.text, json.dumps(sent.structured)))


@pytest.mark.parametrize(
    ("cursor", "words"),
    [
        ("../../secrets.txt:0", "does not name a stored result"),
        ("/etc/passwd", "does not name a stored result"),
        ("groq_chat-0123456789abcdef.txt:0", "cannot be read"),
        ("groq_chat-0123456789abcdef.txt:x", "does not name a stored result"),
    ],
)
async def test_a_cursor_opens_kept_results_and_nothing_else(cursor: str, words: str, tmp_path: Path) -> None:
    """And says what to do."""
    result, found = await called(World(), tmp_path, cursor=cursor)
    assert result.is_error
    assert words in text_of(result)
    assert found["error"]["next_step"]


async def test_a_cursor_beyond_the_end_and_one_with_a_question_are_refused(tmp_path: Path) -> None:
    """A question would not be answered."""
    world = World()
    world.groq.default = answer("word " * 20_000)
    _, found = await called(world, tmp_path, prompt="hi")
    name = Path(found["whole"]["text_path"]).name
    result, _ = await called(world, tmp_path, cursor=f"{name}:100000")
    assert "has 100,000 characters" in text_of(result)
    result, _ = await called(world, tmp_path, cursor=f"{name}:5", prompt="and?")
    assert "Give cursor alone" in text_of(result)


async def test_the_cursor_is_taken_by_its_old_name_too(tmp_path: Path) -> None:
    """The first release called it rest. Where both are given, the present name counts."""
    world = World()
    world.groq.default = answer("word " * 20_000)
    _, found = await called(world, tmp_path, prompt="hi")
    name = Path(found["whole"]["text_path"]).name
    _, page = await called(world, tmp_path, cursor=f"{name}:5")
    assert page["text"].startswith("word ")
    for arguments in (
        {"rest": f"{name}:5"},
        {"rest": f"{name}:5", "cursor": None},
        {"cursor": f"{name}:5", "rest": ""},
        {"cursor": f"{name}:5", "rest": f"{name}:7"},
        {"arguments": {"rest": f"{name}:5"}},
    ):
        assert (await called(world, tmp_path, **arguments))[1] == page
    result, _ = await called(world, tmp_path, rest=f"{name}:5", prompt="and?")
    assert "Give cursor alone" in text_of(result)


async def test_kept_results_go_after_a_week(tmp_path: Path) -> None:
    """They hold answers."""
    import os

    old = tmp_path / "results" / "groq_chat-0123456789abcdef.txt"
    old.parent.mkdir()
    old.write_text("old")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    world = World()
    world.groq.default = answer("word " * 20_000)
    await called(world, tmp_path, prompt="hi")
    assert not old.exists()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=12), inner, max_size=6),
    max_leaves=12,
)
STRUCTURED = st.dictionaries(st.sampled_from(["text", "answer", "results", "error", "notes", "x"]), VALUES)
# texts of every script, and how many times each stands there
UNITS = st.text(st.characters(), min_size=1, max_size=40)
TIMES = st.integers(1, 3_000)


@settings(max_examples=times(60), deadline=None)
@given(unit=UNITS, other=UNITS, times=st.tuples(TIMES, TIMES), structured=STRUCTURED, with_body=st.booleans())
def test_whatever_a_tool_returns_it_fits_and_nothing_of_it_is_lost(
    unit: str, other: str, times: tuple[int, int], structured: dict[str, Any], with_body: bool
) -> None:
    """For any text and any fields."""
    text, extra = unit * times[0], other * times[1]
    reply = Reply(text=f"{text}\n[account]", structured={**structured, "extra": extra}, body=text if with_body else None)
    with tempfile.TemporaryDirectory() as folder:
        sent = asyncio.run(sendable(reply, name="groq_chat", state=Path(folder)))
        result = CallToolResult.model_validate(
            {"content": [{"type": "text", "text": sent.text}], "structuredContent": dict(sent.structured)}
        )
        assert wire(result) <= MOST
        if "whole" not in sent.structured:
            return
        assert sent.text.count("[account]") >= 1
        kept = json.loads(Path(sent.structured["whole"]["json_path"]).read_text(encoding="utf-8"))
        assert kept["extra"] == sanitize(extra)
        for name, value in sent.structured.items():
            assert name == "whole" or value == kept[name] or name in sent.structured["whole"]["lacking"]
        if "text_path" in sent.structured["whole"]:
            whole = Path(sent.structured["whole"]["text_path"]).read_bytes().decode()
            assert whole == sanitize(text if with_body else reply.text)


@given(st.text(), st.integers(0, 200))
def test_the_head_is_the_longest_that_fits(text: str, most: int) -> None:
    """By what it takes on the wire."""
    first = head(text, most)
    assert text.startswith(first)
    assert json_bytes(first) - 2 <= most
    assert first == text or json_bytes(text[: len(first) + 1]) - 2 > most


@given(st.text(st.sampled_from("a\n🙂")), st.integers(0, 400))
def test_the_two_ends_of_a_text_do_not_overlap(text: str, most: int) -> None:
    """Else something would be read twice."""
    first, last = ends(text, most)
    assert text.startswith(first)
    assert text.endswith(last)
    assert len(first) + len(last) <= len(text)


@given(STRUCTURED, st.integers(0, 2_000))
def test_shortened_fields_fit_and_name_what_they_lack(fields: dict[str, Any], most: int) -> None:
    """A field is as it was, or told."""
    shown, lacking = shortened(fields, most)
    assert json_bytes(shown) <= max(most, 2)
    assert all(name in lacking or (name in shown and shown[name] == value) for name, value in fields.items())
