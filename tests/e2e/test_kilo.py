"""Our server in the real Kilo CLI, offline: what Kilo's model is shown, and what stays behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence

import anyio
import anyio.to_thread
import pytest
from e2e.conftest import SimulatedGroq, StalledText
from e2e.kilo import RUN_TIMEOUT_S, Kilo, Run
from e2e.processes import END_S, Watch, marked
from e2e.scripted_model import LAST_WORDS, ScriptedModel, ToolCall
from heard import words_of

from groq_fallback_mcp.audio.samples import SAMPLE_TEXT, sample_path
from groq_fallback_mcp.mcp_server.build import INSTRUCTIONS

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

FIRST, SECOND = "openai/gpt-oss-20b", "openai/gpt-oss-120b"
QUESTION = "Name three colors."


async def converse(
    kilo: Kilo, groq: SimulatedGroq, *calls: ToolCall, on_request: Callable[[], None] | None = None, mark: str = ""
) -> tuple[ScriptedModel, Run]:
    """Let Kilo's model make these calls of our server's tools; `mark` stands in the server's environment."""
    model = ScriptedModel(calls=calls, on_request=on_request)
    async with model.serve() as url:
        kilo.configure(model_url=url, server_environment={**groq.environment, "E2E_MARK": mark})
        run = await kilo.ask("Follow the script.")
    assert run.status == 0, run
    assert LAST_WORDS in run.stdout, run
    return model, run


def tool_states(run: Run) -> Sequence[str]:
    """What Kilo itself thinks became of each call."""
    events = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    return [event["part"]["state"]["status"] for event in events if event["type"] == "tool_use"]


@pytest.mark.client("Kilo Code", "calls", "falls back")
async def test_a_rate_limited_model_is_replaced_and_kilos_model_is_told(kilo: Kilo, groq: SimulatedGroq) -> None:
    """The text, the model that wrote it and both attempts; each model was asked once."""
    groq.fail(f"{FIRST}=429:30")

    model, run = await converse(kilo, groq, ToolCall(name="groq_groq_chat", arguments={"prompt": QUESTION}))

    (shown,) = model.tool_results
    (written,) = groq.text.written
    text, _, account = shown.partition(f"\n\n[groq/{SECOND}, ")
    attempts = account.partition("Attempts:\n")[2].splitlines()
    assert text == written.strip()
    assert len(attempts) == 2, shown
    assert re.match(rf"- groq/{FIRST}: rate limited \(HTTP 429\) after .*retry in 30 s", attempts[0])
    assert attempts[1].startswith(f"- groq/{SECOND}: answered after ")
    assert "SIMULATED" in account
    assert groq.calls == {FIRST: {"429": 1}, SECOND: {"200": 1}}
    assert tool_states(run) == ["completed"]


@pytest.mark.client("Kilo Code", "lists")
async def test_kilos_model_is_offered_our_four_tools_and_instructions(kilo: Kilo, groq: SimulatedGroq) -> None:
    """Under Kilo's names, with a description, and nothing was asked of Groq for that."""
    model, _ = await converse(kilo, groq)

    ours = {name: tool for name, tool in model.tools.items() if name.startswith("groq_")}
    assert set(ours) == {"groq_check_limits", "groq_groq_chat", "groq_list_models", "groq_transcribe"}
    assert all(tool["description"] for tool in ours.values())
    assert "prompt" in ours["groq_groq_chat"]["parameters"]["properties"]
    assert INSTRUCTIONS in " ".join(model.system_prompt.split())
    assert groq.calls == {}


@pytest.mark.nightly
@pytest.mark.client("Kilo Code", "transcribes")
async def test_speech_in_the_project_folder_is_written_down_for_kilos_model(kilo: Kilo, groq: SimulatedGroq) -> None:
    """By its name alone; word for word where the local speech model is what the simulator hears with."""
    shutil.copy(sample_path(), kilo.project / "speech.flac")

    model, run = await converse(kilo, groq, ToolCall(name="groq_transcribe", arguments={"file": "speech.flac"}))

    (shown,) = model.tool_results
    transcript = shown.splitlines()[0]
    assert words_of(transcript) == words_of(SAMPLE_TEXT if groq.hears else "This is a simulated transcript.")
    assert "[groq/whisper-large-v3-turbo, " in shown
    assert groq.calls == {"whisper-large-v3-turbo": {"200": 1}}
    assert tool_states(run) == ["completed"]


@pytest.mark.nightly
@pytest.mark.client("Kilo Code", "sees errors")
async def test_a_bad_argument_is_explained_to_kilos_model(kilo: Kilo, groq: SimulatedGroq) -> None:
    """Cause and next step as text, which is all that Kilo shows of an error; nothing goes to Groq, and the next call is served."""
    wrong_name = ToolCall(name="groq_groq_chat", arguments={"promt": QUESTION})
    wrong_value = ToolCall(name="groq_groq_chat", arguments={"prompt": QUESTION, "max_tokens": "many"})
    right = ToolCall(name="groq_groq_chat", arguments={"prompt": QUESTION})

    model, run = await converse(kilo, groq, wrong_name, wrong_value, right)

    name, value, served = model.tool_results
    assert "Unknown argument 'promt', did you mean 'prompt'?" in name
    assert "max_tokens" in value
    assert "'many'" in value
    for error in (name, value):
        assert error.startswith("invalid_arguments: ")
        assert re.search(r"^Next step: .*\bprompt\b", error, re.MULTILINE)
    assert served.startswith(groq.text.written[0].strip())
    assert groq.calls == {FIRST: {"200": 1}}
    assert tool_states(run) == ["error", "error", "completed"]


async def test_kilo_lists_our_server_as_connected(kilo: Kilo, groq: SimulatedGroq) -> None:
    """With its tick; a server that refuses its configuration gets the cross, so that the tick means something."""
    assert await listed(kilo, groq.environment) == ("✓", "connected")
    assert await listed(kilo, {**groq.environment, "GROQ_FALLBACK_LOCAL": "perhaps"}) == ("✗", "failed")


async def listed(kilo: Kilo, environment: Mapping[str, str]) -> tuple[str, str]:
    """The sign and the word of our line in `kilo mcp list`."""
    kilo.configure(model_url="http://127.0.0.1:9/v1", server_environment=environment)
    run = await kilo.command("mcp", "list")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", run.stdout)
    found = re.search(r"(\S) groq (\w+)$", plain, re.MULTILINE)
    assert found is not None, run
    return found[1], found[2]


@pytest.mark.nightly
async def test_our_server_ends_with_kilo(kilo: Kilo, groq: SimulatedGroq, watch: Watch) -> None:
    """It lived while Kilo asked its model, and is gone, with all it started, soon after Kilo has finished."""
    call = ToolCall(name="groq_list_models", arguments={})

    await converse(kilo, groq, call, on_request=watch.take_hold, mark=watch.mark)

    assert watch.seen, "our server was never there"
    assert watch.left_after(END_S) == set()
    assert marked(watch.mark) == set()


@pytest.mark.nightly
@pytest.mark.client("Kilo Code", "cleans up")
async def test_our_server_ends_when_kilo_is_killed_during_a_call(kilo: Kilo, groq: SimulatedGroq, watch: Watch) -> None:
    """Kilo has no time to say goodbye, and the call is still under way."""
    groq.text.engine = stalled = StalledText()
    model = ScriptedModel(calls=[ToolCall(name="groq_groq_chat", arguments={"prompt": QUESTION})])
    async with model.serve() as url:
        kilo.configure(model_url=url, server_environment={**groq.environment, "E2E_MARK": watch.mark})
        async with kilo.started("Follow the script.") as process:
            with anyio.fail_after(RUN_TIMEOUT_S):
                await stalled.asked.wait()
            watch.take_hold()
            process.kill()
        left = await anyio.to_thread.run_sync(watch.left_after, END_S)
    stalled.let_go.set()

    assert watch.seen, "our server was never there"
    assert left == set()
    assert marked(watch.mark) == set()
