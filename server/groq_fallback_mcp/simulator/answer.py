"""An answer as data, before it becomes a completion, a stream, a line of a batch or a response: with citations and reasoning.

Documents and citations: the SDK's CompletionCreateParams.Document, ChatCompletionRequestMessageContentPartDocument and
ChatCompletionMessage.Annotation. Unverified: the texts of refusals, the id of a document without one, and that documents go
together with tools (no source forbids it).

Reasoning, known: the values of reasoning_effort per model (catalog), reasoning_format and include_reasoning (the SDK's
CompletionCreateParams), `reasoning` in the message only where it is asked for (the SDK's ChatCompletionMessage), an empty
answer with finish_reason `length` where thinking takes all tokens (facts page, section 2). Unverified: the lengths.
Groq's models always think unless told `none`. Here a request that says nothing of reasoning is answered without, so that the
figures of a test are those of its words; the option `always_reason` makes it as at Groq, with `medium`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from groq_fallback_mcp.catalog import ModelRow
from groq_fallback_mcp.json_types import is_list
from groq_fallback_mcp.simulator.wire import Messages, Payload, items, table

__all__ = ["Answer", "cited", "document_faults", "shown", "thought_of"]

Rows = Sequence[Mapping[str, Any]]
# High is 15 so that 15 tokens and fewer are eaten up by it.
THOUGHT_TOKENS = {"none": 0, "low": 4, "medium": 8, "default": 8, "high": 15}
THOUGHT = "A simulated thought."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model said. `text` None: it called tools instead. `output_tokens` includes those of reasoning.

    `parts_by` names the models behind a system such as groq/compound.
    """

    text: str | None
    input_tokens: int
    output_tokens: int
    finish_reason: str = "stop"
    reasoning: str | None = None
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    tool_calls: Rows = ()
    executed_tools: Rows = ()
    annotations: Rows = ()
    parts_by: Sequence[str] = ()
    took_s: float = 0.0

    def took(self, model: ModelRow, scale: float) -> float:
        """Seconds at the speed of the catalog."""
        return self.output_tokens / (model.speed_tps or 500) * scale


def document_faults(payload: Payload) -> Iterator[str]:
    """What Groq would not take of `documents` and `citation_options`."""
    given = payload.get("documents")
    if given is not None and not is_list(given):
        yield "'documents' : value must be a list"
    for index, document in enumerate(items(given)):
        source = table(table(document).get("source"))
        good = (source.get("type") == "text" and isinstance(source.get("text"), str)) or (
            source.get("type") == "json" and isinstance(source.get("data"), dict)
        )
        if not good:
            yield f"'documents.{index}.source' : value must be of type text with `text`, or json with `data`"
    if payload.get("citation_options") not in (None, "enabled", "disabled"):
        yield "'citation_options' : value must be one of enabled, disabled"


def cited(payload: Payload, messages: Messages, answer: Answer, room: int) -> Answer:
    """The answer with a sentence and a citation for each document and result of a tool, as long as `room` tokens last."""
    text = answer.text
    if payload.get("citation_options") != "enabled" or text is None or answer.finish_reason != "stop":
        return answer
    annotations: list[dict[str, Any]] = []
    for kind, key, id_ in _sources(payload, messages):
        sentence = f"Simulated citation of {id_}."
        room -= len(sentence.split())
        if room < 0:
            break
        start = len(text) + 1
        text = f"{text} {sentence}"
        annotations.append({"type": kind, kind: {key: id_, "start_index": start, "end_index": len(text)}})
    tokens = answer.output_tokens + len(text.split()) - len((answer.text or "").split())
    return replace(answer, text=text, annotations=annotations, output_tokens=tokens)


def _sources(payload: Payload, messages: Messages) -> Iterator[tuple[str, str, str]]:
    parts = [table(part) for message in messages for part in items(message.get("content"))]
    given = [table(row) for row in items(payload.get("documents"))]
    given += [table(part.get("document")) for part in parts if part.get("type") == "document"]
    for index, document in enumerate(given):
        yield "document_citation", "document_id", str(document.get("id") or f"doc_{index}")
    for message in messages:
        if message.get("role") == "tool":
            yield "function_citation", "tool_call_id", str(message.get("tool_call_id"))


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
    tokens = THOUGHT_TOKENS[str(effort or "medium")]
    return Thought(min(tokens, max_tokens), ate_it_all=0 < max_tokens <= tokens)


def shown(payload: Payload, answer: Answer, thought: Thought) -> Answer:
    """The answer with its thought counted, and shown in the form asked for; unasked where tools ran at Groq."""
    answer = replace(answer, output_tokens=answer.output_tokens + thought.tokens, reasoning_tokens=thought.tokens)
    form = payload.get("reasoning_format")
    if not thought.tokens:
        return answer
    if form == "raw" and answer.text is not None:
        return replace(answer, text=f"<think>\n{THOUGHT}\n</think>\n{answer.text}")
    unasked = bool(answer.executed_tools) and form is None and payload.get("include_reasoning") is None
    if form == "parsed" or payload.get("include_reasoning") is True or unasked:
        return replace(answer, reasoning=THOUGHT)
    return answer
