"""The real Kilo CLI: finding it, and running it offline in a home and a project folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from e2e.npm_clients import COMMAND

__all__ = ["RUN_TIMEOUT_S", "Kilo", "Run", "find_kilo", "project_config"]

BELOW_CACHE = Path("node_modules/@kilocode/cli-linux-x64/bin/kilo")
RUN_TIMEOUT_S = 60.0
CALL_TIMEOUT_MS = 60_000
SERVER = "groq"
OFFLINE = {
    "KILO_TELEMETRY_LEVEL": "off",
    **dict.fromkeys(
        (
            "KILO_DISABLE_AUTOUPDATE",
            "KILO_DISABLE_CODEBASE_INDEXING",
            "KILO_DISABLE_DEFAULT_PLUGINS",
            "KILO_DISABLE_LSP_DOWNLOAD",
            "KILO_DISABLE_MODELS_FETCH",
            "KILO_DISABLE_PRESENCE",
            "KILO_DISABLE_SESSION_INGEST",
            "KILO_DISABLE_SHARE",
            "KILO_NO_DAEMON",
        ),
        "1",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a run of Kilo ended."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kilo:
    """Kilo with a throw-away home and a project folder."""

    binary: Path
    home: Path
    project: Path

    def configure(
        self,
        *,
        model_url: str,
        server_environment: Mapping[str, str],
        timeout_ms: int | None = CALL_TIMEOUT_MS,
        others: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Write the project's kilo.json: the scripted model as the only one, our server under the name `groq`.

        `timeout_ms` is Kilo's limit on a call, None for its own. `others` are more servers, by name and command.
        """
        config = project_config(
            model_url, server_environment, timeout_ms=timeout_ms, commands={SERVER: COMMAND, **(others or {})}
        )
        (self.project / "kilo.json").write_text(json.dumps(config, indent=1), encoding="utf-8")

    async def ask(self, prompt: str, *, within_s: float = RUN_TIMEOUT_S) -> Run:
        """One prompt without a person, until Kilo has finished with it."""
        return await self.command("run", "--format", "json", prompt, within_s=within_s)

    @asynccontextmanager
    async def started(self, prompt: str) -> AsyncIterator[Process]:
        """Kilo at work on a prompt, killed at the end of the block at the latest."""
        async with await anyio.open_process(
            [str(self.binary), "run", "--format", "json", prompt],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.project,
            env=self._environment(),
        ) as process:
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    process.kill()

    async def command(self, *arguments: str, within_s: float = RUN_TIMEOUT_S) -> Run:
        """Any command of Kilo's. Raises TimeoutError when it does not end."""
        with anyio.fail_after(within_s):
            done = await anyio.run_process(
                [str(self.binary), *arguments],
                stdin=subprocess.DEVNULL,
                check=False,
                cwd=self.project,
                env=self._environment(),
            )
        return Run(status=done.returncode, stdout=done.stdout.decode(), stderr=done.stderr.decode())

    def _environment(self) -> Mapping[str, str]:
        """Nothing of ours but PATH, so that no key, setting or session of the person who runs the tests gets in."""
        return {"HOME": str(self.home), "PATH": os.environ["PATH"], "TMPDIR": str(self.home), **OFFLINE}


def find_kilo(*, repository: Path) -> Path:
    """Kilo's binary: KILO_BIN, else where `make e2e` installs it. Skips the test where there is none."""
    named = os.environ.get("KILO_BIN")
    if named is not None:
        # who names a binary wants these tests to run: a wrong name must not pass as a skip
        assert Path(named).is_file(), f"KILO_BIN names {named}, which is no file"
        return Path(named)
    installed = repository / ".cache" / BELOW_CACHE
    if not installed.is_file():
        pytest.skip(f"the Kilo CLI is not installed: no .cache/{BELOW_CACHE}; `make e2e` installs it, or set KILO_BIN")
    return installed


def project_config(
    model_url: str,
    server_environment: Mapping[str, str],
    *,
    timeout_ms: int | None = CALL_TIMEOUT_MS,
    commands: Mapping[str, Sequence[str]] = {SERVER: COMMAND},
) -> dict[str, Any]:
    """What Kilo's configuration must say, and opencode's."""
    limit = {"context": 128_000, "output": 8_192}
    timeout = {} if timeout_ms is None else {"timeout": timeout_ms}
    return {
        "$schema": "https://app.kilo.ai/config.json",
        "model": "fake/fake-model",
        "small_model": "fake/fake-model",
        "enabled_providers": ["fake"],
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "provider": {
            "fake": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Fake",
                "options": {"baseURL": model_url, "apiKey": "x"},
                "models": {"fake-model": {"name": "Fake", "tool_call": True, "limit": limit}},
            }
        },
        "mcp": {
            name: {
                "type": "local",
                "command": list(command),
                "environment": dict(server_environment),
                "enabled": True,
                **timeout,
            }
            for name, command in commands.items()
        },
        "permission": {f"{name}_*": "allow" for name in commands},
    }
