"""The answer alone, however a model, a template or a parser mixed it with something else."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.providers.answer_text import content_pieces, function_name, separate


@pytest.mark.fault("B11")
@pytest.mark.parametrize("tag", ["think", "thinking", "thought", "reasoning", "THINK", "seed:think"])
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
        ("b\n<{tag}>a", "b", "a"),
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
        ("analysisaassistantfinalb", "b", "a"),
        ("analysis of the data", "analysis of the data", None),
        ("Harmony writes `<|channel|>final`.", "Harmony writes `<|channel|>final`.", None),
    ],
)
def test_the_channels_of_harmony_are_told_apart(content: str, text: str, reasoning: str | None) -> None:
    """The one for the user is the answer."""
    found = separate(content)
    assert (found.text, found.reasoning) == (text, reasoning)


@given(
    st.text(alphabet=st.characters(exclude_characters="<`~"), max_size=200).filter(lambda text: not text.startswith("analysis"))
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
    "part", ["<think>", "</think>", "`<think>", "<|channel|>", "<|channel|>a<|message|>", "analysisassistant", " <"]
)
def test_hostile_content_takes_time_linear_in_its_length(part: str) -> None:
    """Four times as much must not take sixteen times as long."""

    def seconds(count: int) -> float:
        content = part * count
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            separate(content)
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
        ("functions.f<|constrain|>json", "f"),
        ("functions.g", "functions.g"),
        ("f ", "f"),
    ],
)
def test_the_name_of_a_function_is_cleaned_of_what_leaks_into_it(name: str, plain: str) -> None:
    """Its namespace too, where only the name itself is known."""
    assert function_name(name, ["f"]) == plain
