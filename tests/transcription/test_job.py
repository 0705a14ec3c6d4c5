"""Long recordings: split, written down side by side, joined; what is done survives."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from fakes import CATALOG, GROQ_SPEECH_MODELS, Sent, World, failure, provider_models, rate_limited
from servers import connected, text_of
from tone_speech import hear, heard, script, wav

from groq_fallback_mcp.audio.pcm import AbandonedError
from groq_fallback_mcp.call import AudioFile, AudioRequest, FailureKind, Limit, Outcome, Success, Usage
from groq_fallback_mcp.command import install_command
from groq_fallback_mcp.fallback import CallTimeouts
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.simulator import SimulatorOptions, Transcribed, create_app
from groq_fallback_mcp.tools import transcribe as tool

pytestmark = pytest.mark.anyio
TURBO, LARGE = GROQ_SPEECH_MODELS
SECONDS = 100.0


def hearing(call: Sent) -> Outcome:
    """What the recording really says."""
    assert isinstance(call.request, AudioRequest)
    assert isinstance(call.request.audio, AudioFile)
    with call.request.audio.open() as file:
        found = hear(file.read())
    return Success(model="m", transcript=found, usage=Usage(audio_s=found.duration_s or 0.0))


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An allowed folder with a recording that counts as long: five parts."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "long.wav").write_bytes(wav(script(SECONDS), SECONDS))
    monkeypatch.setattr(tool, "LONGEST_AT_ONCE_S", 20.0)
    monkeypatch.setattr(tool, "PART_S", 20.0)
    return folder


def world() -> World:
    """Two models that understand every word."""
    found = World([provider_models("groq", GROQ_SPEECH_MODELS)])
    found.groq.reply = hearing
    return found


async def transcribed(world: World, folder: Path, **arguments: object) -> tuple[str, dict[str, Any]]:
    """Text and structured content."""
    async with connected(world, folders=(folder,), state=folder.parent / "state") as client:
        result = await client.call_tool("transcribe", {"file": "long.wav", **arguments})
    return text_of(result), dict(result.structured_content or {})


def said(seconds: float = SECONDS) -> list[str]:
    """The known words."""
    return [word.word for word in script(seconds)]


async def test_a_long_recording_is_written_down_word_by_word(recording: Path) -> None:
    """In parts, side by side, and nothing is left on disk."""
    here = world()
    text, found = await transcribed(here, recording)
    assert found["text"].split() == said()
    assert found["parts"] == len(here.groq.calls) >= 5
    assert found["audio_s"] == pytest.approx(SECONDS, abs=0.1)
    assert f"in {found['parts']} parts" in text
    assert not [path for path in (recording.parent / "state" / "jobs").iterdir() if path.is_dir()]


async def test_times_count_from_the_beginning_of_the_recording(recording: Path) -> None:
    """Words and subtitles alike."""
    _, found = await transcribed(world(), recording, timestamps="word", format="verbose_json")
    assert all(abs(word["start"] - spoken.start) < 0.05 for word, spoken in zip(found["words"], script(SECONDS), strict=True))
    starts = [segment["start"] for segment in found["segments"]]
    assert starts == sorted(starts)


async def test_a_part_that_fails_is_repeated_elsewhere(recording: Path) -> None:
    """And never missing."""
    here = world()
    here.groq.script(TURBO, rate_limited(3_000.0))
    _, found = await transcribed(here, recording)
    assert found["text"].split() == said()
    assert found["model"] == LARGE


async def test_a_part_that_nobody_writes_down_makes_an_error_that_says_where(recording: Path) -> None:
    """What the others have is kept, and the same call goes on from there."""
    here = world()
    count = 0

    def third_fails(call: Sent) -> Outcome:
        nonlocal count
        count += 1
        return failure(FailureKind.ORGANIZATION_REFUSED, status=403) if count >= 4 else hearing(call)

    here.groq.reply = third_fails
    text, found = await transcribed(here, recording)
    assert "could not be transcribed" in text
    assert "finished parts are kept. Repeat the call to resume" in text
    assert found["error"]["code"] == "account_refused"
    sent = len(here.groq.calls)
    again = world()
    text, found = await transcribed(again, recording)
    assert found.get("text", text).split() == said()
    assert 0 < len(again.groq.calls) < found["parts"]
    assert sent + len(again.groq.calls) >= found["parts"]
    assert any("finished by an earlier call and not sent again" in note for note in found.get("notes", ()))


async def test_what_an_earlier_version_left_unfinished_is_gone_on_with_or_ignored(recording: Path) -> None:
    """The files of parts have the form that the first release wrote; what cannot be read is transcribed again."""
    here = world()
    here.groq.reply = lambda call: failure(FailureKind.BAD_REQUEST, status=400) if len(here.groq.calls) > 3 else hearing(call)
    await transcribed(here, recording)
    job = next(path for path in (recording.parent / "state" / "jobs").iterdir() if path.is_dir())
    for left in job.glob("*.flac.json"):
        left.unlink()
    first = {
        "transcript": asdict(hear((job / "part-0001.flac").read_bytes())),
        "provider": "groq",
        "model": LARGE,
        "simulated": False,
        "cost_usd": "0.00061",
        "silent": 1,
    }
    (job / "part-0001.flac.json").write_text(json.dumps(first))
    (job / "part-0002.flac.json").write_text(json.dumps({**first, "transcript": None}))
    again = world()
    _, found = await transcribed(again, recording)
    assert found["text"].split() == said()
    assert len(again.groq.calls) == found["parts"] - 1
    assert f"1 of {found['parts']} parts were finished by an earlier call and not sent again." in found.get("notes", ())
    assert "1 segment without speech was removed." in found.get("notes", ())
    assert any(f"groq/{LARGE}: 1" in note for note in found.get("notes", ()))
    assert float(found["cost_usd"]) > 0.00061


async def test_a_call_that_is_cancelled_leaves_what_is_done_and_goes_on_from_there(recording: Path) -> None:
    """And lets go of the job at once."""
    here = world()
    reached = anyio.Event()

    async def hold() -> None:
        if len(here.groq.calls) > 3:
            reached.set()
            await anyio.sleep_forever()

    here.groq.before = hold
    async with anyio.create_task_group() as group:

        async def call() -> None:
            await transcribed(here, recording)

        group.start_soon(call)
        with anyio.fail_after(20):
            await reached.wait()
        group.cancel_scope.cancel()
    again = world()
    _, found = await transcribed(again, recording)
    assert found["text"].split() == said()
    assert len(again.groq.calls) < found["parts"]


async def test_another_question_about_the_same_recording_is_another_job(recording: Path) -> None:
    """A transcript is not taken for a translation."""
    here = world()
    here.groq.reply = lambda call: failure(FailureKind.BAD_REQUEST, status=400) if len(here.groq.calls) > 2 else hearing(call)
    await transcribed(here, recording)
    again = world()
    _, found = await transcribed(again, recording, language="en")
    assert len(again.groq.calls) == found["parts"]


async def test_one_recording_is_written_down_by_one_call_at_a_time(recording: Path) -> None:
    """The other is told to wait."""
    here = world()
    began, go_on = anyio.Event(), anyio.Event()

    async def hold() -> None:
        began.set()
        await go_on.wait()

    here.groq.before = hold
    async with anyio.create_task_group() as group:
        group.start_soon(transcribed, here, recording)
        await began.wait()
        text, _ = await transcribed(world(), recording)
        go_on.set()
    assert "is already being transcribed by another call" in text


async def test_the_prompt_is_carried_from_part_to_part_within_its_bound(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's words first, then the end of what was said before, where that is known."""
    monkeypatch.setattr("groq_fallback_mcp.transcription.job.AT_ONCE", 1)
    here = world()
    await transcribed(here, recording, prompt="Names: Ada. " + "x" * 800)
    prompts = [call.request.prompt or "" for call in here.groq.calls if isinstance(call.request, AudioRequest)]
    assert all(prompt.startswith("Names: Ada.") and len(prompt) <= 896 for prompt in prompts)
    assert all(len(prompt) > 820 for prompt in prompts[1:])


async def test_a_result_may_be_written_to_a_file(recording: Path) -> None:
    """Whole there, its head here."""
    _, found = await transcribed(world(), recording, save_to="out.srt", format="srt")
    content = (recording / "out.srt").read_text()
    assert content.startswith("1\n00:00:00,")
    assert found["path"] == str((recording / "out.srt").resolve())
    text, _ = await transcribed(world(), recording, save_to="out.srt", format="srt")
    assert "already exists" in text
    text, _ = await transcribed(world(), recording, save_to="out.sh")
    assert "ends in .txt" in text


async def test_a_result_too_long_for_clients_is_put_aside_and_its_head_returned(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder of our own: nothing is written into a project unasked."""
    monkeypatch.setattr(tool, "fits", lambda text, structured: False)
    monkeypatch.setattr(tool, "HEAD_BYTES", 200)
    text, found = await transcribed(world(), recording)
    assert len(found["text"]) == 200
    assert found["cut"] is True
    path = Path(found["path"])
    assert path.is_relative_to(recording.parent / "state")
    assert path.read_text().split() == said()
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"is in {path}" in text
    assert f"call groq_chat with only cursor '{path.name}:200'" in text
    async with connected(world(), state=recording.parent / "state") as client:
        page = await client.call_tool("groq_chat", {"cursor": f"{path.name}:200"})
    assert found["text"] + dict(page.structured_content or {})["text"] == path.read_text()
    assert [entry.name for entry in recording.iterdir()] == ["long.wav"]


async def test_without_the_decoder_a_file_that_must_be_split_names_what_to_install(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a file that needs no splitting is sent as ever."""
    monkeypatch.setattr(tool, "can_decode", lambda: False)
    monkeypatch.setattr(tool, "LARGEST_UPLOAD_MB", 1)
    here = world()
    text, _ = await transcribed(here, recording)
    assert install_command("audio") in text
    assert here.groq.calls == []


async def test_what_does_not_decode_is_refused_before_anything_is_sent(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is told."""
    (recording / "long.wav").write_bytes(b"RIFF\xff\xff\xff\x7fWAVEfmt " + b"\x00" * 2_000_000)
    monkeypatch.setattr(tool, "LARGEST_UPLOAD_MB", 1)
    here = world()
    text, _ = await transcribed(here, recording)
    assert "cannot be decoded as audio" in text
    assert here.groq.calls == []
    assert not list((recording.parent / "state").rglob("*.flac"))


async def test_jobs_nobody_came_back_for_are_removed_after_a_week(recording: Path) -> None:
    """They hold what was said."""
    old = recording.parent / "state" / "jobs" / "0123"
    old.mkdir(parents=True)
    (old / "part-0001.flac").write_bytes(b"fLaC")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    await transcribed(world(), recording)
    assert not old.exists()


def on_this_machine(**options: Any) -> World:
    """Nothing but a model on this machine, which takes two minutes a part where a call may take 50 s."""
    local = replace(provider_models("local", [TURBO]), on_this_machine=True)
    found = World([local], **options)
    found.groq.reply = hearing
    found.groq.took_s = 120.0
    return found


@pytest.mark.fault("B26")
async def test_a_slow_model_on_this_machine_gets_short_parts_one_at_a_time_and_no_deadline_for_each(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes longer than a call may, and the job has an hour."""
    monkeypatch.setattr("groq_fallback_mcp.transcription.job.LOCAL_PART_S", 15.0)
    here = on_this_machine()
    at_work: list[int] = []
    most: list[int] = []

    async def busy() -> None:
        at_work.append(1)
        most.append(len(at_work))
        await anyio.lowlevel.checkpoint()
        at_work.pop()

    here.groq.before = busy
    text, found = await transcribed(here, recording)
    assert found.get("text", text).split() == said()
    assert found["parts"] >= 7
    assert max(most) == 1
    assert min(here.groq.timeouts) > 120.0
    assert all(call.request.audio.duration_s <= 15.0 + 2.1 for call in here.groq.calls)  # type: ignore[union-attr]


@pytest.mark.fault("B26")
async def test_a_recording_that_is_short_for_groq_is_long_for_a_model_on_this_machine(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts, rather than at once within 50 s."""
    monkeypatch.setattr(tool, "LONGEST_AT_ONCE_S", 1_800.0)
    monkeypatch.setattr(tool, "LOCAL_PART_S", 20.0)
    _, found = await transcribed(on_this_machine(), recording)
    assert found["text"].split() == said()
    assert found["parts"] >= 5


@pytest.mark.fault("B26")
async def test_a_model_on_this_machine_that_follows_a_failing_groq_is_waited_for_too(recording: Path) -> None:
    """The last resort has the time of the job, not what a call of 50 s has left."""
    local = replace(provider_models("local", [LARGE]), on_this_machine=True)
    here = World([provider_models("groq", [TURBO]), local])
    here.groq.default = failure(FailureKind.UNREACHABLE)
    here.providers["local"].reply = hearing
    here.providers["local"].took_s = 120.0
    text, found = await transcribed(here, recording)
    assert found.get("text", text).split() == said()
    assert found["provider"] == "local"


@pytest.mark.fault("B26")
async def test_parts_that_all_time_out_are_a_deadline_and_what_is_finished_is_kept(recording: Path) -> None:
    """Not a fault of the network."""
    here = world()

    def two_then_none(call: Sent) -> Outcome:
        return hearing(call) if len(here.groq.calls) <= 2 else failure(FailureKind.TIMED_OUT)

    here.groq.reply = two_then_none
    text, found = await transcribed(here, recording)
    assert found["error"]["code"] == "deadline"
    assert "network" not in text
    assert "2 finished parts are kept" in text
    again = world()
    _, found = await transcribed(again, recording)
    assert found["text"].split() == said()
    assert any("2 of" in note and "not sent again" in note for note in found.get("notes", ()))


@pytest.mark.fault("B26")
async def test_a_cancelled_call_says_how_many_parts_are_kept(recording: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where a person sees it, and whoever reads the log."""
    here = world()
    reached = anyio.Event()

    async def hold() -> None:
        if len(here.groq.calls) > 3:
            reached.set()
            await anyio.sleep_forever()

    here.groq.before = hold
    async with anyio.create_task_group() as group:

        async def call() -> None:
            await transcribed(here, recording)

        group.start_soon(call)
        with anyio.fail_after(20):
            await reached.wait()
        group.cancel_scope.cancel()
    assert any("parts are kept; repeat the command to resume" in record.getMessage() for record in caplog.records)


@pytest.mark.fault("B6")
async def test_a_recording_whose_length_cannot_be_found_in_time_ends_at_the_deadline(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it would be looked at; and nothing is sent."""
    over: list[bool] = []

    def endless(opened: Any, *, stopped: Any, **_: Any) -> Any:
        while not stopped():
            time.sleep(0.01)
        over.append(True)
        raise AbandonedError

    monkeypatch.setattr(tool, "probe", endless)
    here = World([provider_models("groq", GROQ_SPEECH_MODELS)], timeouts=CallTimeouts(deadline_s=0.3))
    with anyio.fail_after(10):
        text, found = await transcribed(here, recording)
        while not over:  # noqa: ASYNC110 - a thread says so
            await anyio.sleep(0.01)
    assert found["error"]["code"] == "deadline"
    assert "within the deadline of 0.3 s" in text
    assert here.groq.calls == []


class _Tones:
    """The simulator's ears."""

    async def transcribe(self, content: bytes, *, language: str | None, translate: bool) -> Transcribed:
        """Every word."""
        return await heard(content)


@pytest.mark.nightly
async def test_an_hour_through_the_simulated_groq_loses_and_doubles_no_word(tmp_path: Path) -> None:
    """115 MB, in parts over both models, within the free plan's limits: no refusal, and what it bills is what is there."""
    hour = 3_600.0
    (tmp_path / "long.wav").write_bytes(wav(script(hour), hour))
    here = World([provider_models("groq", GROQ_SPEECH_MODELS)], timeouts=CallTimeouts(deadline_s=50.0))
    app = create_app(SimulatorOptions(latency_scale=0.0), catalog=CATALOG, clock=here.clock, speech_engine=_Tones())
    here.providers["groq"] = OpenAICompatible(  # type: ignore[assignment]
        "groq",
        base_url="http://simulated.test/openai/v1",
        key="gsk_simulated",
        clock=here.clock,
        transport=httpx2.ASGITransport(app=app),
    )
    _, found = await transcribed(here, tmp_path, save_to="out.txt")
    assert (tmp_path / "out.txt").read_text().split() == said(hour)
    assert found["simulated"] is True
    calls = {model: dict(counts) for model, counts in app.state.world.calls.items()}
    assert sum(counts.get("200", 0) for counts in calls.values()) == found["parts"]
    assert not any("429" in counts for counts in calls.values())
    assert CATALOG.limits(TURBO, "free")[Limit.ASH] == 7_200
