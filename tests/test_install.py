"""`requirements/install.py`, by which make installs: pip's exit code, its errors whole, and something that moves."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "requirements" / "install.py"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """The smallest package that pip installs."""
    path = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tiny.py", "")
        file.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        file.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("tiny-1.0.dist-info/RECORD", "tiny.py,,\n")
    return path


def command(target: Path, what: str) -> list[str]:
    """An installation into a folder, without any network."""
    return [sys.executable, str(SCRIPT), "--no-index", "--no-deps", "--target", str(target), what]


def test_what_is_no_terminal_gets_one_line(tmp_path: Path, wheel: Path) -> None:
    """As the log of CI is."""
    done = subprocess.run(command(tmp_path / "in", str(wheel)), capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 package installed in ")
    assert done.stdout.count("\n") == 1
    assert (tmp_path / "in" / "tiny.py").exists()


def test_a_failure_shows_all_that_pip_said_and_keeps_its_exit_code(tmp_path: Path) -> None:
    """So that make stops."""
    done = subprocess.run(
        command(tmp_path / "in", "no-such-thing==1.0"), capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 1
    assert "No matching distribution found for no-such-thing==1.0" in done.stdout


def test_on_a_terminal_a_line_is_rewritten_and_gone_at_the_end(tmp_path: Path, wheel: Path) -> None:
    """With what pip is doing and for how long."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command(tmp_path / "in", str(wheel)), stdout=theirs)
    os.close(theirs)
    shown = ""
    with contextlib.suppress(OSError):  # which Linux raises at the end of a terminal
        while piece := os.read(ours, 4_096):
            shown += piece.decode()
    os.close(ours)

    assert process.wait(timeout=60) == 0
    assert "\r\x1b[Kstarting pip, 0 s" in shown
    assert "\r\x1b[K1 package installed in " in shown
