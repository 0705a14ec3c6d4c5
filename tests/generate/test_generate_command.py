"""The command `generate`: clean on the repository, finds what is stale, mends it, and refuses foreign folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from groq_fallback_mcp.cli.generate import generate
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.generate.speed import RESULTS as SPEED

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what `generate` reads and writes."""
    for name in ("pyproject.toml", "README.md", "SKILL.md"):
        shutil.copy(CHECKOUT / name, tmp_path / name)
    for name in ("manifests", "references"):
        shutil.copytree(CHECKOUT / name, tmp_path / name)
    for path in (SPEED, "docs/faults.md"):
        (tmp_path / path).parent.mkdir(parents=True)
        shutil.copy(CHECKOUT / path, tmp_path / path)
    shutil.copytree(CHECKOUT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("fixtures", "__pycache__"))
    return tmp_path


def test_nothing_in_the_repository_is_stale(capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails, run `groq-fallback-mcp generate` and commit what it wrote."""
    status = generate(CHECKOUT, check=True, as_json=False)

    assert status == 0, capsys.readouterr().out


def test_a_changed_table_is_found_named_and_mended(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Checking changes nothing; generating brings the table back."""
    before = (copy / "README.md").read_text(encoding="utf-8")
    changed = before.replace("| `openai/gpt-oss-20b` |", "| `openai/gpt-oss-21b` |")
    assert changed != before
    (copy / "README.md").write_text(changed, encoding="utf-8")

    assert generate(copy, check=True, as_json=False) == 1
    said = capsys.readouterr().out
    assert "stale: README.md" in said
    assert "groq-fallback-mcp generate" in said
    assert "SKILL.md" not in said
    assert (copy / "README.md").read_text(encoding="utf-8") == changed

    assert generate(copy, check=False, as_json=False) == 0
    assert (copy / "README.md").read_text(encoding="utf-8") == before


@pytest.mark.parametrize("path", ["kilo/kilo.json", "litellm/config.yaml", "README.md"])
def test_a_changed_or_missing_manifest_is_found(copy: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Named with its path below the root."""
    target = copy / "manifests" / path
    target.write_text(target.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert generate(copy, check=True, as_json=False) == 1
    target.unlink()
    assert generate(copy, check=True, as_json=False) == 1

    assert capsys.readouterr().out.count(f"stale: manifests/{path}\n") == 2
    assert not target.exists()


def test_a_checkout_with_crlf_is_not_stale(copy: Path) -> None:
    """Git on Windows may write such line ends."""
    for path in [
        copy / "README.md",
        copy / "SKILL.md",
        *(copy / "references").iterdir(),
        *(copy / "manifests").rglob("*.json"),
    ]:
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    assert generate(copy, check=True, as_json=False) == 0


def test_the_json_form_lists_what_is_stale(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For scripts: one document, and the command that refreshes."""
    (copy / "manifests" / "cursor" / "mcp.json").write_text("{}", encoding="utf-8")

    assert generate(copy, check=True, as_json=True) == 1

    said = json.loads(capsys.readouterr().out)
    assert said["stale"] == ["manifests/cursor/mcp.json"]
    assert said["command"] == "groq-fallback-mcp generate"


def test_nothing_is_written_when_a_marker_is_not_understood(copy: Path) -> None:
    """All is made before the first file is written."""
    (copy / "manifests" / "cursor" / "mcp.json").write_text("{}", encoding="utf-8")
    (copy / "SKILL.md").write_text("<!-- generated: nonsense -->\n", encoding="utf-8")

    with pytest.raises(InputRefused, match=r"SKILL\.md, line 1"):
        generate(copy, check=False, as_json=False)

    assert (copy / "manifests" / "cursor" / "mcp.json").read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize("missing", ["pyproject.toml", "SKILL.md", "references/errors.md"])
def test_a_folder_that_is_not_the_projects_is_refused(copy: Path, missing: str) -> None:
    """With the name of what it lacks."""
    (copy / missing).unlink()

    with pytest.raises(InputRefused, match=missing):
        generate(copy, check=False, as_json=False)


def test_another_projects_folder_is_refused(copy: Path) -> None:
    """By the name in its pyproject.toml."""
    (copy / "pyproject.toml").write_text('[project]\nname = "other"\n', encoding="utf-8")

    with pytest.raises(InputRefused, match="other"):
        generate(copy, check=False, as_json=False)
