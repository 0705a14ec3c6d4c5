"""What each provider is sent, by the catalog's rows of dialects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from fakes import candidate
from hypothesis import given, settings
from hypothesis import strategies as st

from groq_fallback_mcp.call import ChatRequest, Success
from groq_fallback_mcp.call.messages import read_messages
from groq_fallback_mcp.catalog import Dialect, load_catalog
from groq_fallback_mcp.providers.dialect import in_dialect
from groq_fallback_mcp.providers.history import NOT_SIGNED, CallMemory, messages_in_dialect
from groq_fallback_mcp.providers.openai_wire import chat_payload

DIALECTS = {name: row.dialect for name, row in load_catalog().providers.items()}
# Those that differ in what they are sent: the last provider of each.
DIFFERING = {str(dialect.model_dump(exclude={"source", "checked", "uncertain"})): name for name, dialect in DIALECTS.items()}
PLAIN = Dialect()
SCHEMA = {
    "$id": "x",
    "$schema": "y",
    "type": "object",
    "properties": {"strict": {"type": "string"}, "$id": {"type": "object", "additionalProperties": {"type": "integer"}}},
    "additionalProperties": False,
    "anyOf": [{"required": ["strict"], "additionalProperties": False}],
}
TOOL: Mapping[str, Any] = {
    "type": "function",
    "function": {"name": "look", "description": "Look.", "parameters": SCHEMA, "strict": True},
}


def request(*messages: Mapping[str, Any], **fields: Any) -> ChatRequest:
    """A chat request of messages as agents send them."""
    read = read_messages(list(messages) or [{"role": "user", "content": "hi"}])
    return ChatRequest(messages=read, **fields)  # type: ignore[arg-type]


def sent(dialect: Dialect, asked: ChatRequest, memory: CallMemory | None = None, **fields: Any) -> dict[str, Any]:
    """The body that a provider of this dialect is sent."""
    fitted = candidate("m", **{"max_tokens": 1_000, **fields})
    return in_dialect(chat_payload(asked, fitted, groq=False, stream=True), dialect, memory)


def full() -> ChatRequest:
    """A request that has every field."""
    return request(
        temperature=0.5, top_p=0.9, seed=7, stop=("END",), tools=(TOOL,), tool_choice="required", parallel_tool_calls=True
    )


@pytest.mark.parametrize("name", DIALECTS)
def test_every_row_of_a_dialect_changes_what_it_says(name: str) -> None:
    """Its fields, and nothing else, differ from OpenAI's."""
    dialect = DIALECTS[name]
    before = sent(PLAIN, full(), reasoning_effort="high")
    after = sent(dialect, full(), reasoning_effort="high")

    renamed = {dialect.rename.get(field, field) for field in before}
    reasoning = {"reasoning_effort", "reasoning", "thinking", "max_tokens", "max_completion_tokens", "stream_options"}
    assert not after.keys() - renamed - reasoning
    assert dialect.max_tokens in after
    assert not set(dialect.omit) & after.keys()
    assert not dialect.only or after.keys() <= {*dialect.only, "model", "messages"}
    assert not set(dialect.rename) & after.keys()
    assert ("stream_options" in after) == dialect.stream_usage
    assert dialect.with_tools.items() <= after.items()
    choice = dialect.tool_choice.get("required", "required")
    assert after.get("tool_choice") == (choice or None)
    effort = {"reasoning_effort": "high", "reasoning": {"effort": "high"}, "thinking": {"type": "enabled"}}
    taken = {name: value for name, value in effort.items() if name == dialect.reasoning}
    assert {name: after[name] for name in effort if name in after} == taken


@pytest.mark.parametrize("name", DIALECTS)
def test_an_answer_in_one_piece_asks_nobody_for_the_usage_of_a_stream(name: str) -> None:
    """Neither those that know the field nor those that do not."""
    whole = chat_payload(full(), candidate("m", max_tokens=1_000), groq=False)

    assert "stream_options" not in in_dialect(whole, DIALECTS[name])


def test_a_provider_of_which_nothing_is_known_is_sent_openai_s_format() -> None:
    """As most servers read it."""
    body = chat_payload(full(), candidate("m", max_tokens=9, reasoning_effort="low"), groq=False)

    assert in_dialect(body, PLAIN) == body


def test_thinking_is_switched_by_its_type_alone() -> None:
    """Z.ai and DeepSeek know no levels."""
    assert sent(DIALECTS["zai"], request(), reasoning_effort="none")["thinking"] == {"type": "disabled"}
    assert sent(DIALECTS["zai"], request(), reasoning_effort="default")["thinking"] == {"type": "enabled"}
    assert "thinking" not in sent(DIALECTS["zai"], request())


@pytest.mark.parametrize("effort", ["none", "default", "high"])
def test_a_provider_without_a_word_for_effort_is_sent_none(effort: str) -> None:
    """A field that it does not know may be refused."""
    body = sent(Dialect(reasoning="none"), request(), reasoning_effort=effort)

    assert not body.keys() & {"reasoning_effort", "reasoning", "thinking"}


def test_groq_s_word_for_the_usual_effort_is_not_sent_elsewhere() -> None:
    """It is the same as saying nothing."""
    assert "reasoning_effort" not in sent(PLAIN, request(), reasoning_effort="default")


def test_an_answer_has_room_beside_what_is_thought() -> None:
    """Gemini takes both from max_tokens."""
    assert sent(DIALECTS["gemini"], request(), max_tokens=20)["max_tokens"] == 128
    assert sent(DIALECTS["gemini"], request(), max_tokens=2_000)["max_tokens"] == 2_000


def test_keys_that_a_reader_of_schemas_refuses_are_dropped_and_names_of_the_caller_s_are_not() -> None:
    """Mistral refuses `$id`, but a property may be called so; a map's schema says what is wanted."""
    (tool,) = sent(DIALECTS["mistral"], full())["tools"]

    parameters = {"type": "object", "properties": SCHEMA["properties"], "anyOf": [{"required": ["strict"]}]}
    assert tool["function"] == {"name": "look", "description": "Look.", "parameters": parameters}
    assert TOOL["function"]["strict"]


def test_a_property_may_be_called_as_a_refused_key_or_as_one_that_holds_schemas() -> None:
    """Its schema may be true, which takes anything."""
    properties = {"strict": True, "properties": {"type": "object", "strict": True}, "$defs": {"type": "string"}}
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": properties}}}

    (plain,) = sent(DIALECTS["mistral"], request(tools=(tool,)))["tools"]

    expected = {"strict": True, "properties": {"type": "object"}, "$defs": {"type": "string"}}
    assert plain["function"]["parameters"]["properties"] == expected


@pytest.mark.parametrize(("tools", "beginning"), [((), "Answer with"), ((TOOL,), "When you answer, rather than call a tool,")])
def test_a_schema_is_put_in_words_where_it_cannot_be_sent(tools: Sequence[Mapping[str, Any]], beginning: str) -> None:
    """Kilo refuses response_format without a key."""
    schema = {"type": "object"}
    wanted = request(schema=schema, tools=tools)
    asked = chat_payload(wanted, candidate("m", max_tokens=9, json_mode="json_schema"), groq=False)

    body, plain = in_dialect(asked, DIALECTS["kilo"]), in_dialect(asked, PLAIN)

    assert "response_format" not in body
    words, question = body["messages"]
    assert (words["role"], question) == ("system", {"role": "user", "content": "hi"})
    assert words["content"].startswith(beginning)
    assert words["content"].endswith(json.dumps(schema, separators=(",", ":")))
    assert "response_format" in plain
    assert plain["messages"] == [question]


def called(id_: str, name: str = "look", **extra: object) -> dict[str, Any]:
    """A call of a tool."""
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": '{"a": 1}'}, **extra}


def history(*calls: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """A turn with these calls and their results, and the next question."""
    return (
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": None, "tool_calls": list(calls), "reasoning_content": "hm", "reasoning": "hm"},
        *({"role": "tool", "tool_call_id": call["id"], "content": "seen"} for call in calls),
        {"role": "user", "content": [{"type": "text", "text": "and"}, {"type": "text", "text": "now?"}]},
    )


def test_mistral_s_calls_have_nine_letters_always_the_same_ones() -> None:
    """Its own stay as they are, and results stay with their calls."""
    messages = sent(DIALECTS["mistral"], request(*history(called("call_1"), called("Ab3dE6gH9"))))["messages"]

    ids = [call["id"] for call in messages[1]["tool_calls"]]
    assert ids == [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    assert ids[1] == "Ab3dE6gH9"
    assert ids == [
        call["id"]
        for call in sent(DIALECTS["mistral"], request(*history(called("call_1"), called("Ab3dE6gH9"))))["messages"][1][
            "tool_calls"
        ]
    ]


def test_mistral_hears_an_answer_between_a_tool_and_the_user() -> None:
    """It refuses the user's words right after a result."""
    roles = [message["role"] for message in sent(DIALECTS["mistral"], request(*history(called("call_1"))))["messages"]]

    assert roles == ["user", "assistant", "tool", "assistant", "user"]


SIGNED = {"google": {"thought_signature": "c2lnbmVk"}}


def test_gemini_gets_its_signatures_back_though_the_client_lost_them() -> None:
    """They are kept by call, also where the client writes the arguments anew."""
    memory = CallMemory()
    memory.keep(
        Success(
            model="m",
            tool_calls=({"id": "call_1", "name": "look", "arguments": '{"a":1}', "extra_content": SIGNED},),
        )
    )

    messages = sent(DIALECTS["gemini"], request(*history(called("call_1"), called("call_2"))), memory)["messages"]

    assert messages[1]["tool_calls"] == [called("call_1", extra_content=SIGNED), called("call_2")]


def test_gemini_gets_back_what_the_client_kept() -> None:
    """Another process may have made the call."""
    messages = sent(DIALECTS["gemini"], request(*history(called("call_1", extra_content=SIGNED))))["messages"]

    assert messages[1]["tool_calls"] == [called("call_1", extra_content=SIGNED)]


def test_calls_of_other_models_are_marked_unsigned_for_gemini() -> None:
    """Of calls at once the first."""
    messages = sent(DIALECTS["gemini"], request(*history(called("call_1"), called("call_2"))), CallMemory())["messages"]

    assert messages[1]["tool_calls"] == [called("call_1", extra_content=NOT_SIGNED), called("call_2")]


def test_no_other_provider_is_sent_a_signature() -> None:
    """Groq refuses fields that it does not know."""
    asked = request(*history(called("call_1", extra_content=SIGNED)))

    for_groq = chat_payload(asked, candidate("m", max_tokens=9))

    assert for_groq["messages"][1]["tool_calls"] == [called("call_1")]
    assert sent(PLAIN, asked)["messages"][1]["tool_calls"] == [called("call_1")]
    assert "hm" not in json.dumps(for_groq)
    assert chat_payload(request(*history(called("call_1"))), candidate("m", max_tokens=9)) == for_groq


def test_deepseek_gets_its_own_thoughts_back_and_nobody_else_any() -> None:
    """The opposite of Groq and Cerebras; of another model's calls the field is empty."""
    memory = CallMemory()
    call = {"id": "call_1", "name": "look", "arguments": '{"a": 1}'}
    memory.keep(Success(model="m", reasoning="I must look", tool_calls=(call,)))
    asked = request(*history(called("call_1")))

    assert sent(DIALECTS["deepseek"], asked, memory)["messages"][1]["reasoning_content"] == "I must look"
    assert sent(DIALECTS["deepseek"], asked)["messages"][1]["reasoning_content"] == ""
    assert "reasoning" not in json.dumps(sent(DIALECTS["cerebras"], asked, memory)["messages"])


def test_the_oldest_calls_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is bounded."""
    monkeypatch.setattr("groq_fallback_mcp.providers.history.MOST_CALLS", 2)
    memory = CallMemory()

    for number in range(3):
        call = {"id": f"call_{number}", "name": "look", "arguments": "not json", "extra_content": SIGNED}
        memory.keep(Success(model="m", tool_calls=(call,)))

    made = [{"id": f"call_{number}", "function": {"name": "look", "arguments": "not json"}} for number in range(3)]
    assert [memory.of(call) is not None for call in made] == [False, True, True]


def kept(memory: CallMemory, count: int) -> list[bool]:
    """Which of so many calls of `look` are remembered."""
    made = [{"id": f"call_{number}", "function": {"name": "look", "arguments": "{}"}} for number in range(count)]
    found = [memory.of(call) for call in made]
    return [each is not None and bool(each.reasoning or each.extra_content) for each in found]


def test_what_is_kept_is_bounded_by_its_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thoughts of many calls would be tens of megabytes. A call that comes again counts once."""
    monkeypatch.setattr("groq_fallback_mcp.providers.history.MOST_CHARS_KEPT", 2_500)
    memory = CallMemory()

    for number in (0, 1, 1, 1, 2):
        call = {"id": f"call_{number}", "name": "look", "arguments": "{}"}
        memory.keep(Success(model="m", reasoning="x" * 1_000, tool_calls=(call,)))

    assert kept(memory, 3) == [False, True, True]


def remembered(memory: CallMemory, id_: str = "call_0", arguments: str = "{}") -> tuple[str | None, Any]:
    """The thought and the signature that are kept with a call of `look`."""
    found = memory.of({"id": id_, "function": {"name": "look", "arguments": arguments}})
    assert found is not None
    return found.reasoning, found.extra_content


# What tells a call from others takes 74 characters here; with these it is a thousand.
THOUGHT, SIGNATURE = "x" * 926, {"s": "x" * (926 - len(json.dumps({"s": ""})))}


@pytest.mark.parametrize(
    ("thought", "extra"),
    [
        (THOUGHT, None),
        (THOUGHT, {"s": "x" * 64_000}),
        (None, SIGNATURE),
        (THOUGHT[:400], {"s": SIGNATURE["s"][:-400]}),
    ],
    ids=["thought", "signature too long", "signature", "both"],
)
@pytest.mark.parametrize(("most", "are_kept"), [(2_000, [False, True, True]), (1_999, [False, False, True])])
def test_every_character_that_is_kept_counts(
    monkeypatch: pytest.MonkeyPatch, thought: str | None, extra: object, most: int, are_kept: list[bool]
) -> None:
    """Of thoughts, of signatures, and of what tells a call from others."""
    monkeypatch.setattr("groq_fallback_mcp.providers.history.MOST_CHARS_KEPT", most)
    memory = CallMemory()

    for number in range(3):
        call = {"id": f"call_{number}", "name": "look", "arguments": "{}"}
        if extra is not None:
            call["extra_content"] = extra
        memory.keep(Success(model="m", reasoning=thought, tool_calls=(call,)))

    assert kept(memory, 3) == are_kept


def test_a_thought_or_a_signature_of_64000_characters_is_kept_and_no_longer_one() -> None:
    """Half of either would be of no use."""
    memory = CallMemory()
    signature = {"s": "x" * (64_000 - len(json.dumps({"s": ""})))}
    for number, thought in enumerate(["x" * 64_000, "x" * 64_001]):
        call = {"id": f"call_{number}", "name": "look", "arguments": "{}", "extra_content": signature}
        memory.keep(Success(model="m", reasoning=thought, tool_calls=(call,)))

    assert remembered(memory, "call_0") == ("x" * 64_000, signature)
    assert remembered(memory, "call_1") == (None, signature)


def test_calls_with_the_same_id_are_told_apart_by_their_arguments() -> None:
    """Some servers count calls from 0 in every answer. The order of keys says nothing: clients write arguments anew."""
    memory = CallMemory()
    for thought, arguments in (("first", '{"a": 1, "b": 2}'), ("second", '{"a": 2}'), ("third", '{"a": "\ud800')):
        call = {"id": "call_0", "name": "look", "arguments": arguments}
        memory.keep(Success(model="m", reasoning=thought, tool_calls=(call,)))

    assert remembered(memory, arguments='{"b":2,"a":1}')[0] == "first"
    assert remembered(memory, arguments='{"a": 2}')[0] == "second"
    assert remembered(memory, arguments='{"a": "\ud800')[0] == "third"


def test_an_id_of_half_a_surrogate_pair_is_turned_into_nine_letters_too() -> None:
    """A client may have cut it there."""
    (message,) = messages_in_dialect([{"role": "tool", "tool_call_id": "\ud83d", "content": "x"}], DIALECTS["mistral"])

    assert len(message["tool_call_id"]) == 9


@pytest.mark.parametrize("ending", ["user", "assistant"])
def test_only_a_provider_that_wants_the_user_last_hears_one_more_word(ending: str) -> None:
    """Gemini refuses to go on from the assistant's words."""
    messages = [{"role": "user", "content": "hi"}, {"role": ending, "content": "so"}]

    for_gemini = messages_in_dialect(messages, DIALECTS["gemini"])

    assert messages_in_dialect(messages, PLAIN) == messages
    assert for_gemini == (messages if ending == "user" else [*messages, {"role": "user", "content": "Continue."}])
    assert messages_in_dialect([], DIALECTS["gemini"]) == []


def test_fields_of_a_message_that_a_provider_refuses_are_dropped() -> None:
    """Thoughts everywhere; a name where it is not that of a tool; its own thoughts stay where they must come back."""
    messages = [
        {"role": "user", "name": "ann", "content": "look", "cache_control": {}},
        {"role": "assistant", "content": None, "tool_calls": [called("Ab3dE6gH9")], "reasoning": "a", "reasoning_content": "b"},
        {"role": "tool", "name": "look", "tool_call_id": "Ab3dE6gH9", "content": "seen"},
    ]
    strict = Dialect(message_fields=DIALECTS["mistral"].message_fields)
    thoughtful = strict.model_copy(update={"reasoning_history": "reasoning_content"})

    thoughts, result = messages_in_dialect(messages, PLAIN)[1], messages[2]
    plain = [{"role": "user", "content": "look"}, thoughts, result]

    assert thoughts == {"role": "assistant", "content": None, "tool_calls": [called("Ab3dE6gH9")]}
    assert messages_in_dialect(messages, strict) == plain
    assert messages_in_dialect(messages, thoughtful) == [plain[0], {**thoughts, "reasoning_content": ""}, result]


def nested(depth: int) -> dict[str, Any]:
    """An object in an object, and so on."""
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"x": found}
    return found


@pytest.mark.parametrize("extra", [{"google": {"thought_signature": "x" * 64_001}}, nested(5_000)], ids=["long", "deep"])
def test_a_signature_longer_than_any_is_not_kept(extra: dict[str, Any]) -> None:
    """A provider may send anything."""
    memory = CallMemory()
    calls = ({"id": "call_0", "name": "look", "arguments": "{}", "extra_content": extra},)
    memory.keep(Success(model="m", tool_calls=calls))

    assert kept(memory, 1) == [False]


def test_content_is_one_string_where_nothing_else_is_taken() -> None:
    """Cloudflare refuses lists and null."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    asked = request(*history(called("call_1")), {"role": "user", "content": [{"type": "text", "text": "this"}, picture]})

    contents = [message["content"] for message in sent(DIALECTS["cloudflare"], asked)["messages"]]

    assert contents == ["look", "", "seen", "and\nnow?", "this\n[image_url]"]


TEXTS = st.text(alphabet="abc ", min_size=1).filter(str.strip)
CONTENTS = st.one_of(
    TEXTS,
    st.lists(
        st.one_of(
            TEXTS.map(lambda text: {"type": "text", "text": text}),
            st.just({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}),
        ),
        min_size=1,
        max_size=3,
    ),
)
IDS = st.one_of(st.sampled_from(["call_0", "Ab3dE6gH9", "", "toolu_" + "x" * 40]), st.text(min_size=1, max_size=12))


@st.composite
def turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A turn as agents send it back, of whatever model."""
    user = {"role": "user", "content": draw(CONTENTS)}
    thoughts = draw(st.sampled_from([{}, {"reasoning": "hm"}, {"reasoning_content": "hm"}]))
    ids = draw(st.lists(IDS, max_size=3, unique=True))
    if not ids:
        return [user, {"role": "assistant", "content": draw(CONTENTS), **thoughts}]
    extra = draw(st.sampled_from([{}, {"extra_content": SIGNED}]))
    calls = [called(id_, **extra) for id_ in ids]
    results = [{"role": "tool", "tool_call_id": id_, "content": draw(CONTENTS)} for id_ in ids]
    ending = draw(st.sampled_from([[], [{"role": "assistant", "content": "done", "name": "me"}]]))
    return [user, {"role": "assistant", "content": None, "tool_calls": calls, **thoughts}, *results, *ending]


HISTORIES = st.lists(turns(), min_size=1, max_size=4).map(lambda all_turns: [one for turn in all_turns for one in turn])


def pairs(messages: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Which result belongs to which call: the places of both among results and calls."""
    found: list[tuple[int, int]] = []
    open_: dict[str, int] = {}
    calls = results = 0
    for message in messages:
        for call in message.get("tool_calls", ()):
            open_[call["id"]] = calls
            calls += 1
        if message["role"] == "tool":
            found.append((results, open_[message["tool_call_id"]]))
            results += 1
    return found


@pytest.mark.parametrize("name", DIFFERING.values())
@settings(max_examples=60)
@given(given_=HISTORIES)
def test_any_history_is_valid_for_any_provider(name: str, given_: list[dict[str, Any]]) -> None:
    """Whoever wrote which part of it, with tools, images, reasoning and null content."""
    dialect, asked = DIALECTS[name], request(*given_)
    before = json.dumps(asked.messages)

    messages: list[dict[str, Any]] = sent(dialect, asked, CallMemory())["messages"]

    assert json.dumps(asked.messages) == before
    assert pairs(messages) == pairs(asked.messages)
    calling = [message for message in messages if message.get("tool_calls")]
    calls = [call for message in calling for call in message["tool_calls"]]
    allowed = {"role", "content", "tool_calls", "tool_call_id", dialect.reasoning_history}
    assert all(message.keys() <= allowed for message in messages)
    if dialect.text_content:
        assert all(isinstance(message["content"], str) for message in messages)
    if dialect.tool_call_ids == "nine_letters":
        assert all(len(call["id"]) == 9 and call["id"].isascii() and call["id"].isalnum() for call in calls)
    if dialect.thought_signatures:
        assert all("thought_signature" in message["tool_calls"][0]["extra_content"]["google"] for message in calling)
    else:
        assert all(call.keys() == {"id", "type", "function"} for call in calls)
    if dialect.reasoning_history is not None:
        assert all(dialect.reasoning_history in message for message in calling)
    if dialect.assistant_after_tool:
        roles = [message["role"] for message in messages]
        assert ("tool", "user") not in pairwise(roles)
    if dialect.last_is_user:
        assert messages[-1]["role"] != "assistant"
