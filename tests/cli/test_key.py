"""`key set` tries a key before it stores it, `key status` says which key is used; neither shows one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import command
from typer.testing import CliRunner

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.cli import key as key_module
from groq_fallback_mcp.cli.commands import app
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.settings import key_path
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, run_simulator

pytestmark = pytest.mark.anyio
GOOD, REFUSED = "gsk_good0123456789", "gsk_refused0123456789"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
async def groq(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """The environment of a simulated Groq that refuses one key, with its configuration in `tmp_path`."""
    options = SimulatorOptions(latency_scale=0.0, refused_keys=frozenset({REFUSED}))
    async with run_simulator(create_app(options, catalog=load_catalog(), clock=SystemClock())) as running:
        yield {**at(tmp_path), "GROQ_BASE_URL": running.base_url}


def at(folder: Path) -> dict[str, str]:
    """No keyring, and the key file in this folder."""
    return {
        "GROQ_FALLBACK_CONFIG": str(folder / "config.toml"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }


async def test_a_key_that_works_is_stored_with_a_word(tmp_path: Path, groq: dict[str, str]) -> None:
    """And `status` finds it."""
    done = await command("key", "set", "--file", cwd=tmp_path, stdin=f"{GOOD}\n", **groq)
    assert (done.returncode, done.stdout.startswith("The key works. Stored in ")) == (0, True)
    assert (tmp_path / "groq-api-key").read_text() == f"{GOOD}\n"
    status = await command("key", "status", cwd=tmp_path, **groq)
    assert status.returncode == 0
    assert status.stdout == f"{tmp_path / 'groq-api-key'}: {len(GOOD)} characters, used\nThe key works.\n"


async def test_without_a_keyring_the_key_goes_into_a_private_file(tmp_path: Path, groq: dict[str, str]) -> None:
    """As on a machine where the README's first commands are tried; it says so, and how to get a keyring."""
    done = await command("key", "set", cwd=tmp_path, stdin=f"{GOOD}\n", **groq)
    assert (done.returncode, "no system keyring here" in done.stdout) == (0, True)
    assert (tmp_path / "groq-api-key").stat().st_mode & 0o777 == 0o600


async def test_a_refused_key_is_not_stored_unless_forced(tmp_path: Path, groq: dict[str, str]) -> None:
    """Exit status 1 and one line, where nobody can be asked."""
    done = await command("key", "set", "--file", cwd=tmp_path, stdin=f"{REFUSED}\n", **groq)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "refused this key (401), so it was not stored" in done.stderr
    assert not (tmp_path / "groq-api-key").exists()
    forced = await command("key", "set", "--file", "--force", cwd=tmp_path, stdin=f"{REFUSED}\n", **groq)
    assert (forced.returncode, forced.stdout.startswith("Groq refused the key (401). Stored in ")) == (0, True)
    status = await command("key", "status", cwd=tmp_path, **groq)
    assert (status.returncode, status.stdout.splitlines()[-1]) == (1, "Groq refused the key (401).")


async def test_without_a_network_the_key_is_stored_and_said_to_be_unchecked(tmp_path: Path) -> None:
    """It may be right."""
    done = await command("key", "set", "--file", cwd=tmp_path, stdin=f"{GOOD}\n", **at(tmp_path), GROQ_BASE_URL=NOWHERE)
    assert done.returncode == 0
    assert "The key could not be checked (" in done.stdout
    assert (tmp_path / "groq-api-key").is_file()
    status = await command("key", "status", cwd=tmp_path, **at(tmp_path), GROQ_BASE_URL=NOWHERE)
    assert status.returncode == 1


async def test_a_key_of_the_environment_that_hides_a_stored_one_is_named(tmp_path: Path, groq: dict[str, str]) -> None:
    """When storing, removing and looking; no part of a key is shown."""
    given = {**groq, "GROQ_API_KEY": REFUSED}
    done = await command("key", "set", "--file", cwd=tmp_path, stdin=f"{GOOD}\n", **given)
    assert "Note: The key in the environment variable GROQ_API_KEY takes precedence" in done.stdout
    status = await command("key", "status", cwd=tmp_path, **given)
    first, second, last = status.stdout.splitlines()
    assert first == f"the environment variable GROQ_API_KEY: {len(REFUSED)} characters, used"
    assert second.endswith("not used, the environment variable GROQ_API_KEY takes precedence")
    assert last == "Groq refused the key (401)."
    listed = json.loads((await command("key", "status", "--json", cwd=tmp_path, **given)).stdout)
    assert (listed["state"], [one["used"] for one in listed["keys"]]) == ("refused", [True, False])
    removed = await command("key", "remove", cwd=tmp_path, **given)
    assert "Note: GROQ_API_KEY is still set in the environment." in removed.stdout
    for text in (done.stdout, status.stdout, json.dumps(listed), removed.stdout):
        assert "0123456789" not in text


async def test_without_a_key_the_status_says_how_to_set_one(tmp_path: Path) -> None:
    """Exit status 1."""
    done = await command("key", "status", cwd=tmp_path, **at(tmp_path))
    assert (done.returncode, done.stdout) == (
        1,
        "No API key is set. Run groq-fallback-mcp key set, or export GROQ_API_KEY.\n",
    )


async def test_a_key_of_config_toml_is_named_when_the_stored_ones_are_removed(tmp_path: Path) -> None:
    """It is still used."""
    config = tmp_path / "config.toml"
    config.write_text(f'api_key = "{GOOD}"\n')
    config.chmod(0o600)
    done = await command("key", "remove", cwd=tmp_path, **at(tmp_path))
    assert (done.returncode, done.stdout) == (0, f"No key was stored.\nNote: {config} still has a key. Remove it too.\n")


async def test_a_config_toml_that_cannot_be_read_keeps_no_key_from_being_removed(tmp_path: Path) -> None:
    """That it may have another one is said."""
    stored = tmp_path / "groq-api-key"
    stored.write_text(f"{GOOD}\n")
    stored.chmod(0o600)
    (tmp_path / "config.toml").write_text("= wrong\n")
    done = await command("key", "remove", cwd=tmp_path, **at(tmp_path))
    assert (done.returncode, stored.exists()) == (0, False), done
    assert "Note: Whether config.toml has a key is not known." in done.stdout
    assert "Traceback" not in done.stderr


async def test_a_key_is_tried_even_where_the_stored_one_cannot_be_read(tmp_path: Path, groq: dict[str, str]) -> None:
    """Storing it anew is the way out."""
    old = tmp_path / "groq-api-key"
    old.write_text("gsk_old\n")
    old.chmod(0o644)
    done = await command("key", "set", "--file", cwd=tmp_path, stdin=f"{GOOD}\n", **groq)
    assert (done.returncode, old.read_text()) == (0, f"{GOOD}\n")


@pytest.mark.parametrize(("answer", "stored"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_a_refused_key_is_stored_only_if_the_person_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, stored: bool
) -> None:
    """No, unless they say yes."""

    async def refuse(key: object) -> object:
        return key_module._Checked(state="refused")

    monkeypatch.setenv("GROQ_FALLBACK_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setattr(key_module, "_check", refuse)
    monkeypatch.setattr(key_module, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    done = CliRunner().invoke(app, ["key", "set", "--file"], input=f"{REFUSED}\n{answer}\n")
    assert "Store it anyway? [y/N]" in done.output
    assert (done.exit_code, key_path().is_file()) == (0 if stored else 1, stored)
    assert REFUSED not in done.output
