"""uv with the package registry that pip is configured for; uv reads no configuration of pip's."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

__all__ = ["find_uv", "uv_environment"]

# pip's name for a setting, and uv's. Addresses are separated by white space in both, uv separates folders by commas.
_SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


def find_uv() -> str:
    """The command of uv: that of the group dev, else that of the PATH. Skips the test where there is none."""
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if found is None:
        pytest.skip("uv is not installed; it is of the group dev")
    return found


def uv_environment(home: Path, *, links: Path) -> dict[str, str]:
    """An environment for uv with a home of its own and the wheels in `links`. Skips the test where no registry answers."""
    settings = _pip_settings()
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "UV_INDEX_STRATEGY": "unsafe-best-match"}
    environment |= {_SETTINGS[name]: " ".join(value.split()) for name, value in settings.items() if name in _SETTINGS}
    environment["UV_FIND_LINKS"] = ",".join([*settings.get("find-links", "").split(), str(links)])
    asked = subprocess.run(
        [find_uv(), "pip", "compile", "--quiet", "--no-deps", "-"],
        input="hatchling\nnumpy\n",
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if asked.returncode != 0:
        # the words of uv name the registry's address, which may hold a password
        pytest.skip("uv gets nothing from the package registry of pip's configuration")
    return environment


def _pip_settings() -> Mapping[str, str]:
    """What `pip config list` says, without the part of the configuration a value comes from; the environment wins."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, timeout=60, check=False
    ).stdout.splitlines()
    pairs = [line.partition("=") for line in listed if "=" in line]
    ordered = sorted(pairs, key=lambda pair: pair[0].startswith(":env:"))
    return {name.rpartition(".")[2]: str(ast.literal_eval(value)) for name, _, value in ordered}
