"""Each server's words about its models, as its documentation and reports have them, become the same few facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from groq_fallback_mcp.providers.served_models import (
    OllamaTag,
    ServedModel,
    read_listed,
    read_llamacpp,
    read_lmstudio,
    read_lmstudio_v0,
    read_ollama_details,
    read_ollama_loaded,
    read_ollama_tags,
    read_vllm,
)

PROPS: dict[str, Any] = {
    "default_generation_settings": {"params": {"n_predict": -1}, "n_ctx": 16_384},
    "total_slots": 1,
    "modalities": {"vision": True, "audio": False},
    "chat_template_caps": {"supports_tools": True, "supports_tool_calls": True, "supports_system_role": True},
    "build_info": "b7777-abc",
}
LLAMACPP: dict[str, Any] = {
    "models": [{"name": "/models/Qwen3-8B-Q4_K_M.gguf", "digest": "", "capabilities": ["completion"]}],
    "data": [{"id": "/models/Qwen3-8B-Q4_K_M.gguf", "owned_by": "llamacpp", "meta": {"n_ctx_train": 40_960}}],
}
OLLAMA_TAG: dict[str, Any] = {"name": "qwen3:8b", "model": "qwen3:8b", "size": 5_200_000_000, "digest": "500a1f067a9f"}


def test_llama_cpp_states_what_is_loaded_not_what_the_model_was_trained_for() -> None:
    """And the folders of this machine stay out of the model's name."""
    path = "/models/Qwen3-8B-Q4_K_M.gguf"
    expected = ServedModel(id="Qwen3-8B-Q4_K_M", wire=path, context_window=16_384, tools=True, vision=True)
    assert read_llamacpp(PROPS, LLAMACPP) == (expected,)


@pytest.mark.parametrize(
    ("props", "models"),
    [
        ({}, LLAMACPP),
        ({"build_info": "b1"}, LLAMACPP),
        ({**PROPS, "build_info": None, "default_generation_settings": []}, LLAMACPP),
        (PROPS, {"data": [{"id": "m", "owned_by": "vllm"}]}),
        (PROPS, {"data": "m"}),
        (PROPS, {}),
    ],
)
def test_what_does_not_answer_like_llama_cpp_is_not_taken_for_it(props: dict[str, Any], models: dict[str, Any]) -> None:
    """The port says nothing."""
    assert read_llamacpp(props, models) is None


def test_llama_cpp_that_only_embeds_or_has_not_loaded_a_model_offers_none() -> None:
    """A router lists what it could load."""
    embeds = {**LLAMACPP, "models": [{"name": "/models/Qwen3-8B-Q4_K_M.gguf", "capabilities": ["embedding"]}]}
    assert read_llamacpp(PROPS, embeds) == ()
    waiting = {"data": [{"id": "m", "owned_by": "llamacpp", "status": {"value": "unloaded"}}]}
    assert read_llamacpp(PROPS, waiting) == ()


def test_a_template_without_tools_means_no_tools_and_an_unknown_one_says_nothing() -> None:
    """llama.cpp answers as if there were none."""
    without = {**PROPS, "chat_template_caps": {"supports_tools": False, "supports_tool_calls": False}}
    found = read_llamacpp(without, LLAMACPP)
    assert found is not None
    assert found[0].tools is False
    older = read_llamacpp({**PROPS, "chat_template_caps": {}}, LLAMACPP)
    assert older is not None
    assert older[0].tools is None


def test_ollama_lists_what_runs_here_and_not_what_its_cloud_runs() -> None:
    """Prompts for a cloud model would leave this machine."""
    cloud = [{**OLLAMA_TAG, "name": "gpt-oss:120b-cloud", "model": "gpt-oss:120b-cloud"}]
    remote = [{**OLLAMA_TAG, "remote_host": "https://ollama.com:443"}]
    assert read_ollama_tags({"models": [OLLAMA_TAG, *cloud, *remote]}) == (OllamaTag(name="qwen3:8b", digest="500a1f067a9f"),)
    assert read_ollama_tags({"models": []}) == ()
    assert read_ollama_tags({"models": [{**OLLAMA_TAG, "digest": ""}]}) is None
    assert read_ollama_tags({"models": None}) is None


def test_ollama_s_window_is_the_one_asked_for_or_loaded_and_else_the_least() -> None:
    """Never what the model could have, nor more than that."""
    loaded = read_ollama_loaded({"models": [{"name": "qwen3:8b", "context_length": 8_192}, {"name": "old"}]})
    assert loaded == {"qwen3:8b": 8_192, "old": None}
    assert read_ollama_loaded({}) is None
    plain = read_ollama_details({"capabilities": ["completion", "tools"], "model_info": {"qwen3.context_length": 40_960}})
    assert (plain.window(None, 4_096), plain.window(8_192, 4_096), plain.window(131_072, 4_096)) == (4_096, 8_192, 40_960)
    asking = read_ollama_details(
        {"parameters": 'num_ctx                        32768\nstop    "x"', "capabilities": ["completion"]}
    )
    assert (asking.window(None, 4_096), asking.window(8_192, 4_096)) == (32_768, 8_192)
    assert (asking.chats, asking.tools, asking.vision) == (True, False, False)
    assert read_ollama_details({"capabilities": ["embedding"]}).chats is False
    assert read_ollama_details({}).tools is True


def test_lm_studio_states_what_is_loaded_in_both_versions_of_its_api() -> None:
    """Embedding models and those on disk only are left out."""
    able = {"vision": True, "trained_for_tool_use": False}
    instances = [{"id": "qwen3-vl", "config": {"context_length": 8_192}}]
    row = {"type": "llm", "key": "qwen3-vl", "loaded_instances": instances, "max_context_length": 262_144, "capabilities": able}
    idle = {**row, "key": "idle", "loaded_instances": []}
    embeds = {"type": "embedding", "key": "nomic", "loaded_instances": [{"id": "nomic", "config": {"context_length": 2_048}}]}
    assert read_lmstudio({"models": [row, idle, embeds]}) == (
        ServedModel(id="qwen3-vl", wire="qwen3-vl", context_window=8_192, tools=False, vision=True),
    )
    assert read_lmstudio({"models": [OLLAMA_TAG]}) is None
    assert read_lmstudio({}) is None
    old = {"id": "a", "type": "vlm", "state": "loaded", "max_context_length": 32_768, "loaded_context_length": 4_096}
    older = {"id": "b", "type": "llm", "state": "loaded", "max_context_length": 32_768, "capabilities": ["tool_use"]}
    away = {"id": "c", "type": "llm", "state": "not-loaded", "max_context_length": 32_768}
    assert read_lmstudio_v0({"data": [old, older, away, {**old, "type": "embeddings"}]}) == (
        ServedModel(id="a", wire="a", context_window=4_096, vision=True),
        ServedModel(id="b", wire="b", context_window=32_768, tools=True, vision=False),
    )
    assert read_lmstudio_v0({"data": [{"id": "a"}]}) is None


def test_vllm_is_not_taken_for_sglang_which_uses_the_same_port() -> None:
    """owned_by tells them apart."""
    row = {"id": "Qwen/Qwen3-8B", "object": "model", "owned_by": "vllm", "max_model_len": 32_768}
    assert read_vllm({"data": [row]}) == (ServedModel(id="Qwen/Qwen3-8B", wire="Qwen/Qwen3-8B", context_window=32_768),)
    assert read_vllm({"data": [{**row, "owned_by": "sglang"}]}) is None
    assert read_vllm({"data": []}) is None


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"id": "m", "context_length": 1_000}, {"context_window": 1_000}),
        (
            {"id": "m", "context_window": 1_000, "max_completion_tokens": 50},
            {"context_window": 1_000, "max_completion_tokens": 50},
        ),
        ({"id": "m", "max_model_len": 1_000}, {"context_window": 1_000}),
        ({"id": "m", "max_context_length": 1_000, "max_output": 9}, {"context_window": 1_000, "max_completion_tokens": 9}),
        ({"id": "m", "top_provider": {"max_completion_tokens": 70}}, {"max_completion_tokens": 70}),
        ({"id": "m", "pricing": {"prompt": "0", "completion": "0"}}, {"free": True}),
        ({"id": "m", "pricing": {"prompt": "0.000001", "completion": "0"}}, {"free": False}),
        ({"id": "m", "pricing": {"prompt": "?"}}, {}),
        ({"id": "m", "isFree": True}, {"free": True}),
        ({"id": "m", "supported_parameters": ["tools", "stop"]}, {"tools": True}),
        ({"id": "m", "supported_parameters": ["stop"]}, {"tools": False}),
        ({"id": "m", "architecture": {"input_modalities": ["text", "image"]}}, {"vision": True}),
        ({"id": "m", "capabilities": ["vision", "function_calling"], "mode": "chat"}, {"tools": True, "vision": True}),
        ({"id": "models/m"}, {}),
        ({"id": "m", "context_length": "many"}, {}),
    ],
)
def test_any_endpoint_s_list_is_read_for_windows_prices_and_tools(row: dict[str, Any], expected: dict[str, Any]) -> None:
    """Under the names that gateways give them."""
    assert read_listed({"data": [row]}) == (ServedModel(**{"id": "m", "wire": "m", **expected}),)


def test_a_list_is_read_for_what_chats_or_hears_only() -> None:
    """Lists seldom say what a model is for; its name does."""
    names = ["gpt-4.1-mini", "text-embedding-3-small", "whisper-1", "gpt-image-1", "tts-1", "has space", 7, "omni-moderation"]
    found = read_listed(
        {"data": [*({"id": name} for name in names), {"id": "off", "active": False}, {"id": "x", "mode": "image"}, {}, 3]}
    )
    assert [(model.id, model.speech) for model in found or ()] == [("gpt-4.1-mini", False), ("whisper-1", True)]
    assert read_listed({"object": "list"}) is None
    free = read_listed({"data": [{"id": "a/b:free"}]})
    assert free is not None
    assert free[0].free is True


LISTED: dict[str, Any] = {
    "object": "list",
    "data": [
        {
            "id": "models/m",
            "type": "chat",
            "mode": "chat",
            "active": True,
            "owned_by": "vllm",
            "max_model_len": 8_192,
            "capabilities": ["tools", "vision"],
            "supported_parameters": ["tools"],
            "architecture": {"input_modalities": ["image"]},
            "top_provider": {"max_completion_tokens": 100},
            "pricing": {"prompt": "0"},
            "state": "loaded",
        }
    ],
}
LMSTUDIO: dict[str, Any] = {
    "models": [
        {
            "key": "m",
            "type": "llm",
            "capabilities": {"vision": True},
            "loaded_instances": [{"id": "m", "config": {"context_length": 8_192}}],
        }
    ]
}
SHOWN: dict[str, Any] = {
    "capabilities": ["completion"],
    "parameters": "num_ctx 8192",
    "model_info": {"qwen3.context_length": 40_960},
}
ODD: Sequence[object] = (None, True, -1, 10**30, 1e308, "", "x" * 10_000, [], [[]], {}, {"a": []}, [{}], [None])


def mutants(value: object) -> Iterator[object]:
    """The value with one thing in it replaced by something odd, each of them in turn."""
    yield from ODD
    if isinstance(value, dict):
        yield from ({**value, key: odd} for key, inner in value.items() for odd in mutants(inner))
    if isinstance(value, list):
        yield from ([*value[:at], odd, *value[at + 1 :]] for at, inner in enumerate(value) for odd in mutants(inner))


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (lambda body: read_llamacpp(body, LLAMACPP), PROPS),
        (lambda body: read_llamacpp(PROPS, body), LLAMACPP),
        (read_ollama_tags, {"models": [OLLAMA_TAG]}),
        (read_ollama_loaded, {"models": [{**OLLAMA_TAG, "context_length": 4_096}]}),
        (read_ollama_details, SHOWN),
        (read_lmstudio, LMSTUDIO),
        (read_lmstudio_v0, LISTED),
        (read_vllm, LISTED),
        (read_listed, LISTED),
    ],
)
def test_any_other_program_may_answer_at_these_ports_and_breaks_nothing(
    read: Callable[[dict[str, Any]], object], body: dict[str, Any]
) -> None:
    """Every call looks at them first, also one that only Groq serves."""
    for odd in mutants(body):
        if isinstance(odd, dict):
            read(odd)
