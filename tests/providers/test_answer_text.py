"""The answer alone, however a model, a template or a parser mixed it with something else."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.call import Failure, FailureKind
from groq_fallback_mcp.providers.answer_text import content_pieces, json_text, separate
from groq_fallback_mcp.providers.tool_calls import function_name, is_written_call, read_calls


@pytest.mark.fault("B11")
@pytest.mark.parametrize("tag", ["think", "thinking", "THINK", "seed:think"])
@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ("<{tag}>a</{tag}>b", "b", "a"),
        ("a</{tag}>b", "b", "a"),
        ("\n<{tag}>\na\n</{tag}>\n\nb\n", "b", "a"),
        ("<{tag}></{tag}>b", "b", None),
        ("<{tag}>a</{tag}>b<{tag}>c</{tag}>d", "bd", "a\n\nc"),
        ("<{tag}>a <{tag}>b</{tag}> c</{tag}>d", "d", "a <{tag}>b</{tag}> c"),
        ("<{tag}>a", "", "a"),
        ("<{tag}>use <{tag}> there</{tag}>b", "b", "use <{tag}> there"),
        ("a `</{tag}>` b\n</{tag}>\nc", "c", "a `</{tag}>` b"),
        ("a\n```py\nb\n</{tag}>\n\nc\n```py\nd\n```", "c\n```py\nd\n```", "a\n```py\nb"),
        ("end with\n\n```\n</{tag}>\n```\n\nthere", "end with\n\n```\n</{tag}>\n```\n\nthere", None),
        ("a = r'.*?</{tag}>')\nb", "a = r'.*?</{tag}>')\nb", None),
        ("b\n<{tag}>a</{tag}>", "b\n<{tag}>a</{tag}>", None),
        ("split at </{tag}> here", "split at </{tag}> here", None),
        ("between <{tag}> and </{tag}>.", "between <{tag}> and </{tag}>.", None),
        ('x.split("</{tag}>")', 'x.split("</{tag}>")', None),
        ('{{"a": "<{tag}>b</{tag}>"}}', '{{"a": "<{tag}>b</{tag}>"}}', None),
        ("<{tag}>a ``` b</{tag}>c", "c", "a ``` b"),
        ("see <{tag}> there", "see <{tag}> there", None),
        ("`<{tag}>`", "`<{tag}>`", None),
        ("```\n<{tag}>a</{tag}>\n```", "```\n<{tag}>a</{tag}>\n```", None),
    ],
)
def test_reasoning_in_tags_is_not_the_answer(tag: str, content: str, text: str, reasoning: str | None) -> None:
    """With the tag opened or not, closed or not, once or twice; in code it stays."""
    found = separate(content.format(tag=tag))
    assert (found.text, found.reasoning) == (text.format(tag=tag), reasoning and reasoning.format(tag=tag))


@pytest.mark.fault("B11")
@pytest.mark.parametrize("tag", ["thought", "thoughts", "reasoning", "reflection"])
@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ("<{tag}>a</{tag}>b", "b", "a"),
        ("<{tag}>a</{tag}>", "<{tag}>a</{tag}>", None),
        ("<{tag}>a</{tag}>\n<answer>b</answer>", "<{tag}>a</{tag}>\n<answer>b</answer>", None),
        ("a</{tag}>b", "a</{tag}>b", None),
    ],
)
def test_a_tag_that_an_answer_in_xml_may_have_is_reasoning_only_before_an_answer(
    tag: str, content: str, text: str, reasoning: str | None
) -> None:
    """Alone it is what was asked for."""
    found = separate(content.format(tag=tag))
    assert (found.text, found.reasoning) == (text.format(tag=tag), reasoning)


@pytest.mark.fault("B11")
@pytest.mark.parametrize("content", ["<think>a</think>b", "a\n</think>\nb", "analysisAassistantfinalb", "b<|im_end|>"])
def test_where_reasoning_has_a_field_of_its_own_the_content_is_the_answer(content: str) -> None:
    """Whatever it is about."""
    assert separate(content, reasoned=True).text == content


@pytest.mark.fault("C5")
@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>", "b", "a"),
        ("<|channel|>analysis<|message|>a<|channel|>final<|message|>b", "b", "a"),
        ("<|start|>assistant<|channel|>final<|message|>b", "b", None),
        ("b<|end|>", "b", None),
        ("b<|im_end|>\n<|endoftext|>", "b", None),
        ("b</s>", "b", None),
        ("<|channel|>commentary<|message|>b<|end|>", "b", None),
        ('<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>', "", '{"a": 1}'),
        ('b<|channel|>commentary to=functions.f<|message|>{"a": 1}', "b", '{"a": 1}'),
        ("analysisAassistantfinalb", "b", "A"),
        ("assistantfinalb", "b", None),
        ("analysis of the data", "analysis of the data", None),
        ("analysis of the word assistantfinal in a log", "analysis of the word assistantfinal in a log", None),
        ("<|im_start|>assistant\nb<|im_end|>", "b", None),
        ("b<|im_end|>\n<|im_start|>user\nc", "b", None),
        ("b<|endoftext|>Human: c", "b", None),
        ("[THINK]a[/THINK]b", "b", "a"),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", "b", "a"),
        ("<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>b<|end_of_solution|>", "b", "a"),
        ("It ends with <|end|>", "It ends with <|end|>", None),
        ("Write <s>b</s>", "Write <s>b</s>", None),
        ('Write <s class="a">b</s>', 'Write <s class="a">b</s>', None),
        (
            "<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\nc",
            "<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\nc",
            None,
        ),
        ("Harmony writes `<|channel|>final`.", "Harmony writes `<|channel|>final`.", None),
    ],
)
def test_the_channels_of_harmony_are_told_apart(content: str, text: str, reasoning: str | None) -> None:
    """The one for the user is the answer."""
    found = separate(content)
    assert (found.text, found.reasoning) == (text, reasoning)


@given(
    st.text(alphabet=st.characters(exclude_characters="<`~"), max_size=200).filter(
        lambda text: not text.startswith(("analysis", "assistantfinal"))
    )
)
def test_an_answer_without_any_of_this_stays_as_it_is(content: str) -> None:
    """To the last space."""
    assert separate(content).text == content


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "`", "```", "a", "\n", "<|channel|>", "<|message|>", "final", "<|end|>"]))
)
def test_no_mixture_makes_it_raise_and_nothing_is_made_up(parts: list[str]) -> None:
    """What comes out was in what went in."""
    content = "".join(parts)
    found = separate(content)
    assert set(found.text + (found.reasoning or "")) <= set(content) | {"\n"}


@pytest.mark.parametrize(
    "part",
    [
        *("<think>", "</think>", " </think> ", "`<think>", "`a</think>b`", "<|channel|>", "<|channel|>a<|message|>", " <"),
        *("`", "~", "``", "` ", "~~~a\n"),
        *("analysisAssistant", "<|end|>", "</s>", "{", "```\n", "~~~x\n{", "<think><think>a</think>", "<tool_call>"),
    ],
)
def test_hostile_content_takes_time_linear_in_its_length(part: str) -> None:
    """Four times as much must not take sixteen times as long."""

    def seconds(count: int) -> float:
        content = part * count
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            separate(content)
            separate(f"{content}x</think>y")
            json_text(content)
            is_written_call(content)
            best = min(best, time.process_time() - began)
        return best

    assert seconds(80_000) < 10 * max(seconds(20_000), 1e-3)


@pytest.mark.fault("B12")
@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ("a", "a", ""),
        (None, "", ""),
        (7, "", ""),
        ([], "", ""),
        (["a", "b"], "ab", ""),
        ([{"type": "text", "text": "a"}, {"text": "b"}], "ab", ""),
        ([{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}], "ab", ""),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}, {"type": "text", "text": "b"}], "b", "a"),
        ([{"type": "thinking", "thinking": "a"}], "", "a"),
        ([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}]}], "", "a"),
        ([{"type": "image_url", "image_url": {"url": "x"}}], "", ""),
        ({"parts": [{"text": "a"}]}, "a", ""),
        ([None, 3, {"type": "text", "text": 3}], "", ""),
    ],
    ids=str,
)
def test_content_in_parts_is_read_as_its_text(content: object, text: str, reasoning: str) -> None:
    """And its thinking parts as reasoning."""
    assert content_pieces(content) == (text, reasoning)


json_values = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "thinking", "parts"]), inner),
    max_leaves=8,
)


@given(json_values)
def test_no_content_of_any_form_makes_it_raise(content: object) -> None:
    """A provider may send what it likes."""
    text, reasoning = content_pieces(content)
    assert isinstance(text, str)
    assert isinstance(reasoning, str)


@pytest.mark.fault("C5")
@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("f", "f"),
        ("f<|channel|>commentary", "f"),
        ("functions.f", "f"),
        ("functions.f:0", "f"),
        ("f:3", "f"),
        ("default_api.f", "f"),
        ("functions.f<|constrain|>json", "f"),
        ("functions.g", "functions.g"),
        ("functions.h", "functions.h"),
        ("f ", "f"),
        ('"f"', "f"),
        ("F", "F"),
    ],
)
def test_the_name_of_a_function_is_cleaned_of_what_leaks_into_it(name: str, plain: str) -> None:
    """Its namespace and number too, unless the functions that are known have them."""
    assert function_name(name, ["f", "functions.h"]) == plain


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("read_file", ["readFile", "writeFile"], "readFile"),
        ("read_file", ["Read File"], "Read File"),
        ("mcp_read_file", ["mcp.read-file"], "mcp.read-file"),
        ("read_file", ["readFile", "read-file"], "read_file"),
        ("write", ["readFile"], "write"),
    ],
)
def test_a_name_that_a_server_rewrote_is_the_function_s_own_again(name: str, known: list[str], meant: str) -> None:
    """LM Studio writes them in snake_case; where two could be meant, neither is."""
    assert function_name(name, known) == meant


@pytest.mark.fault("B11")
@pytest.mark.parametrize(
    ("content", "json"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ("7", "7"),
        ('\ufeff{"a": 1}', '{"a": 1}'),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ("~~~\n[1]\n~~~", "[1]"),
        ('Here it is: {"a": 1}. Good luck!', '{"a": 1}'),
        ('Here:\n```json\n{"a": "```\\nb\\n```"}\n```', '{"a": "```\\nb\\n```"}'),
        ('```\n{"a": 1}\n```\nor\n```\n{"a": 2}\n```', '{"a": 1}'),
        ('{"a": 1', '{"a": 1'),
        ('{"a": 1} {"b": 2}', '{"a": 1} {"b": 2}'),
        ("I cannot.", "I cannot."),
    ],
)
def test_an_answer_asked_for_as_json_is_the_json_alone(content: str, json: str) -> None:
    """Without a fence, a sentence or a mark around it; what holds none stays for the check of the schema."""
    assert json_text(content) == json


OBJECT = {"id": "c", "function": {"name": "f", "arguments": '{"a": 1}'}}


@pytest.mark.fault("B12")
@pytest.mark.parametrize(
    "message",
    [
        {"tool_calls": [OBJECT]},
        {"tool_calls": OBJECT},
        {"tool_calls": '[{"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}]'},
        {"tool_calls": [{"id": "c", "name": "f", "arguments": {"a": 1}}]},
        {"tool_calls": [{"id": "c", "name": "f", "args": {"a": 1}}]},
        {"tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": '{"a": 1}'}}]},
        {"content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}]},
        {"tool_calls": [{"id": "c", "function": {"name": "functions.f:0", "arguments": '{}{"a": 1}'}}]},
        {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a": 1} {"a": 1}'}}]},
        {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '"{\\"a\\": 1}"'}}]},
        {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '```json\n{"a": 1}\n```'}}]},
    ],
    ids=str,
)
def test_every_form_of_a_call_reads_the_same(message: dict[str, object]) -> None:
    """OpenAI's, one instead of a list, flat, older, encoded twice, repeated."""
    assert read_calls(message, ["f"]) == ({"id": "c", "name": "f", "arguments": '{"a": 1}'},)


@pytest.mark.fault("A8")
@pytest.mark.parametrize(
    "arguments", ['{"a": ', '{"a": "b', "[1]", "a", "7", '{"a": 1}{"a": 2}', ["a"], 7, "{'a': 1}"], ids=str
)
def test_a_call_whose_arguments_are_no_object_is_a_failed_generation(arguments: object) -> None:
    """Half a call must not be carried out."""
    found = read_calls({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}}]}, ["f"])
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.GENERATION_FAILED


@pytest.mark.fault("C5")
def test_each_call_has_an_id_of_its_own() -> None:
    """Results are matched by it; some providers leave it out or repeat it."""
    calls = [{"function": {"name": "f"}}, {"id": "", "name": "f"}, {"id": "c", "name": "f"}, {"id": "c", "name": "f"}]
    found = read_calls({"tool_calls": calls}, ["f"])
    assert not isinstance(found, Failure)
    assert len({call["id"] for call in found}) == len(calls)
    assert {call["arguments"] for call in found} == {"{}"}
    # agents match results over a whole conversation
    again = read_calls({"tool_calls": calls[:2]}, ["f"])
    assert not isinstance(again, Failure)
    assert {call["id"] for call in found}.isdisjoint(call["id"] for call in again)


@pytest.mark.parametrize(("arguments", "read"), [("{}{}", "{}"), ("{} {}\n{}", "{}"), ('{}{"a": 1}{}', '{"a": 1}')])
def test_a_call_that_repeats_its_empty_arguments_has_none(arguments: str, read: str) -> None:
    found = read_calls({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}}]}, ["f"])
    assert found == ({"id": "c", "name": "f", "arguments": read},)


@pytest.mark.fault("B11")
@pytest.mark.parametrize(
    ("text", "is_call"),
    [
        ('<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>', True),
        ('I look.\n<tool_call>{"name": "f"}</tool_call>', True),
        ('[TOOL_CALLS][{"name": "f"}]', True),
        ('<|python_tag|>{"name": "f"}', True),
        ("<function=f>{}</function>", True),
        ("<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0", True),
        ("<\uff5ctool\u2581calls\u2581begin\uff5c>", True),
        ("<function_calls>\n<invoke name=", True),
        ('```\n<tool_call>\n{"name": "f"}\n</tool_call>\n```', False),
        ("Qwen writes <tool_call> before a call.", False),
        ("<tool_call> is the tag", False),
    ],
)
def test_a_call_that_nobody_parsed_is_told_from_text_about_calls(text: str, is_call: bool) -> None:
    """By its form, at the beginning of a line and outside of code."""
    assert is_written_call(text) is is_call
