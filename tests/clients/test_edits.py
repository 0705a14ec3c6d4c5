"""Edits of clients' files: everything but our entry says what it said before, or the file is left alone."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
import tomlkit
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from groq_fallback_mcp.clients import jsonc, toml_table
from groq_fallback_mcp.clients.client import CLIENTS, Client
from groq_fallback_mcp.clients.entry import entry_in, with_server, without_server
from groq_fallback_mcp.errors import ConfigurationError

CODEX = CLIENTS["codex"]
JSON_CLIENTS = [client for client in CLIENTS.values() if not client.is_toml]
AT = ("mcp_servers", "groq")
COMMAND = ("/opt/venv/bin/python", "-E", "-P", "-m", "groq_fallback_mcp")


def entry_for(client: Client) -> dict[str, Any]:
    """What set-up writes for it."""
    return client.entry(COMMAND, {"GROQ_FALLBACK_TOOLSETS": "speech"})


def there_and_back(text: str, client: Client) -> tuple[str, str]:
    """The document with our entry, and without it again."""
    put = with_server(text, client, entry_for(client), path="./config")
    return put, without_server(put, client, path="./config")


DOTTED = 'mcp_servers.a.command = "x"\nmodel = "gpt-5"\napproval_policy = "never"\n'


@pytest.mark.fault("B3")
def test_dotted_keys_of_codex_keep_the_settings_that_follow_them() -> None:
    """`model` and `approval_policy` stay the user's, and stay when the server goes."""
    put, taken = there_and_back(DOTTED, CODEX)
    said = tomllib.loads(put)
    assert (said["model"], said["approval_policy"]) == ("gpt-5", "never")
    assert set(said["mcp_servers"]) == {"a", "groq"}
    assert said["mcp_servers"]["groq"] == entry_for(CODEX)
    assert taken == DOTTED


@pytest.mark.fault("B3")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing but a comment\n",
        'model = "x"',
        'model = "x"\n\n\n',
        'mcp_servers = {a = {command = "x"}}\nmodel = "y"\n',
        "mcp_servers = {}\nmodel = 1\n",
        "[mcp_servers]\n",
        '[mcp_servers]\na.command = "x"\n\n[projects."/home/u/p"]\ntrust_level = "trusted"\n',
        '[mcp_servers.a]\ncommand = "x"\n[model_providers.b]\nname = "b"\n[mcp_servers.c]\ncommand = "z"\n',
        '"mcp_servers"."a".command = "x"\nmodel = "y"\n',
        '[[profiles]]\nname = "a"\n[[profiles]]\nname = "b"\n',
        'text = """\n[mcp_servers.groq]\ncommand = "not ours"\n"""\nmodel = "y"\n',
        "text = '''\n# [mcp_servers]\n'''\n",
        'mcp_servers.a.env = {A = "1"}\nmcp_servers.a.args = [\n  "x", # one\n]\nmodel = "y"\n',
        "x = nan\ny = inf\nd = 2026-01-01T00:00:00Z\n",
        '# a\n\n[a] # b\nc = 1 # d\n\n# e\n[mcp_servers.groq-2]\ncommand = "x"\n',
        "[a]\r\nb = 1\r\n",
        '\ufeffmodel = "x"\n',
    ],
)
def test_any_way_to_write_toml_keeps_what_it_says(text: str) -> None:
    """Inline tables, tables in parts, strings that look like tables, CRLF, a byte order mark."""
    put, taken = there_and_back(text, CODEX)
    assert entry_in(put, CODEX, path="") == entry_for(CODEX)
    assert toml_table.digest(put, without=AT) == toml_table.digest(text, without=AT)
    assert toml_table.digest(taken, without=AT) == toml_table.digest(text, without=AT)
    assert ("\r\n" in put.replace(text, "")) == ("\r\n" in text)
    assert put.startswith("\ufeff") == text.startswith("\ufeff")
    for comment in ("# a", "# b", "# d", "# e", "# one", "# nothing"):
        assert (comment in put) == (comment in text) == (comment in taken)


@pytest.mark.fault("B3")
@pytest.mark.parametrize(
    "text",
    [
        'mcp_servers.groq.command = "old"\nmodel = "y"\n',
        '[mcp_servers.groq]\ncommand = "old"\n[mcp_servers.groq.env]\nA = "b"\n[z]\nq = 1\n',
        '[mcp_servers]\ngroq.command = "old"\nb.command = "y"\n',
        'mcp_servers = {groq = {command = "old"}, b = {command = "y"}}\nmodel = "z"\n',
        '[mcp_servers]\ngroq = {command = "old", args = []}\n',
        '[mcp_servers.groq.env]\nA = "b"\n[a]\nx = 1\n[mcp_servers.groq]\ncommand = "old"\n',
        '# mine\n[mcp_servers."groq"]\ncommand = """\n[a]\n"""\n# and mine\n[a]\nx = 1\n',
    ],
)
def test_an_entry_of_ours_however_written_is_replaced_or_removed_alone(text: str) -> None:
    """Or, where that cannot be done in place, refused with the entry to write."""
    for edit in (
        lambda: with_server(text, CODEX, entry_for(CODEX), path="./config"),
        lambda: without_server(text, CODEX, path="./config"),
    ):
        try:
            after = edit()
        except ConfigurationError as refusal:
            assert "by hand" in str(refusal)  # noqa: PT017 - either is right
        else:
            assert toml_table.digest(after, without=AT) == toml_table.digest(text, without=AT)


def test_comments_around_a_removed_table_stay() -> None:
    """Those above the next table belong to it."""
    text = '# first\n[mcp_servers.groq]\ncommand = "groq-fallback-mcp"\n\n# second\n[z]\nq = 1\n'
    assert without_server(text, CODEX, path="") == "# first\n\n# second\n[z]\nq = 1\n"


NAMES = st.sampled_from(["mcp_servers", "groq", "a", "b", "model", "c d", "ü", 'q"', "env"])
LEAVES = st.booleans() | st.integers(-9, 9) | st.text("ab\n[]#='\"", max_size=6) | st.floats(allow_nan=False, width=16)
TOML = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def toml_documents(draw: st.DrawFn) -> str:
    """Documents with dotted keys, inline tables, headers in any order and comments."""
    parts: list[str] = []
    for _ in range(draw(st.integers(0, 4))):
        keys = draw(st.lists(NAMES, min_size=1, max_size=3))
        value = draw(TOML)
        dotted = ".".join(tomlkit.key(key).as_string() for key in keys)
        match draw(st.integers(0, 3)):
            case 0:
                parts.append(f"{dotted} = {toml_table._written(value)}\n")
            case 1:
                inside = {"x": value}
                parts.append(f"[{dotted}] # c\n" + "".join(f"{k} = {toml_table._written(v)}\n" for k, v in inside.items()))
            case 2:
                parts.append(f"[[{dotted}]]\ny = {toml_table._written(value)}\n")
            case _:
                parts.append(draw(st.sampled_from(["# comment\n", "\n", "# [mcp_servers.groq]\n"])))
    return "".join(parts)


@pytest.mark.fault("B3")
@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)
@given(toml_documents())
def test_any_toml_document_gets_the_entry_and_gives_it_back(text: str) -> None:
    """Or is refused; what else it says never changes."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    try:
        put = with_server(text, CODEX, entry_for(CODEX), path="./config")
    except ConfigurationError:
        return
    before = toml_table.digest(text, without=AT)
    assert toml_table.digest(put, without=AT) == before
    try:
        taken = without_server(put, CODEX, path="./config")
    except ConfigurationError:
        return
    assert toml_table.digest(taken, without=AT) == before
    assert entry_in(taken, CODEX, path="") is None


SPACE = st.sampled_from(["", " ", "\n", "\n  ", "\t", " /* c */ ", " // d\n", "\r\n"])


@st.composite
def json_documents(draw: st.DrawFn, depth: int = 0) -> str:
    """A table as people write it: comments, trailing commas, odd spaces, names twice."""

    def space() -> str:
        return draw(SPACE)

    def value(depth: int) -> str:
        match draw(st.integers(0, 4 if depth < 3 else 1)):
            case 0:
                return json.dumps(draw(st.text('ab"{}[],:/*\\', max_size=6)))
            case 1:
                return draw(st.sampled_from(["1", "true", "null", "-2.5e3", '"\\u00fc"']))
            case 2:
                inside = ",".join(space() + value(depth + 1) + space() for _ in range(draw(st.integers(0, 3))))
                return f"[{inside}]"
            case _:
                return table(depth + 1)

    def table(depth: int) -> str:
        names = draw(
            st.lists(st.sampled_from(["mcp", "mcpServers", "servers", "context_servers", "groq", "a", "b"]), max_size=3)
        )
        members = [f"{space()}{json.dumps(name)}{space()}:{space()}{value(depth)}{space()}" for name in names]
        comma = draw(st.sampled_from(["", ","])) if members else ""
        return "{" + ",".join(members) + comma + space() + "}"

    return space() + table(depth) + space()


@pytest.mark.fault("B3")
@pytest.mark.parametrize(
    "text", ['{"TABLE":{ // d\n"groq":{}}\n}', '{"TABLE":{ // d\n"groq":{}}}', '{"TABLE":{"a":1, // d\n"groq":{}}}']
)
@pytest.mark.parametrize("client", JSON_CLIENTS, ids=lambda client: client.name)
def test_an_entry_behind_a_comment_is_removed_and_the_comment_ends_where_it_did(text: str, client: Client) -> None:
    """Not at the brace that followed the entry."""
    text = text.replace("TABLE", client.table[0])
    taken = without_server(text, client, path="./config")
    assert "// d\n" in taken
    assert entry_in(taken, client, path="") is None
    assert jsonc.digest(taken, without=(*client.table, "groq")) == jsonc.digest(text, without=(*client.table, "groq"))


@pytest.mark.fault("B3")
@settings(max_examples=400, deadline=None)
@given(json_documents(), st.sampled_from(JSON_CLIENTS))
def test_any_json_document_gets_the_entry_and_gives_it_back(text: str, client: Client) -> None:
    """With every comment; or is refused, as where a name on the way is there twice or is not a table."""
    at = (*client.table, "groq")
    try:
        put = with_server(text, client, entry_for(client), path="./config")
    except ConfigurationError:
        return
    before = jsonc.digest(text, without=at)
    assert jsonc.digest(put, without=at) == before
    assert jsonc.loads(put)[client.table[0]]["groq"] == entry_for(client)
    taken = without_server(put, client, path="./config")
    assert jsonc.digest(taken, without=at) == before
    assert entry_in(taken, client, path="") is None


@pytest.mark.fault("B3")
@pytest.mark.parametrize("client", JSON_CLIENTS, ids=lambda client: client.name)
@pytest.mark.parametrize(
    "text",
    [
        '{\n  "theme": "dark"\n}\n',
        '{\n  "theme": "dark" // mine\n}\n',
        '{\n  "theme": "dark", // mine\n}\n',
        '{\r\n  "theme": "dark"\r\n}\r\n',
        '{\n\t"TABLE": {\n\t\t"other": {\n\t\t\t"command": "x"\n\t\t}\n\t}\n}\n',
        '{\n  "TABLE": {\n    "other": {"command": "x"}, // mine\n  },\n}',
        "{\n  // nothing yet\n}\n",
    ],
)
def test_files_as_people_write_them_come_back_to_the_character(client: Client, text: str) -> None:
    """Indentation, comments, trailing commas and line ends."""
    text = text.replace("TABLE", client.table[0])
    put, taken = there_and_back(text, client)
    assert taken == text
    assert ("\r\n" in put) == ("\r\n" in text)
    assert "\n" not in put.replace("\r\n", "") or "\r\n" not in text


@pytest.mark.fault("C2")
@pytest.mark.parametrize("client", JSON_CLIENTS, ids=lambda client: client.name)
@pytest.mark.parametrize(
    "text",
    [
        '{"TABLE": {}, "TABLE": {}}',
        '{"TABLE": {"groq": {}, "groq": {}}}',
        '{"TABLE": 3}',
        '{"TABLE": null}',
        '{"TABLE": "x"}',
        '{"TABLE": [1]}',
        '{"TABLE": {"groq": "x"}}',
        '{"TABLE": {"groq": ["x"]}}',
        '{"TABLE": {"groq": 1}}',
        "[]",
        '"x"',
        "3",
        '{"a": 1} {"b": 2}',
        '{"a": 1',
        "{'a': 1}",
        "{a: 1}",
        '{"a": 01}',
        '{"a": "\n"}',
        "{/* x",
        "\x00",
        '{"a":' * 5_000 + "1" + "}" * 5_000,
        "[" * 100_000,
    ],
)
def test_what_cannot_be_edited_safely_is_refused_in_two_sentences(client: Client, text: str) -> None:
    """Never with a traceback, and never by changing a part of it."""
    with pytest.raises(ConfigurationError) as refusal:
        with_server(text.replace("TABLE", client.table[0]), client, entry_for(client), path="./config")
    assert str(refusal.value).startswith("./config ")
    assert str(refusal.value).endswith(".")
    assert len(str(refusal.value)) < 1_000


@pytest.mark.fault("C2")
@pytest.mark.parametrize(
    "text",
    [
        "mcp_servers = 3\n",
        "mcp_servers = []\n",
        '[[mcp_servers]]\nname = "a"\n',
        'mcp_servers.groq = "x"\n',
        "[mcp_servers]\ngroq = [1]\n",
        "a = 1\na = 2\n",
        "[mcp_servers.a]\n[mcp_servers.a]\n",
        "a = \n",
        "a = '\n",
        "\x00",
        "a = " + "[" * 100_000,
        ".".join(["a"] * 5_000) + " = 1\n",
        "[" * 100_000,
    ],
)
def test_toml_that_cannot_be_edited_safely_is_refused_too(text: str) -> None:
    """Duplicate keys, wrong types, nesting without end."""
    with pytest.raises(ConfigurationError) as refusal:
        with_server(text, CODEX, entry_for(CODEX), path="./config")
    assert str(refusal.value).startswith("./config ")


def test_a_refusal_shows_the_entry_to_add_and_no_key() -> None:
    """Whoever asked for the key in the file does not want it on the screen."""
    client = CLIENTS["cursor"]
    entry = client.entry(COMMAND, {"GROQ_API_KEY": "secret-of-the-user"})
    with pytest.raises(ConfigurationError) as refusal:
        with_server('{"mcpServers": 3}', client, entry, path="./config")
    assert "secret-of-the-user" not in str(refusal.value)
    assert "Add this entry by hand as mcpServers.groq" in str(refusal.value)


def test_names_twice_elsewhere_are_none_of_our_business() -> None:
    """Each client has a rule of its own for them; the text stays."""
    text = '{"a": 1, "a": 2, "b": {"c": 1, "c": 2}}'
    put, taken = there_and_back(text, CLIENTS["kilo"])
    assert '"a": 1, "a": 2, "b": {"c": 1, "c": 2}' in put
    assert '"a": 1, "a": 2, "b": {"c": 1, "c": 2}' in taken


@pytest.mark.nightly
def test_large_files_are_edited_within_seconds() -> None:
    """Three megabytes, as a client's state file may be."""
    big = {f"key{number}": {"history": ["x" * 50] * 20} for number in range(2_500)}
    put, taken = there_and_back(json.dumps(big, indent=1), CLIENTS["claude-code"])
    assert len(put) > 2_900_000
    assert json.loads(taken) == big


VALUES = st.one_of(st.integers(0, 10**9), st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12))
LINES = st.sampled_from(
    [
        "# note",
        "",
        "model = 'x'  # mine",
        '"model" = 3',
        "b = [1,\n 2]",
        's = """\n[model]\nmodel = 1\n"""',
        "c.model = 1",
        "[t]",
        "model = 2",
        "[[u]]",
    ]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(
    lines=st.lists(LINES, max_size=7), end=st.sampled_from(["\n", "\r\n"]), value=VALUES, mark=st.sampled_from(["", "\ufeff"])
)
def test_a_plain_value_of_toml_changes_nothing_else(lines: list[str], end: str, value: str | int, mark: str) -> None:
    """Set and removed it leaves the document as it was; a document that cannot be changed so is refused."""
    text = mark + "".join(f"{line}\n" for line in lines).replace("\n", end)
    try:
        before = toml_table.loads(text)
        put = toml_table.set_value(text, "model", value)
    except toml_table.TomlFault:
        return
    said = toml_table.loads(put)
    assert said.pop("model") == value
    had = before.pop("model", None)
    assert said == before
    if had is None:
        # blank lines at the beginning say nothing
        taken = toml_table.remove_value(put, "model")
        assert (taken.startswith(mark), taken.lstrip("\ufeff\r\n")) == (True, text.lstrip("\ufeff\r\n"))
    kept = [line for line in text.removeprefix(mark).splitlines() if line.strip() and "model" not in line]
    assert [line for line in put.removeprefix(mark).splitlines() if line in kept] == kept
