"""Groq's key from the key ring or a private file, when the environment has none."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import keyring.backend
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from groq_fallback_mcp import credentials
from groq_fallback_mcp.cli.commands import app
from groq_fallback_mcp.credentials import find_key, forget_key, keep_in_file, keep_in_ring
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.settings import key_path, key_sources, load_settings

KEY = "gsk_canary0123456789"


class Ring(keyring.backend.KeyringBackend):
    """A key ring in memory; `locked` makes it wait for a person, as a real one does."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.locked: threading.Event | None = None
        self.asked = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.asked += 1
        if self.locked is not None:
            self.locked.wait()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def ring() -> Iterator[Ring]:
    """In the place of the system's."""
    before, mine = keyring.get_keyring(), Ring()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither in the environment nor in a configuration."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    monkeypatch.setenv("GROQ_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GROQ_FALLBACK_CONFIG", str(tmp_path / "config" / "config.toml"))


def found_key() -> str | None:
    """What the settings come to."""
    key = load_settings().api_key
    return None if key is None else key.get_secret_value()


def test_the_environment_goes_before_the_key_ring_and_the_key_ring_before_the_file(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is asked only when the one before has none."""
    assert found_key() is None
    keep_in_file(SecretStr("gsk_file000000"), key_path())
    assert found_key() == "gsk_file000000"
    assert keep_in_ring(SecretStr("gsk_ring000000"))
    assert found_key() == "gsk_ring000000"
    monkeypatch.setenv("GROQ_API_KEY", "gsk_environment")
    assert found_key() == "gsk_environment"


def test_a_kept_file_is_private_and_replaces_what_was_there(ring: Ring) -> None:
    """Mode 0600 in a folder of mode 0700; nothing else is left beside it."""
    keep_in_file(SecretStr("gsk_old000000"), key_path())
    keep_in_file(SecretStr(KEY), key_path())
    assert key_path().stat().st_mode & 0o777 == 0o600
    assert key_path().parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in key_path().parent.iterdir()] == [key_path().name]
    found = find_key(key_path())
    assert found is not None
    assert (found.key.get_secret_value(), found.source) == (KEY, str(key_path()))
    assert KEY not in repr(found)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_file_that_others_can_read_is_refused_with_the_command_that_mends_it(ring: Ring, mode: int) -> None:
    """As ssh does; the key is not in the message."""
    keep_in_file(SecretStr(KEY), key_path())
    key_path().chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {key_path()}") as caught:
        load_settings()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (f'http_token = "{KEY}"', "http_token"),
        ('state = "redis://:pa55word@127.0.0.1/0"', "a password in state"),
        ('state = "rediss://127.0.0.1/0?password=pa55word"', "a password in state"),
        ('state = "rediss://127.0.0.1/0?token_1=pa55word"', "a password in state"),
        ('proxy = "http://me:pa55word@127.0.0.1:1"', "a password in proxy"),
        ('api_key = "gsk_abcdefghij"\nhttp_token = "0123456789abcdefgh"', "api_key"),
        ('GROQ_API_KEY = "gsk_abcdefghij"\napi_key = ""', "api_key"),
    ],
)
def test_a_config_file_with_another_secret_must_be_private_and_is_told_which(
    ring: Ring, tmp_path: Path, line: str, named: str
) -> None:
    """An address without a password is none."""
    config = tmp_path / "config" / "config.toml"
    config.parent.mkdir()
    config.write_text('state = "rediss://127.0.0.1/0?ssl_keyfile=/k.pem"\nproxy = "http://127.0.0.1:1"\n', encoding="utf-8")
    config.chmod(0o644)
    assert load_settings().proxy is not None
    config.write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"contains {named}, and others can read it.*chmod 600") as caught:
        load_settings()
    assert not any(secret in str(caught.value) for secret in (KEY, "pa55word", "abcdefghij"))
    config.chmod(0o600)
    load_settings()


@pytest.mark.parametrize(
    "line",
    ['state = "redis://[::1"', "state = 7", f"state = 0x{'f' * 5_000}", 'proxy = "http://[x"', 'proxy = ["http://a:b@c"]'],
)
def test_an_address_that_is_none_is_told_as_that(
    ring: Ring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """Whoever can read the file."""
    monkeypatch.delenv("GROQ_FALLBACK_STATE", raising=False)
    config = tmp_path / "config" / "config.toml"
    config.parent.mkdir()
    config.write_text(f"{line}\n", encoding="utf-8")
    config.chmod(0o644)
    with pytest.raises(ConfigurationError, match=line.partition(" ")[0]):
        load_settings()


@pytest.mark.parametrize("name", ["api_key", "GROQ_API_KEY"])
def test_a_config_file_with_a_key_must_be_private_too(ring: Ring, tmp_path: Path, name: str) -> None:
    """By the setting's name as by its variable's. Without one it may be read by anybody."""
    config = tmp_path / "config" / "config.toml"
    config.parent.mkdir()
    config.write_text('plan = "developer"\n', encoding="utf-8")
    config.chmod(0o644)
    assert load_settings().plan == "developer"
    config.write_text(f'{name} = "{KEY}"\n', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_settings()
    config.chmod(0o600)
    assert found_key() == KEY
    assert [source.source for source in key_sources()] == [str(config)]


def test_a_key_in_the_environment_is_enough_whatever_the_file_is_like(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not even looked at."""
    keep_in_file(SecretStr(KEY), key_path())
    key_path().chmod(0o666)
    monkeypatch.setenv("GROQ_API_KEY", "gsk_environment")
    assert found_key() == "gsk_environment"


def test_a_file_that_is_no_file_is_refused_and_never_waited_for(ring: Ring) -> None:
    """A folder, a FIFO, and text that is no text."""
    key_path().parent.mkdir()
    key_path().mkdir()
    with pytest.raises(ConfigurationError, match="Cannot read the key file"):
        load_settings()
    key_path().rmdir()
    os.mkfifo(key_path(), 0o600)
    with pytest.raises(ConfigurationError, match="not a regular file"):
        load_settings()
    key_path().unlink()
    key_path().write_bytes(b"\xff\xfe")
    key_path().chmod(0o600)
    with pytest.raises(ConfigurationError, match="Cannot read the key file"):
        load_settings()


def test_a_key_ring_that_waits_for_a_person_is_given_up_on(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is asked next, and the key ring not again for the keys of other providers, until it is unlocked."""
    monkeypatch.setattr(credentials, "RING_S", 0.05)
    keep_in_file(SecretStr(KEY), key_path())
    ring.locked = threading.Event()
    try:
        assert found_key() == KEY
        asked = ring.asked
        assert asked > 0
        assert find_key(key_path(), "OTHER_API_KEY") is not None
        assert ring.asked == asked
    finally:
        ring.locked.set()
        for thread in credentials._waiting:
            thread.join()
    monkeypatch.setattr(credentials, "RING_S", 2.0)
    assert keep_in_ring(SecretStr("gsk_ring000000"))
    assert found_key() == "gsk_ring000000"


def test_a_key_ring_that_fails_is_none(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises."""

    def fail(*arguments: Any) -> None:
        raise RuntimeError(KEY)

    monkeypatch.setattr(ring, "get_password", fail)
    assert found_key() is None
    assert keep_in_ring(SecretStr(KEY)) is False


def test_the_command_keeps_and_forgets_a_key_without_showing_it(ring: Ring) -> None:
    """In the key ring, or in the file."""
    runner = CliRunner()
    kept = runner.invoke(app, ["key", "set"], input=f"{KEY}\n")
    assert (kept.exit_code, "keyring" in kept.output, KEY in kept.output) == (0, True, False)
    filed = runner.invoke(app, ["key", "set", "--file"], input=f"{KEY}\n")
    assert (filed.exit_code, str(key_path()) in filed.output.replace("\n", "")) == (0, True)
    forgotten = runner.invoke(app, ["key", "remove"])
    assert (forgotten.exit_code, forgotten.output.startswith("Removed from the system keyring and ")) == (0, True)
    assert runner.invoke(app, ["key", "remove"]).output == "No key was stored.\n"
    assert forget_key(key_path()) == []


def test_a_key_that_cannot_be_one_is_not_kept(ring: Ring) -> None:
    """Nor shown."""
    refused = CliRunner().invoke(app, ["key", "set"], input="gsk_canary with space\n")
    assert refused.exit_code == 2
    assert "canary" not in refused.output
    assert ring.kept == {}


def test_without_a_keyring_the_command_keeps_the_key_in_a_private_file(
    monkeypatch: pytest.MonkeyPatch, ring: Ring, tmp_path: Path
) -> None:
    """And says so."""
    monkeypatch.setattr(credentials, "_ask_ring", lambda question: None)
    monkeypatch.setenv("GROQ_FALLBACK_CONFIG", str(tmp_path / "config.toml"))
    stored = CliRunner().invoke(app, ["key", "set"], input=f"{KEY}\n")
    assert stored.exit_code == 0
    assert "no system keyring here" in stored.output.replace("\n", " ")
    assert (tmp_path / "groq-api-key").stat().st_mode & 0o777 == 0o600


def test_a_key_file_that_cannot_be_changed_is_told_with_its_path(tmp_path: Path) -> None:
    """Such as in a read-only home, or a folder that is root's."""
    (tmp_path / "config").write_text("no folder")
    file = tmp_path / "config" / "key"
    with pytest.raises(ConfigurationError, match=r"cannot be changed .*\. Make .*config writable"):
        keep_in_file(SecretStr("gsk_x"), file)
    with pytest.raises(ConfigurationError, match="cannot be changed"):
        forget_key(file)
