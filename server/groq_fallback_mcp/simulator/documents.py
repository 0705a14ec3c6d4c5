"""Documents to answer from, and citations of them.

Shapes: the SDK's CompletionCreateParams.Document, ChatCompletionRequestMessageContentPartDocument and
ChatCompletionMessage.Annotation. Unverified: the texts of refusals, the id of a document without one, and that documents go
together with tools (no source forbids it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from groq_fallback_mcp.simulator.answer import Answer
from groq_fallback_mcp.simulator.wire import Messages, Payload, items, table

__all__ = ["cited", "document_faults"]


def document_faults(payload: Payload) -> Iterator[str]:
    """What Groq would not take of `documents` and `citation_options`."""
    given = payload.get("documents")
    if given is not None and not isinstance(given, list):
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
