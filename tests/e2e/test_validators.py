"""The manifests before the validators of those whose formats they are."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from e2e.npm_clients import REPOSITORY, Npm

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]
MANIFESTS = REPOSITORY / "manifests"


@pytest.fixture
def npm(tmp_path: Path) -> Npm:
    """Validators with a throw-away home."""
    return Npm(tmp_path)


async def test_the_bundle_is_valid_packs_and_holds_what_it_says(npm: Npm) -> None:
    """Anthropic's mcpb."""
    checked = await npm.run("mcpb", "validate", str(MANIFESTS / "mcpb" / "manifest.json"))
    assert checked.status == 0, checked
    packed = await npm.run("mcpb", "pack", str(MANIFESTS / "mcpb"), "out.mcpb")
    assert packed.status == 0, packed
    with zipfile.ZipFile(npm.project / "out.mcpb") as bundle:
        names = set(bundle.namelist())
        assert {"manifest.json", "pyproject.toml", "server/main.py"} <= names
        manifest = json.loads(bundle.read("manifest.json"))
        compile(bundle.read(manifest["server"]["entry_point"]), "main.py", "exec")


@pytest.mark.parametrize("path", ["claude/marketplace", "claude/marketplace/plugins/groq-fallback-mcp"])
async def test_claude_takes_plugin_and_marketplace(npm: Npm, path: str) -> None:
    """Strictly."""
    checked = await npm.run("claude", "plugin", "validate", str(MANIFESTS / path), "--strict")
    assert checked.status == 0, checked
    assert "Validation passed" in checked.all


async def test_gemini_takes_the_extension(npm: Npm) -> None:
    """A copy of it, as a user has one."""
    shutil.copytree(MANIFESTS / "gemini", npm.project / "groq-fallback-mcp")
    checked = await npm.run("gemini", "extensions", "validate", "groq-fallback-mcp")
    assert checked.status == 0, checked
    assert "successfully validated" in checked.all
