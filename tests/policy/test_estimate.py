"""What a call is thought to cost before it is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from groq_fallback_mcp.call import AudioFile, AudioLink, AudioRequest, ChatRequest, Limit, SpeechRequest
from groq_fallback_mcp.policy.estimate import (
    audio_cost,
    chat_cost,
    estimate_prompt_tokens,
    has_images,
    speech_cost,
    with_hours,
)

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CALL = {"id": "c", "type": "function", "function": {"name": "write", "arguments": '{"text": "Gr\u00fc\u00dfe"}'}}
TOOL = {"type": "function", "function": {"name": "write", "description": "Gr\u00fc\u00dfe " * 100}}


def estimated(content: object = "", **fields: Any) -> int:
    """The estimate for one message with this content."""
    return estimate_prompt_tokens(ChatRequest(messages=({"role": "user", "content": content},), **fields))


def text(words: str) -> dict[str, str]:
    """A text part."""
    return {"type": "text", "text": words}


def of_text(words: str) -> int:
    """What a text adds to an estimate."""
    return estimated(words) - estimated(None)


def test_the_parts_of_a_message_are_estimated_as_what_they_hold() -> None:
    """Text as if it were the message; an image as much as the largest take; of another kind, only what it says."""
    nothing = estimated([])
    assert estimated([text("word " * 100)]) - nothing == of_text("word " * 100)
    assert estimated([text("one"), IMAGE, text("two"), IMAGE]) - nothing == of_text("one") + of_text("two") + 2 * 1_600
    assert estimated([{"type": "input_audio"}]) - nothing == of_text("")
    assert estimated(["not a part", IMAGE]) - nothing == 1_600
    assert estimated(None) == estimated(7) == nothing


def test_calls_tools_and_a_schema_are_estimated_as_json_beside_the_messages() -> None:
    """With letters of any language as they are sent, not escaped."""
    schema = {"type": "object", "description": "Gr\u00fc\u00dfe " * 100}
    called = [{"role": "user", "content": "word " * 100}, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
    in_calls, in_tool, in_schema = (of_text(json.dumps(part, ensure_ascii=False)) for part in ([CALL], TOOL, schema))
    assert estimate_prompt_tokens(ChatRequest(messages=called)) == estimated("word " * 100) + 5 + in_calls
    assert estimated("x", tools=(TOOL, TOOL), schema=schema) == estimated("x") + 2 * in_tool + in_schema


@pytest.mark.parametrize(
    ("words", "tokens"),
    [("", 1), ("word", 2), ("four words of text", 5), ("12345", 6), ("a\nb\n", 6), ("{}[]", 3), ("\u041f\u0440\u0438", 4)],
)
def test_a_text_takes_tokens_by_its_letters_digits_signs_words_and_lines(words: str, tokens: int) -> None:
    """A part of a token for each, and one for the text."""
    assert of_text(words) == tokens


def test_half_of_a_surrogate_pair_is_no_error() -> None:
    """A client may cut a text in the middle of an emoji."""
    assert of_text("\ud83d") == of_text("?")


def test_images_are_counted_in_every_message() -> None:
    """A model may take only so many."""
    messages = [{"role": "user", "content": [IMAGE, text("x"), IMAGE]}, {"role": "user", "content": [IMAGE]}]
    assert has_images(ChatRequest(messages=messages)) == 3
    assert has_images(ChatRequest(messages=[{"role": "user", "content": "image_url"}])) == 0


def test_a_chat_is_one_request_and_its_prompt_with_all_of_max_tokens() -> None:
    """As Groq lets calls in; where input and output have limits of their own, each of it alone."""
    cost = {Limit.RPM: 1, Limit.RPD: 1, Limit.TPM: 1_500, Limit.TPD: 1_500, Limit.ITPM: 500, Limit.OTPM: 1_000}
    assert chat_cost(500, 1_000) == cost
    assert with_hours(cost) == {**cost, Limit.RPH: 1, Limit.TPH: 1_500}
    assert with_hours({Limit.ASH: 10}) == {Limit.ASH: 10}


def test_speech_is_one_request_and_its_characters() -> None:
    """They are counted where a chat's tokens are."""
    request = SpeechRequest(text="Gr\u00fc\u00dfe")
    assert speech_cost(request) == {Limit.RPM: 1, Limit.RPD: 1, Limit.TPM: 5, Limit.TPD: 5}


@pytest.mark.parametrize(
    ("duration_s", "size", "seconds"),
    [
        (2.0, 1_000, 10),
        (10.5, 1_000, 10.5),
        (7_200.0, 1_000, 7_200),
        (None, 1_000, 60),
        (None, 75_000, 100),
        (None, 3_000_000, 3_600),
    ],
)
def test_a_recording_is_one_request_and_its_seconds(duration_s: float | None, size: int, seconds: float) -> None:
    """At least 10 are billed. Of unknown length: what its bytes can hold, between a minute and an hour."""
    audio = AudioFile(name="a.ogg", content=bytes(size), media_type="audio/ogg", duration_s=duration_s)
    cost = {Limit.RPM: 1, Limit.RPD: 1, Limit.ASH: seconds, Limit.ASD: seconds}
    assert audio_cost(AudioRequest(audio=audio)) == cost


def test_a_recording_behind_an_address_is_taken_for_a_minute() -> None:
    """Only the provider fetches it."""
    cost = audio_cost(AudioRequest(audio=AudioLink(url="https://example.com/a.ogg")))
    assert cost == {Limit.RPM: 1, Limit.RPD: 1, Limit.ASH: 60, Limit.ASD: 60}
