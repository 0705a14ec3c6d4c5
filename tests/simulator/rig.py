"""A client of a simulator without a port, and what its tests send and read."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from fake_clock import FakeClock

from groq_fallback_mcp.catalog import load_catalog

CATALOG = load_catalog()
KEY = "gsk_first"
MODEL = "openai/gpt-oss-20b"


@dataclass(slots=True)
class Rig:
    """A client of a simulator, and the clock of both."""

    client: httpx.AsyncClient
    clock: FakeClock
    headers: dict[str, str] = field(default_factory=lambda: {"authorization": f"Bearer {KEY}"})

    async def chat(self, text: str = "hello", *, key: str = KEY, **fields: Any) -> httpx.Response:
        """Ask; a field of None is left out."""
        payload = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_completion_tokens": 50} | fields
        sent = {name: value for name, value in payload.items() if value is not None}
        headers = {"authorization": f"Bearer {key}"}
        return await self.client.post("/openai/v1/chat/completions", json=sent, headers=headers)

    async def stream(self, **fields: Any) -> list[Any]:
        """The events of a streamed answer, decoded but for the last mark."""
        reply = await self.chat(stream=True, **fields)
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in reply.text.split("\n\n") if line]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]

    async def hear(
        self, content: bytes | None, *, path: str = "transcriptions", name: str = "a.wav", **fields: str | list[str]
    ) -> httpx.Response:
        """Send audio; None sends no file."""
        data = {"model": "whisper-large-v3-turbo"} | fields
        files = {"file": (name, content)} if content is not None else {"other": (None, b"")}
        return await self.client.post(f"/openai/v1/audio/{path}", data=data, files=files, headers=self.headers)

    async def speak(self, **fields: Any) -> httpx.Response:
        """Have a text spoken."""
        payload = {"model": "canopylabs/orpheus-v1-english", "input": "Hello there", "voice": "hannah"} | fields
        return await self.client.post("/openai/v1/audio/speech", json=payload, headers=self.headers)

    async def get(self, path: str) -> httpx.Response:
        """Get a path with the first key."""
        return await self.client.get(path, headers=self.headers)


OpenRig = Callable[..., Rig]


def message(reply: httpx.Response) -> str:
    """The text of an error."""
    return str(reply.json()["error"]["message"])


def silence(seconds: float, *, rate: int = 8_000) -> bytes:
    """A WAV of so many seconds."""
    target = io.BytesIO()
    with wave.open(target, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(rate)
        audio.writeframes(bytes(int(seconds * rate) * 2))
    return target.getvalue()
