"""How this installation's server is started, so that it lasts and imports nothing of the folder it is started in."""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from groq_fallback_mcp.errors import ConfigurationError

__all__ = ["MODULE", "SCRIPT", "lasting_command", "own_script", "server_command", "shared_command", "temporary_installer"]

MODULE = "groq_fallback_mcp"
SCRIPT = "groq-fallback-mcp"
# uv's cache: archive-v0 and the like, whatever its place is
_UV_CACHE = re.compile(r"^(archive|builds|environments)-v\d+$")
_CACHES = {".cache", "Cache", "Caches"}


def server_command() -> tuple[str, ...]:
    """The server of this installation, for now: this interpreter, without PYTHONPATH and the working folder."""
    # -E would hide the package itself where it was found by PYTHONPATH
    package = Path(__file__).parent.parent
    by_variable = str(package) in os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return (sys.executable, *(() if by_variable else ("-E",)), "-P", "-m", MODULE)


def lasting_command() -> tuple[str, ...]:
    """The server for a client's configuration: it works as long as the package is installed.

    Raises ConfigurationError where this installation is temporary and nothing else would start the same package.
    """
    installer = temporary_installer(Path(sys.prefix))
    if installer is None:
        return server_command()
    if installer == "uv" and not _is_from_elsewhere():
        return (_uvx(), _requirement())
    install = f"uv tool install '{_requirement()}'" if installer == "uv" else f"pipx install '{_requirement()}'"
    raise ConfigurationError(
        f"This copy runs from {installer}'s cache ({sys.prefix}), which may be emptied at any time",
        next_step=f"Install it first ({install}, or from the place you run it from), then run setup again",
    )


def shared_command() -> tuple[str, ...]:
    """The server for a file that several people share: by name, with nothing of this machine. Raises as `lasting_command`."""
    command = lasting_command()
    return (SCRIPT,) if temporary_installer(Path(sys.prefix)) is None else ("uvx", *command[1:])


def own_script() -> Path | None:
    """The console script of this installation; None where there is none."""
    folder = Path(sys.executable).parent
    return next((path for name in (SCRIPT, f"{SCRIPT}.exe") if (path := folder / name).is_file()), None)


def temporary_installer(prefix: Path) -> str | None:
    """`uv` or `pipx` where an environment is in that tool's cache, as with `uvx` and `pipx run`; None where it lasts."""
    parts = prefix.parts
    if any(_UV_CACHE.match(part) for part in parts):
        return "uv"
    pairs = set(pairwise(parts))
    in_cache = any((cache, "pipx") in pairs for cache in _CACHES) or ("pipx", ".cache") in pairs
    return "pipx" if in_cache and "venvs" not in parts else None


def _uvx() -> str:
    """The command uvx by its absolute path, as desktop programs have another PATH; by its name where it is not found."""
    # uv tells the programs it runs where it is itself
    beside = Path(os.environ.get("UV", "")).parent / "uvx"
    found = str(beside) if beside.is_absolute() and beside.is_file() else shutil.which("uvx")
    lasts = found is not None and Path(found).is_absolute() and temporary_installer(Path(found).parent) is None
    return str(found) if lasts else "uvx"


def _requirement() -> str:
    """The package with the extras that are installed here."""
    extras = [name for name, module in (("audio", "av"), ("local", "faster_whisper")) if find_spec(module) is not None]
    # local includes audio
    return f"{SCRIPT}[{extras[-1]}]" if extras else SCRIPT


def _is_from_elsewhere() -> bool:
    """Whether the package came from a folder, an address or a repository, not from a package index."""
    try:
        return distribution(SCRIPT).read_text("direct_url.json") is not None
    except PackageNotFoundError:
        return True
