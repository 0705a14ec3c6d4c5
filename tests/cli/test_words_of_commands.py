"""Messages of tools at the command line: in the words of commands and options."""

from __future__ import annotations

import pytest

from groq_fallback_mcp.cli.console import as_options


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Use the tool groq_chat, or one of m", "Use groq-fallback-mcp chat, or one of m"),
        ("Use the tool transcribe", "Use groq-fallback-mcp transcribe"),
        ("The order that groq_chat tries them", "The order that groq-fallback-mcp chat tries them"),
        ("See list_models", "See groq-fallback-mcp models"),
        ("Lower max_tokens", "Lower --max-tokens"),
        ("The setting `max_usd` of a file", "The setting `max_usd` of a file"),
    ],
)
def test_tools_and_arguments_are_called_as_the_command_line_calls_them(said: str, shown: str) -> None:
    """Nobody there has a tool."""
    assert as_options(said) == shown
