"""The page of check_limits for hosts that draw one: named in the tool list, served, and nothing to those that draw none."""

from __future__ import annotations

import pytest
from fakes import World
from mcp.client.extension import advertise
from servers import connected, text_of

from groq_fallback_mcp.mcp_server.limits_app import EXTENSION, LIMITS_URI, VIEW

pytestmark = pytest.mark.anyio
DRAWS = (advertise(EXTENSION),)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_tool_names_a_page_that_can_be_read(mode: str) -> None:
    async with connected(World(), mode=mode, extensions=DRAWS) as client:
        tools = (await client.list_tools()).tools
        named = {tool.name: tool.meta for tool in tools if tool.meta}
        assert named == {"check_limits": {"ui": {"resourceUri": LIMITS_URI}}}
        (page,) = (await client.read_resource(LIMITS_URI)).contents
    assert page.mime_type == "text/html;profile=mcp-app"
    assert page.model_dump()["text"].startswith("<!doctype html>")


@pytest.mark.parametrize("arguments", [{}, {"all": True}, {"model": "openai/gpt-oss-20b", "tokens": 900}])
async def test_a_host_that_draws_gets_what_is_drawn_and_its_model_the_same_as_others(arguments: dict[str, object]) -> None:
    async with connected(World(), extensions=DRAWS) as client:
        drawn = await client.call_tool("check_limits", arguments)
    async with connected(World()) as client:
        plain = await client.call_tool("check_limits", arguments)
    assert (text_of(drawn), drawn.structured_content) == (text_of(plain), plain.structured_content)
    assert plain.meta is None or VIEW not in plain.meta
    assert drawn.meta is not None
    view = drawn.meta[VIEW]
    assert view["models"]
    assert all({"capacity", "level", "full_in_s"} <= set(limit) for model in view["models"] for limit in model["limits"])


async def test_an_error_has_no_view() -> None:
    async with connected(World(), extensions=DRAWS) as client:
        result = await client.call_tool("check_limits", {"model": "nothing"})
    assert result.is_error
    assert not (result.meta or {}).get(VIEW)
