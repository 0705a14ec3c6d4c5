"""Shell completion: commands, clients and models, in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
COMPLETE = """
source "$HOME/.bash_completions/groq-fallback-mcp.sh"
COMP_WORDS=($LINE); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_groq_fallback_mcp_completion groq-fallback-mcp
printf '%s\\n' "${COMPREPLY[@]}"
"""


def bash(home: Path, script: str, **environment: str) -> str:
    """What bash prints."""
    found = shutil.which("bash")
    if found is None or not (BIN / "groq-fallback-mcp").is_file():
        pytest.skip("there is no bash, or the command is not installed")
    return subprocess.run(
        [found, "--norc", "-c", script],
        env={"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(home), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


@pytest.mark.nightly
def test_bash_completes_commands_clients_and_models(tmp_path: Path) -> None:
    """After the one command that installs it; a model by its short name too, and none that was shut down."""
    bash(tmp_path, "groq-fallback-mcp --install-completion bash")
    assert bash(tmp_path, COMPLETE, LINE="groq-fallback-mcp doc").split() == ["doctor"]
    assert bash(tmp_path, COMPLETE, LINE="groq-fallback-mcp setup kil").split() == ["kilo"]
    models = bash(tmp_path, COMPLETE, LINE="groq-fallback-mcp chat -m gpt-oss-").split()
    assert {"gpt-oss-20b", "gpt-oss-120b"} <= set(models)
    assert bash(tmp_path, COMPLETE, LINE="groq-fallback-mcp chat -m moonshotai/").split() == []


def test_the_version_has_a_short_option(tmp_path: Path) -> None:
    """As of most commands."""
    assert bash(tmp_path, "groq-fallback-mcp -V") == bash(tmp_path, "groq-fallback-mcp --version")
