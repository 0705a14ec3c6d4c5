"""doctor, models and limits, the commands one turns to when something is wrong, are right without a key and with a refused one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fakes import World, provider_models
from fault_server import fault_server

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.cli.calls import call_tool
from groq_fallback_mcp.cli.doctor import doctor
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.command import server_command
from groq_fallback_mcp.providers.local.provider import available_models
from groq_fallback_mcp.providers.registry import REFUSED_LIFE_S
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, run_simulator

pytestmark = [pytest.mark.anyio, pytest.mark.fault("B28")]
GOOD, REFUSED = "gsk_good", "gsk_refused"
HEARS = any("whisper" in name for name in available_models())
WRITES = any("whisper" not in name and "hibari" not in name for name in available_models())
needs_local = pytest.mark.skipif(not (HEARS and WRITES), reason="the extra local is not installed")


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A simulated Groq that refuses one key."""
    options = SimulatorOptions(latency_scale=0.0, refused_keys=frozenset({REFUSED}))
    async with run_simulator(create_app(options, catalog=load_catalog(), clock=SystemClock())) as running:
        yield running.base_url


async def command(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command in an environment of its own, with a ledger of its own."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "COLUMNS": "200",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    return await anyio.to_thread.run_sync(
        lambda: subprocess.run(
            [*server_command(), *arguments],
            env={**environment, **more},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    )


async def findings(home: Path, **more: str) -> tuple[int, dict[str, Any], str]:
    """What doctor finds: its exit code, each finding by what it is about, and its verdict."""
    done = await command(home, "doctor", "--json", **more)
    found = json.loads(done.stdout)
    return done.returncode, {one["what"]: one for one in found["findings"]}, found["verdict"]


@needs_local
async def test_without_a_key_the_doctor_says_what_works_and_what_to_do_first(tmp_path: Path) -> None:
    """Chat does not work; transcription does, by the local model; the last line says how to set a key."""
    status, found, verdict = await findings(tmp_path)
    assert status == 1
    assert (found["key"]["state"], found["key"]["detail"].startswith("not set.")) == ("fail", True)
    assert (found["chat"]["state"], found["chat"]["detail"]) == ("fail", "unavailable (no API key)")
    assert (found["transcribe"]["state"], found["transcribe"]["detail"]) == ("warn", "local model only (no API key)")
    assert verdict == "Not ready. Run groq-fallback-mcp key set, or export GROQ_API_KEY."
    shown = await command(tmp_path, "doctor")
    assert shown.stdout.splitlines()[-1] == verdict


async def test_with_a_refused_key_the_doctor_says_so_and_does_not_call_it_ok(tmp_path: Path, url: str) -> None:
    """Nor does it list a model of Groq's as one that a call would use."""
    status, found, verdict = await findings(tmp_path, GROQ_API_KEY=REFUSED, GROQ_BASE_URL=url)
    assert status == 1
    assert found["key"]["state"] == "fail"
    assert found["key"]["detail"].startswith("refused by Groq (401)")
    assert found["chat"]["detail"] == "unavailable (API key refused)"
    assert "whisper-large" not in found["transcribe"]["detail"]
    assert verdict == "Not ready. Copy a valid key from console.groq.com/keys, then export it as GROQ_API_KEY."


async def test_with_a_good_key_it_is_ready(tmp_path: Path, url: str) -> None:
    """In one line at the end."""
    status, found, verdict = await findings(tmp_path, GROQ_API_KEY=GOOD, GROQ_BASE_URL=url)
    assert (status, verdict) == (0, "Ready.")
    assert found["chat"]["detail"].startswith("openai/gpt-oss-20b → openai/gpt-oss-120b")
    assert found["transcribe"]["detail"].startswith("whisper-large-v3-turbo → whisper-large-v3")


@needs_local
async def test_whoever_needs_no_key_is_ready_without_one(tmp_path: Path) -> None:
    """Local models only, local text switched on, and a server of the user's own."""
    only, _, verdict = await findings(tmp_path, GROQ_FALLBACK_LOCAL="only")
    assert (only, verdict) == (0, "Ready.")
    on, found, verdict = await findings(tmp_path, GROQ_FALLBACK_LOCAL="on")
    assert (on, verdict, found["key"]["state"]) == (0, "Ready.", "warn")
    (tmp_path / "config.toml").write_text('[[providers]]\npreset = "llamacpp"\n')
    own, found, verdict = await findings(tmp_path, GROQ_FALLBACK_CONFIG=str(tmp_path / "config.toml"))
    assert (own, verdict) == (0, "Ready.")
    assert "llamacpp" in found["chat"]["detail"]


async def test_the_doctor_says_what_to_do_first_about_a_broken_configuration_and_a_dead_network(tmp_path: Path) -> None:
    """Each with the next step of its own."""
    (tmp_path / "config.toml").write_text("plan = 7")
    status, _, verdict = await findings(tmp_path, GROQ_FALLBACK_CONFIG=str(tmp_path / "config.toml"))
    assert (status, "plan" in verdict) == (1, True)
    status, _, verdict = await findings(tmp_path, GROQ_API_KEY=GOOD, GROQ_BASE_URL="http://127.0.0.1:9")
    assert (status, verdict) == (1, "Not ready. Check the network and GROQ_BASE_URL.")


@pytest.mark.nightly
@pytest.mark.parametrize(("key", "why"), [("", "no API key"), (REFUSED, "Groq refused the API key (401)")])
async def test_models_and_limits_say_that_no_model_of_groq_s_can_be_used(tmp_path: Path, url: str, key: str, why: str) -> None:
    """In the first call ever, and after one that was refused."""
    given = {"GROQ_API_KEY": key, "GROQ_BASE_URL": url}
    for _ in range(2):
        models = json.loads((await command(tmp_path, "models", "--json", **given)).stdout)["models"]
        groq = [model for model in models if model["provider"] == "groq"]
        assert groq
        assert all(why in model["available"] for model in groq)
        limits = json.loads((await command(tmp_path, "limits", "--json", **given)).stdout)
        assert limits["calls_now_all_models"] == 0
        assert all(why in model["blocked_by"] and model["calls_now"] == 0 for model in limits["models"])
        refused = await command(tmp_path, "chat", "hi", **given)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.splitlines()[0].startswith("authentication: ")


RESTRICTED = ("Groq refuses this organization", "Not ready. Ask Groq's support about your organization.")
UNPAID = ("Groq requires payment", "Not ready. Check the credit and billing at console.groq.com.")


@pytest.mark.fault("C6")
@pytest.mark.parametrize(
    ("mode", "why", "verdict"),
    [("models:403", *RESTRICTED), ("403", *RESTRICTED), ("models:402", *UNPAID), ("402", *UNPAID)],
)
async def test_a_refused_account_is_named_by_all_three_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mode: str, why: str, verdict: str
) -> None:
    """Whether the live list is refused too, or only calls are. None gives a time to come back, as time does not help."""
    with fault_server(mode) as groq:
        given = {
            "GROQ_API_KEY": GOOD,
            "GROQ_BASE_URL": groq.url,
            "GROQ_FALLBACK_LOCAL": "off",
            "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
        }
        for name, value in {**given, "GROQ_FALLBACK_STATE": f"sqlite:///{tmp_path / 'ledger.db'}"}.items():
            monkeypatch.setenv(name, value)
        if not mode.startswith("models:"):
            assert await call_tool("groq_chat", {"prompt": "hi"}, as_json=False) == 1
        capsys.readouterr()
        await call_tool("check_limits", {}, as_json=True)
        limits = json.loads(capsys.readouterr().out)
        await call_tool("check_limits", {}, as_json=False)
        shown = capsys.readouterr().out
        await call_tool("list_models", {}, as_json=True)
        models = json.loads(capsys.readouterr().out)["models"]
        status = await doctor(as_json=True)
        report = json.loads(capsys.readouterr().out)
    assert limits["calls_now_all_models"] == 0
    assert all(why in model["blocked_by"] and model["available"] is False for model in limits["models"])
    assert not any({"next_call_in_s", "cooldown_s"} & model.keys() for model in limits["models"])
    assert (f"not available ({why}" in shown, "next call in" in shown) == (True, False)
    listed = [model["available"] for model in models if model.get("listed") is not False]
    assert set(listed) == {f"no, {why}"}
    chat = next(finding for finding in report["findings"] if finding["what"] == "chat")
    assert (status, report["verdict"], chat["detail"]) == (1, verdict, f"unavailable ({why})")


@needs_local
async def test_models_says_which_local_models_serve_on_request_only(tmp_path: Path) -> None:
    """Text does, speech does not."""
    models = json.loads((await command(tmp_path, "models", "--json")).stdout)["models"]
    local = {model["kind"]: model["available"] for model in models if model["provider"] == "local"}
    assert local["chat"] == "only with local_only"
    assert local["speech_to_text"] == "now"


async def test_a_good_key_is_checked_once_in_a_while_and_a_refused_one_again_some_seconds_later() -> None:
    """At no charge, by the live list; what it lists is not taken from that. Who watches the limits asks every second."""
    from groq_fallback_mcp.call import Failure, FailureKind

    world = World([provider_models("groq", ["openai/gpt-oss-20b"])])
    registry = world.engine.registry
    answers: list[Any] = [
        Failure(kind=FailureKind.AUTHENTICATION, message="no", status=401),
        Failure(kind=FailureKind.UNREACHABLE, message="no"),
        (),
    ]

    class Groq:
        unready = None

        async def live_models(self, *, timeout_s: float) -> Any:
            return answers.pop(0)

    registry._groq = Groq()  # type: ignore[assignment]
    for _ in range(2):
        assert await registry.refused(timeout_s=1) is FailureKind.AUTHENTICATION
    for left in (1, 0):
        world.clock.advance(REFUSED_LIFE_S)
        assert [await registry.refused(timeout_s=1) for _ in range(3)] == [None, None, None]
        assert len(answers) == left
    assert registry.models()[0].live is None


@needs_local
@pytest.mark.nightly
@pytest.mark.fault("A9")
@pytest.mark.parametrize("key", ["", REFUSED])
async def test_chat_without_a_usable_key_prints_no_text_and_fails_and_local_text_is_an_option(
    tmp_path: Path, url: str, key: str
) -> None:
    """After a refused key not even `--local` hides it; `--local-only` never asks Groq."""
    given = {"GROQ_API_KEY": key, "GROQ_BASE_URL": url, "GROQ_FALLBACK_STATE": "memory"}
    plain = await command(tmp_path, "chat", "hi", **given)
    assert (plain.returncode, plain.stdout) == (1, "")
    local = await command(tmp_path, "chat", "hi", "--local", **given)
    only = await command(tmp_path, "chat", "hi", "--local-only", **given)
    assert (only.returncode, "small local model" in only.stderr) == (0, True)
    if key:
        assert (local.returncode, local.stdout) == (1, "")
        assert local.stderr.splitlines()[0] == "authentication: Groq refused the API key (401)."
    else:
        assert local.returncode == 0
        assert local.stderr.splitlines()[0].startswith("Note: No Groq API key is set, so Groq was not used.")


@needs_local
@pytest.mark.fault("A9")
async def test_a_transcript_of_the_local_model_says_first_that_there_is_no_key(tmp_path: Path) -> None:
    """The transcript alone on stdout, as ever."""
    heard = await command(tmp_path, "transcribe", str(sample_path()))
    assert heard.returncode == 0
    assert "next one answers" in heard.stdout
    assert heard.stderr.splitlines()[0].startswith("Note: No Groq API key is set, so Groq was not used.")
