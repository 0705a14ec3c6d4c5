"""Tools that run at Groq, documents, and citations."""

from __future__ import annotations

import json
from typing import Any

import pytest
from groq.types.chat import ChatCompletion
from simulator.rig import OpenRig, Rig, message

pytestmark = pytest.mark.anyio
BOTH = [{"type": "browser_search"}, {"type": "code_interpreter"}]
COMPOUND = "groq/compound"
DOCUMENTS = [{"source": {"type": "text", "text": "one"}, "id": "first"}, {"source": {"type": "json", "data": {"a": 1}}}]


def _message(reply: Any) -> Any:
    return reply.json()["choices"][0]["message"]


@pytest.fixture
def compound(open_rig: OpenRig) -> Rig:
    """A simulator whose retired models still answer."""
    return open_rig(latency_scale=0.0, keep_retired=True)


async def test_gpt_oss_searches_and_runs_code_where_it_is_given_both(rig: Rig) -> None:
    """Results are of example domains and say that they are simulated; what was thought is shown."""
    said = _message(await rig.chat("the news", tools=BOTH))
    searched, ran = said["executed_tools"]
    assert (searched["type"], searched["index"], ran["type"], ran["index"]) == ("browser_search", 0, "code_interpreter", 1)
    assert json.loads(searched["arguments"]) == {"query": "the news"}
    for row in searched["search_results"]["results"]:
        assert set(row) == {"title", "url", "content", "score"}
        assert row["url"].split("/")[2].endswith(("example.com", "example.org"))
        assert "imulated" in row["content"]
    assert "simulated" in ran["code_results"][0]["text"]
    assert said["reasoning"]


@pytest.mark.parametrize("fields", [{"tools": BOTH, "tool_choice": "none"}, {}, {"tools": BOTH[:1], "tool_choice": "required"}])
async def test_a_tool_runs_where_it_is_given_and_not_forbidden(fields: dict[str, Any], rig: Rig) -> None:
    """`required` is content with a tool of Groq's."""
    ran = [row["type"] for row in _message(await rig.chat(**fields)).get("executed_tools", [])]
    assert ran == (["browser_search"] if fields.get("tool_choice") == "required" else [])


async def test_executed_tools_are_streamed_too(rig: Rig) -> None:
    """In a delta before the words."""
    *chunks, _ = await rig.stream(tools=BOTH[:1])
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [delta["executed_tools"][0]["type"] for delta in deltas if "executed_tools" in delta] == ["browser_search"]


@pytest.mark.parametrize(
    ("model", "text", "custom", "types"),
    [
        (COMPOUND, "hello", None, ["web_search"]),
        (COMPOUND, "calculate 2+2", None, ["code_interpreter", "web_search"]),
        (COMPOUND, "read https://example.com/a", None, ["visit_website", "web_search"]),
        (COMPOUND, "calculate 2+2", {"tools": {"enabled_tools": ["code_interpreter"]}}, ["code_interpreter"]),
        (COMPOUND, "hello", {"tools": {"enabled_tools": []}}, []),
        ("groq/compound-mini", "calculate 2+2", None, ["code_interpreter"]),
    ],
)
async def test_a_compound_system_chooses_its_tools(
    model: str, text: str, custom: object, types: list[str], compound: Rig
) -> None:
    """Among those enabled; the small one uses one alone."""
    body = _message(await compound.chat(text, model=model, compound_custom=custom))
    assert [row["type"] for row in body.get("executed_tools", [])] == types


async def test_a_compound_answer_names_the_models_behind_it(compound: Rig) -> None:
    """Plain, and in the last chunk of a stream; the SDK reads both."""
    custom = {"models": {"answering_model": "a", "reasoning_model": "b"}}
    answer = ChatCompletion.model_validate((await compound.chat(model=COMPOUND, compound_custom=custom)).json())
    assert answer.usage_breakdown is not None
    assert [row.model for row in answer.usage_breakdown.models] == ["b", "a"]
    *chunks, _ = await compound.stream(model=COMPOUND)
    assert [row["model"] for row in chunks[-1]["x_groq"]["usage_breakdown"]["models"]] == ["openai/gpt-oss-120b"]


async def test_without_the_option_a_retired_system_is_gone(rig: Rig) -> None:
    """404."""
    assert (await rig.chat(model=COMPOUND)).status_code == 404


@pytest.mark.parametrize(
    ("settings", "hosts"),
    [
        ({"include_domains": ["example.org"]}, ["example.org"]),
        ({"include_domains": ["*.example.com"]}, ["example.com", "docs.example.com"]),
        ({"exclude_domains": ["example.com"]}, ["example.org"]),
        ({"include_domains": ["nowhere.invalid"]}, []),
    ],
)
async def test_a_search_keeps_to_its_domains(settings: dict[str, Any], hosts: list[str], compound: Rig) -> None:
    """In search_settings, and in the fields of old."""
    for fields in ({"search_settings": settings}, settings):
        (ran,) = _message(await compound.chat(model=COMPOUND, **fields))["executed_tools"]
        assert [row["url"].split("/")[2] for row in ran["search_results"]["results"]] == hosts


async def test_a_search_minds_the_country_and_shows_images(compound: Rig) -> None:
    """In the words of its results."""
    settings = {"country": "germany", "include_images": True}
    (ran,) = _message(await compound.chat(model=COMPOUND, search_settings=settings))["executed_tools"]
    assert all("in germany" in row["content"] for row in ran["search_results"]["results"])
    assert ran["search_results"]["images"] == ["https://example.com/simulated.png"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"compound_custom": {}}, "`compound_custom` is not supported with this model"),
        ({"model": COMPOUND, "compound_custom": 3}, "'compound_custom' : value must be an object"),
        (
            {"model": COMPOUND, "compound_custom": {"tools": {"enabled_tools": ["teleport"]}}},
            "'compound_custom.tools.enabled_tools'",
        ),
        ({"search_settings": "x"}, "'search_settings' : value must be an object"),
        ({"search_settings": {"include_domains": "x"}}, "'search_settings.include_domains'"),
        ({"search_settings": {"country": 3}}, "'search_settings.country'"),
        ({"documents": "x"}, "'documents' : value must be a list"),
        ({"documents": [{"source": {"type": "text"}}]}, "'documents.0.source'"),
        ({"documents": [3]}, "'documents.0.source'"),
        ({"citation_options": "always"}, "'citation_options' : value must be one of enabled, disabled"),
    ],
)
async def test_settings_that_cannot_be_are_a_400(fields: dict[str, Any], words: str, compound: Rig) -> None:
    """Of tools, searches and documents."""
    reply = await compound.chat(**fields)
    assert reply.status_code == 400
    assert message(reply).startswith(words)


async def test_citations_say_which_document_and_where_in_the_answer(rig: Rig) -> None:
    """One a document, also for one inside a message and for a tool's result."""
    inside = {"type": "document", "document": {"data": {"b": 2}, "id": "inside"}}
    messages = [
        {"role": "user", "content": [inside, {"type": "text", "text": "x"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "y"},
    ]
    said = _message(await rig.chat(messages=messages, documents=DOCUMENTS, citation_options="enabled"))
    cited = [row[row["type"]] for row in said["annotations"]]
    ids = [row.get("document_id") or row.get("tool_call_id") for row in cited]
    assert ids == ["first", "doc_1", "inside", "call_1"]
    for row, id_ in zip(cited, ids, strict=True):
        assert said["content"][row["start_index"] : row["end_index"]] == f"Simulated citation of {id_}."


@pytest.mark.parametrize("fields", [{}, {"citation_options": "disabled"}, {"citation_options": "enabled", "documents": []}])
async def test_without_documents_or_leave_nothing_is_cited(fields: dict[str, Any], rig: Rig) -> None:
    """The documents are taken all the same."""
    assert "annotations" not in _message(await rig.chat(**({"documents": DOCUMENTS} | fields)))


async def test_citations_end_where_the_tokens_do(rig: Rig) -> None:
    """The bound holds for them too."""
    fields = {"documents": DOCUMENTS, "citation_options": "enabled", "max_completion_tokens": 12}
    body = (await rig.chat(**fields)).json()
    assert len(body["choices"][0]["message"]["annotations"]) == 1
    assert body["usage"]["completion_tokens"] <= 12
