"""Ctrl-C at any line of set-up or removal: the client's file is as before or as after, and the next run completes the work."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from effort import EFFORT

from groq_fallback_mcp.clients import backups, change, config_file
from groq_fallback_mcp.clients.change import Wanted, apply, backup_folder, plan
from groq_fallback_mcp.clients.client import CLIENTS

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # descriptors end with the process
CODE = {str(module.__file__) for module in (backups, change, config_file)}
# each line takes some 30 ms: all of them at night
STEP = max(7 // EFFORT, 1)
MINE = '{\n  "theme": "dark"\n}\n'


class Interrupt:
    """Raises KeyboardInterrupt at the `at`-th line that runs in the modules that write."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.where = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in CODE:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self


def interrupted(work: Callable[[], object], at: int) -> str:
    """Where the interrupt struck; empty where the work was done before."""
    tracer = Interrupt(at)
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        work()
    except KeyboardInterrupt:
        return tracer.where
    finally:
        sys.settrace(before)
    return ""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a configuration of Kilo's; its state is kept apart."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "home"


def config(home: Path) -> Path:
    """Kilo's own file, as a person left it."""
    path = home / ".config" / "kilo" / "kilo.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MINE)
    return path


def carry_out(home: Path, *, remove: bool = False) -> None:
    """Set-up or removal."""
    apply(plan(Wanted(client=CLIENTS["kilo"], scope="global", remove=remove), project=home, home=home))


def partial_files(home: Path) -> list[Path]:
    """Files that a write began and did not finish."""
    return list(home.rglob("*.new"))


@pytest.mark.parametrize("remove", [False, True])
def test_an_interrupt_leaves_the_file_whole_and_the_next_run_completes_it(home: Path, remove: bool) -> None:
    """Wherever it strikes."""
    path = config(home)
    carry_out(home)
    done = path.read_text()
    carry_out(home, remove=True)
    assert path.read_text() == MINE
    struck: list[str] = []
    while True:
        if remove:
            carry_out(home)
        where = interrupted(lambda: carry_out(home, remove=remove), 1 + STEP * len(struck))
        assert path.read_text() in {MINE, done}, where
        assert partial_files(home) == [], where
        if not where:
            break
        struck.append(where)
        carry_out(home, remove=remove)
        assert path.read_text() == (MINE if remove else done), where
        carry_out(home, remove=True)
        assert path.read_text() == MINE, where
        assert not (home / ".config/kilo/skills").exists(), where
        assert not backup_folder().exists(), where
    assert len(struck) > 100 // STEP
