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


async def test_a_port_without_the_gateway_is_refused(tmp_path: Path) -> None:
    """The server's entry has none."""
    done = await command("setup", "kilo", "--port", "9000", cwd=tmp_path)
    assert (done.returncode, "needs --gateway" in done.stderr) == (2, True), done
    assert not list(tmp_path.iterdir())
