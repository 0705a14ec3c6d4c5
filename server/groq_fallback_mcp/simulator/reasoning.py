"""What a reasoning model thinks before it answers: how much, whether it is shown, and that it can eat up the answer.

Known: the values of reasoning_effort per model (catalog), reasoning_format and include_reasoning (the SDK's
CompletionCreateParams), `reasoning` in the message only where it is asked for (the SDK's ChatCompletionMessage), an empty
answer with finish_reason `length` where thinking takes all tokens (facts page, section 2). Unverified: the lengths.

Groq's models always think unless told `none`. Here a request that says nothing of reasoning is answered without, so that the
figures of a test are those of its words; the option `always_reason` makes it as at Groq, with `medium`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from groq_fallback_mcp.catalog import ModelRow
from groq_fallback_mcp.simulator.answer import Answer
from groq_fallback_mcp.simulator.wire import Payload

__all__ = ["Thought", "shown", "thought_of"]

# High is 15 so that 15 tokens and fewer are eaten up by it.
TOKENS = {"none": 0, "low": 4, "medium": 8, "default": 8, "high": 15}
WORDS = "A simulated thought."


@dataclass(frozen=True, slots=True)
class Thought:
    """Its length, and whether nothing is left for the answer."""

    tokens: int
    ate_it_all: bool


def thought_of(payload: Payload, model: ModelRow, max_tokens: int, *, always: bool) -> Thought:
    """What the model thinks of this request."""
    effort = payload.get("reasoning_effort")
    asked = effort is not None or payload.get("reasoning_format") is not None or payload.get("include_reasoning") is not None
    if not model.capabilities.reasoning or not (asked or always):
        return Thought(0, ate_it_all=False)
    tokens = TOKENS[str(effort or "medium")]
    return Thought(min(tokens, max_tokens), ate_it_all=0 < max_tokens <= tokens)


def shown(payload: Payload, answer: Answer, thought: Thought) -> Answer:
    """The answer with its thought counted, and shown in the form asked for; unasked where tools ran at Groq."""
    answer = replace(answer, output_tokens=answer.output_tokens + thought.tokens, reasoning_tokens=thought.tokens)
    form = payload.get("reasoning_format")
    if not thought.tokens:
        return answer
    if form == "raw" and answer.text is not None:
        return replace(answer, text=f"<think>\n{WORDS}\n</think>\n{answer.text}")
    unasked = bool(answer.executed_tools) and form is None and payload.get("include_reasoning") is None
    if form == "parsed" or payload.get("include_reasoning") is True or unasked:
        return replace(answer, reasoning=WORDS)
    return answer
