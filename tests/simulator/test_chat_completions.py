"""Chat: what is refused and in what words, forms of answers, and streams."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator.rig import MODEL, OpenRig, Rig, message

from groq_fallback_mcp.simulator.instances import instance_of, satisfies

IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]
NAMED = [{"role": "system", "content": "x"}, {"role": "user", "content": "x", "name": "Ann"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
SCHEMA = {
    "$defs": {
        "Color": {"enum": ["red", "blue"]},
        "Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}},
    },
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 12, "maxLength": 20},
        "short": {"type": "string", "maxLength": 3},
        "count": {"type": "integer", "minimum": 3.5},
        "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.9},
        "below": {"type": "integer", "maximum": -4},
        "even": {"type": "integer", "multipleOf": 4},
        "color": {"$ref": "#/$defs/Color"},
        "node": {"$ref": "#/$defs/Node"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 3},
        "none": {"type": "array", "maxItems": 0},
        "both": {"allOf": [{"type": "object", "properties": {"a": {"const": 1}}}, {"properties": {"b": {"type": "boolean"}}}]},
    },
    "required": ["name", "count", "color", "tags", "both"],
    "additionalProperties": False,
}


def _schema(schema: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


@pytest.mark.anyio
async def test_a_plain_answer_has_groqs_shape(rig: Rig) -> None:
    """Tokens add up; unset service_tier is on_demand."""
    body = (await rig.chat("what is this")).json()
    choice, usage = body["choices"][0], body["usage"]
    assert (body["object"], body["model"], body["service_tier"]) == ("chat.completion", MODEL, "on_demand")
    assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "stop")
    assert choice["message"]["content"] == "This is a simulated answer to: what is this"
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


@pytest.mark.anyio
async def test_an_answer_cut_by_max_tokens_says_length(rig: Rig) -> None:
    """And is no longer than that."""
    body = (await rig.chat(max_completion_tokens=2)).json()
    assert (body["choices"][0]["finish_reason"], body["usage"]["completion_tokens"]) == ("length", 2)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"logprobs": True}, "property 'logprobs' is unsupported"),
        ({"logit_bias": {"1": 2}}, "property 'logit_bias' is unsupported"),
        ({"top_logprobs": 2}, "property 'top_logprobs' is unsupported"),
        ({"messages": NAMED}, "property 'messages.1.name' is unsupported"),
        ({"n": 2}, "'n' : number must be at most 1"),
        ({"messages": []}, "'messages' : minimum number of items is 1"),
        ({"messages": [{"role": "nobody"}]}, "'messages.0' : discriminator property 'role' has invalid value"),
        ({"reasoning_effort": "none"}, "`reasoning_effort` must be one of `low`, `medium`, `high`"),
        ({"model": "qwen/qwen3.8-27b", "reasoning_effort": "low"}, "`reasoning_effort` must be one of `none`, `default`"),
        (
            {"model": "meta-llama/llama-prompt-guard-2-22m", "reasoning_effort": "low"},
            "`reasoning_effort` is not supported with this model",
        ),
        (
            {"model": "qwen/qwen3.8-27b", "max_completion_tokens": 16_385},
            (
                "`max_completion_tokens` must be less than or equal to `16384`, the maximum value for `max_completion_tokens` is less "
                "than the `context_window` for this model"
            ),
        ),
        (
            {"model": "qwen/qwen3.8-27b", "max_completion_tokens": None, "max_tokens": 16_385},
            (
                "`max_tokens` must be less than or equal to `16384`, the maximum value for `max_tokens` is less than the "
                "`context_window` for this model"
            ),
        ),
        ({"max_completion_tokens": 0}, "'max_completion_tokens' : value must be an integer of at least 1"),
        ({"max_completion_tokens": True}, "'max_completion_tokens' : value must be an integer of at least 1"),
        ({"model": "whisper-large-v3"}, "The model `whisper-large-v3` does not support chat completions"),
        (
            {"model": "canopylabs/orpheus-v1-english"},
            "The model `canopylabs/orpheus-v1-english` does not support chat completions",
        ),
        ({"model": "meta-llama/llama-prompt-guard-2-22m", "tools": [TOOL]}, "`tool calling` is not supported with this model"),
        ({"tools": [TOOL] * 129}, "'tools' : maximum number of items is 128"),
        ({"stop": list("abcde")}, "'stop' : maximum number of items is 4"),
        ({"messages": IMAGE}, "messages[0].content must be a string: images are not supported with this model"),
        ({"service_tier": "gold"}, "'service_tier' : value must be one of auto, on_demand, flex, performance"),
        ({"service_tier": "performance"}, "service_tier `performance` is not available for this organization"),
        (
            {"reasoning_format": "raw", "response_format": {"type": "json_object"}},
            "`reasoning_format` must be `parsed` or `hidden` when using JSON mode or tools",
        ),
        (
            {"reasoning_format": "hidden", "include_reasoning": False},
            "`include_reasoning` and `reasoning_format` cannot be given together",
        ),
        ({"response_format": _schema({"type": "nonsense"})}, "invalid JSON schema for response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": 3}}, "'response_format.json_schema.schema'"),
        ({"response_format": "json"}, "'response_format.type'"),
    ],
)
async def test_what_groq_does_not_take_is_a_400_in_these_words(fields: dict[str, Any], text: str, rig: Rig) -> None:
    """Nothing is charged for it."""
    reply = await rig.chat(**fields)
    assert reply.status_code == 400
    assert message(reply).startswith(text)
    assert (await rig.get("/simulator/calls")).json() == {fields.get("model", MODEL): {"400": 1}}
    after = await rig.chat(max_completion_tokens=1)
    assert after.headers["x-ratelimit-remaining-requests"] == "999"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fields",
    [
        {"model": "qwen/qwen3.8-27b", "messages": IMAGE},
        {"model": "qwen/qwen3.8-27b", "reasoning_effort": "none"},
        {"reasoning_effort": "high", "tools": [TOOL], "n": 1, "logprobs": False},
        {"max_completion_tokens": None},
        {"messages": [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "x"}]},
    ],
)
async def test_what_a_model_takes_is_answered(fields: dict[str, Any], rig: Rig) -> None:
    """The other side of the refusals."""
    assert (await rig.chat(**fields)).status_code == 200


@pytest.mark.anyio
async def test_a_400_carries_the_limits_headers(rig: Rig) -> None:
    """As Groq's does."""
    assert (await rig.chat(n=2)).headers["x-ratelimit-limit-tokens"] == "8000"


@pytest.mark.anyio
async def test_messages_beyond_the_context_are_refused_with_its_code(rig: Rig) -> None:
    """Before the rate limit is looked at."""
    reply = await rig.chat("x" * 4 * 131_072)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", "messages")
    assert error["message"] == "Please reduce the length of the messages or completion."


@pytest.mark.anyio
async def test_json_object_mode_answers_an_object(rig: Rig) -> None:
    """Parsed, it is a dict."""
    body = (await rig.chat(response_format={"type": "json_object"})).json()
    assert isinstance(json.loads(body["choices"][0]["message"]["content"]), dict)


@pytest.mark.anyio
@pytest.mark.parametrize("schema", [SCHEMA, {"type": "array", "items": {"type": "null"}}, {"anyOf": [{"type": "boolean"}]}])
async def test_an_answer_satisfies_the_schema_given(schema: dict[str, Any], rig: Rig) -> None:
    """References, joined schemas and bounds included."""
    body = (await rig.chat(response_format=_schema(schema), max_completion_tokens=500)).json()
    jsonschema.validate(json.loads(body["choices"][0]["message"]["content"]), schema)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("schema", "most", "text"),
    [
        ({"type": "string", "pattern": "^[0-9]+$"}, 100, "Failed to generate JSON."),
        ({"$ref": "https://elsewhere.invalid/schema"}, 100, "Failed to generate JSON."),
        ({"type": "string", "minLength": 100}, 5, "max completion tokens reached"),
    ],
)
async def test_a_schema_that_cannot_be_met_fails_as_at_groq(schema: dict[str, Any], most: int, text: str, rig: Rig) -> None:
    """With the code json_validate_failed; nothing is fetched."""
    reply = await rig.chat(response_format=_schema(schema), max_completion_tokens=most)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (400, "json_validate_failed")
    assert error["message"].startswith(text)
    assert "failed_generation" in error


_bounds = st.integers(-50, 50)
_leaves = st.one_of(
    st.builds(lambda low, size: {"type": "integer", "minimum": low, "maximum": low + size}, _bounds, st.integers(0, 9)),
    st.builds(lambda low, size: {"type": "number", "exclusiveMinimum": low, "maximum": low + size}, _bounds, st.integers(1, 9)),
    st.builds(
        lambda low, size: {"type": "string", "minLength": low, "maxLength": low + size}, st.integers(0, 30), st.integers(0, 9)
    ),
    st.sampled_from(
        [{"type": "null"}, {"type": "boolean"}, {"enum": [3, "x"]}, {"const": None}, {"type": ["string", "null"]}, {}]
    ),
)
_schemas = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 3)),
        st.builds(lambda some: {"anyOf": some}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            lambda some: {"type": "object", "properties": some, "required": list(some), "additionalProperties": False},
            st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3),
        ),
    ),
    max_leaves=8,
)


@given(_schemas)
def test_an_instance_satisfies_any_schema_of_common_keywords(schema: dict[str, Any]) -> None:
    """Judged by jsonschema."""
    assert satisfies(instance_of(schema), schema)


@pytest.mark.anyio
@pytest.mark.parametrize(("asked", "told"), [("auto", "on_demand"), ("on_demand", "on_demand"), ("flex", "flex")])
async def test_the_service_tier_is_told(asked: str, told: str, rig: Rig) -> None:
    """Auto becomes on_demand."""
    assert (await rig.chat(service_tier=asked)).json()["service_tier"] == told


@pytest.mark.anyio
async def test_the_performance_tier_is_for_those_who_pay(open_rig: OpenRig) -> None:
    """And told, too."""
    rig = open_rig(latency_scale=0.0, plan="developer")
    assert (await rig.chat(service_tier="performance")).json()["service_tier"] == "performance"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fields", "seen"), [({"reasoning_format": "parsed"}, True), ({"include_reasoning": True}, True), ({}, False)]
)
async def test_reasoning_is_shown_where_it_is_asked_for(fields: dict[str, Any], seen: bool, rig: Rig) -> None:
    """Plain and streamed alike."""
    plain = (await rig.chat(**fields)).json()["choices"][0]["message"]
    deltas = [event["choices"][0]["delta"] for event in (await rig.stream(**fields))[:-1]]
    assert ("reasoning" in plain, any("reasoning" in delta for delta in deltas)) == (seen, seen)


@pytest.mark.anyio
async def test_a_stream_has_its_events_in_groqs_order(rig: Rig) -> None:
    """Role, words, finish reason, end; x_groq in the first and last chunk alone, usage in the last."""
    *chunks, end = await rig.stream()
    assert end == "[DONE]"
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert (
        "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "This is a simulated answer to: hello"
    )
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert [index for index, chunk in enumerate(chunks) if "x_groq" in chunk] == [0, len(chunks) - 1]
    assert chunks[0]["x_groq"]["id"] == chunks[-1]["x_groq"]["id"]
    assert "usage" not in chunks[0]["x_groq"]
    assert chunks[-1]["x_groq"]["usage"]["completion_tokens"] == 7
    assert {(chunk["id"], chunk["system_fingerprint"], chunk["object"]) for chunk in chunks} == {
        (chunks[0]["id"], "fp_simulated", "chat.completion.chunk")
    }


@pytest.mark.anyio
async def test_include_usage_adds_a_last_chunk_without_choices(rig: Rig) -> None:
    """It has the usage, and x_groq as the last chunk has."""
    *_, finish, last, end = await rig.stream(stream_options={"include_usage": True})
    assert (last["choices"], end, finish["choices"][0]["finish_reason"]) == ([], "[DONE]", "stop")
    assert last["usage"] == last["x_groq"]["usage"] == finish["x_groq"]["usage"]


@pytest.mark.anyio
async def test_the_catalogs_speed_decides_how_long_an_answer_takes(open_rig: OpenRig) -> None:
    """Twice the latency scale, twice the time; nothing at 0."""
    took = []
    for scale in (0.0, 1.0, 2.0):
        rig = open_rig(latency_scale=scale)
        before = rig.clock.monotonic()
        await rig.chat()
        took.append(rig.clock.monotonic() - before)
    assert took[0] == 0
    assert [later - earlier for earlier, later in pairwise(took)] == pytest.approx([0.05 + 7 / 1000] * 2)
