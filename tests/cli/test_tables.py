"""models and limits for people: tables on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from command_line import command, simulated
from rich.console import Console, RenderableType

from groq_fallback_mcp.cli.tables import limits_view, models_view
from groq_fallback_mcp.simulator import run_simulator

pytestmark = pytest.mark.anyio


def entry(limit: str, level: float, capacity: float) -> dict[str, Any]:
    """A limit as check_limits has it."""
    return {"limit": limit, "level": level, "capacity": capacity, "refill_per_s": 1, "full_in_s": 0, "knowledge": "documented"}


LIMITS: dict[str, Any] = {
    "tokens": 1_500,
    "store": "sqlite",
    "place": "x",
    "spent": {"day": "2026-11-29", "calls": 3, "tokens": 1200, "usd": "0.000400", "unpriced_calls": 0, "budget_usd": "2.00"},
    "calls_now_all_models": 5,
    "models": [
        {
            "model": "openai/a",
            "provider": "groq",
            "next_call_in_s": 0.0,
            "limits": [entry("rpm", 30, 30), entry("tpm", 800, 8000)],
        },
        {"model": "b", "provider": "groq", "next_call_in_s": 12.2, "blocked_by": "tokens", "limits": [entry("tpm", 0, 8000)]},
        {"model": "c", "provider": "other", "blocked_by": "no key is set", "limits": []},
        {"model": "w", "provider": "groq", "next_call_in_s": 0.0, "limits": [entry("ash", 3_600, 7_200)]},
    ],
}


def drawn(view: RenderableType, width: int) -> str:
    """A view as text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_limits_say_when_the_next_call_fits_and_why_not(width: int) -> None:
    """No line is wider than the terminal, no figure is cut."""
    lines = drawn(limits_view(LIMITS, width), width).splitlines()
    assert max(map(len, lines)) <= width
    rows = {line.split()[0]: line for line in lines if line.strip()}
    assert " now " in rows["a"]
    assert " in 12 s " in rows["b"]
    assert "800" in rows["a"]
    # what is left and what is used differ without color too
    assert re.search(r"[━╸]─", rows["a"])
    assert " no" in rows["other/c"]
    assert "other/c: no key is set" in "\n".join(lines)
    assert "60 m" in rows["w"]
    assert "…" not in "\n".join(lines)
    assert "$0.0004 of $2.00" in "\n".join(lines)


@pytest.mark.parametrize("width", [80, 120])
async def test_models_are_a_table_a_kind(width: int, tmp_path: Path) -> None:
    """From what list_models answers, with prices, speed and availability."""
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        done = await command("models", "--json", base_url=running.base_url, cwd=tmp_path)
    listed = json.loads(done.stdout)
    assert listed["schema_version"] == 1
    text = drawn(models_view(listed, width), width)
    assert max(map(len, text.splitlines())) <= width
    for words in ("Chat", "Speech to text", "gpt-oss-20b", "$0.075 / $0.30", "$0.04 per hour", "now"):
        assert words in text


@pytest.mark.parametrize(("words", "advised"), [("live but not in the catalog", True), ("shut down but still live", False)])
def test_the_table_of_models_advises_an_update_that_has_something_to_write(words: str, advised: bool) -> None:
    """Models that outlive their last day are used all the same."""
    text = drawn(models_view({"models": [], "live_list": "read", "drift": {words: ["a"]}}, 200), 200)
    assert f"The live list differs from the catalog ({words})" in text
    assert ("catalog update" in text) is advised


async def test_what_is_not_a_terminal_gets_plain_lines(tmp_path: Path) -> None:
    """A line a model, as the tools have it."""
    async with run_simulator(simulated()) as running:  # type: ignore[arg-type]
        done = await command("limits", base_url=running.base_url, cwd=tmp_path)
    assert "groq/openai/gpt-oss-20b: " in done.stdout
    assert "━" not in done.stdout
