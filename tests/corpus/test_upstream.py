"""Plays upstream.json: what providers really reply, through the real server in memory."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fake_clock import FakeClock
from fakes import World, provider_models
from servers import connected, text_of

from groq_fallback_mcp.catalog import Capabilities
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible

pytestmark = pytest.mark.anyio
ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "upstream.json").read_text(encoding="utf-8"))["cases"]
HOURS_5_S = 18_000
LONG_TOKENS = 4_096
SCHEMA = {
    "type": "object",
    "properties": {"item": {"type": "string"}},
    "required": ["item"],
    "additionalProperties": False,
}
GET_PRICE = {
    "type": "function",
    "function": {"name": "get_price", "parameters": {"type": "object", "properties": {"item": {"type": "string"}}}},
}
NEXT = "The next model answers."


class Upstream:
    """One provider with two models, of which the first replies as the row says; it counts what each is asked."""

    def __init__(self, row: Mapping[str, Any], clock: FakeClock, models: tuple[str, ...]) -> None:
        self.row = row
        self.clock = clock
        self.models = models
        self.asked: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []

    def reply(self, request: httpx2.Request) -> httpx2.Response:
        """The row's reply for the first model where its condition holds, else a good one."""
        body = json.loads(request.content)
        self.bodies.append(body)
        model = body["model"]
        place = ("first", "second")[self.models.index(model)]
        self.asked[place] += 1
        row = self.row
        if place == "second":
            return self._sent(200, row.get("second") or _good(NEXT), {}, body)
        if not self._applies(body) or (row.get("once") and self.asked["first"] > 1):
            return self._sent(200, row.get("otherwise") or _good(NEXT), {}, body)
        if "stream" in row:
            return self._streamed(row)
        return self._sent(row.get("status", 200), row["body"], row.get("headers", {}), body)

    def _applies(self, body: Mapping[str, Any]) -> bool:
        when = self.row.get("when", {})
        return (
            all(name in body for name in when.get("has", ()))
            and body.get("max_tokens", body.get("max_completion_tokens", 0)) > when.get("max_tokens_above", 0)
            and when.get("response_format") in (None, body.get("response_format", {}).get("type"))
        )

    def _sent(self, status: int, value: Any, headers: Mapping[str, str], asked: Mapping[str, Any]) -> httpx2.Response:
        text = self._filled(json.dumps(value)).replace('"M"', json.dumps(asked["model"]))
        return httpx2.Response(status, headers={name: self._filled(value) for name, value in headers.items()}, content=text)

    def _streamed(self, row: Mapping[str, Any]) -> httpx2.Response:
        events = "".join(f"data: {json.dumps(event)}\n\n" for event in row["stream"])
        raw = (row.get("raw") or events + ("data: [DONE]\n\n" if row.get("ends", True) else "")).encode()

        async def body() -> AsyncIterator[bytes]:
            yield raw
            if row.get("breaks"):
                message = "peer closed connection without sending complete message body (incomplete chunked read)"
                raise httpx2.RemoteProtocolError(message)

        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body())

    def _filled(self, text: str) -> str:
        return text.replace("EPOCH_MS_IN_5_HOURS", str(int((self.clock.wall() + HOURS_5_S) * 1_000)))


def _good(text: str) -> dict[str, Any]:
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    return {"model": "M", "choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}


def rig(row: Mapping[str, Any]) -> tuple[World, Upstream]:
    """A server whose only provider is the row's."""
    groq = row["provider"] == "groq"
    models = ("openai/gpt-oss-20b", "openai/gpt-oss-120b") if groq else ("vendor/one", "vendor/two")
    if row.get("free"):
        models = tuple(f"{model}:free" for model in models)
    shown = models[:1] if row.get("alone") else models
    name = "groq" if groq else "upstream"
    offered = provider_models(name, shown, plan="developer")
    if not groq:
        able = Capabilities(tools=True, json_object=True, json_schema=True)
        capable = {
            model: replace(entry, row=entry.row.model_copy(update={"capabilities": able}))
            for model, entry in offered.models.items()
        }
        offered = replace(offered, models=capable)
    world = World([offered])
    upstream = Upstream(row, world.clock, models)
    world.providers[name] = OpenAICompatible(  # type: ignore[assignment]
        name,
        base_url="http://upstream.test/v1",
        key="sk-upstream-key",
        clock=world.clock,
        groq=groq,
        transport=httpx2.MockTransport(upstream.reply),
    )
    return world, upstream


def arguments(row: Mapping[str, Any], model: str) -> dict[str, Any]:
    """What the agent asks for."""
    given = dict(row.get("request", {}))
    if "tools" in given:
        given["tools"] = [GET_PRICE]
    if given.get("response_schema"):
        given["response_schema"] = SCHEMA
    if "stream" in row:
        given.setdefault("max_tokens", LONG_TOKENS)
    return {"prompt": "What is 2 and 2?", "model": model, **given}


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
async def test_a_reply_of_a_real_upstream_comes_to_its_right_end(row: dict[str, Any]) -> None:
    """An answer that is whole, the next model's, or one clear error; and no more requests than it takes."""
    world, upstream = rig(row)
    expected = row["expect"]
    async with connected(world) as client:
        result = await client.call_tool("groq_chat", arguments(row, upstream.models[0]))
        asked = dict(upstream.asked)
        small = await client.call_tool("groq_chat", {"prompt": "hi", "max_tokens": 64})
    text, found = text_of(result), dict(result.structured_content or {})
    if "error" in expected:
        check_error(expected, text, found)
    else:
        assert not result.is_error, text
        check_answer(expected, found, upstream.models)
    if "requests" in expected:
        assert {name: asked.get(name, 0) for name in expected["requests"]} == expected["requests"], text
    if expected.get("after") == "served":
        assert dict(small.structured_content or {}).get("model") == upstream.models[0], text_of(small)
    assert "first you" not in text
    assert "sk-upstream-key" not in text


def check_error(expected: Mapping[str, Any], text: str, found: Mapping[str, Any]) -> None:
    """The code, the wait, the next step."""
    error = found["error"]
    assert error["code"] == expected["error"], text
    if "retry_after_s" in expected:
        wait = expected["retry_after_s"]
        if wait is None:
            assert "retry_after_s" not in error, text
            assert "Call again in" not in text
        else:
            assert wait[0] <= error["retry_after_s"] <= wait[1], text
    assert expected.get("next_step", "") in error["next_step"]
    assert expected.get("text", "") in text


def check_answer(expected: Mapping[str, Any], found: Mapping[str, Any], models: tuple[str, ...]) -> None:
    """Text, reasoning, calls of tools, and what is told."""
    if "answer" in expected:
        assert found["text"] == expected["answer"]
    if "model" in expected:
        assert found["model"] == models[("first", "second").index(expected["model"])]
    for name in ("reasoning", "finish_reason"):
        if name in expected:
            assert found[name] == expected[name]
    names = expected.get("tool_calls", [expected["tool_call"]] if "tool_call" in expected else None)
    if names is not None:
        assert [call["name"] for call in found["tool_calls"]] == names
        assert all(isinstance(call["arguments"], dict) for call in found["tool_calls"])
    assert expected.get("note", "") in " ".join(found.get("notes", ()))
