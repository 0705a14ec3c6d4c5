"""The branches of macOS, run here. Its service is tested in tests/cli/test_gateway_service.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from systems import be_macos

from groq_fallback_mcp.clients.client import _under
from groq_fallback_mcp.settings import config_path, state_folder


def test_files_are_kept_in_application_support(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ours and those of clients."""
    be_macos(monkeypatch)
    monkeypatch.delenv("GROQ_FALLBACK_CONFIG")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    support = tmp_path / "Library/Application Support"
    assert config_path() == support / "groq-fallback-mcp/config.toml"
    assert state_folder() == support / "groq-fallback-mcp"
    assert _under(tmp_path, "@app/Code/User/mcp.json") == support / "Code/User/mcp.json"
