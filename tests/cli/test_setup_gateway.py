"""The options of `setup --gateway` at the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import command

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("option", [("--scope", "project"), ("--key",), ("--toolsets", "speech")])
async def test_options_of_the_server_s_entry_are_refused_with_the_gateway(tmp_path: Path, option: tuple[str, ...]) -> None:
    """Its token is never written into a project's file. Nothing is written."""
    done = await command("setup", "kilo", "--gateway", *option, cwd=tmp_path)
    assert (done.returncode, "cannot be combined with --gateway" in done.stderr) == (2, True), done
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [("--port", "9000"), ("--measure",)])
async def test_options_of_the_gateway_are_refused_without_it(tmp_path: Path, option: tuple[str, ...]) -> None:
    """The server's entry has neither."""
    done = await command("setup", "kilo", *option, cwd=tmp_path)
    assert (done.returncode, "needs --gateway" in done.stderr) == (2, True), done
    assert not list(tmp_path.iterdir())
