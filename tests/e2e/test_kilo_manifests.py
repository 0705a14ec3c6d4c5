"""Kilo's manifests before the real Kilo: its own check, and whether the server is there and answers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import yaml
from e2e.kilo import Kilo
from e2e.npm_clients import REPOSITORY

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]
MANIFESTS = REPOSITORY / "manifests" / "kilo"
ENTRY = MANIFESTS / "marketplace" / "mcps" / "groq-fallback-mcp" / "MCP.yaml"


@pytest.fixture(autouse=True)
def _command_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the manifests expect it."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


async def checked(kilo: Kilo) -> tuple[int, str, str]:
    """The status of `kilo config check`, what it said, and what `kilo mcp list` said."""
    check, listed = await kilo.command("config", "check"), await kilo.command("mcp", "list")
    return check.status, check.stdout + check.stderr, listed.stdout + listed.stderr


@pytest.mark.parametrize(
    ("manifest", "place"),
    [
        ("kilo.json", "project/kilo.json"),
        pytest.param("kilo.json", "project/.kilo/kilo.json", marks=pytest.mark.nightly),
        pytest.param("kilo.json", "home/.config/kilo/kilo.json", marks=pytest.mark.nightly),
        pytest.param("mcp.json", "project/.kilocode/mcp.json", marks=pytest.mark.nightly),
    ],
)
async def test_kilo_finds_nothing_wrong_and_the_server_connected(kilo: Kilo, manifest: str, place: str) -> None:
    """In both formats, in every place that the manifests' README names."""
    target = kilo.home.parent / place
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text((MANIFESTS / manifest).read_text(encoding="utf-8"), encoding="utf-8")
    status, said, listed = await checked(kilo)
    assert status == 0, said
    assert "No config warnings" in said
    assert "groq" in listed
    assert "connected" in listed
    assert "1 server(s)" in listed


@pytest.mark.nightly
async def test_kilo_s_check_tells_of_the_reference_that_the_manifests_warn_of(kilo: Kilo) -> None:
    """So that the check above would have found it; and no server is left then."""
    config = json.loads((MANIFESTS / "kilo.json").read_text(encoding="utf-8"))
    config["mcp"]["groq"]["environment"]["GROQ_API_KEY"] = "{env:GROQ_API_KEY}"
    (kilo.project / "kilo.json").write_text(json.dumps(config), encoding="utf-8")
    status, said, listed = await checked(kilo)
    assert status == 1
    assert "environment references are not allowed" in said
    assert "connected" not in listed


@pytest.mark.nightly
async def test_what_the_marketplace_s_entry_installs_is_a_server_that_connects(kilo: Kilo) -> None:
    """With the key as Kilo fills it in, and with none, as it is optional."""
    entry = yaml.safe_load(ENTRY.read_text(encoding="utf-8"))
    (method,) = [method for method in entry["content"] if method["name"] == "installed command"]
    path = kilo.project / ".kilocode" / "mcp.json"
    path.parent.mkdir()
    for key in ("gsk_made_up", ""):
        server = json.loads(method["content"].replace("{{GROQ_API_KEY}}", key))
        path.write_text(json.dumps({"mcpServers": {entry["id"]: server}}), encoding="utf-8")
        status, said, listed = await checked(kilo)
        assert status == 0, said
        assert entry["id"] in listed
        assert "connected" in listed
