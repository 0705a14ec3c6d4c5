"""Pages made from the commands and the table of clients: complete, and as short as they should be."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from groq_fallback_mcp.clients.client import CLIENTS
from project_docs.__main__ import read_sources
from project_docs.client_pages import client_list_block, client_pages
from project_docs.commands import commands_block, listed_commands
from project_docs.failures import CODES

ROOT = Path(__file__).parents[2]
COMMANDS = dict(listed_commands())
PAGES = client_pages(read_sources(ROOT))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_shown_with_its_options_and_an_example(name: str) -> None:
    """As its help has them."""
    section = f"{commands_block()}\n### ".split(f"### {name}\n", 1)[1].split("\n### ", 1)[0]

    assert "```bash\n" in section
    assert f"groq-fallback-mcp {name}" in section
    for parameter in COMMANDS[name].params:
        shown = parameter.opts if parameter.name != "help" else []
        assert all((option if option.startswith("-") else option.upper()) in section for option in shown)


def test_every_option_with_a_value_says_what_kind_of_value() -> None:
    """`--log-file FILE`, not `--log-file None`."""
    assert "None`" not in commands_block()


def test_every_client_that_setup_knows_has_a_page_and_a_row() -> None:
    """Linked from README."""
    assert sorted(PAGES) == sorted(f"docs/clients/{name}.md" for name in CLIENTS)
    assert all(f"](docs/clients/{name}.md) | `groq-fallback-mcp setup {name}`" in client_list_block() for name in CLIENTS)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_s_page_shows_an_entry_that_its_file_takes(name: str) -> None:
    """JSON or TOML, with the command by its name."""
    page = PAGES[f"docs/clients/{name}.md"]
    kind = "toml" if CLIENTS[name].is_toml else "json"
    text = page.split(f"```{kind}\n", 1)[1].split("\n```", 1)[0]
    servers = (tomllib.loads(text) if kind == "toml" else json.loads(text))[CLIENTS[name].table[0]]

    assert "groq-fallback-mcp" in json.dumps(servers["groq"])


def test_the_front_page_is_short() -> None:
    """What a newcomer reads to the end; the rest is in docs/."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 250


@pytest.mark.parametrize("name", ["session", "limits", "fallback"])
def test_a_picture_is_for_light_and_dark_and_fetches_nothing(name: str) -> None:
    """One file, whose colors are variables; `make pictures` draws it."""
    svg = (ROOT / "docs" / f"{name}.svg").read_text(encoding="utf-8")

    assert "prefers-color-scheme: dark" in svg
    assert "fill: var(--c" in svg
    assert not re.search(r"@font-face|@import|url\(\s*[\"']?http|href=", svg)


def test_what_troubleshooting_quotes_is_what_the_program_shows() -> None:
    """Error codes, and words of messages; a client's own words aside."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    table = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    quoted = {words for cell in table for words in re.findall(r"`([^`]+)`", cell)} - {
        "codex exec",
        "unsupported call",
        "{env:...}",
        "limits",
    }
    package = "\n".join(text for path, text in read_sources(ROOT).items() if path.startswith("server/groq_fallback_mcp/"))

    assert len(quoted) > 5
    assert [
        words
        for words in quoted
        if words.removesuffix(" ...") not in {*CODES, "timeout"} and words.removesuffix(" ...") not in package
    ] == []
