"""Commands in a console that has few letters: nothing fails, and what programs read keeps all."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.cli.console import print_json, print_json_line
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import Generated, SimulatorOptions, create_app, run_simulator

ANSWER = "Grüße, 世界 ✓"
ON_TERMINAL = "Grüße, ?? ?"


class Speaker:
    """Answers every prompt with the same letters."""

    async def answer(self, messages: Sequence[Mapping[str, Any]], *, max_tokens: int, temperature: float) -> Generated:
        del messages, max_tokens, temperature
        return Generated(text=ANSWER, input_tokens=8, output_tokens=8)


def run(folder: Path, base_url: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """A command whose output is in Windows' encoding of western Europe."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONIOENCODING": "cp1252",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        "GROQ_API_KEY": "gsk_simulated",
        "GROQ_BASE_URL": base_url,
        "GROQ_FALLBACK_LOCAL": "off",
        "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
        "GROQ_FALLBACK_STATE": f"sqlite://{folder}/ledger.sqlite3",
    }
    command = [sys.executable, "-m", "groq_fallback_mcp", *arguments]
    return subprocess.run(command, capture_output=True, check=False, env=environment, cwd=folder, timeout=120)


@pytest.mark.anyio
async def test_commands_write_to_a_console_with_few_letters(tmp_path: Path) -> None:
    """A letter that it lacks is a question mark on it; JSON and files have it."""
    app = create_app(SimulatorOptions(latency_scale=0.0), catalog=load_catalog(), clock=SystemClock(), text_engine=Speaker())
    async with run_simulator(app) as running:

        async def output(*arguments: str, status: int = 0) -> str:
            ended = await anyio.to_thread.run_sync(run, tmp_path, running.base_url, *arguments)
            assert b"Traceback" not in ended.stderr, ended.stderr
            assert ended.returncode == status, ended.stderr
            return ended.stdout.decode("cp1252")

        assert "Usage" in await output("--help")
        assert ON_TERMINAL in await output("chat", "hello")
        assert json.loads(await output("chat", "--json", "hello"))["text"].startswith(ANSWER)
        await output("chat", "-o", "answer.md", "hello")
        assert ANSWER in (tmp_path / "answer.md").read_text(encoding="utf-8")
        assert "gpt-oss-20b" in await output("limits")
        assert "gpt-oss" in await output("log")
        assert "key" in await output("doctor")


@pytest.mark.parametrize("printed", [print_json, print_json_line])
def test_json_keeps_every_letter_where_the_console_lacks_it(
    printed: Callable[[Mapping[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One object, or a line for each call that ends."""
    console = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", errors="replace")
    monkeypatch.setattr(sys, "stdout", console)
    printed({"label": ANSWER})
    console.flush()
    console.seek(0)
    assert json.loads(console.read())["label"] == ANSWER
