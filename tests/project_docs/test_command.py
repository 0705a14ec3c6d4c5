"""`python -m project_docs`: clean on the repository, finds what is stale and mends it, from whatever folder it is run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from groq_fallback_mcp.errors import InputRefused
from project_docs import __main__ as command
from project_docs.__main__ import generate
from project_docs.measured import MEASURED

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what `generate` reads and writes."""
    for name in ("pyproject.toml", "README.md", "SKILL.md"):
        shutil.copy(CHECKOUT / name, tmp_path / name)
    for name in ("manifests", "references", "docs", "server", "tests"):
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=shutil.ignore_patterns("fixtures", "__pycache__"))
    for path in (*(CHECKOUT / path for path, _ in MEASURED.values()), *(CHECKOUT / "benchmarks").glob("*/results.json")):
        (tmp_path / path.relative_to(CHECKOUT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / path.relative_to(CHECKOUT))
    return tmp_path


def test_nothing_in_the_repository_is_stale(capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails, run `make generate` and commit what it wrote."""
    status = generate(CHECKOUT, check=True)

    assert status == 0, capsys.readouterr().out


def test_a_changed_table_is_found_named_and_mended(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Checking changes nothing; generating brings the table back."""
    before = (copy / "docs" / "models.md").read_text(encoding="utf-8")
    changed = before.replace("| `openai/gpt-oss-20b` |", "| `openai/gpt-oss-21b` |")
    assert changed != before
    (copy / "docs" / "models.md").write_text(changed, encoding="utf-8")

    assert generate(copy, check=True) == 1
    said = capsys.readouterr().out
    assert "stale: docs/models.md" in said
    assert "make generate" in said
    assert "SKILL.md" not in said
    assert (copy / "docs" / "models.md").read_text(encoding="utf-8") == changed

    assert generate(copy, check=False) == 0
    assert (copy / "docs" / "models.md").read_text(encoding="utf-8") == before


@pytest.mark.parametrize("path", ["kilo/kilo.json", "litellm/config.yaml", "README.md"])
def test_a_changed_or_missing_manifest_is_found(copy: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Named with its path below the root."""
    target = copy / "manifests" / path
    target.write_text(target.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert generate(copy, check=True) == 1
    target.unlink()
    assert generate(copy, check=True) == 1

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

    assert generate(copy, check=True) == 0


def test_nothing_is_written_when_a_marker_is_not_understood(copy: Path) -> None:
    """All is made before the first file is written."""
    (copy / "manifests" / "cursor" / "mcp.json").write_text("{}", encoding="utf-8")
    (copy / "SKILL.md").write_text("<!-- generated: nonsense -->\n", encoding="utf-8")

    with pytest.raises(InputRefused, match=r"SKILL\.md, line 1"):
        generate(copy, check=False)

    assert (copy / "manifests" / "cursor" / "mcp.json").read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_it_is_about_its_own_checkout_wherever_it_is_run(tmp_path: Path, options: list[str]) -> None:
    """Nothing is written into the folder it is run in."""
    done = subprocess.run(
        [sys.executable, "-m", "project_docs", *options], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stdout.splitlines()[-1].split()[-3:]) == (0, ["up", "to", "date."]), done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_marker_that_is_not_understood_ends_the_command_with_its_place(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, without a traceback."""
    (copy / "SKILL.md").write_text("<!-- generated: nonsense -->\n", encoding="utf-8")
    monkeypatch.setattr(command, "CHECKOUT", copy)
    monkeypatch.setattr(sys, "argv", ["project_docs", "--check"])

    assert command.main() == 2
    assert "SKILL.md, line 1" in capsys.readouterr().err
