"""`python tests/mutation [MODULE...]`: change one module at a time in small ways, and show the changes that its tests don't notice.

Modules and their tests are in modules.toml. `--write` puts the scores there, for the table in docs/quality.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomlkit
from mutmut.mutation.diff_apply import get_diff_for_mutant

from project_docs.mutation import code_hash

CHECKOUT = Path(__file__).parents[2]
MODULES = Path(__file__).with_name("modules.toml")
FOLDERS = CHECKOUT / ".cache" / "mutation"
PACKAGE = "groq_fallback_mcp"
SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/{package}/{module}"]
do_not_mutate_patterns = ['\\b_log\\.']
also_copy = ["SKILL.md", "references"]
pytest_add_cli_args = ["--hypothesis-profile=mutation", "-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {tests}
timeout_multiplier = 10
use_git_change_detection = false
"""
# The exit codes that mutmut keeps: of pytest, or of a mutant that it ended.
SURVIVED, NO_TESTS, TIMEOUTS = {0}, {5, 33}, {36, 24, 152, 255, -24}


def main() -> int:
    """Returns 1 where mutmut fails; a survivor is for people to judge."""
    parser = argparse.ArgumentParser(prog="python tests/mutation")
    parser.add_argument("modules", nargs="*", help="such as quota/buckets.py; default: all")
    parser.add_argument("--write", action="store_true", help="write the scores to modules.toml")
    options = parser.parse_args()
    listed = _listed()
    unknown = set(options.modules) - set(listed)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))} not in {MODULES.name}")
    for name in options.modules or list(listed):
        folder = _folder(name, listed[name]["tests"])
        if subprocess.run([sys.executable, "-m", "mutmut", "run", "--max-children=1"], cwd=folder, check=False).returncode:
            return 1
        score = _score(name, folder)
        print(name, score, flush=True)
        if options.write:
            listed = _listed()
            text = (CHECKOUT / "server" / PACKAGE / name).read_text(encoding="utf-8")
            listed[name].update(score, measured=datetime.now(UTC).date(), code=code_hash(text))
            MODULES.write_text(tomlkit.dumps(listed), encoding="utf-8")
    return 0


def _listed() -> Any:
    return tomlkit.parse(MODULES.read_text(encoding="utf-8"))


def _folder(module: str, tests: list[str]) -> Path:
    """A copy of the checkout's code in which mutmut changes one module. mutmut looks for packages in src.

    What was killed there before is not tried again unless its function changed; what survived is.
    """
    folder = FOLDERS / module.removesuffix(".py").replace("/", "-")
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "server" / PACKAGE, folder / "src" / PACKAGE, ignore=without, dirs_exist_ok=True)
    for name in ("tests", "references"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=without, dirs_exist_ok=True)
    shutil.copy(CHECKOUT / "SKILL.md", folder)
    settings = SETTINGS.format(package=PACKAGE, module=module, tests=json.dumps(list(tests)))
    project = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(project + settings, encoding="utf-8")
    results = _results(folder, module)
    if results.exists():
        kept = json.loads(results.read_text(encoding="utf-8"))
        ends = kept["exit_code_by_key"]
        kept["exit_code_by_key"] = {name: None if code in SURVIVED | NO_TESTS else code for name, code in ends.items()}
        results.write_text(json.dumps(kept), encoding="utf-8")
    return folder


def _results(folder: Path, module: str) -> Path:
    """The file in which mutmut keeps how each mutant ended."""
    return folder / "mutants" / "src" / PACKAGE / f"{module}.meta"


def _score(module: str, folder: Path) -> dict[str, int]:
    """The counts. Prints what changed in each mutant that survived."""
    path = Path("src", PACKAGE, module)
    ends = json.loads(_results(folder, module).read_text(encoding="utf-8"))["exit_code_by_key"]
    with chdir(folder):
        for mutant in (name for name, code in ends.items() if code in SURVIVED | NO_TESTS):
            diff = get_diff_for_mutant(mutant, path=path).split(os.linesep)
            print("\n".join((mutant, *(line for line in diff[2:] if line[:1] in {"+", "-", "@"}))))
    counts = Counter(
        "survived" if code in SURVIVED | NO_TESTS else "timeout" if code in TIMEOUTS else "killed" for code in ends.values()
    )
    return {"mutants": len(ends), "killed": counts["killed"] + counts["timeout"], "survived": counts["survived"]}


if __name__ == "__main__":
    raise SystemExit(main())
