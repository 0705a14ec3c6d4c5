"""The demonstration: four scenes on one screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import command

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One backend, as the demonstration runs in a process of its own."""
    return "asyncio"


@pytest.mark.nightly
async def test_the_demo_fits_one_screen_and_says_what_to_do_next(tmp_path: Path) -> None:
    """24 lines of 80 columns, with the fallback, the skip, the transcript and the error."""
    done = await command("demo", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    for words in ("✗ gpt-oss-20b rate limited for 30 s", "skipped", "✓ gpt-oss-120b", "✓ whisper", "rate_limited", "Next: "):
        assert words in done.stdout


@pytest.mark.nightly
async def test_the_whole_demo_is_available_as_json(tmp_path: Path) -> None:
    """Each result as an agent gets it."""
    done = await command("demo", "--full", "--json", cwd=tmp_path)
    shown = json.loads(done.stdout)
    assert (done.returncode, shown["schema_version"], shown["fallback"], shown["transcript"]) == (0, 1, True, True)
    assert len(shown["scenes"]) == 10
