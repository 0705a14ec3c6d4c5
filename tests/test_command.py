"""What a message names to add an extra: a command for how this copy was installed, from where it came."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from groq_fallback_mcp import command
from groq_fallback_mcp.command import install_command

WHEEL = {"url": "file:///src/my%20wheels/x.whl", "archive_info": {}}
EDITABLE = {"url": "file:///src/checkout", "dir_info": {"editable": True}}
COPY = {"url": "file:///src/checkout", "dir_info": {}}
GIT = {"url": "https://git.example/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with pip and no extra."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/venv/bin/python")
    has(monkeypatch, "pip")
    return tmp_path


def has(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Only these modules are installed."""
    monkeypatch.setattr(command, "find_spec", lambda name: object() if name in modules else None)


def came_from(monkeypatch: pytest.MonkeyPatch, origin: dict[str, Any] | None) -> None:
    """What the installer recorded; None for a package index."""

    class Distribution:
        def read_text(self, name: str) -> str | None:
            return None if origin is None else json.dumps(origin)

    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Distribution())


@pytest.mark.parametrize(
    ("marker", "origin", "expected"),
    [
        (None, None, "/venv/bin/python -m pip install 'groq-fallback-mcp[audio]'"),
        (None, WHEEL, "/venv/bin/python -m pip install '/src/my wheels/x.whl[audio]'"),
        (None, EDITABLE, "/venv/bin/python -m pip install -e '/src/checkout[audio]'"),
        (None, GIT, "/venv/bin/python -m pip install 'groq-fallback-mcp[audio] @ git+https://git.example/x.git@abc123'"),
        ("uv-receipt.toml", None, "uv tool install --force 'groq-fallback-mcp[audio]'"),
        ("uv-receipt.toml", COPY, "uv tool install --force '/src/checkout[audio]'"),
        ("uv-receipt.toml", EDITABLE, "uv tool install --force -e '/src/checkout[audio]'"),
        ("pipx_metadata.json", COPY, "pipx install --force '/src/checkout[audio]'"),
    ],
)
def test_the_command_is_that_of_the_installer_and_the_source(
    prefix: Path, monkeypatch: pytest.MonkeyPatch, marker: str | None, origin: dict[str, Any] | None, expected: str
) -> None:
    """By the file that each installer leaves in an environment."""
    if marker:
        (prefix / marker).write_text("")
    came_from(monkeypatch, origin)
    assert install_command("audio") == expected


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        (".cache/uv/archive-v0/abc", "uvx --from '/src/checkout[audio]' groq-fallback-mcp"),
        (".cache/pipx/abc", "pipx run --spec '/src/checkout[audio]' groq-fallback-mcp"),
    ],
)
def test_a_copy_that_runs_from_a_cache_is_run_with_the_extra(
    prefix: Path, monkeypatch: pytest.MonkeyPatch, cache: str, expected: str
) -> None:
    """Nothing is installed."""
    monkeypatch.setattr(sys, "prefix", str(prefix / cache))
    came_from(monkeypatch, COPY)
    assert install_command("audio") == expected


def test_extras_that_are_installed_stay(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installers replace what was there; local includes audio."""
    came_from(monkeypatch, None)
    has(monkeypatch, "pip", "av", "redis")
    assert "'groq-fallback-mcp[audio,keyring,redis]'" in install_command("keyring")
    assert "'groq-fallback-mcp[local,redis]'" in install_command("local")


def test_an_environment_without_pip_is_uv_s(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `uv venv` creates them."""
    came_from(monkeypatch, None)
    has(monkeypatch)
    assert install_command("audio") == "uv pip install --python /venv/bin/python 'groq-fallback-mcp[audio]'"
