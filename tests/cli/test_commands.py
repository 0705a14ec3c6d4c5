"""The command line: results on stdout, messages on stderr, exit codes as people expect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from command_line import command, simulated

from groq_fallback_mcp import __version__
from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.cli.simulate import collect_faults
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import Fault, SimulatorOptions, create_app, run_simulator

pytestmark = pytest.mark.anyio


async def test_the_version_and_the_help_are_printed() -> None:
    """Every command stands in the help."""
    assert (await command("--version")).stdout.strip() == f"groq-fallback-mcp {__version__}"
    shown = (await command("--help")).stdout
    for name in ("serve", "chat", "models", "limits", "transcribe", "simulate", "demo", "doctor", "selftest"):
        assert f" {name} " in shown


async def test_the_four_tools_work_as_commands(tmp_path: Path) -> None:
    """For people, and with --json for programs."""
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        answer = await command("chat", "hello", base_url=running.base_url, cwd=tmp_path)
        assert (answer.returncode, answer.stdout) == (0, "This is a simulated answer to: hello\n")
        assert "[groq/openai/gpt-oss-20b" in answer.stderr
        piped = await command("chat", "-", "--json", base_url=running.base_url, cwd=tmp_path, stdin="from a pipe")
        assert "from a pipe" in json.loads(piped.stdout)["text"]
        about = await command("chat", "summarize", base_url=running.base_url, cwd=tmp_path, stdin="text\n")
        assert about.stdout == "This is a simulated answer to: summarize text\n"
        models = await command("models", "--json", "--kind", "chat", base_url=running.base_url, cwd=tmp_path)
        assert {model["kind"] for model in json.loads(models.stdout)["models"]} == {"chat"}
        limits = await command(
            "limits", "--json", "-m", "openai/gpt-oss-20b", "--probe", base_url=running.base_url, cwd=tmp_path
        )
        assert json.loads(limits.stdout)["probe"].startswith("2 limits read")
        heard = await command("transcribe", str(sample_path()), "-f", "srt", base_url=running.base_url, cwd=tmp_path)
        assert heard.stdout.strip().endswith("This is a simulated transcript.")
        assert heard.stdout.startswith("1\n00:00:00,000 --> ")
        assert "SIMULATED" in heard.stderr


async def test_a_schema_file_shapes_the_answer(tmp_path: Path) -> None:
    """And a broken one is named."""
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}')
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        answer = await command("chat", "a number", "--schema", str(schema), "--json", base_url=running.base_url, cwd=tmp_path)
    assert isinstance(json.loads(answer.stdout)["answer"]["n"], int)
    schema.write_text("{")
    broken = await command("chat", "x", "--schema", str(schema), cwd=tmp_path)
    assert (broken.returncode, "is not a JSON file" in broken.stderr) == (2, True)


async def test_a_call_that_failed_exits_with_1_and_says_so_on_stderr(tmp_path: Path) -> None:
    """Stdout stays empty."""
    limited = {"*": (Fault(kind="429", seconds=300.0),)}
    async with run_simulator(simulated(**limited)) as running:  # type: ignore[arg-type]
        result = await command("chat", "hello", base_url=running.base_url, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert "rate_limited" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chat", "x", "--model", "nope"], "Unknown model 'nope'"),
        (["chat", " "], "Prompt is empty"),
        (["transcribe", "missing.wav"], "missing.wav"),
        (["transcribe", "http://example.com/a.wav"], "https"),
        (["simulate", "--fault", "nonsense"], "Invalid fault 'nonsense'"),
        (["simulate", "--fault", "gpt-oss-2b=503"], "Unknown model 'gpt-oss-2b'. Did you mean"),
        (["simulate", "--like", "gemini", "--fault", "nope=503"], "Unknown model 'nope'. Use one of gemini"),
        (["simulate", "--like", "gemini", "--fast"], "--fast does not work with --like. Remove --fast."),
        (["simulate", "--like", "gemini", "--plain"], "--plain does not work with --like"),
        (["simulate", "--like", "gemini", "--keep-retired"], "--keep-retired does not work with --like"),
        (["simulate", "--like", "gemini", "--batch-seconds", "2"], "--batch-seconds does not work with --like"),
        (["simulate", "--like", "gemini", "--window", "9"], "--window does not work for Google Gemini"),
        (["simulate", "--window", "9"], "--window does not work for Groq"),
        (["chat", "x", "--temperature", "9"], "temperature"),
        (["chatt"], "chatt"),
    ],
)
async def test_bad_input_exits_with_2_and_one_message(arguments: list[str], words: str, tmp_path: Path) -> None:
    """No traceback."""
    result = await command(*arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr
    assert "Traceback" not in result.stderr


async def test_the_doctor_finds_what_is_missing_and_what_is_well(tmp_path: Path) -> None:
    """Exit 1 without anything that could serve, 0 with a working key."""
    ill = await command("doctor", "--json", cwd=tmp_path)
    findings = {finding["what"]: finding for finding in json.loads(ill.stdout)["findings"]}
    assert ill.returncode == 1
    assert findings["key"]["state"] == "fail"
    assert "GROQ_API_KEY" in findings["key"]["detail"]
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        well = await command("doctor", base_url=running.base_url, cwd=tmp_path)
    assert well.returncode == 0
    assert "as in the catalog" in well.stdout
    assert "ok   chat: openai/gpt-oss-20b → openai/gpt-oss-120b" in well.stdout
    assert well.stdout.splitlines()[-1] == "Ready."
    assert "gsk_" not in well.stdout


async def test_the_doctor_shows_a_key_that_is_refused_and_a_broken_file(tmp_path: Path) -> None:
    """With the reason."""
    options = SimulatorOptions(refused_keys=frozenset({"gsk_simulated"}))
    app = create_app(options, catalog=load_catalog(), clock=SystemClock())
    async with run_simulator(app) as running:
        refused = await command("doctor", base_url=running.base_url, cwd=tmp_path)
    assert (refused.returncode, "key: refused by Groq (401)" in refused.stdout) == (1, True)
    (tmp_path / "config.toml").write_text("plan = 7")
    broken = await command("doctor", cwd=tmp_path, GROQ_FALLBACK_CONFIG=str(tmp_path / "config.toml"))
    assert (broken.returncode, "config.toml" in broken.stdout) == (1, True)


async def test_the_simulator_says_where_it_listens_and_stops_on_a_signal(tmp_path: Path) -> None:
    """Started as a person would."""
    process = await anyio.open_process(
        [sys.executable, "-m", "groq_fallback_mcp", "simulate", "--port", "0", "--plain", "--fast"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    )
    async with process:
        assert process.stdout is not None
        with anyio.fail_after(20):
            line = (await process.stdout.receive()).decode()
        process.terminate()
        with anyio.fail_after(20):
            await process.wait()
    assert line.startswith("Simulated Groq API on http://127.0.0.1:")


def test_faults_of_one_model_keep_their_order() -> None:
    """As given on the command line."""
    faults = collect_faults(["m=429:5x2", "*=hang", "m=503"])
    assert faults == {"m": [Fault(kind="429", seconds=5.0, count=2), Fault(kind="503")], "*": [Fault(kind="hang")]}


def test_faults_of_one_model_by_two_names_are_all_met() -> None:
    """In the order given."""
    known = {"openai/gpt-oss-20b": "openai/gpt-oss-20b"}
    faults = collect_faults(["gpt-oss-20b=503x1", "openai/gpt-oss-20b=429:5x2"], known)
    assert faults == {"openai/gpt-oss-20b": [Fault(kind="503", count=1), Fault(kind="429", seconds=5.0, count=2)]}


@pytest.mark.nightly
@pytest.mark.parametrize("arguments", [("demo",), ("demo", "--full"), ("selftest",)])
def test_a_reader_that_leaves_ends_a_command_that_has_started_servers(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """As `| head` does. What was started is closed in order, without a traceback."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "groq_fallback_mcp", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert os.read(reading, 1)
    os.close(reading)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"Traceback" not in told
