"""Batches against the simulated Groq: submitted, looked at, read, from any process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes import GROQ_CHAT_MODELS, World, provider_models
from hypothesis import given
from hypothesis import strategies as st
from servers import connected, text_of
from simulated import simulated_groq

from groq_fallback_mcp.call import Failure, Restrictions
from groq_fallback_mcp.providers.batches import read_answers
from groq_fallback_mcp.simulator import SimulatorOptions
from groq_fallback_mcp.tools import ALL_TOOLS
from groq_fallback_mcp.tools.save_to import SaveTo

pytestmark = pytest.mark.anyio


class Rig:
    """One Groq; each call comes from a server of its own, as after a restart."""

    def __init__(self, folder: Path, *, plan: str = "developer", batch_s: float = 0.0) -> None:
        self.world = World([provider_models("groq", GROQ_CHAT_MODELS, plan=plan)])
        self.app = simulated_groq(
            self.world,
            SimulatorOptions(plan=plan, latency_scale=0.0, batch_s=batch_s),  # type: ignore[arg-type]
        )
        self.folder = folder

    async def call(self, name: str, **arguments: object) -> tuple[str, dict[str, Any]]:
        """Text and structured content of a tool."""
        async with connected(self.world, folders=(self.folder,), tools=ALL_TOOLS, state=self.folder / "state") as client:
            result = await client.call_tool(name, arguments)
        return text_of(result), dict(result.structured_content or {})


@pytest.mark.covers("advice/Batch requests")
async def test_a_batch_goes_from_prompts_to_answers(tmp_path: Path) -> None:
    """By its number each prompt finds its answer, at half the price."""
    rig = Rig(tmp_path)
    text, submitted = await rig.call("batch_submit", prompts=[f"question {n}" for n in range(1, 13)], max_tokens=50)
    assert 'Next step: Call batch_status with id "' in text
    assert float(submitted["most_usd"]) > 0
    id_ = submitted["batch"]["id"]
    text, looked = await rig.call("batch_status", id=id_)
    assert looked["batches"][0]["finished"] is True
    assert looked["batches"][0]["model"] == submitted["model"]
    text, found = await rig.call("batch_results", id=id_)
    assert [item["number"] for item in found["results"]] == [str(n) for n in range(1, 13)]
    assert "question 12" in found["results"][11]["text"]
    assert found["simulated"] is True
    assert 0 < float(found["cost_usd"]) < float(submitted["most_usd"])


async def test_results_that_cannot_be_saved_can_be_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is paid for that, so it is not said."""
    rig = Rig(tmp_path)
    _, submitted = await rig.call("batch_submit", prompts=["a"])

    async def unchecked(*_: object) -> None:
        (tmp_path / "a.jsonl").write_text("of another")

    monkeypatch.setattr(SaveTo, "check", unchecked)
    text, _ = await rig.call("batch_results", id=submitted["batch"]["id"], save_to="a.jsonl")
    assert "already exists" in text
    assert "paid" not in text


async def test_a_batch_whose_id_cannot_be_kept_is_told_with_it(tmp_path: Path) -> None:
    """It is accepted and will be paid: an error would have it sent again."""
    rig = Rig(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "batches").write_text("no folder")
    text, submitted = await rig.call("batch_submit", prompts=["a"])
    assert submitted["batch"]["id"] in text
    assert "Note: The id is in no list of this machine" in text


async def test_what_holds_for_every_call_holds_for_a_batch(tmp_path: Path) -> None:
    """A server that takes no preview models submits none to one."""
    rig = Rig(tmp_path)
    rig.world.engine.restrictions = Restrictions(no_preview=True)
    text, _ = await rig.call("batch_submit", prompts=["a"], model="qwen/qwen3.8-27b")
    assert "qwen3.8" not in text.split("model")[0]
    _, listed = await rig.call("batch_status")
    assert all(row["model"] != "qwen/qwen3.8-27b" for row in listed["batches"])


async def test_a_batch_under_way_says_when_to_come_back_and_survives_a_restart(tmp_path: Path) -> None:
    """Groq keeps it; what was submitted here is remembered."""
    rig = Rig(tmp_path, batch_s=100.0)
    _, submitted = await rig.call("batch_submit", prompts=["a", "b"])
    id_ = submitted["batch"]["id"]
    text, _ = await rig.call("batch_results", id=id_)
    assert "has no answers yet" in text
    assert "Call batch_status later" in text
    rig.world.clock.advance(101.0)
    _, listed = await rig.call("batch_status")
    assert [(row["id"], row["status"], row["completed"]) for row in listed["batches"]] == [(id_, "completed", 2)]


async def test_a_batch_can_be_cancelled(tmp_path: Path) -> None:
    """What was answered by then stays."""
    rig = Rig(tmp_path, batch_s=100.0)
    _, submitted = await rig.call("batch_submit", prompts=["a", "b"])
    await rig.call("batch_status", id=submitted["batch"]["id"], cancel=True)
    _, found = await rig.call("batch_status", id=submitted["batch"]["id"])
    assert found["batches"][0]["status"] == "cancelled"


async def test_long_results_come_in_pages_or_into_a_file(tmp_path: Path) -> None:
    """Within what clients show."""
    rig = Rig(tmp_path)
    _, submitted = await rig.call("batch_submit", prompts=[f"q{n} " + "word " * 40 for n in range(200)], max_tokens=400)
    id_ = submitted["batch"]["id"]
    numbers: list[str] = []
    offset: int | None = 0
    while offset is not None:
        text, page = await rig.call("batch_results", id=id_, offset=offset, limit=1000)
        assert len(text) < 40_000
        numbers += [item["number"] for item in page["results"]]
        offset = page.get("next_offset")
    assert numbers == [str(n) for n in range(1, 201)]
    _, saved = await rig.call("batch_results", id=id_, save_to="answers.jsonl", limit=1)
    lines = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert len(lines) == 200
    assert json.loads(lines[0])["number"] == "1"
    assert saved["path"].endswith("answers.jsonl")


async def test_on_the_free_plan_the_way_without_batches_is_named(tmp_path: Path) -> None:
    """They need a paid plan."""
    text, found = await Rig(tmp_path, plan="free").call("batch_submit", prompts=["a"])
    assert found["error"]["code"] == "paid_plan_needed"
    assert "groq_chat with prompts" in text


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("batch_submit", {"prompts": ["a", " "]}, "Prompt 2 of prompts is empty"),
        ("batch_submit", {"prompts": []}, "prompts"),
        ("batch_submit", {"prompts": ["a"], "model": "nope"}, "Unknown model 'nope'"),
        ("batch_submit", {"prompts": ["a"], "window": "1h"}, "window"),
        ("batch_status", {"cancel": True}, "Cancel needs an id"),
        ("batch_status", {"id": "../models"}, "id"),
        ("batch_status", {"id": "batch_unknown"}, "does not exist"),
        ("batch_results", {"id": "batch_unknown"}, "does not exist"),
        ("batch_results", {"id": "x", "save_to": "a.sh"}, "ends in .jsonl"),
    ],
)
async def test_mistakes_are_told_with_the_next_step(
    tmp_path: Path, tool: str, arguments: dict[str, object], words: str
) -> None:
    """Before or after Groq has seen them."""
    text, _ = await Rig(tmp_path).call(tool, **arguments)
    assert words in text
    assert "Next step: " in text


async def test_a_prompt_too_large_for_a_minute_fits_a_batch(tmp_path: Path) -> None:
    """There are no limits a minute in one."""
    rig = Rig(tmp_path)
    _, submitted = await rig.call("batch_submit", prompts=["word " * 60_000], model="openai/gpt-oss-20b")
    assert submitted["model"] == "openai/gpt-oss-20b"


@given(st.binary(max_size=300))
def test_whatever_a_file_of_answers_holds_is_read_without_a_crash(content: bytes) -> None:
    """Somebody else wrote it."""
    for outcome in read_answers(content, model="m", now_wall=0.0).values():
        assert isinstance(outcome, Failure)
