"""Groq and every other endpoint that speaks OpenAI's format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import httpx

from groq_fallback_mcp.call import AudioFile, Failure, FailureKind, Outcome
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.policy.classify import classify
from groq_fallback_mcp.policy.readings import snapshot
from groq_fallback_mcp.providers.base import AudioCall, ChatCall, LiveModel
from groq_fallback_mcp.providers.http import BODY_BYTES, Reply, Wire
from groq_fallback_mcp.providers.wire import chat_payload, read_chat, read_models, read_transcript, transcription_fields
from groq_fallback_mcp.redaction import redact

__all__ = ["OpenAICompatible"]

# Ten hours of speech with the time of every word.
TRANSCRIPT_BYTES = 16 * 1024 * 1024

_Found = TypeVar("_Found")


class OpenAICompatible:
    """A provider over HTTP. `base_url` ends where `/chat/completions` begins.

    `key_hint` is what a person is told when there is no key but one is needed; without a key and with a hint every
    call fails before anything is sent.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        key: str | None,
        clock: Clock,
        key_hint: str | None = None,
        tokens_field: str = "max_completion_tokens",
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._name = name
        self._clock = clock
        self._missing_key = None if key or key_hint is None else key_hint
        self._key = key
        self._tokens_field = tokens_field
        self._wire = Wire(base_url, key=key, proxy=proxy, transport=transport)

    @property
    def name(self) -> str:
        return self._name

    @property
    def unready(self) -> str | None:
        return self._missing_key

    async def chat(self, call: ChatCall, *, timeout_s: float) -> Outcome:
        return self._discreet(await self._chat(call, timeout_s=timeout_s))

    async def transcribe(self, call: AudioCall, *, timeout_s: float) -> Outcome:
        return self._discreet(await self._transcribe(call, timeout_s=timeout_s))

    async def _chat(self, call: ChatCall, *, timeout_s: float) -> Outcome:
        reply = await self._send(
            "POST", "/chat/completions", timeout_s=timeout_s, json=chat_payload(call, tokens_field=self._tokens_field)
        )
        if isinstance(reply, Failure):
            return reply
        return read_chat(
            reply.body,
            model=call.model,
            quota=snapshot(reply.headers),
            simulated=_simulated(reply),
            now_wall=self._clock.wall(),
        )

    async def _transcribe(self, call: AudioCall, *, timeout_s: float) -> Outcome:
        path = "/audio/translations" if call.request.translate else "/audio/transcriptions"
        fields = transcription_fields(call)
        files: dict[str, tuple[str | None, bytes, str]]
        if isinstance(call.request.audio, AudioFile):
            audio = call.request.audio
            files = {"file": (audio.name, audio.content, audio.media_type)}
        else:
            # a form without a file must be multipart too; a part without a file name makes httpx build it so
            files = {"url": (None, str(fields.pop("url")).encode(), "text/plain")}
        reply = await self._send("POST", path, timeout_s=timeout_s, most_bytes=TRANSCRIPT_BYTES, data=fields, files=files)
        if isinstance(reply, Failure):
            return reply
        quota = snapshot(reply.headers)
        return read_transcript(reply.body, request=call.request, model=call.model, quota=quota, simulated=_simulated(reply))

    async def live_models(self, *, timeout_s: float) -> tuple[LiveModel, ...] | Failure:
        """The provider's own list of models, now."""
        reply = await self._send("GET", "/models", timeout_s=timeout_s)
        return self._discreet(reply if isinstance(reply, Failure) else read_models(reply.body))

    async def aclose(self) -> None:
        await self._wire.aclose()

    def _discreet(self, outcome: _Found | Failure) -> _Found | Failure:
        """The outcome without the key in its message, in whatever form an upstream may quote it."""
        if isinstance(outcome, Failure):
            return replace(outcome, message=redact(outcome.message, self._key or ""))
        return outcome

    async def _send(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float,
        most_bytes: int = BODY_BYTES,
        json: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        files: Mapping[str, tuple[str | None, bytes, str]] | None = None,
    ) -> Reply | Failure:
        if self._missing_key is not None:
            return Failure(kind=FailureKind.AUTHENTICATION, message=self._missing_key, sent=False)
        reply = await self._wire.exchange(
            method, path, timeout_s=timeout_s, most_bytes=most_bytes, json=json, data=data, files=files
        )
        if isinstance(reply, Failure):
            return reply
        if reply.status >= 400:  # noqa: PLR2004
            text = reply.body.decode("utf-8", "replace")
            return classify(reply.status, reply.headers, text, now_wall=self._clock.wall())
        if reply.status >= 300:  # noqa: PLR2004
            return Failure(kind=FailureKind.BAD_RESPONSE, message="a redirect, which is not followed", status=reply.status)
        return reply


def _simulated(reply: Reply) -> bool:
    return reply.headers.get("x-simulated", "").lower() == "true"
