"""Any body that an agent may send: refused with a reason, or such that a strict Groq takes what is made of it. Never an internal error."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import anyio
from effort import times
from fakes import World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated import simulated_groq
from upstream import ask

from groq_fallback_mcp.gateway.app import gateway_app
from groq_fallback_mcp.gateway.endpoint import GatewayTimes
from groq_fallback_mcp.simulator import SimulatorOptions
from groq_fallback_mcp.tools import Context

CALL = {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a.txt"}'}}
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="
)
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
BODY: dict[str, Any] = {
    "model": "auto",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "Be brief", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "user",
            "name": "me",
            "content": [{"type": "text", "text": "Read"}, {"type": "image_url", "image_url": {"url": PICTURE}}],
        },
        {"role": "assistant", "content": None, "reasoning_content": "Hm", "refusal": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "hello"},
        {"role": "assistant", "content": "Read.", "tool_calls": [], "reasoning_details": [{"type": "x"}]},
        {"role": "user", "content": "And now?"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "read_file", "description": "Reads", "parameters": SCHEMA, "strict": True}}
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 500,
    "max_completion_tokens": 400,
    "stop": ["END"],
    "seed": 1,
    "reasoning_effort": "low",
    "response_format": {"type": "text"},
    "stream_options": {"include_usage": True},
    "user": "u",
    "metadata": {"a": "b"},
    "store": False,
    "logit_bias": None,
    "frequency_penalty": 0,
    "service_tier": "auto",
    "prompt_cache_key": "k",
    "modalities": ["text"],
    "audio": None,
}
# A schema of parameters, the characters of a tool's name, and what an image holds.
LEFT_TO_GROQ = ("invalid JSON schema for tool", "64 letters, digits, underscores or dashes", "invalid base64 url")
NAMES = st.sampled_from(
    [
        "type",
        "role",
        "name",
        "content",
        "text",
        "id",
        "function",
        "arguments",
        "parameters",
        "required",
        "n",
        "logprobs",
        "thinking",
    ]
)
ODD = st.sampled_from(
    [
        *(
            None,
            True,
            -1,
            0,
            1e308,
            10**30,
            float("nan"),
            "",
            " ",
            "none",
            "required",
            "json_object",
            "high",
            "default",
            "\ud800",
            "x" * 70,
        ),
        *([], {}, [[]], [None], {"type": "function"}, {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}),
    ]
)
VALUES = ODD | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a body."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from places(inner)


@st.composite
def bodies(draw: st.DrawFn) -> Any:
    """A body as agents send it, with one to three places that are something else, gone, or doubled."""
    body = copy.deepcopy(BODY)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(body))
        if not found:
            break
        container, key = draw(st.sampled_from(found))
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                container[key] = copy.deepcopy(draw(VALUES))
            case "remove":
                del container[key]
            case _ if isinstance(container, list):
                container.insert(key, copy.deepcopy(container[key]))
            case _:
                container[draw(NAMES)] = copy.deepcopy(draw(VALUES))
    return body


@settings(max_examples=times(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(body=bodies(), stream=st.booleans())
def test_what_the_gateway_takes_a_strict_groq_takes(body: Any, stream: bool) -> None:
    """And what it does not take is said before anything is sent, but for the few things that only Groq looks at."""
    world = World()
    groq = simulated_groq(world, SimulatorOptions(latency_scale=0.0, plan="developer"))
    app = gateway_app(Context(engine=world.engine, folders=()), times=GatewayTimes(max_wait_s=0.0), plan="free")
    got = anyio.run(ask, app, {**body, "stream": stream} if isinstance(body, dict) else body)
    sent = {outcome for outcomes in groq.state.world.calls.values() for outcome in outcomes}
    # beside tools JSON is asked for in the prompt, which the simulated model does not heed
    unheeded = got.status == 502 and "200" in sent and body.get("response_format")
    assert unheeded or got.status in {200, 400, 404, 429}, (got.status, got.body[:500])
    assert got.status == 200 or set(got.json["error"]) == {"message", "type", "param", "code"}
    if "400" in sent:
        assert got.status == 400
        assert any(words in got.json["error"]["message"] for words in LEFT_TO_GROQ), got.json
