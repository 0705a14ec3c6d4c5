"""Files and batches: what is taken, how a batch goes on, and what comes out of it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from simulator.rig import MODEL, OpenRig, Rig, message

from groq_fallback_mcp.simulator import batch_endpoints

pytestmark = pytest.mark.anyio
URL = "/v1/chat/completions"
DAY_S = 86_400.0


def _request(id_: str, model: str = MODEL, **fields: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": id_}]}
    return {"custom_id": id_, "method": "POST", "url": URL, "body": body} | fields


def _jsonl(*rows: object) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


async def _upload(rig: Rig, content: bytes, **fields: str) -> httpx.Response:
    data = {"purpose": "batch"} | fields
    return await rig.client.post("/openai/v1/files", files={"file": ("in.jsonl", content)}, data=data, headers=rig.headers)


async def _start(rig: Rig, content: bytes, **fields: Any) -> httpx.Response:
    payload = {"input_file_id": (await _upload(rig, content)).json()["id"], "endpoint": URL, "completion_window": "24h"}
    return await rig.client.post("/openai/v1/batches", json=payload | fields, headers=rig.headers)


async def _state(rig: Rig, id_: str) -> Any:
    return (await rig.get(f"/openai/v1/batches/{id_}")).json()


async def _rows(rig: Rig, file_id: str) -> list[Any]:
    return [json.loads(line) for line in (await rig.get(f"/openai/v1/files/{file_id}/content")).text.splitlines()]


@pytest.fixture
def paid(open_rig: OpenRig) -> Rig:
    """A simulator of a plan that has batches, done at once."""
    return open_rig(latency_scale=0.0, plan="developer")


async def test_a_batch_answers_every_line_under_its_custom_id(paid: Rig) -> None:
    """What fails stands in a file of its own, with the status and the error of a single request."""
    made = (await _start(paid, _jsonl(_request("a"), _request("b", "no/such"), _request("c")), metadata={"k": "v"})).json()
    assert (made["object"], made["status"], made["metadata"]) == ("batch", "validating", {"k": "v"})
    done = await _state(paid, made["id"])
    assert (done["status"], done["request_counts"]) == ("completed", {"total": 3, "completed": 2, "failed": 1})
    rows = await _rows(paid, done["output_file_id"])
    assert [row["custom_id"] for row in rows] == ["a", "c"]
    answer = rows[0]["response"]
    assert (answer["status_code"], rows[0]["error"]) == (200, None)
    assert answer["body"]["choices"][0]["message"]["content"] == "This is a simulated answer to: a"
    assert answer["request_id"].startswith("req_")
    (failed,) = await _rows(paid, done["error_file_id"])
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("b", 404)
    assert failed["response"]["body"]["error"]["code"] == "model_not_found"


async def test_a_batch_does_not_use_up_the_limits_of_single_requests(open_rig: OpenRig) -> None:
    """Nor is it held up by them."""
    rig = open_rig(latency_scale=0.0, plan="developer", limits={MODEL: {"rpd": 2, "tpm": 5_000}})
    made = (await _start(rig, _jsonl(*(_request(str(number)) for number in range(9))))).json()
    assert (await _state(rig, made["id"]))["request_counts"]["completed"] == 9
    assert (await rig.chat()).headers["x-ratelimit-remaining-requests"] == "1"


async def test_a_batch_takes_its_time(open_rig: OpenRig) -> None:
    """Half of it is done after half of the time."""
    rig = open_rig(latency_scale=0.0, plan="developer", batch_s=100.0)
    id_ = (await _start(rig, _jsonl(*(_request(str(number)) for number in range(4))))).json()["id"]
    seen: list[tuple[str, int]] = []
    for _ in range(3):
        state = await _state(rig, id_)
        seen.append((state["status"], state["request_counts"]["completed"]))
        rig.clock.advance(50)
    assert seen == [("in_progress", 0), ("in_progress", 2), ("completed", 4)]
    assert state["completed_at"] - state["created_at"] == 100
    assert state["in_progress_at"] == state["created_at"]


async def test_a_cancelled_batch_keeps_what_was_answered(open_rig: OpenRig) -> None:
    """First cancelling, then cancelled; a second time is refused."""
    rig = open_rig(latency_scale=0.0, plan="developer", batch_s=100.0)
    id_ = (await _start(rig, _jsonl(_request("a"), _request("b")))).json()["id"]
    rig.clock.advance(50)
    cancel = f"/openai/v1/batches/{id_}/cancel"
    assert (await rig.client.post(cancel, headers=rig.headers)).json()["status"] == "cancelling"
    state = await _state(rig, id_)
    assert (state["status"], state["request_counts"]) == ("cancelled", {"total": 2, "completed": 1, "failed": 0})
    assert [row["custom_id"] for row in await _rows(rig, state["output_file_id"])] == ["a"]
    assert (await rig.client.post(cancel, headers=rig.headers)).status_code == 400


async def test_a_batch_that_takes_longer_than_its_window_expires(open_rig: OpenRig) -> None:
    """What was not answered says so in the error file."""
    rig = open_rig(latency_scale=0.0, plan="developer", batch_s=2 * DAY_S)
    id_ = (await _start(rig, _jsonl(_request("a"), _request("b")))).json()["id"]
    rig.clock.advance(3 * DAY_S)
    state = await _state(rig, id_)
    assert (state["status"], state["request_counts"]) == ("expired", {"total": 2, "completed": 1, "failed": 1})
    (late,) = await _rows(rig, state["error_file_id"])
    assert (late["custom_id"], late["response"], late["error"]["code"]) == ("b", None, "batch_expired")


@pytest.mark.parametrize(
    ("content", "line", "code"),
    [
        (b" \n ", None, "empty_file"),
        (b'{"custom_id": ', 1, "invalid_json_line"),
        (b"[1]", 1, "invalid_json_line"),
        (_jsonl(_request("a"), _request("a")), 2, "duplicate_custom_id"),
        (_jsonl(_request("a", custom_id=3)), 1, "missing_required_parameter"),
        (_jsonl(_request("a", method="GET")), 1, "invalid_method"),
        (_jsonl(_request("a", url="/v1/embeddings")), 1, "invalid_url"),
        (_jsonl(_request("a", body="x")), 1, "missing_required_parameter"),
        (_jsonl(_request("a", body={"model": MODEL, "stream": True})), 1, "invalid_request"),
    ],
)
async def test_a_batch_with_a_bad_line_fails_and_says_which(content: bytes, line: int | None, code: str, paid: Rig) -> None:
    """Nothing of it is answered."""
    state = await _state(paid, (await _start(paid, content)).json()["id"])
    assert (state["status"], state["output_file_id"]) == ("failed", None)
    (error,) = state["errors"]["data"]
    assert (error["line"], error["code"]) == (line, code)
    assert state["failed_at"] == state["created_at"]


async def test_a_batch_has_50_000_lines_at_most(paid: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here three, to be quick."""
    assert batch_endpoints.MOST_LINES == 50_000
    monkeypatch.setattr(batch_endpoints, "MOST_LINES", 3)
    for count, status in ((3, "completed"), (4, "failed")):
        made = await _start(paid, _jsonl(*(_request(str(number)) for number in range(count))))
        assert (await _state(paid, made.json()["id"]))["status"] == status


@pytest.mark.parametrize(
    ("window", "status"), [("24h", 200), ("7d", 200), ("168h", 200), ("23h", 400), ("8d", 400), ("1w", 400)]
)
async def test_a_window_is_of_24_hours_to_7_days(window: str, status: int, paid: Rig) -> None:
    """In hours or days."""
    reply = await _start(paid, _jsonl(_request("a")), completion_window=window)
    assert reply.status_code == status
    if status == 200:
        hours = int(window[:-1]) * (24 if window[-1] == "d" else 1)
        assert reply.json()["expires_at"] - reply.json()["created_at"] == hours * 3600


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"endpoint": "/v1/embeddings"}, 400, "'endpoint' : value must be one of /v1/chat/completions"),
        ({"input_file_id": "file_none"}, 404, "The file `file_none` does not exist."),
        ({"completion_window": None}, 400, "'completion_window'"),
    ],
)
async def test_a_batch_that_cannot_be_is_refused(fields: dict[str, Any], status: int, words: str, paid: Rig) -> None:
    """Other endpoints, unknown files, no window."""
    reply = await _start(paid, _jsonl(_request("a")), **fields)
    assert reply.status_code == status
    assert message(reply).startswith(words)


async def test_output_cannot_be_the_input_of_a_batch(paid: Rig) -> None:
    """Its purpose is another."""
    made = (await _start(paid, _jsonl(_request("a")))).json()
    output = (await _state(paid, made["id"]))["output_file_id"]
    assert (await _start(paid, _jsonl(_request("a")), input_file_id=output)).status_code == 400


async def test_files_are_listed_described_and_deleted(paid: Rig) -> None:
    """Newest first; a deleted one is gone."""
    first, second = [(await _upload(paid, _jsonl(_request(name)))).json() for name in "ab"]
    assert (first["object"], first["purpose"], first["filename"]) == ("file", "batch", "in.jsonl")
    assert first["bytes"] == len(_jsonl(_request("a")))
    assert [row["id"] for row in (await paid.get("/openai/v1/files")).json()["data"]] == [second["id"], first["id"]]
    assert (await paid.get(f"/openai/v1/files/{first['id']}")).json() == first
    path = f"/openai/v1/files/{first['id']}"
    gone = await paid.client.delete(path, headers=paid.headers)
    assert gone.json() == {"id": first["id"], "object": "file", "deleted": True}
    assert (await paid.get(path)).status_code == 404


async def test_an_organization_sees_its_own_files_and_batches_alone(open_rig: OpenRig) -> None:
    """Another's are not found, and not listed."""
    rig = open_rig(latency_scale=0.0, plan="developer", organizations={"gsk_other": "org_other"})
    made = (await _start(rig, _jsonl(_request("a")))).json()
    rig.headers = {"authorization": "Bearer gsk_other"}
    for path in (f"files/{made['input_file_id']}", f"files/{made['input_file_id']}/content", f"batches/{made['id']}"):
        assert (await rig.get(f"/openai/v1/{path}")).status_code == 404
    for path in ("files", "batches"):
        assert (await rig.get(f"/openai/v1/{path}")).json() == {"object": "list", "data": []}


@pytest.mark.parametrize(
    ("content", "fields", "status"), [(b"", {}, 400), (b"{}", {"purpose": "vision"}, 400), (b"{}" * 600_000, {}, 413)]
)
async def test_a_file_that_cannot_be_is_refused(
    content: bytes, fields: dict[str, str], status: int, paid: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty, for another purpose, or too large: 100 MB, here one."""
    assert batch_endpoints.MOST_MB == 100
    monkeypatch.setattr(batch_endpoints, "MOST_MB", 1)
    assert (await _upload(paid, content, **fields)).status_code == status


async def test_a_file_needs_a_file(paid: Rig) -> None:
    """A form without one is a 400."""
    reply = await paid.client.post(
        "/openai/v1/files", files={"file": (None, b"text")}, data={"purpose": "batch"}, headers=paid.headers
    )
    assert (reply.status_code, message(reply)) == (400, "'file' : property is missing")


async def test_the_free_plan_has_no_batches(rig: Rig) -> None:
    """Neither an upload nor a batch."""
    uploaded = await _upload(rig, _jsonl(_request("a")))
    made = await rig.client.post("/openai/v1/batches", json={}, headers=rig.headers)
    for reply in (uploaded, made):
        assert (reply.status_code, reply.json()["error"]["type"]) == (403, "permissions_error")


async def test_a_reset_forgets_files_and_batches(paid: Rig) -> None:
    """Both."""
    made = (await _start(paid, _jsonl(_request("a")))).json()
    await paid.client.post("/simulator/reset")
    assert (await paid.get(f"/openai/v1/batches/{made['id']}")).status_code == 404
    assert (await paid.get("/openai/v1/files")).json()["data"] == []
