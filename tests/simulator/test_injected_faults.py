"""Faults, and the switches for tests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from simulator.rig import MODEL, OpenRig, Rig, message, silence

from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.simulator import Fault, faulted_model, parse_fault

OTHER = "openai/gpt-oss-120b"


async def _set(rig: Rig, *texts: str) -> Any:
    return await rig.client.post("/simulator/faults", json=list(texts))


@pytest.mark.parametrize(
    ("text", "model", "fault"),
    [
        ("openai/gpt-oss-20b=429:5x2", MODEL, Fault(kind="429", seconds=5.0, count=2)),
        ("*=hang", "*", Fault(kind="hang")),
        (" m=slow:0.5 ", "m", Fault(kind="slow", seconds=0.5)),
        ("m=503x3", "m", Fault(kind="503", count=3)),
        ("m=429:0", "m", Fault(kind="429", seconds=0.0)),
        ("a/b:c=cut", "a/b:c", Fault(kind="cut")),
        ("*=tool_use_failedx2", "*", Fault(kind="tool_use_failed", count=2)),
    ],
)
def test_a_fault_is_read_from_its_text(text: str, model: str, fault: Fault) -> None:
    """Model, kind, seconds and count."""
    assert parse_fault(text) == (model, fault)


@pytest.mark.parametrize(
    "text", ["", "m", "m=", "=429", "m=418", "m=429:", "m=429:x2", "m=429:5x", "m=429:-1", "m=429 5", "m=hang:1e3"]
)
def test_what_is_no_fault_is_refused_with_the_kinds_there_are(text: str) -> None:
    """And the text itself."""
    with pytest.raises(InputRefused) as refused:
        parse_fault(text)
    assert repr(text) in str(refused.value)
    assert "429, 503" in str(refused.value)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "status", "code", "type_", "words"),
    [
        ("429", 429, "rate_limit_exceeded", "tokens", "Limit 8000, Used 4267, Requested 4000. Please try again in 2s."),
        ("429:30", 429, "rate_limit_exceeded", "tokens", "Limit 8000, Used 8000, Requested 4000. Please try again in 30s."),
        (
            "429:864",
            429,
            "rate_limit_exceeded",
            "tokens",
            "tokens per day (TPD): Limit 200000, Used 198000, Requested 4000. Please try again in 14m24s.",
        ),
        (
            "503",
            503,
            None,
            "internal_server_error",
            f"{MODEL} is currently over capacity. Please try again and back off exponentially.",
        ),
        ("500", 500, None, "internal_server_error", "Internal Server Error"),
        ("498", 498, "capacity_exceeded", "capacity_exceeded", "Flex tier capacity exceeded"),
        ("401", 401, "invalid_api_key", "invalid_request_error", "Invalid API Key"),
        (
            "403",
            403,
            "model_permission_blocked_org",
            "permissions_error",
            f"The model `{MODEL}` is blocked at the organization level.",
        ),
        (
            "404",
            404,
            "model_not_found",
            "invalid_request_error",
            f"The model `{MODEL}` does not exist or you do not have access to it.",
        ),
        *(
            (
                f"model_permission_blocked_{code}",
                403,
                f"model_permission_blocked_{code}",
                "permissions_error",
                f"at the {level}",
            )
            for code, level in (("org", "organization"), ("project", "project"))
        ),
        ("model_terms_required", 400, "model_terms_required", "invalid_request_error", "requires terms acceptance"),
        ("model_decommissioned", 400, "model_decommissioned", "invalid_request_error", "has been decommissioned"),
    ],
)
async def test_a_fault_answers_with_its_error(
    kind: str, status: int, code: str | None, type_: str, words: str, rig: Rig
) -> None:
    """Groq's status, code, type and text; it spends nothing."""
    await _set(rig, f"{MODEL}={kind}x1")
    reply = await rig.chat(service_tier="flex" if kind == "498" else None)
    error = reply.json()["error"]
    assert (reply.status_code, error.get("code"), error["type"]) == (status, code, type_)
    assert words in error["message"]
    assert (await rig.chat()).headers["x-ratelimit-remaining-requests"] == "999"


TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("498", {"service_tier": "flex"}, "Flex tier capacity exceeded"),
        ("tool_use_failed", {"tools": [TOOL]}, "Failed to call a function."),
        ("json_validate_failed", {"response_format": {"type": "json_object"}}, "Failed to generate JSON."),
    ],
)
async def test_a_fault_waits_for_a_request_that_it_can_befall(kind: str, fields: dict[str, Any], words: str, rig: Rig) -> None:
    """Others are served, and do not count it down; a failed generation is told."""
    await _set(rig, f"{MODEL}={kind}x1")
    assert (await rig.chat()).status_code == 200
    error = (await rig.chat(**fields)).json()["error"]
    assert error["message"].startswith(words)
    assert ("failed_generation" in error) == (kind != "498")
    assert (await rig.chat(**fields)).status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "header"), [("429", "2"), ("429:5", "5"), ("429:0.25", "0.25"), ("429:0", "0"), ("429:1234567", "1234567")]
)
async def test_a_429_fault_states_its_seconds_in_retry_after(text: str, header: str, rig: Rig) -> None:
    """In plain digits."""
    await _set(rig, f"*={text}")
    assert (await rig.chat()).headers["retry-after"] == header


@pytest.mark.anyio
@pytest.mark.parametrize(("kind", "status"), [("502", 502), ("html", 200)])
async def test_a_page_instead_of_json(kind: str, status: int, rig: Rig) -> None:
    """As a proxy in between would send it."""
    await _set(rig, f"*={kind}")
    reply = await rig.chat()
    assert (reply.status_code, reply.text[:6]) == (status, "<html>")
    assert reply.headers["content-type"].startswith("text/html")


@pytest.mark.anyio
async def test_an_empty_body(rig: Rig) -> None:
    """With a status of 200."""
    await _set(rig, "*=empty")
    reply = await rig.chat()
    assert (reply.status_code, reply.content) == (200, b"")


@pytest.mark.anyio
@pytest.mark.parametrize(("kind", "seconds"), [("hang", 3600), ("hang:20", 20), ("slow", 1), ("slow:0.5", 0.5), ("slow:0", 0)])
async def test_a_slow_call_takes_its_time_and_then_answers(kind: str, seconds: float, rig: Rig) -> None:
    """So does one that hangs, if anyone waits for an hour."""
    await _set(rig, f"*={kind}")
    before = rig.clock.monotonic()
    assert (await rig.chat()).status_code == 200
    assert rig.clock.monotonic() - before == pytest.approx(seconds)


@pytest.mark.anyio
async def test_a_cut_answer_is_no_json(rig: Rig) -> None:
    """Half of it, for chat and transcripts; half of a WAV."""
    await _set(rig, "*=cut")
    for reply in (await rig.chat(), await rig.hear(silence(1))):
        assert reply.content.startswith(b"{")
        with pytest.raises(json.JSONDecodeError):
            reply.json()
    whole = int.from_bytes((spoken := (await rig.speak()).content)[4:8], "little") + 8
    assert len(spoken) == whole // 2


@pytest.mark.anyio
async def test_a_cut_stream_ends_without_its_end_mark(rig: Rig) -> None:
    """And without a finish reason, after half of its words."""
    await _set(rig, f"{MODEL}=cut")
    reply = await rig.chat(stream=True)
    assert "[DONE]" not in reply.text
    events = [json.loads(line.removeprefix("data: ")) for line in reply.text.split("\n\n") if line]
    assert {event["choices"][0]["finish_reason"] for event in events} == {None}
    assert "".join(event["choices"][0]["delta"]["content"] for event in events) == "This is a"


@pytest.mark.anyio
async def test_a_count_ends_a_fault_and_the_next_one_comes(rig: Rig) -> None:
    """Then the model answers."""
    await _set(rig, f"{MODEL}=503x2", f"{MODEL}=500x1", f"{MODEL}=404x0")
    assert [(await rig.chat()).status_code for _ in range(5)] == [503, 503, 500, 200, 200]


@pytest.mark.anyio
async def test_a_fault_of_a_model_goes_before_that_of_all(rig: Rig) -> None:
    """Other models meet the star alone."""
    await _set(rig, "*=503", f"{MODEL}=500x1")
    assert [(await rig.chat(model=model)).status_code for model in (OTHER, MODEL, MODEL)] == [503, 500, 503]


@pytest.mark.anyio
async def test_faults_meet_audio_too(rig: Rig) -> None:
    """Transcription and speech."""
    await _set(rig, "*=503")
    assert [reply.status_code for reply in (await rig.hear(silence(1)), await rig.speak())] == [503, 503]


@pytest.mark.anyio
@pytest.mark.parametrize("content", [b"{}", b"", b"3", b'["m=418"]', b"[3]", b'"*=429"'])
async def test_faults_that_cannot_be_read_change_nothing(content: bytes, rig: Rig) -> None:
    """A 400, and the ones before stay."""
    assert (await _set(rig, "*=503")).json() == {"faults": 1}
    reply = await rig.client.post("/simulator/faults", content=content)
    assert reply.status_code == 400
    assert message(reply)
    assert (await rig.chat()).status_code == 503


@pytest.mark.anyio
async def test_a_model_of_a_fault_may_have_its_short_name_and_an_unknown_one_is_refused(rig: Rig) -> None:
    """A fault of a model that nobody can call would never be met."""
    for name in ("gpt-oss-20b", f"groq/{MODEL}", MODEL):
        await _set(rig, f"{name}=503")
        assert [(await rig.chat(model=model)).status_code for model in (MODEL, OTHER)] == [503, 200]
    reply = await _set(rig, "nope=500")
    assert reply.status_code == 400
    assert "Unknown model 'nope'" in message(reply)
    assert (await rig.chat()).status_code == 503


@pytest.mark.parametrize("name", ["gpt-oss-120b", "openai/gpt-oss-120b", "openai/gpt-oss-120b:free"])
def test_a_model_of_a_provider_is_found_by_its_id_its_wire_id_and_its_short_name(name: str) -> None:
    """On the wire some have another one."""
    known = {"openai/gpt-oss-120b:free": "openai/gpt-oss-120b:free", "openai/gpt-oss-120b": "openai/gpt-oss-120b:free"}
    assert faulted_model(name, known) == "openai/gpt-oss-120b:free"


@pytest.mark.anyio
async def test_an_empty_list_ends_all_faults(rig: Rig) -> None:
    """The model answers again."""
    await _set(rig, "*=503")
    await _set(rig)
    assert (await rig.chat()).status_code == 200


@pytest.mark.anyio
async def test_calls_are_counted_by_model_and_outcome(rig: Rig) -> None:
    """A fault without an error of its own counts under its kind."""
    await _set(rig, f"{MODEL}=429x1", f"{MODEL}=slow:0x1")
    for _ in range(3):
        await rig.chat()
    await rig.chat(model="no")
    await rig.hear(silence(1))
    assert (await rig.get("/simulator/calls")).json() == {
        MODEL: {"429": 1, "slow": 1, "200": 1},
        "no": {"404": 1},
        "whisper-large-v3-turbo": {"200": 1},
    }


@pytest.mark.anyio
async def test_reset_fills_the_buckets_and_brings_back_the_faults_of_the_options(open_rig: OpenRig) -> None:
    """Counts begin anew."""
    rig = open_rig(latency_scale=0.0, limits={MODEL: {"rpm": 1}}, faults={OTHER: (Fault(kind="500", count=1),)})
    calls = [(MODEL, 200), (MODEL, 429), (OTHER, 500), (OTHER, 200)]
    for _ in range(2):
        assert [(model, (await rig.chat(model=model)).status_code) for model, _ in calls] == calls
        assert (await rig.client.post("/simulator/reset")).json() == {"reset": True}
        assert (await rig.get("/simulator/calls")).json() == {}
