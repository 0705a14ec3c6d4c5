"""The demonstration: four scenes on one screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import command

from groq_fallback_mcp.harness.child import open_rig, server_child

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One backend, as the demonstration runs in a process of its own."""
    return "asyncio"


async def test_a_scene_without_a_key_uses_none_of_the_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the real one of whoever watches."""
    (tmp_path / "ring_of_a_user.py").write_text(
        "from keyring.backend import KeyringBackend\n"
        "class Ring(KeyringBackend):\n"
        "    priority = 1\n"
        "    def get_password(self, service, username): return 'gsk_real_0123456789'\n"
        "    def set_password(self, service, username, password): pass\n"
        "    def delete_password(self, service, username): pass\n"
    )
    configured = tmp_path / ".config" / "python_keyring" / "keyringrc.cfg"
    configured.parent.mkdir(parents=True)
    configured.write_text(f"[backend]\ndefault-keyring=ring_of_a_user.Ring\nkeyring-path={tmp_path}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with open_rig(faults={}) as rig, server_child({**rig.environment, "GROQ_API_KEY": ""}) as client:
        result = await client.call_tool("groq_chat", {"prompt": "hello"})
    assert result.is_error
    assert "GROQ_API_KEY is not set" in str(result.content)


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
