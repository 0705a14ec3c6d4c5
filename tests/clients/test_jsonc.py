"""JSON with comments changed in place: what was not meant stays as it is, to the character."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.clients.jsonc import JsoncFault, loads, remove, set_value

ENTRY = {"command": ["python", "-m", "x"], "env": {"A": "b"}, "enabled": True}
NAMES = st.sampled_from(["mcp", "a", "b", "c d", 'q"uote', "ü"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "{\n  // nothing yet\n}\n",
        '{"a":1}',
        '{\n  "a": 1, // one\n  "mcp": {\n    "other": {"k": [1, 2,],}, /* mine */\n  },\n}\n',
        '{\n\t"mcp": {\n\t\t"other": 1\n\t}\n}',
        '{"mcp":{"other":1}}',
        '{ "mcp": { } }',
        '// head\n{\n    "mcp": {\n        "x": "// no comment", /* a */ "y": "/* nor this */"\n    }\n}\n// tail',
        '\ufeff{"a": 1}',
        '{\r\n  "a": 1\r\n}\r\n',
    ],
)
def test_an_entry_goes_in_and_out_and_nothing_else_changes(text: str) -> None:
    """Comments, order, indentation and trailing commas."""
    before = loads(text) if text.strip() else {}
    put = set_value(text, ["mcp", "groq"], ENTRY)
    expected = {**before, "mcp": {**before.get("mcp", {}), "groq": ENTRY}}
    assert loads(put) == expected
    assert list(loads(put)) == list(expected)
    for comment in ("// nothing yet", "// one", "/* mine */", "// head", "// tail", "/* a */"):
        assert (comment in put) == (comment in text)
    assert set_value(put, ["mcp", "groq"], ENTRY) == put
    taken = remove(put, ["mcp", "groq"])
    assert loads(taken) == {**before, "mcp": before.get("mcp", {})}
    for comment in ("// nothing yet", "// one", "/* mine */", "// head", "// tail", "/* a */"):
        assert (comment in taken) == (comment in text)


@pytest.mark.parametrize(
    "text",
    [
        '{\n  "mcp": {\n    "other": {\n      "k": 1\n    }\n  }\n}\n',
        '{\n\t"mcp": {\n\t\t"o": 1,\n\t},\n}\n',
        '{\n  "a": [1], // x\n  "mcp": {\n    "o": 2, // y\n  }\n}',
    ],
)
def test_what_was_put_in_and_taken_out_leaves_the_file_as_it_was(text: str) -> None:
    """To the character."""
    assert remove(set_value(text, ["mcp", "groq"], ENTRY), ["mcp", "groq"]) == text


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.sampled_from([None, 2, "\t"]), VALUES)
def test_any_document_gets_the_value_and_keeps_the_rest(document: dict[str, Any], indent: Any, value: Any) -> None:
    """However it is written."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    if "mcp" in document and not isinstance(document["mcp"], dict):
        with pytest.raises(JsoncFault, match="is not a table"):
            set_value(text, ["mcp", "groq"], value)
        return
    put = set_value(text, ["mcp", "groq"], value)
    table = document.get("mcp", {})
    assert loads(put) == {**document, "mcp": {**table, "groq": value}}
    taken = loads(remove(put, ["mcp", "groq"]))
    assert taken == {**document, "mcp": {name: kept for name, kept in table.items() if name != "groq"}}


@given(st.text(alphabet='{}[]",:/*\n ab1\\', max_size=60))
def test_whatever_the_file_holds_it_is_read_or_refused_with_its_line(text: str) -> None:
    """Never a crash."""
    try:
        loads(text)
    except JsoncFault as fault:
        assert 1 <= fault.line <= text.count("\n") + 1  # noqa: PT017 - most texts are read


def test_the_middle_one_of_three_goes_alone() -> None:
    """With its comma."""
    text = '{"mcp": {"a": 1, "groq": 2, "b": 3}}'
    assert loads(remove(text, ["mcp", "groq"])) == {"mcp": {"a": 1, "b": 3}}


def test_nothing_to_remove_changes_nothing() -> None:
    """Nor does a file without the table."""
    for text in ("", "{}", '{"mcp": {"a": 1}}', '{"a": 1}'):
        assert remove(text, ["mcp", "groq"]) == text
