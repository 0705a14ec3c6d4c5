"""What agents and people do: chats over MCP and in three dialects of the gateway, streamed and not, speech, limits, batches."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import wave
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

from benchmarks.soak.fleet import TOKEN, Fleet, Member

__all__ = ["Call", "Traffic"]

Outcome = Literal["answered", "wrong", "error", "broken"]
PREFIX = "This is a simulated answer to:"
SPOKEN = "This is a simulated transcript."
LONGEST_S = 90.0
MAX_TOKENS = 64
BATCH = 12
BATCH_EVERY_S = 90.0
# So many calls a second each process gets, at random moments.
RATES = {"machine": 0.75, "replicas": 1.0}
SYSTEM = "You are a coding agent. " + "Read the files, make the smallest change that is right, and run the tests. " * 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, in seconds of the event loop's clock.

    `broken`: the connection was refused or ended without an answer. `again`: sent to another process, as a client does whose first
    one broke off.
    """

    kind: str
    member: str
    group: str
    begun: float
    ended: float
    outcome: Outcome
    detail: str = ""
    again: bool = False


class Traffic:
    """Calls, until it is stopped; all that ended are in `calls`."""

    def __init__(self, fleet: Fleet, folder: Path, *, seed: int) -> None:
        self.calls: list[Call] = []
        self._fleet = fleet
        self._folder = folder
        self._chance = random.Random(seed)
        self._number = 0
        self._client = httpx.AsyncClient(
            timeout=LONGEST_S,
            trust_env=False,
            headers={"Authorization": f"Bearer {TOKEN}"},
            limits=httpx.Limits(max_connections=None),
        )
        self._sound = folder / "question.wav"
        with wave.open(str(self._sound), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(16_000)
            sound.writeframes(b"\0\0" * 16_000)
        self._kinds: Mapping[str, Mapping[str, tuple[int, Callable[[Member, str], Awaitable[str]]]]] = {
            "mcp": {
                "groq_chat": (70, self._tool_chat),
                "check_limits": (8, self._tool_limits),
                "list_models": (4, self._tool_models),
                "transcribe": (18, self._tool_speech),
            },
            "gateway": {
                "chat": (35, self._chat),
                "chat stream": (30, self._chat_stream),
                "messages": (8, self._messages),
                "messages stream": (7, self._messages_stream),
                "responses": (8, self._responses),
                "transcriptions": (12, self._transcriptions),
            },
        }

    async def run(self, until: float) -> None:
        """Put calls to every process until then (the event loop's clock), and wait for what is under way."""
        async with asyncio.TaskGroup() as group:
            for member in self._fleet.members:
                group.create_task(self._arrivals(group, member, until))
            group.create_task(self._batches(until))
        await self._client.aclose()

    async def _arrivals(self, group: asyncio.TaskGroup, member: Member, until: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._chance.expovariate(RATES[member.group]))
            if loop.time() >= until:
                return
            kinds = self._kinds[member.kind]
            kind = self._chance.choices(list(kinds), [weight for weight, _ in kinds.values()])[0]
            group.create_task(self._put(member, kind))

    async def _put(self, member: Member, kind: str) -> None:
        """To its process, and where that one was killed meanwhile, to the one that stands in for it."""
        call = await self._once(member, kind, again=False)
        self.calls.append(call)
        if call.outcome == "broken" and member.was_gone(call.begun, call.ended):
            others = [one for one in self._fleet.of(member.group, member.kind) if one is not member]
            self.calls.append(await self._once(others[0], kind, again=True))

    async def _once(self, member: Member, kind: str, *, again: bool) -> Call:
        self._number += 1
        question = f"question {self._number} of {kind}: what does line {self._chance.randrange(10**6)} do?"
        loop = asyncio.get_running_loop()
        begun = loop.time()
        outcome: Outcome = "answered"
        detail = ""
        try:
            async with asyncio.timeout(LONGEST_S):
                said = await self._kinds[member.kind][kind][1](member, question)
            if said:
                outcome, detail = "wrong", said
        except _Refused as error:
            outcome, detail = "error", str(error)
        except TimeoutError:
            outcome, detail = "error", f"no reply within {LONGEST_S:.0f} s"
        except (httpx.HTTPError, OSError, RuntimeError) as error:
            outcome, detail = "broken", f"{type(error).__name__}: {error}"
        return Call(
            kind=kind, member=member.name, group=member.group, begun=begun, ended=loop.time(),
            outcome=outcome, detail=detail[:2_000], again=again,
        )  # fmt: skip

    async def _tool(self, member: Member, name: str, **arguments: object) -> dict[str, Any]:
        server, process = member.server, member.process
        assert server is not None
        assert process is not None
        if process.returncode is not None:
            raise RuntimeError("the process has ended")
        # what was sent to a process that has just ended is answered by nobody
        asking = asyncio.create_task(server.request("tools/call", {"name": name, "arguments": arguments}))
        ending = asyncio.create_task(process.wait())
        try:
            await asyncio.wait((asking, ending), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise RuntimeError("the process has ended")
            result = asking.result()
        finally:
            asking.cancel()
            ending.cancel()
        if result.get("isError"):
            raise _Refused(result["content"][0]["text"])
        return result

    async def _tool_chat(self, member: Member, question: str) -> str:
        result = await self._tool(member, "groq_chat", prompt=question, system=SYSTEM, max_tokens=MAX_TOKENS)
        return _wrong("".join(block.get("text", "") for block in result["content"]), question, exact=False)

    async def _tool_limits(self, member: Member, question: str) -> str:
        del question
        result = await self._tool(member, "check_limits")
        return "" if "gpt-oss-20b" in json.dumps(result) else "limits without a model"

    async def _tool_models(self, member: Member, question: str) -> str:
        del question
        result = await self._tool(member, "list_models")
        return "" if "gpt-oss-20b" in json.dumps(result) else "a list without a model"

    async def _tool_speech(self, member: Member, question: str) -> str:
        del question
        result = await self._tool(member, "transcribe", file=str(self._sound))
        return "" if SPOKEN in json.dumps(result) else f"not the transcript: {json.dumps(result)[:200]}"

    async def _post(self, member: Member, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        reply = await self._client.post(f"http://127.0.0.1:{member.port}{path}", json=body)
        if reply.status_code != 200:
            raise _Refused(f"{reply.status_code} {reply.text}")
        found: dict[str, Any] = reply.json()
        return found

    async def _events(self, member: Member, path: str, body: Mapping[str, object]) -> list[str]:
        async with self._client.stream("POST", f"http://127.0.0.1:{member.port}{path}", json=body) as reply:
            if reply.status_code != 200:
                raise _Refused(f"{reply.status_code} {(await reply.aread()).decode(errors='replace')}")
            return [line.removeprefix("data:").strip() async for line in reply.aiter_lines() if line.startswith("data:")]

    async def _chat(self, member: Member, question: str) -> str:
        found = await self._post(member, "/v1/chat/completions", _chat_body(question))
        return _wrong(found["choices"][0]["message"]["content"], question)

    async def _chat_stream(self, member: Member, question: str) -> str:
        data = await self._events(member, "/v1/chat/completions", {**_chat_body(question), "stream": True})
        events = [json.loads(one) for one in data if one != "[DONE]"]
        if refused := [event["error"] for event in events if "error" in event]:
            raise _Refused(json.dumps(refused))
        if data[-1:] != ["[DONE]"]:
            return "a stream without its end"
        return _wrong("".join(c["delta"].get("content") or "" for event in events for c in event["choices"]), question)

    async def _messages(self, member: Member, question: str) -> str:
        found = await self._post(member, "/v1/messages", _messages_body(question))
        return _wrong("".join(block.get("text", "") for block in found["content"]), question)

    async def _messages_stream(self, member: Member, question: str) -> str:
        data = await self._events(member, "/v1/messages", {**_messages_body(question), "stream": True})
        events = [json.loads(one) for one in data]
        if refused := [event["error"] for event in events if event["type"] == "error"]:
            raise _Refused(json.dumps(refused))
        if not events or events[-1]["type"] != "message_stop":
            return "a stream without its end"
        return _wrong("".join(event.get("delta", {}).get("text", "") for event in events), question)

    async def _responses(self, member: Member, question: str) -> str:
        body = {"model": "auto", "instructions": SYSTEM, "input": question, "max_output_tokens": MAX_TOKENS}
        found = await self._post(member, "/v1/responses", body)
        parts = [part for item in found["output"] for part in item.get("content") or ()]
        return _wrong("".join(part.get("text", "") for part in parts if part.get("type") == "output_text"), question)

    async def _transcriptions(self, member: Member, question: str) -> str:
        del question
        reply = await self._client.post(
            f"http://127.0.0.1:{member.port}/v1/audio/transcriptions",
            data={"model": "whisper-large-v3-turbo"},
            files={"file": ("question.wav", self._sound.read_bytes(), "audio/wav")},
        )
        if reply.status_code != 200:
            raise _Refused(f"{reply.status_code} {reply.text}")
        return "" if reply.json()["text"] == SPOKEN else f"not the transcript: {reply.text[:200]}"

    async def _batches(self, until: float) -> None:
        """The command `chat --prompts`, one after the other."""
        loop = asyncio.get_running_loop()
        member = self._fleet.of("machine", "mcp")[0]
        number = 0
        while loop.time() + BATCH_EVERY_S < until:
            await asyncio.sleep(BATCH_EVERY_S)
            number += 1
            questions = [f"question {line} of batch {number}: what next?" for line in range(BATCH)]
            prompts, answers = self._folder / f"batch-{number}.txt", self._folder / f"batch-{number}.jsonl"
            prompts.write_text("\n".join(questions) + "\n", encoding="utf-8")
            begun = loop.time()
            arguments = ["chat", "--prompts", str(prompts), "--output", str(answers), "--max-tokens", str(MAX_TOKENS)]
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "groq_fallback_mcp", *arguments,
                env=dict(member.environment), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            _, said = await process.communicate()
            written = answers.read_text(encoding="utf-8") if answers.exists() else ""
            missing = [one for one in questions if f"{PREFIX} {one}" not in written]
            self.calls.append(
                Call(
                    kind="batch",
                    member="batch",
                    group="machine",
                    begun=begun,
                    ended=loop.time(),
                    outcome="answered" if not missing else "error",
                    detail=f"{len(missing)} of {BATCH} not answered: {said.decode()[-200:]}" if missing else "",
                )
            )


class _Refused(Exception):
    """An error in the form of its interface."""


def _chat_body(question: str) -> dict[str, object]:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    return {"model": "auto", "messages": messages, "max_tokens": MAX_TOKENS}


def _messages_body(question: str) -> dict[str, object]:
    messages = [{"role": "user", "content": question}]
    return {"model": "auto", "system": SYSTEM, "messages": messages, "max_tokens": MAX_TOKENS}


def _wrong(answer: str | None, question: str, *, exact: bool = True) -> str:
    """What is wrong with an answer, empty where nothing is: the simulator repeats the question."""
    wanted = f"{PREFIX} {question}"
    text = (answer or "").strip()
    if text == wanted or (not exact and text.count(wanted) == 1 and text.count(PREFIX) == 1):
        return ""
    return f"wanted {wanted!r}, got {text[:200]!r}"
