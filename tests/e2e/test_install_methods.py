"""Every way to install the command, in an empty home: it runs, its own advice adds an extra, and removed it leaves nothing.

CI takes each tool once, and each Python; `make install-methods` and the night take all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import which

import pytest
from e2e.npm_clients import REPOSITORY
from e2e.registry import find_uv, uv_environment

pytestmark = [pytest.mark.e2e]
NAME = "groq-fallback-mcp"
CACHE = REPOSITORY / ".cache"
PIPX = CACHE / "pipx" / "bin" / "pipx"
TOOLS, SOURCES, PYTHONS = ("uv", "pipx", "pip"), ("checkout", "wheel"), ("3.11", "3.12", "3.13")
IN_CI = {("pip", "wheel", "3.11"), ("uv", "checkout", "3.13")}
METHODS = [
    pytest.param(tool, source, python, marks=[] if (tool, source, python) in IN_CI else [pytest.mark.nightly])
    for tool in TOOLS
    for source in SOURCES
    for python in PYTHONS
]
EXTRA = "from groq_fallback_mcp.command import install_command; print(install_command('redis'))"


@cache
def find_python(version: str) -> str | None:
    """An interpreter of this version, on the PATH or of pyenv, that can create environments."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in (sys.executable, which(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python"))):
        if found is None:
            continue
        code = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2], sys._base_executable)"
        shown = subprocess.run([found, "-c", code], capture_output=True, text=True, check=False, timeout=60).stdout.split()
        if shown[:1] == [version]:
            return shown[1]
    return None


@cache
def source_of(kind: str) -> str:
    """The checkout, or a wheel made of it."""
    if kind == "checkout":
        return str(REPOSITORY)
    folder = CACHE / "install-methods"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return str(next(folder.glob("*.whl")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """The commands that a person types, and the program they get."""

    install: Sequence[Sequence[str]]
    uninstall: Sequence[str]
    program: Path


def method_of(tool: str, *, home: Path, python: str, source: str) -> Method:
    """As the README has it; only the Python is named, so that all are tried."""
    program = home / ".local" / "bin" / NAME
    match tool:
        case "uv":
            uv = find_uv()
            install = [[uv, "tool", "install", "--python", python, source]]
            return Method(install=install, uninstall=[uv, "tool", "uninstall", NAME], program=program)
        case "pipx":
            if not PIPX.is_file():
                pytest.skip("pipx is not installed: make .cache/pipx/.installed")
            install = [[str(PIPX), "install", "--python", python, source]]
            return Method(install=install, uninstall=[str(PIPX), "uninstall", NAME], program=program)
    venv = home / "venv"
    pip = [str(venv / "bin" / "python"), "-m", "pip"]
    install = [[python, "-m", "venv", str(venv)], [*pip, "install", source]]
    return Method(install=install, uninstall=[*pip, "uninstall", "--yes", NAME], program=venv / "bin" / NAME)


def left_over(home: Path) -> list[str]:
    """What is of ours in the home, but for the installers' caches and pipx's lock."""
    names = [path.relative_to(home).as_posix() for path in home.rglob("*")]
    return [name for name in names if "groq" in name and not name.startswith(".cache/") and not name.endswith(f".{NAME}.lock")]


@pytest.mark.parametrize(("tool", "source", "version"), METHODS)
def test_it_installs_runs_and_leaves_nothing(tmp_path: Path, tool: str, source: str, version: str) -> None:
    """From a checkout and from a wheel file."""
    python = find_python(version)
    if python is None and (tool, source, version) in IN_CI:
        python = find_python(f"{sys.version_info[0]}.{sys.version_info[1]}")
    if python is None:
        pytest.skip(f"Python {version} is not on this machine")
    home = tmp_path / "home"
    home.mkdir()
    given = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    environment = {
        **given,
        **uv_environment(home, links=tmp_path),
        "PATH": os.pathsep.join((str(home / ".local/bin"), str(Path(find_uv()).parent), str(PIPX.parent), os.environ["PATH"])),
        "UV_CACHE_DIR": str(CACHE / "uv"),
        "PIP_CACHE_DIR": str(CACHE / "pip"),
        "UV_PYTHON_DOWNLOADS": "never",
        # what is tried here runs once
        "PIP_NO_COMPILE": "1",
    }
    method = method_of(tool, home=home, python=python, source=source_of(source))

    def run(*command: str, shell: bool = False) -> str:
        done = subprocess.run(
            command[0] if shell else command,
            shell=shell,
            env=environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    for command in method.install:
        run(*command)
    program = str(method.program)
    assert run(program, "--version").startswith(f"{NAME} ")
    run(program, "selftest")

    own_python = str(method.program.resolve().with_name("python"))
    run(run(own_python, "-c", EXTRA), shell=True)
    run(own_python, "-c", "import redis, groq_fallback_mcp")

    run(*method.uninstall)
    assert left_over(home) == []
