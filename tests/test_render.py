"""How a value that was refused is shown: as who sent it wrote it, and never whole where it is long."""

from __future__ import annotations

from datetime import date

import pytest

from groq_fallback_mcp.call import Failure
from groq_fallback_mcp.providers.json_fields import json_object
from groq_fallback_mcp.render import SHOWN_CHARS, counted, excerpt
from groq_fallback_mcp.transport.jsonrpc import Refusal, read_line


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (7, "7"),
        (0.5, "0.5"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        ("True", "'True'"),
        ([], "an empty list"),
        ([True, 2], "a list of 2, first true"),
        ([[None]], "a list of 1, first a list of 1, first null"),
        (date(2026, 11, 30), "2026-11-30"),
        ({}, "an empty object"),
        ({"a": 1, "b": 2}, "an object with 'a', 'b'"),
    ],
    ids=str,
)
def test_a_value_is_shown_as_json_has_it(value: object, shown: str) -> None:
    """An agent sent `true`, and knows no True."""
    assert excerpt(value) == shown


@pytest.mark.parametrize(
    "value", ["x" * 10**6, 10**4_000, [["x" * 10**6]], {"x" * 10**6: 1}], ids=["text", "number", "list", "object"]
)
def test_of_a_long_value_the_beginning_is_shown(value: object) -> None:
    """It may be a file of megabytes."""
    assert len(excerpt(value)) <= SHOWN_CHARS + 1


@pytest.mark.parametrize(
    ("body", "shown"), [(b"true", "true"), (b"null", "null"), (b"[1]", "a list of 1, first 1"), (b'"hi"', "'hi'")]
)
def test_what_is_no_object_is_named_as_json_has_it(body: bytes, shown: str) -> None:
    """Whether a provider answered it, or a client said it."""
    answer = json_object(body)
    assert isinstance(answer, Failure)
    assert f"an answer that is {shown}, not an object" in answer.message
    if not body.startswith(b"["):
        (message,) = read_line(body)
        assert isinstance(message, Refusal)
        assert f"must be an object, not {shown}" in message.message


@pytest.mark.parametrize(("number", "words"), [(0, "0 models"), (1, "1 model"), (2, "2 models"), (1_000, "1,000 models")])
def test_one_thing_is_counted_in_the_singular(number: int, words: str) -> None:
    """And thousands with a comma."""
    assert counted(number, "model") == words
