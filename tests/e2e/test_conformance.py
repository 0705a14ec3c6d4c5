"""The official conformance suite against the HTTP mode, with a baseline that is checked both ways."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from e2e.npm_clients import Npm, node_24
from e2e.test_replicas import free_port, process, ready

from groq_fallback_mcp.command import server_command
from groq_fallback_mcp.transport.http_server import PATH

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]
BASELINE = Path(__file__).parents[1] / "conformance" / "expected-failures.yml"


@pytest.mark.parametrize("version", ["2025-11-25", "draft"])
async def test_all_that_applies_to_a_tools_server_passes(tmp_path: Path, version: str) -> None:
    """The rest stands in the baseline, with its reason. The suite knows 2026-07-28 as its draft only."""
    npm = Npm(tmp_path)
    npm.find("conformance")
    node = node_24()
    port = free_port()
    command = [*server_command(), "serve", "--http", f"127.0.0.1:{port}"]
    async with process(
        command,
        {"GROQ_FALLBACK_LOCAL": "off", "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false", "TMPDIR": os.environ.get("TMPDIR", "/tmp")},
        tmp_path,
    ):
        await ready(f"http://127.0.0.1:{port}")
        arguments = ("--url", f"http://127.0.0.1:{port}{PATH}", "--expected-failures", str(BASELINE), "--spec-version", version)
        run = await npm.run("conformance", "server", *arguments, node=[node])
    assert run.status == 0, run.all[-3000:]
