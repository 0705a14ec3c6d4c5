"""How this installation is started, so that it lasts and imports nothing of the folder it is started in, and how it is extended."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from groq_fallback_mcp.errors import ConfigurationError

__all__ = [
    "MODULE",
    "SCRIPT",
    "install_command",
    "lasting_command",
    "own_script",
    "pip_install",
    "server_command",
    "shared_command",
    "temporary_installer",
    "typed_command",
]

MODULE = "groq_fallback_mcp"
SCRIPT = "groq-fallback-mcp"
# uv's cache: archive-v0 and the like, whatever its place is
_UV_CACHE = re.compile(r"^(archive|builds|environments)-v\d+$")
_CACHES = {".cache", "Cache", "Caches"}
# The extras, and a module that only each of them brings. `local` includes `audio`.
_EXTRAS = {"audio": "av", "local": "faster_whisper", "redis": "redis", "otel": "opentelemetry.sdk", "keyring": "keyring"}


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
    if installer == "uv" and _source() is None:
        return (_uvx(), _requirement())
    install = "uv tool install" if installer == "uv" else "pipx install"
    raise ConfigurationError(
        f"This copy runs from {installer}'s cache ({sys.prefix}), which may be emptied at any time",
        next_step=f"Install it first ({install} {shlex.quote(_requirement())}), then run setup again",
    )


def shared_command() -> tuple[str, ...]:
    """The server for a file that several people share: by name, with nothing of this machine. Raises as `lasting_command`."""
    command = lasting_command()
    return (SCRIPT,) if temporary_installer(Path(sys.prefix)) is None else ("uvx", *command[1:])


def install_command(extra: str) -> str:
    """The shell command that adds an extra to this copy, by the tool that installed it and from the same source."""
    prefix, source = Path(sys.prefix), _source()
    requirement = shlex.quote(_requirement(extra))
    installer = temporary_installer(prefix)
    if installer is not None:
        return f"{'uvx --from' if installer == 'uv' else 'pipx run --spec'} {requirement} {SCRIPT}"
    if source is not None and source.editable:
        requirement = f"-e {requirement}"
    if (prefix / "uv-receipt.toml").is_file():
        return f"uv tool install --force {requirement}"
    if (prefix / "pipx_metadata.json").is_file():
        return f"pipx install --force {requirement}"
    return pip_install(requirement)


def pip_install(arguments: str) -> str:
    """The shell command that installs packages into this environment; uv creates environments without pip."""
    python = shlex.quote(sys.executable)
    return f"{python} -m pip install {arguments}" if find_spec("pip") else f"uv pip install --python {python} {arguments}"


def own_script() -> Path | None:
    """The console script of this installation; None where there is none."""
    folder = Path(sys.executable).parent
    return next((path for name in (SCRIPT, f"{SCRIPT}.exe") if (path := folder / name).is_file()), None)


def typed_command() -> str:
    """What a person types to run this installation: its name where the PATH has it, else its path from here."""
    script = own_script()
    if script is None or shutil.which(SCRIPT) is not None:
        return SCRIPT
    return str(script.relative_to(Path.cwd())) if script.is_relative_to(Path.cwd()) else str(script)


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


def _requirement(*more: str) -> str:
    """The package from where this copy came, with the extras that are installed here and `more`."""
    extras = {name for name, module in _EXTRAS.items() if find_spec(module) is not None} | set(more)
    if "local" in extras:
        extras.discard("audio")
    source = _source()
    name = SCRIPT if source is None else source.address
    extra = f"[{','.join(sorted(extras))}]" if extras else ""
    return f"{SCRIPT}{extra} @ {name}" if "://" in name else f"{name}{extra}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where this copy came from, if not from a package index: a path of this machine, or an address."""

    address: str
    editable: bool


def _source() -> _Source | None:
    # not at the top: the server needs it only when something is missing
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    try:
        text = distribution(SCRIPT).read_text("direct_url.json")
    except PackageNotFoundError:  # imported from a checkout by PYTHONPATH
        return _Source(address=str(Path(__file__).parents[2]), editable=True)
    if text is None:
        return None
    found = json.loads(text)
    parts = urlsplit(found["url"])
    if parts.scheme == "file":
        return _Source(address=url2pathname(parts.path), editable=bool(found.get("dir_info", {}).get("editable")))
    version = found.get("vcs_info")
    return _Source(
        address=found["url"] if version is None else f"{version['vcs']}+{found['url']}@{version['commit_id']}", editable=False
    )
