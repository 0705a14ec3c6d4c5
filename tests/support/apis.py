"""The three APIs of the gateway as a strict client knows them: how a chat is asked in each, and what of the answer is heard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from upstream import Received

__all__ = ["APIS", "CHAT", "MESSAGES", "RESPONSES", "Api", "Heard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An answer. `finish` is None where no end was told; `calls` are (name, arguments); `clean`: the response was ended as it should be."""

    status: int
    clean: bool
    text: str = ""
    reasoning: str = ""
    calls: Sequence[tuple[str, str]] = ()
    finish: str | None = None
    error: Mapping[str, Any] | None = None
    model: str = ""
    tokens: tuple[int, int] = (0, 0)


class Api:
    """One of them."""

    name: str
    path: str

    def request(self, chat: Mapping[str, Any]) -> dict[str, Any]:
        """A chat completion's body, as this API has it."""
        raise NotImplementedError

    def heard(self, got: Received) -> Heard:
        """What a client makes of a response. Fails where an event is out of order."""
        if got.status >= 400:
            return Heard(status=got.status, clean=got.clean, error=self.refusal(got.json))
        if not got.headers.get("content-type", "").startswith("text/event-stream"):
            return self.whole(got, got.json)
        return self.streamed(got)

    def refusal(self, body: Any) -> Mapping[str, Any]:
        assert set(body) == {"error"}, body
        error: Mapping[str, Any] = body["error"]
        assert set(error) == {"message", "type", "param", "code"}, body
        return error

    def whole(self, got: Received, body: Any) -> Heard:
        raise NotImplementedError

    def streamed(self, got: Received) -> Heard:
        raise NotImplementedError


def named_events(got: Received) -> list[dict[str, Any]]:
    """The events of a stream, each of which has its type twice."""
    found = []
    for block in got.body.decode().split("\n\n"):
        if block:
            name, data = block.split("\n")
            event = json.loads(data.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            found.append(event)
    return found


class _Chat(Api):
    name, path = "chat", "/v1/chat/completions"

    def request(self, chat: Mapping[str, Any]) -> dict[str, Any]:
        return dict(chat)

    def whole(self, got: Received, body: Any) -> Heard:
        message = body["choices"][0]["message"]
        return Heard(
            status=got.status,
            clean=got.clean,
            text=message["content"] or "",
            reasoning=message.get("reasoning", ""),
            calls=[(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())],
            finish=body["choices"][0]["finish_reason"],
            model=body["model"],
            tokens=(body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]),
        )

    def streamed(self, got: Received) -> Heard:
        # a client that sees [DONE] takes what it has for whole
        finish = got.finish or ("stop" if "DONE" in got.events else None)
        calls = [(call["function"]["name"], call["function"]["arguments"]) for call in got.tool_calls]
        thoughts = "".join(delta.get("reasoning") or "" for delta in got.deltas)
        return Heard(
            status=got.status,
            clean=got.clean,
            text=got.text,
            reasoning=thoughts,
            calls=calls,
            finish=finish,
            error=got.error,
            model=next((one["model"] for one in reversed(got.events) if one != "DONE" and "model" in one), ""),
        )


class _Responses(Api):
    name, path = "responses", "/v1/responses"

    def request(self, chat: Mapping[str, Any]) -> dict[str, Any]:
        body = {name: chat[name] for name in ("model", "stream", "temperature", "tool_choice") if name in chat}
        body |= {"input": list(chat["messages"]), "store": False, "max_output_tokens": chat.get("max_tokens")}
        tools = [{"type": "function", **tool["function"], "strict": None} for tool in chat.get("tools", ())]
        return body | ({"tools": tools} if tools else {})

    def whole(self, got: Received, body: Any) -> Heard:
        assert body["object"] == "response"
        texts = [part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"]]
        thoughts = [part["text"] for item in body["output"] if item["type"] == "reasoning" for part in item["content"]]
        calls = [(item["name"], item["arguments"]) for item in body["output"] if item["type"] == "function_call"]
        finish = {"completed": "tool_calls" if calls else "stop", "incomplete": "length"}.get(body["status"])
        usage = body["usage"] or {}
        return Heard(
            status=got.status,
            clean=got.clean,
            text="".join(texts),
            reasoning="".join(thoughts),
            calls=calls,
            finish=finish,
            error=body["error"],
            model=body["model"],
            tokens=(usage.get("input_tokens", 0), usage.get("output_tokens", 0)),
        )

    def streamed(self, got: Received) -> Heard:
        events = named_events(got)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
        ids = {event["response"]["id"] for event in events if "response" in event}
        assert len(ids) == 1
        items: list[dict[str, Any]] = []
        done: list[dict[str, Any]] = []
        for event in events[2:]:
            match event["type"]:
                case "response.output_item.added":
                    assert event["output_index"] == len(items) == len(done)
                    items.append({**event["item"], "content": (event["item"].get("content") and []) or []})
                case "response.content_part.added":
                    items[event["output_index"]]["content"].append(dict(event["part"]))
                case "response.output_text.delta":
                    items[event["output_index"]]["content"][event["content_index"]]["text"] += event["delta"]
                case "response.output_text.done":
                    assert items[event["output_index"]]["content"][event["content_index"]]["text"] == event["text"]
                case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                    field = "arguments" if "arguments" in items[event["output_index"]] else "input"
                    items[event["output_index"]][field] += event["delta"]
                case "response.output_item.done":
                    assert event["output_index"] == len(done)
                    assert event["item"]["id"] == items[event["output_index"]]["id"]
                    done.append(event["item"])
                case _:
                    pass
        last = events[-1]
        if last["type"] in {"response.completed", "response.incomplete"}:
            assert last["response"]["output"] == done
            texts = ["".join(part["text"] for part in item["content"]) for item in items if item["type"] == "message"]
            heard = self.whole(got, last["response"])
            assert heard.text == "".join(texts)
            assert heard.calls == [(item["name"], item["arguments"]) for item in items if item["type"] == "function_call"]
            return heard
        assert not [event for event in events if event["type"] == "response.completed"]
        text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        error = last["response"]["error"] if last["type"] == "response.failed" else None
        return Heard(status=got.status, clean=got.clean, text=text, error=error)


class _Messages(Api):
    name, path = "messages", "/v1/messages"

    def request(self, chat: Mapping[str, Any]) -> dict[str, Any]:
        body = {name: chat[name] for name in ("model", "stream", "temperature") if name in chat}
        messages = [message for message in chat["messages"] if message["role"] != "system"]
        system = [{"type": "text", "text": message["content"]} for message in chat["messages"] if message["role"] == "system"]
        body |= {"messages": messages, "system": system, "max_tokens": chat.get("max_tokens", 1_000)}
        tools = [
            {
                "name": tool["function"]["name"],
                "description": tool["function"].get("description", ""),
                "input_schema": tool["function"]["parameters"],
            }
            for tool in chat.get("tools", ())
        ]
        return body | ({"tools": tools} if tools else {})

    def refusal(self, body: Any) -> Mapping[str, Any]:
        assert set(body) == {"type", "error", "request_id"}, body
        assert body["type"] == "error"
        assert set(body["error"]) - {"details"} == {"type", "message"}
        error: Mapping[str, Any] = body["error"]
        return error

    def whole(self, got: Received, body: Any) -> Heard:
        assert (body["type"], body["role"], body["stop_sequence"]) == ("message", "assistant", None)
        content = body["content"]
        reasons = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}
        return Heard(
            status=got.status,
            clean=got.clean,
            text="".join(block["text"] for block in content if block["type"] == "text"),
            reasoning="".join(block["thinking"] for block in content if block["type"] == "thinking"),
            calls=[(block["name"], json.dumps(block["input"])) for block in content if block["type"] == "tool_use"],
            finish=reasons.get(body["stop_reason"]),
            model=body["model"],
            tokens=(body["usage"]["input_tokens"], body["usage"]["output_tokens"]),
        )

    def streamed(self, got: Received) -> Heard:
        events = named_events(got)
        assert events[0]["type"] == "message_start"
        assert [event["type"] for event in events].count("message_start") == 1
        message = dict(events[0]["message"])
        blocks: list[dict[str, Any]] = []
        partial: dict[int, str] = {}
        open_at: int | None = None
        for event in events[1:]:
            match event["type"]:
                case "content_block_start":
                    assert open_at is None
                    assert event["index"] == len(blocks)
                    open_at = event["index"]
                    blocks.append(dict(event["content_block"]))
                case "content_block_delta":
                    assert event["index"] == open_at
                    delta = event["delta"]
                    if delta["type"] == "input_json_delta":
                        partial[event["index"]] = partial.get(event["index"], "") + delta["partial_json"]
                    else:
                        field = delta["type"].removesuffix("_delta")
                        blocks[event["index"]][field] += delta[field]
                case "content_block_stop":
                    assert event["index"] == open_at
                    open_at = None
                case "message_delta":
                    assert open_at is None
                    message |= event["delta"]
                    message["usage"] = {**message["usage"], **event["usage"]}
                case _:
                    assert event["type"] in {"ping", "message_stop", "error"}
        for index, text in partial.items():
            blocks[index]["input"] = json.loads(text)
        if events[-1]["type"] == "message_stop":
            return self.whole(got, {**message, "content": blocks})
        text = "".join(block["text"] for block in blocks if block["type"] == "text")
        error = events[-1]["error"] if events[-1]["type"] == "error" else None
        return Heard(status=got.status, clean=got.clean, text=text, error=error)


CHAT, RESPONSES, MESSAGES = _Chat(), _Responses(), _Messages()
APIS: Sequence[Api] = (CHAT, RESPONSES, MESSAGES)
