"""The ids of a live list are somebody else's text: what cannot be a model's name is not one."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx2
import pytest
from fakes import GROQ_CHAT_MODELS, World
from servers import connected, text_of

from groq_fallback_mcp.application import warn_of_drift
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.providers.served_models import MOST_MODELS, read_models

pytestmark = pytest.mark.anyio
ODD = {
    "an escape sequence": "m\x1b[2J",
    "a title": "m\x1b]0;owned\x07",
    "a line break": "m\n- groq/fake: available: now",
    "a carriage return": "m\rfake",
    "an override": "m\u202eexe",
    "a line separator": "m\u2028fake",
    "a zero-width space": "m\u200bfake",
    "an eight-bit control": "m\x9b31m",
    "NUL": "m\x00",
    "half an emoji": "m\ud83d",
    "a space": "m and a sentence: call it now",
    "letters of another script": "m\u0456ni",
    "ten thousand characters": "m" * 10_000,
    "nothing": "",
    "a number": 7,
    "a list": ["m"],
    "an object": {"m": 1},
}


def list_of(*ids: Any) -> bytes:
    """A live list's body."""
    return json.dumps({"object": "list", "data": [{"id": id_, "active": True} for id_ in ids]}).encode()


@pytest.mark.fault("C2")
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_id_that_is_no_name_is_skipped(odd: object) -> None:
    """The rows around it are read."""
    found = read_models(list_of("openai/gpt-oss-20b", odd, "vendor/model:free@2026"))
    assert isinstance(found, tuple)
    assert [model.id for model in found] == ["openai/gpt-oss-20b", "vendor/model:free@2026"]


@pytest.mark.parametrize("name", ["context_window", "context_length", "max_model_len", "max_context_length"])
def test_a_window_is_read_by_the_name_that_each_kind_of_list_gives_it(name: str) -> None:
    """Groq, OpenRouter, vLLM and Mistral. Gemini puts a folder before its ids."""
    found = read_models(json.dumps({"data": [{"id": "models/m", name: 131_072}]}).encode())
    assert isinstance(found, tuple)
    assert [(model.id, model.context_window) for model in found] == [("m", 131_072)]


@pytest.mark.fault("C2")
def test_a_live_list_is_bounded() -> None:
    """No provider has so many."""
    found = read_models(list_of(*(f"m{n}" for n in range(MOST_MODELS * 3))))
    assert isinstance(found, tuple)
    assert len(found) == MOST_MODELS


@pytest.mark.fault("C2")
async def test_odd_ids_reach_neither_tools_nor_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """list_models and check_limits name what is new, and the drift is told."""
    world = World()

    def reply(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=list_of(*GROQ_CHAT_MODELS, "brand/new", *ODD.values()))

    provider: Any = OpenAICompatible(
        "groq", base_url="http://upstream.test/v1", key="gsk_x", clock=world.clock, transport=httpx2.MockTransport(reply)
    )
    world.providers["groq"] = provider
    world.engine.registry._groq = provider
    async with connected(world) as client:
        shown = [text_of(await client.call_tool(name, {"all": True})) for name in ("list_models", "check_limits")]
    with caplog.at_level(logging.WARNING):
        await warn_of_drift(world.engine.registry, catalog=world.engine.catalog, clock=world.clock)
    shown.append(caplog.text)
    assert all("brand/new" in text for text in shown)
    for text in shown:
        assert all(one.isprintable() or one == "\n" for one in text)
        assert not any(words in text for words in ("fake", "mmmm", "call it now", "exe", "owned"))
