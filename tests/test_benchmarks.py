"""Each benchmark is a command that says what it does."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(path.parent.name for path in (ROOT / "benchmarks").glob("*/__main__.py"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmarks_command_says_what_it_does(name: str) -> None:
    """Before it measures anything, and from a checkout as it stands."""
    if name in {"goodput", "providers"} and find_spec("litellm") is None:
        pytest.skip("it compares with LiteLLM, which is installed for the benchmark only")
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"python -m benchmarks.{name}" in ended.stdout


@pytest.mark.parametrize(
    "given", [("speed", "--only", "calls,startups"), ("failover", "--only", "ours"), ("failover", "--fault", "hang,x")]
)
def test_a_name_that_a_benchmark_does_not_know_is_refused_with_those_it_knows(given: tuple[str, ...]) -> None:
    """An empty table would look like a result."""
    name, option, value = given
    ended = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", option, value], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    unknown = value.rpartition(",")[2]
    assert f"unknown name '{unknown}'. Choose from: " in ended.stderr
