"""Keys, the list of models, and requests that no path serves."""

from __future__ import annotations

import pytest
from simulator.rig import CATALOG, MODEL, OpenRig, Rig

pytestmark = pytest.mark.anyio
INVALID = {"error": {"message": "Invalid API Key", "type": "invalid_request_error", "code": "invalid_api_key"}}
RETIRED = "llama-3.3-70b-versatile"


@pytest.mark.parametrize("value", [None, "", "gsk_first", "Bearer", "Bearer sk-other", "Basic gsk_first", "Bearer gsk_refused"])
async def test_without_a_good_key_the_answer_is_groqs_401(value: str | None, open_rig: OpenRig) -> None:
    """The whole body, word for word."""
    rig = open_rig(refused_keys=frozenset({"gsk_refused"}))
    headers = {} if value is None else {"authorization": value}
    reply = await rig.client.get("/openai/v1/models", headers=headers)
    assert (reply.status_code, reply.json()) == (401, INVALID)


async def test_the_list_has_the_models_that_answer_today_and_no_others(rig: Rig) -> None:
    """What was shut down is missing; speech and guard models are there."""
    body = (await rig.get("/openai/v1/models")).json()
    listed = {row["id"] for row in body["data"]}
    assert body["object"] == "list"
    assert listed == set(CATALOG.models) - set(CATALOG.shutdowns)
    assert RETIRED not in listed
    assert {"whisper-large-v3", "canopylabs/orpheus-v1-english", MODEL} <= listed


@pytest.mark.parametrize("name", [MODEL, MODEL.replace("/", "%2F")])
async def test_one_model_is_described(name: str, rig: Rig) -> None:
    """With its slash as it is or escaped."""
    body = (await rig.get(f"/openai/v1/models/{name}")).json()
    assert (body["id"], body["owned_by"], body["active"]) == (MODEL, "openai", True)
    assert (body["context_window"], body["max_completion_tokens"]) == (131_072, 65_536)


@pytest.mark.parametrize("model", [RETIRED, "no/such-model"])
async def test_a_retired_model_and_an_unknown_one_are_refused_alike(model: str, rig: Rig) -> None:
    """In the list's detail and in chat."""
    body = {
        "error": {
            "message": f"The model `{model}` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
            "code": "model_not_found",
        }
    }
    for reply in (await rig.get(f"/openai/v1/models/{model}"), await rig.chat(model=model)):
        assert (reply.status_code, reply.json()) == (404, body)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/openai/v1/nothing"), ("GET", "/openai/v1/chat/completions"), ("POST", "/v1/models")]
)
async def test_what_no_path_serves_is_an_unknown_url(method: str, path: str, rig: Rig) -> None:
    """Method and path are named."""
    reply = await rig.client.request(method, path, headers=rig.headers)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["message"]) == (
        404,
        "unknown_url",
        f"Unknown request URL: {method} {path}.",
    )


async def test_every_answer_is_labeled_as_simulated(rig: Rig) -> None:
    """By a header; a chat also by its fingerprint and its request id."""
    chat = await rig.chat()
    replies = [
        chat,
        await rig.chat(stream=True),
        await rig.chat(model="no"),
        await rig.chat(n=2),
        await rig.get("/openai/v1/models"),
        await rig.get("/nothing"),
        await rig.get("/simulator/calls"),
        await rig.client.post("/simulator/reset"),
        await rig.client.post("/simulator/faults", json=["oops"]),
        await rig.speak(),
        await rig.client.get("/openai/v1/models"),
        *[await rig.get(f"/openai/v1/{path}") for path in ("files", "batches", "files/x", "batches/x", "files/x/content")],
        *[
            await rig.client.post(f"/openai/v1/{path}", json={"model": MODEL, "input": "x"}, headers=rig.headers)
            for path in ("files", "batches", "responses", "embeddings")
        ],
    ]
    assert [reply.headers.get("x-simulated") for reply in replies] == ["true"] * len(replies)
    assert chat.json()["system_fingerprint"] == "fp_simulated"
    assert chat.json()["x_groq"]["id"].startswith("req_")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_json_object_is_a_400(content: bytes, rig: Rig) -> None:
    """However broken it is."""
    reply = await rig.client.post("/openai/v1/chat/completions", content=content, headers=rig.headers)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
